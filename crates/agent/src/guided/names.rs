//! What lines of source text define, use and import, for any of the usual languages: read by the words at their beginning. It
//! only has to be right often enough to put the files a task is about before the others, and to know one function from the
//! next; a wrong guess costs a few lines of a prompt.

use std::collections::BTreeSet;

/// Before the word that says what is defined.
const MODIFIERS: [&str; 14] = [
    "pub",
    "export",
    "default",
    "async",
    "static",
    "public",
    "private",
    "protected",
    "abstract",
    "final",
    "unsafe",
    "extern",
    "inline",
    "declare",
];
/// What is defined, before its name.
const KINDS: [&str; 16] = [
    "def",
    "class",
    "fn",
    "func",
    "function",
    "struct",
    "enum",
    "trait",
    "type",
    "interface",
    "const",
    "let",
    "var",
    "mod",
    "macro_rules!",
    "impl",
];
/// Words that stand before a bracket and define nothing.
const STATEMENTS: [&str; 14] = [
    "if", "for", "while", "switch", "return", "else", "catch", "assert", "print", "match", "elif", "with", "do",
    "sizeof",
];
/// What a line begins with that takes names from elsewhere.
const IMPORTS: [&str; 9] = ["import ", "from ", "use ", "mod ", "pub mod ", "#include", "source ", ". ", "export "];
/// A shorter word says nothing.
const LEAST_NAME: usize = 3;

