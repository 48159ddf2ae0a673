use super::*;
use find::{Wrong, find};
use proptest::prelude::*;
use std::{fs, path::Path};

const FILE: &str = "def add(a, b):\n    return a - b\n\n\ndef sub(a, b):\n    return a - b\n";

fn edited(text: &str, old: &str, new: &str) -> Result<String, Wrong> {
    find(text, old, new).map(|Place { start, end, new }| [&text[..start], &new, &text[end..]].concat())
}

fn edit_file(tree: &Path, path: &str, old: &str, new: &str) -> Edited {
    edit(&Edit { tree: tree.to_owned(), folder: "".into(), path: path.into(), old: old.into(), new: new.into() })
}

#[test]
fn the_place_is_found_as_models_copy_it() {
    let expected = FILE.replacen("return a - b", "return a + b", 1);
    for (old, new) in [
        ("def add(a, b):\n    return a - b\n", "def add(a, b):\n    return a + b\n"),
        ("def add(a, b):\n    return a - b", "def add(a, b):\n    return a + b"),
        ("\ndef add(a, b):  \n    return a - b  \n", "def add(a, b):\n    return a + b\n"),
        ("  def add(a, b):\n  return a - b\n", "  def add(a, b):\n      return a + b\n"),
        ("1| def add(a, b):\n2|     return a - b\n", "def add(a, b):\n    return a + b\n"),
        ("1| def add(a, b):\n2|     return a - b\n", "1| def add(a, b):\n2|     return a + b\n"),
    ] {
        assert_eq!(edited(FILE, old, new).as_deref(), Ok(expected.as_str()), "{old}");
    }
}

#[test]
fn what_comes_gets_the_indent_of_what_goes() {
    let text = "class A:\n    def f(self):\n        x = 1\n        return x\n";
    let old = "x = 1\nreturn x\n";
    let new = "x = 2\nif x:\n    return x\n";
    let expected = "class A:\n    def f(self):\n        x = 2\n        if x:\n            return x\n";
    assert_eq!(edited(text, old, new).as_deref(), Ok(expected));
    assert_eq!(edited("a\r\n  b\r\nc\r\n", "a\nb\n", "x\ny\n").as_deref(), Ok("x\r\ny\r\nc\r\n"), "line ends stay");
    assert_eq!(edited("a\n  b", "\nb\n", "c\n").as_deref(), Ok("a\n  c"), "no line end where there was none");
}

#[test]
fn several_places_and_none_are_told_apart() {
    assert_eq!(edited(FILE, "    return a - b\n", "x"), Err(Wrong::Several(vec![2, 6])));
    assert_eq!(edited(FILE, "\n", "x"), Err(Wrong::Empty));
    let nearest = Wrong::Nowhere(Some((5, "def sub(a, b):\n    return a - b\n".into())));
    assert_eq!(edited(FILE, "def sub(a, b, c):\n    return a - b - c\n", "x"), Err(nearest));
    assert_eq!(
        edited(FILE, "nothing like it", "x"),
        Err(Wrong::Nowhere(Some((1, FILE.into())))),
        "short, so shown whole"
    );
    assert_eq!(edited(&"x\n".repeat(50), "nothing like it", "x"), Err(Wrong::Nowhere(None)));
}

#[test]
fn an_edit_answers_with_what_it_changed() {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("a.py"), FILE).unwrap();
    let (path, shown) =
        edit_file(tree.path(), "./a.py", "def add(a, b):\n    return a - b", "def add(a, b):\n    return a + b")
            .unwrap();
    assert_eq!(path, "a.py");
    assert_eq!(shown, "@@ line 1 @@\n def add(a, b):\n-    return a - b\n+    return a + b\n \n \n");
    assert!(
        fs::read_to_string(tree.path().join("a.py")).unwrap().starts_with("def add(a, b):\n    return a + b\n\n\n")
    );
}

#[test]
fn a_refusal_says_what_to_do() {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("a.py"), FILE).unwrap();
    std::os::unix::fs::symlink("a.py", tree.path().join("link.py")).unwrap();
    for (path, old, new, reason) in [
        ("b.py", "x", "y", "there is no file b.py; create it with write_file"),
        ("link.py", "x", "y", "link.py is a link"),
        ("../a.py", "x", "y", "../a.py is not inside the repository"),
        ("a.py", "return a - b", "x", "`old` is in a.py 2 times, beginning on lines 2, 6; add lines"),
        ("a.py", "def sub(a, b):", "def sub(a, b):", "nothing would change"),
        (
            "a.py",
            "def sub(a, b):\n    return a - b",
            "# ... rest unchanged",
            "the line `# ... rest unchanged` stands for",
        ),
        (
            "a.py",
            "def sub(a):\n",
            "x",
            "`old` is not in a.py. What comes nearest begins on line 5:\ndef sub(a, b):\nCopy",
        ),
    ] {
        let told = edit_file(tree.path(), path, old, new).unwrap_err();
        assert!(told.starts_with(reason), "{told}");
    }
    assert_eq!(fs::read_to_string(tree.path().join("a.py")).unwrap(), FILE);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ab \n\r\té|1]{0,60}", old in "[ab \n\té|1]{0,20}", new in "[ab \n\té]{0,20}") {
        if let Ok(place) = find(&text, &old, &new) {
            prop_assert!(place.start <= place.end && text.is_char_boundary(place.start) && text.is_char_boundary(place.end));
        }
    }
}
