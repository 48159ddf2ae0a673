use super::*;

const BASKET: &str = "class Basket:\n    def __init__(self):\n        self.items = []\n\n    def total(self):\n        return sum(self.items) + 1\n\n\ndef rate(a):\n    return a\n";

fn ground() -> Ground {
    Ground {
        files: [("shop/basket.py", BASKET), ("shop/tax.py", "def tax(a):\n    return a * 2\n")]
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .into(),
        names: ["README.md", "shop/basket.py", "shop/tax.py", "shop/other.py", "tests/test_basket.py"]
            .map(str::to_owned)
            .to_vec(),
        named_in: "Add shop/report.py. No module named 'labels'".into(),
        suspect: None,
    }
}

fn read(answer: &str) -> Changes {
    changes(answer, false, &ground())
}

fn mended() -> String {
    BASKET.replace(" + 1", "")
}

#[test]
fn the_path_of_a_block_is_found_wherever_models_write_it() {
    let text = mended();
    for answer in [
        format!("shop/basket.py\n```python\n{text}```\n"),
        format!("The sum is wrong.\n\n**shop/basket.py**\n\n```python\n{text}```\nDone.\n"),
        format!("### File: `shop/basket.py`:\n```\n{text}```"),
        format!("```python shop/basket.py\n{text}```"),
        format!("```python:shop/basket.py\n{text}```"),
        format!("```python\n# shop/basket.py\n{text}```"),
        format!("```python\n# File: basket.py\n{text}```"),
        format!("basket.py\n```python\n{text}```"),
        format!("Here is the mended file:\n```python\n{text}```"),
        format!("<think>basket.py\n```\nx\n```</think>\n./shop/basket.py\n```py\n{text}\n```"),
        format!("{}\n", serde_json::json!({"name": "write_file", "arguments": {"path": "shop/basket.py", "content": text}})),
        "shop/basket.py\n```\n<<<<<<< SEARCH\n        return sum(self.items) + 1\n=======\n        return sum(self.items)\n>>>>>>> REPLACE\n```".into(),
        "```python\n<<<<<<< SEARCH\nreturn sum(self.items) + 1\n=======\nreturn sum(self.items)\n>>>>>>> REPLACE\n```".into(),
        "Change `total`:\n```python\n    def total(self):\n        return sum(self.items)\n```".into(),
        "shop/basket.py\n```python\nclass Basket:\n    def total(self):\n        return sum(self.items)\n```".into(),
    ] {
        let expected = Changes { files: vec![("shop/basket.py".into(), text.clone())], problems: Vec::new() };
        assert_eq!(read(&answer), expected, "{answer}");
    }
}

#[test]
fn several_files_come_in_one_answer() {
    let answer = format!(
        "shop/basket.py\n```python\n{}```\n\nshop/tax.py\n```python\ndef tax(a):\n    return a * 3\n```\n\nshop/report.py\n```\nx = 1\n```\n",
        mended()
    );
    let Changes { files, problems } = read(&answer);
    assert_eq!(problems, Vec::<String>::new());
    let names: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(names, ["shop/basket.py", "shop/tax.py", "shop/report.py"]);
}

#[test]
fn what_may_not_be_written_is_refused_with_the_reason() {
    let whole = |path: &str| format!("{path}\n```python\nx = 1\n```\n");
    for (answer, reason) in [
        (whole("tests/test_basket.py"), "is a test and was not changed"),
        (whole("shop/other.py"), "none of the files that may change"),
        (whole("shop/new.py"), "nothing names such a file"),
        (whole("../evil.py"), "nothing names such a file"),
        ("I do not know.".into(), "there was no file"),
        ("```sh\npython3 -m unittest\n```".into(), "nobody can tell which file"),
        (
            format!(
                "shop/basket.py\n```python\n{}```",
                BASKET.replace("return sum(self.items) + 1", "# ... existing code")
            ),
            "stands for lines that are left out",
        ),
        (
            "shop/basket.py\n```\n<<<<<<< SEARCH\nnot there at all\n=======\nx\n>>>>>>> REPLACE\n```".into(),
            "`old` is not in shop/basket.py",
        ),
        ("shop/tax.py\n```python\n\n```".into(), "would lose `tax`"),
        ("shop/tax.py\n```python\nRATES = [2]\n```".into(), "would lose `tax`"),
        ("{\"name\": \"browse\", \"arguments\": {}}".into(), "there was no file"),
        ("{\"name\": \"write_file\", \"arguments\": {\"path\": \"shop/ba".into(), "there was no file"),
    ] {
        let Changes { files, problems } = read(&answer);
        assert_eq!(files, [], "{answer}");
        assert!(problems[0].contains(reason), "{answer}: {problems:?}");
    }
    assert_eq!(read(&whole("labels.py")).files.len(), 1, "what the check misses may be made");
    let empty = Ground::default();
    assert_eq!(changes(&whole("a.py"), false, &empty).files.len(), 1, "in an empty folder anything may");
}

