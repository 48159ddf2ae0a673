use dice::{parse, Dice};

#[test]
fn with_and_without_a_bonus() {
    assert_eq!(parse("d6"), Some(Dice { count: 1, sides: 6, bonus: 0 }));
    assert_eq!(parse("2d6+3"), Some(Dice { count: 2, sides: 6, bonus: 3 }));
}

#[test]
fn with_a_minus() {
    let dice = parse("2d6-1").expect("2d6-1 is allowed");
    assert_eq!((dice.least(), dice.most()), (1, 11));
}
