use stock::{reserve, Missing, Order, Shelf};

fn shelf() -> Shelf {
    let mut shelf = Shelf::default();
    shelf.put("cup", 6);
    shelf.put("plate", 2);
    shelf
}

#[test]
fn the_same_good_twice() {
    let mut shelf = shelf();
    let error = reserve(&mut shelf, &Order::default().with("cup", 4).with("plate", 1).with("cup", 4)).unwrap_err();
    assert_eq!(error, Missing { good: "cup".to_owned(), count: 2 });
    assert_eq!((shelf.count("cup"), shelf.count("plate")), (6, 2));
    assert_eq!(reserve(&mut shelf, &Order::default().with("cup", 3).with("cup", 3)), Ok(()));
    assert_eq!(shelf.count("cup"), 0);
}

#[test]
fn the_first_line_is_named() {
    let mut shelf = shelf();
    let error = reserve(&mut shelf, &Order::default().with("fork", 2).with("plate", 9)).unwrap_err();
    assert_eq!(error, Missing { good: "fork".to_owned(), count: 2 });
}

#[test]
fn taking_tells_how_many_are_missing() {
    let mut shelf = shelf();
    assert_eq!(shelf.take("plate", 3), Err(Missing { good: "plate".to_owned(), count: 1 }));
    assert_eq!(shelf.count("plate"), 2);
    assert_eq!(shelf.take("plate", 2), Ok(()));
}

#[test]
fn an_order_of_nothing() {
    assert_eq!(reserve(&mut shelf(), &Order::default()), Ok(()));
}