#[test]
fn of_an_answer_that_was_cut_the_last_block_is_none() {
    let answer = format!(
        "shop/tax.py\n```python\ndef tax(a):\n    return a\n```\nshop/basket.py\n```python\n{}",
        &mended()[..70]
    );
    let Changes { files, problems } = changes(&answer, true, &ground());
    assert_eq!(files.len(), 1);
    assert!(problems[0].contains("shop/basket.py was cut off"), "{problems:?}");
}

#[test]
fn a_function_under_the_path_of_another_file_goes_to_its_own() {
    let answer = "shop/basket.py\n```python\ndef tax(a):\n    return a * 3\n```\n";
    assert_eq!(read(answer).files, [("shop/tax.py".to_owned(), "def tax(a):\n    return a * 3\n".to_owned())]);
}

#[test]
fn a_file_written_as_it_is_is_no_change_and_said_to_be_none() {
    let again = format!("Mended.\nshop/basket.py\n```python\n{BASKET}```\n");
    for (answer, is_cut) in [(again.clone(), false), (format!("{again}{}", &again[..90]), true)] {
        let Changes { files, problems } = changes(&answer, is_cut, &ground());
        assert_eq!((files.len(), problems.len()), (0, 1), "{problems:?}");
        assert!(problems[0].starts_with("shop/basket.py as you wrote it is what it was before"), "{problems:?}");
    }
}

#[test]
fn tests_within_the_code_stay_as_they_are() {
    let known = "pub fn add(a: u8) -> u8 {\n    a\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn adds() {\n        assert_eq!(super::add(1), 2);\n    }\n}\n";
    let ground = Ground {
        files: [("src/lib.rs".to_owned(), known.to_owned())].into(),
        names: vec!["src/lib.rs".into()],
        ..Ground::default()
    };
    let expected = known.replace("    a\n", "    a + 1\n");
    for tests in ["", "\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn adds() {}\n}\n"] {
        let answer = format!("src/lib.rs\n```rust\npub fn add(a: u8) -> u8 {{\n    a + 1\n}}\n{tests}```");
        assert_eq!(changes(&answer, false, &ground).files, [("src/lib.rs".to_owned(), expected.clone())], "{tests}");
    }
}

#[test]
fn a_megabyte_is_read_in_linear_time_and_comes_to_nothing() {
    for answer in [
        "x".repeat(1 << 20),
        "```\n".repeat(1 << 18),
        "shop/basket.py\n".repeat(1 << 16),
        "<<<<<<< SEARCH\n".repeat(1 << 16),
    ] {
        assert_eq!(read(&answer).files, [], "{}", &answer[..20]);
    }
}

#[test]
fn the_function_that_was_asked_for_takes_its_place_whatever_else_its_file_has() {
    let suspect = |path: &str, name: &str| Some(GuidedFunction { path: path.into(), name: name.into() });
    let total = "def total(self):\n    return sum(self.items)\n";
    for (suspect, answer, path, text) in [
        (suspect("shop/basket.py", "total"), format!("```python\n{total}```\n"), "shop/basket.py", mended()),
        // Alone in its file but for an import.
        (
            suspect("shop/tax.py", "tax"),
            "It is this:\n\n```python\nimport math\n\ndef tax(a):\n    return math.ceil(a)\n```".into(),
            "shop/tax.py",
            "import math\nRATE = 3\n\n\ndef tax(a):\n    return math.ceil(a)\n".into(),
        ),
    ] {
        let mut ground = Ground { suspect, ..ground() };
        ground.files.insert("shop/tax.py".into(), "RATE = 3\n\n\ndef tax(a):\n    return a * 2\n".into());
        assert_eq!(changes(&answer, false, &ground).files, [(path.to_owned(), text)], "{answer}");
    }
}

#[test]
fn marks_in_a_text_that_is_whole_are_taken_with_what_stands_around_them() {
    let (head, rest) = BASKET.split_at(BASKET.find("    def total").unwrap());
    let answer = format!(
        "shop/basket.py\n```python\n<<<<<<< SEARCH\n{head}=======\n{}>>>>>>> REPLACE\n{}```\n",
        head.replace("[]", "list()"),
        rest.replace(" + 1", "")
    );
    let expected = mended().replace("[]", "list()");
    assert_eq!(read(&answer).files, [("shop/basket.py".to_owned(), expected)]);
}
