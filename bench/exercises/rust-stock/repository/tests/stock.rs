use stock::{reserve, Missing, Order, Shelf};

fn shelf() -> Shelf {
    let mut shelf = Shelf::default();
    shelf.put("cup", 6);
    shelf.put("plate", 2);
    shelf
}

#[test]
fn an_order_takes_its_goods() {
    let mut shelf = shelf();
    assert_eq!(reserve(&mut shelf, &Order::default().with("cup", 4).with("plate", 2)), Ok(()));
    assert_eq!((shelf.count("cup"), shelf.count("plate")), (2, 0));
}

#[test]
fn an_order_that_cannot_be_filled_takes_nothing() {
    let mut shelf = shelf();
    let error = reserve(&mut shelf, &Order::default().with("cup", 4).with("plate", 5)).unwrap_err();
    assert_eq!(error, Missing { good: "plate".to_owned(), count: 3 });
    assert_eq!((shelf.count("cup"), shelf.count("plate")), (6, 2));
}
