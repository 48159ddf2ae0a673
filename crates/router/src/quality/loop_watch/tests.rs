use super::*;
use proptest::prelude::*;

fn loops(text: &str) -> bool {
    LoopWatch::default().push(text)
}

/// Endless tails of every kind a model falls into, behind a sound beginning.
#[test]
fn what_never_ends_is_noticed() {
    let paragraph = "Therefore we first have to look at the function that reads the file, and then at the one that writes \
                     it. Both take a path. Neither checks whether it lies inside of the folder. ";
    let essay: String = (0..20).map(|number| format!("{number}: {paragraph}")).collect();
    for unit in [
        "no ",
        "the the ",
        "I'm sorry, but I can't help with that.\n",
        "else if (x) {\n    return y;\n}\n",
        paragraph,
        &essay,
        "はい、",
        "\n",
        " \t",
        "ha",
        "0",
    ] {
        let mut watch = LoopWatch::default();
        assert!(!watch.push("A sound beginning. It says something.\n"));
        let mut said = 0;
        while !watch.push(unit) && said < 64 * 1024 {
            said += unit.len();
        }
        assert!(said < 22 * 1024, "{unit:?} was repeated for {said} bytes");
        let found = watch.found().unwrap();
        assert!(found.times >= 4, "{found:?}");
        assert!(found.unit.len() <= 1024);
        assert!(watch.push("and now something else"), "once found it stays found");
    }
}

#[test]
fn what_is_found_is_the_unit() {
    let mut watch = LoopWatch::default();
    assert!(watch.push(&"no, never! ".repeat(1000)));
    let found = watch.found().unwrap();
    assert_eq!(found.unit.len(), "no, never! ".len());
    assert!("no, never! no, never! ".contains(&found.unit), "{found:?}");
}

#[test]
fn texts_that_repeat_for_a_reason_pass() {
    let rows: String = (0..400).map(|row| format!("| {row} | open | none | - |\n")).collect();
    let list: String = (1..=3000).map(|number| format!("{number}. ")).collect();
    let numbers: String = (0..3000).map(|number| format!("{number}, ")).collect();
    let code: String = (0..200)
        .map(|at| {
            format!("    if let Some(value{at}) = map.get(\"key{at}\") {{\n        out.push(value{at});\n    }}\n")
        })
        .collect();
    let match_arms: String = (0..300).map(|at| format!("        {at} => Err(Error::Unsupported),\n")).collect();
    let csv: String = (0..500).map(|at| format!("{at},0,0,0,NULL,NULL\n")).collect();
    let objects: String = (0..300).map(|at| format!("{{\"id\":{at},\"ok\":true,\"tags\":[]}},")).collect();
    let board = "|   |   |   |   |   |   |   |   |\n+---+---+---+---+---+---+---+---+\n".repeat(20);
    for (what, text) in [
        ("a ruler", "-".repeat(200)),
        ("a long ruler", "=".repeat(5000)),
        ("rulers between headings", format!("{}\nTitle\n{}\n", "=".repeat(300), "=".repeat(300)).repeat(3)),
        ("a table", format!("| id | state | error | note |\n|---|---|---|---|\n{rows}")),
        ("empty table cells", "|   |   |   |   |\n".repeat(150)),
        ("a numbered list", list),
        ("numbers", numbers),
        ("code", code),
        ("match arms", match_arms),
        ("comma separated values", csv),
        ("a JSON array of objects", format!("[{objects}]")),
        ("a JSON array of noughts", format!("[{}0]", "0, ".repeat(4000))),
        ("a matrix", "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n".repeat(256)),
        ("a JSON array of booleans", format!("[{}true]", "true, ".repeat(500))),
        ("a JSON array of nulls", format!("[{}null]", "null,".repeat(600))),
        ("base64 of noughts", "A".repeat(10_000)),
        ("a board", board),
        ("a song", "We all live in a yellow submarine, yellow submarine, yellow submarine.\n".repeat(12)),
        ("blank lines", "\n".repeat(500)),
        ("deep indentation", format!("{}x\n", " ".repeat(400)).repeat(8)),
        ("a drawing", "       /\\_/\\       \n      ( o.o )      \n       > ^ <       \n".repeat(30)),
        ("an empty web table", "<tr><td></td><td></td></tr>\n".repeat(100)),
    ] {
        let mut watch = LoopWatch::default();
        assert!(!watch.push(&text), "{what}: {:?}", watch.found());
    }
}

#[test]
fn memory_is_bounded() {
    let mut watch = LoopWatch::default();
    for number in 0..100_000 {
        assert!(!watch.push(&format!("{number} and so on. ")));
        assert!(watch.tail.len() <= FAR + FAR / PART);
    }
}

/// Looking must not cost more the longer a unit is, or the less it says.
#[test]
fn a_long_dull_unit_is_as_quick_as_prose() {
    let unit: String = (0..1000).map(|number| format!("{number}")).collect();
    assert!(!loops(&unit.repeat(5)), "2,890 digits five times fill less than what is kept");
    assert!(loops(&unit.repeat(8)));
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_verdict(
        head in "[a-z ]{0,40}", unit in "[a-z🦀]{1,60}", times in 1..400_usize, size in 1..700_usize
    ) {
        let text = format!("{head}{}", unit.repeat(times));
        let mut watch = LoopWatch::default();
        let chars: Vec<char> = text.chars().collect();
        let tripped = chars.chunks(size).any(|chunk| watch.push(&chunk.iter().collect::<String>()));
        prop_assert_eq!(tripped, loops(&text));
    }

    #[test]
    fn any_words_repeated_long_enough_are_a_loop(unit in "[a-z]{2,10}( [a-z]{2,10}){1,20}[.,] ") {
        prop_assert!(loops(&unit.repeat(16 * 1024 / unit.len() + 8)));
    }

    #[test]
    fn text_that_does_not_repeat_is_none(words in prop::collection::vec("[a-z]{1,9}", 2000..3000)) {
        prop_assert!(!loops(&words.join(" ")));
    }
}
