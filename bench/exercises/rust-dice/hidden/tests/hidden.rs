use dice::{parse, Dice};

#[test]
fn all_forms() {
    let cases = [
        ("d20", 1, 20, 0),
        ("d20-4", 1, 20, -4),
        ("10d10+10", 10, 10, 10),
        ("3d4-0", 3, 4, 0),
        ("1d2-100", 1, 2, -100),
    ];
    for (text, count, sides, bonus) in cases {
        assert_eq!(parse(text), Some(Dice { count, sides, bonus }), "{text}");
    }
}

#[test]
fn what_is_no_dice() {
    for text in ["", "6", "d", "2d", "0d6", "2d0", "2d6+", "2d6-", "2d6--1", "2d6+-1", "2d6-x", "-2d6", "2x6"] {
        assert_eq!(parse(text), None, "{text}");
    }
}