/// Whether a path is that of a test: by the name of the file or of a folder it is in.
pub(super) fn is_test(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let (folders, file) = lower.rsplit_once('/').unwrap_or(("", &lower));
    let in_tests =
        folders.split('/').any(|folder| matches!(folder, "test" | "tests" | "__tests__" | "spec" | "testdata"));
    let stem = file.split('.').next().unwrap_or(file);
    let named = ["test_", "test-", "tests_"].iter().any(|begin| stem.starts_with(begin))
        || ["_test", "_tests", "-test", "_spec"].iter().any(|end| stem.ends_with(end))
        || matches!(stem, "test" | "tests" | "conftest" | "check")
        || [".test.", ".spec.", ".bats"].iter().any(|part| file.contains(part));
    in_tests || named
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The words of a text that could be names.
pub(super) fn words(text: &str) -> BTreeSet<&str> {
    let words = text.split(|character: char| !is_word(character));
    words.filter(|word| word.len() >= LEAST_NAME && !word.starts_with(|first: char| first.is_ascii_digit())).collect()
}

/// The name a line defines, if it begins a definition.
pub(super) fn defined(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    // `func (b *Basket) Total() int`, `pub(crate) fn total()`, `impl<T> Basket<T>`.
    while let Some((word, after)) = first_word(rest) {
        let after_brackets = without_brackets(after);
        if KINDS.contains(&word) || word == "macro_rules" {
            let (name, _) = first_word(after_brackets.trim_start_matches(['!', '*', ' ']))?;
            // `const fn total`, `impl Display for Basket`.
            return match KINDS.contains(&name) {
                true => defined(after_brackets),
                false => {
                    Some(after_brackets.split_once(" for ").and_then(|(_, of)| first_word(of)).map_or(name, |of| of.0))
                }
            };
        }
        if !MODIFIERS.contains(&word) {
            break;
        }
        rest = after_brackets;
    }
    function_without_word(line.trim_start())
}

/// `total() {` of a shell and of a class, `static int total(int *a)` of C.
fn function_without_word(line: &str) -> Option<&str> {
    let (before, after) = line.split_once('(')?;
    let opens = after.trim_end().ends_with(['{', ')', ',']) || after.trim() == ")";
    let name = before.trim_end().rsplit(|character: char| !is_word(character)).next()?;
    let is_plain = before.chars().all(|character| is_word(character) || matches!(character, ' ' | '*' | '&'));
    let words: Vec<&str> = before.split_whitespace().collect();
    let is_statement = words.first().is_some_and(|first| STATEMENTS.contains(first));
    // A call stands alone and is not followed by a body; a C function has a type before its name.
    let has_body = after.trim_end().ends_with('{') || words.len() > 1;
    (!name.is_empty() && opens && is_plain && has_body && !is_statement).then_some(name)
}

fn first_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(|character: char| !is_word(character)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// What follows a group of brackets, if the text begins with one.
fn without_brackets(text: &str) -> &str {
    let text = text.trim_start();
    let close = match text.chars().next() {
        Some('(') => ')',
        Some('<') => '>',
        _ => return text,
    };
    text.split_once(close).map_or(text, |(_, rest)| rest.trim_start())
}

/// The names a text defines.
pub(super) fn definitions(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(defined).filter(|name| name.len() >= LEAST_NAME).collect()
}

/// Whether a line takes names from elsewhere.
pub(super) fn is_import(line: &str) -> bool {
    let line = line.trim_start();
    IMPORTS.iter().any(|begin| line.starts_with(begin)) || line.contains("require(")
}

/// The word by which other files name this one: its stem, or its folder's name where the stem is the same everywhere.
pub(super) fn called(path: &str) -> &str {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.split('.').next().unwrap_or(file);
    match stem {
        "index" | "mod" | "__init__" | "main" | "lib" => {
            folders.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(stem)
        }
        _ => stem,
    }
}

/// Whether a text imports the file of this path.
pub(super) fn imports(text: &str, path: &str) -> bool {
    let name = called(path);
    text.lines()
        .filter(|line| is_import(line))
        .any(|line| line.split(|character: char| !is_word(character)).any(|word| word == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_known_in_many_languages() {
        for (line, name) in [
            ("def total(prices):", Some("total")),
            ("    async def load(self):", Some("load")),
            ("class Basket(Base):", Some("Basket")),
            ("pub(crate) fn add<T>(a: T) -> T {", Some("add")),
            ("const fn zero() -> u8 {", Some("zero")),
            ("impl fmt::Display for Basket {", Some("Basket")),
            ("impl Basket {", Some("Basket")),
            ("func (b *Basket) Total() int {", Some("Total")),
            ("export default function render(a) {", Some("render")),
            ("export const add = (a, b) => a + b;", Some("add")),
            ("total() {", Some("total")),
            ("    add(item, count) {", Some("add")),
            ("static int *find(const char *name)", Some("find")),
            ("int main(void) {", Some("main")),
            ("struct basket {", Some("basket")),
            ("if (a) {", None),
            ("    return total(a)", None),
            ("print(total(a))", None),
            ("total(a)", None),
            ("x = 1", None),
            ("", None),
        ] {
            assert_eq!(defined(line), name, "{line}");
        }
    }

    #[test]
    fn tests_are_known_by_their_names() {
        for path in ["test_a.py", "tests/a.rs", "a_test.go", "src/a.test.js", "a.spec.ts", "test.sh", "spec/a_spec.rb"]
        {
            assert!(is_test(path), "{path}");
        }
        for path in ["src/a.py", "latest.py", "contest/a.rs", "attest.go", "testing.md"] {
            assert!(!is_test(path), "{path}");
        }
    }

    #[test]
    fn imports_are_found_by_the_name_of_the_file() {
        for (text, path) in [
            ("from shop.basket import total\n", "shop/basket.py"),
            ("const { total } = require('./lib/basket');\n", "lib/basket.js"),
            ("use crate::basket::total;\n", "src/basket.rs"),
            ("#include \"basket.h\"\n", "basket.c"),
            (". ./lib/basket.sh\n", "lib/basket.sh"),
            ("import x from '../shop'\n", "src/shop/index.js"),
        ] {
            assert!(imports(text, path), "{text}");
        }
        assert!(!imports("total = basket.total\n", "basket.py"));
    }
}
