//! A part of a file put into the file. Asked for a whole file, small models often write only the function they changed: as an
//! answer that is right, and as a file it would lose all the rest.
//!
//! Functions, classes and the like are told apart by their indentation, in any language, and known by their names.

mod functions;

pub(super) use functions::{Function, functions, hollowed};

use super::names::{defined, is_import};
use crate::helper::placeholder;

/// A text with fewer lines than this share of the file's may be a part of it, in tenths.
const PART_TENTHS: usize = 7;

/// One definition with what belongs to it, or lines between two.
#[derive(Debug, PartialEq, Eq)]
struct Item<'a> {
    /// `None` for lines that define nothing.
    name: Option<&'a str>,
    lines: Vec<&'a str>,
}

/// The file with a part of it replaced; `None` where `text` is no part of it but all.
pub(super) fn merged(file: &str, text: &str) -> Option<String> {
    is_part(file, text).then(|| with(file, text))
}

fn is_part(file: &str, text: &str) -> bool {
    let (old, new) = (items(file, ""), items(text, &indent_of(text)));
    let names = |items: &[Item<'_>]| items.iter().filter_map(|item| item.name.map(str::to_owned)).collect::<Vec<_>>();
    let (known, given) = (names(&old), names(&new));
    let short = count(text) * 10 < count(file) * PART_TENTHS;
    let head = file.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let is_headless = !text.lines().any(|line| line.trim_end() == head.trim_end());
    let says_so = placeholder(text, file).is_some();
    let lacks_some = known.iter().any(|name| !given.contains(name)) || nested_lacks_some(&old, &new);
    // Of a file with one function: that, without the package and the imports it needs.
    let is_alone = |items: &[Item<'_>]| items.iter().all(|item| item.name.is_some() || item.is_imports());
    let lacks_head = is_headless && old.first().is_some_and(|item| item.name.is_none()) && is_alone(&new);
    !given.is_empty() && (lacks_some && (short || is_headless || says_so) || lacks_head)
}

/// The file with these definitions in the place of those of the same names.
pub(super) fn with(file: &str, text: &str) -> String {
    let (old, new) = (items(file, ""), items(text, &indent_of(text)));
    let mut file: Vec<String> = old.iter().map(Item::text).collect();
    let mut imports = String::new();
    // Helpers that are new stand before what uses them.
    let mut waiting = String::new();
    let mut last = None;
    for item in &new {
        let Some(name) = item.name else {
            let missing =
                item.lines.iter().filter(|line| is_import(line) && !old.iter().any(|old| old.lines.contains(line)));
            imports.extend(missing.map(|line| format!("{}\n", line.trim())));
            continue;
        };
        match old.iter().position(|old| old.name == Some(name)) {
            Some(at) => {
                let whole = within(&old[at], item).unwrap_or_else(|| replaced(&old[at], &item.text()));
                file[at] = format!("{}{whole}", std::mem::take(&mut waiting));
                last = Some(at);
            }
            None => match old.iter().enumerate().find_map(|(at, old)| Some((at, method(old, item)?))) {
                Some((at, whole)) => {
                    file[at] = format!("{}{whole}", std::mem::take(&mut waiting));
                    last = Some(at);
                }
                None => waiting.push_str(&apart(item.text())),
            },
        }
    }
    if !waiting.is_empty() {
        let at = last.map_or(file.len(), |at| at + 1);
        let gap = if file.concat().ends_with("\n\n") || file.is_empty() { "" } else { "\n" };
        file.insert(at, format!("{gap}{}\n", waiting.trim_end()));
    }
    if !imports.is_empty() {
        let first = old.iter().position(|item| item.lines.iter().any(|line| is_import(line))).unwrap_or(0);
        file[first] = with_imports(&file[first], &imports);
    }
    file.concat()
}

/// New imports before the first that is there.
fn with_imports(item: &str, imports: &str) -> String {
    let at = item.split_inclusive('\n').scan(0, |at, line| {
        let begins = *at;
        *at += line.len();
        Some((begins, line))
    });
    let at = at.into_iter().find(|(_, line)| is_import(line)).map_or(0, |(at, _)| at);
    format!("{}{imports}{}", &item[..at], &item[at..])
}

/// Of a class of which only some methods are given: the class with these.
fn within(old: &Item<'_>, new: &Item<'_>) -> Option<String> {
    let (old_inner, new_inner) = (inner(old)?, inner(new)?);
    let lacks = |item: &Item<'_>| item.name.is_some() && !new_inner.iter().any(|other| other.name == item.name);
    if !old_inner.iter().any(lacks) || new.lines.len() * 10 >= old.lines.len() * PART_TENTHS {
        return None;
    }
    let mut whole = old.text();
    for item in new_inner.iter().filter(|item| item.name.is_some()) {
        whole = match old_inner.iter().find(|old| old.name == item.name) {
            Some(old) => whole.replacen(&old.text(), &replaced(old, &item.text()), 1),
            None => {
                let before = old_inner.iter().rfind(|item| item.name.is_some())?.text();
                whole.replacen(&before, &format!("{}\n{}", ended(&before, "\n"), ended(&item.text(), &before)), 1)
            }
        };
    }
    Some(whole)
}

/// A class with one of its methods replaced, where that was given without its class.
fn method(class: &Item<'_>, method: &Item<'_>) -> Option<String> {
    let inner = inner(class)?;
    let old = inner.iter().find(|item| item.name == method.name)?;
    let indent = indent(old.lines.iter().find(|line| defined(line) == old.name)?);
    let own = indent_of(&method.text());
    let lines = method.lines.iter().map(|line| match line.trim().is_empty() {
        true => "\n".to_owned(),
        false => format!("{indent}{}\n", line.strip_prefix(own.as_str()).unwrap_or(line)),
    });
    let text: String = lines.collect();
    Some(class.text().replacen(&old.text(), &replaced(old, &text), 1))
}

fn nested_lacks_some(old: &[Item<'_>], new: &[Item<'_>]) -> bool {
    let lacks = |item: &Item<'_>| new.iter().any(|other| other.name == item.name && within(item, other).is_some());
    old.iter().filter(|item| item.name.is_some()).any(lacks)
}

/// What is defined one level further in.
fn inner<'a>(item: &Item<'a>) -> Option<Vec<Item<'a>>> {
    let at = item.lines.iter().position(|line| defined(line) == item.name)?;
    let outer = indent(item.lines[at]);
    let deeper = |line: &&&str| !line.trim().is_empty() && indent(line).len() > outer.len();
    let indent = indent(item.lines[at + 1..].iter().find(deeper)?);
    let found = split(item.lines[at + 1..].iter().copied(), indent);
    found.iter().any(|item| item.name.is_some()).then_some(found)
}

fn items<'a>(text: &'a str, indent: &str) -> Vec<Item<'a>> {
    split(text.lines(), indent)
}

/// Lines by what they belong to: a definition at this indent takes what is further in, brackets that close it, and the
/// comments and decorators right before it.
fn split<'a>(lines: impl Iterator<Item = &'a str>, indent: &str) -> Vec<Item<'a>> {
    let mut items: Vec<Item<'a>> = vec![Item { name: None, lines: Vec::new() }];
    for line in lines {
        let is_at = line.starts_with(indent) && !line[indent.len()..].starts_with([' ', '\t']);
        let rest = line.get(indent.len()..).unwrap_or_default().trim_start();
        let Some(open) = items.last_mut() else { break };
        match (line.trim().is_empty(), is_at, defined(line)) {
            (false, true, Some(name)) => {
                let before = attached(&mut open.lines, indent);
                items.push(Item { name: Some(name), lines: before });
            }
            (false, true, None) if !rest.starts_with(['{', '}', ')', ']']) && open.name.is_some() => {
                items.push(Item { name: None, lines: Vec::new() });
            }
            _ => {}
        }
        if let Some(open) = items.last_mut() {
            open.lines.push(line);
        }
    }
    items.retain(|item| !item.lines.is_empty());
    items
}

/// Takes the comments and decorators at the end away.
fn attached<'a>(lines: &mut Vec<&'a str>, indent: &str) -> Vec<&'a str> {
    let belongs = |line: &&str| {
        line.starts_with(indent)
            && ["@", "#[", "//", "/*", "*", " *", "# ", "template"]
                .iter()
                .any(|mark| line[indent.len()..].starts_with(mark))
    };
    let count = lines.iter().rev().take_while(|line| belongs(line)).count();
    lines.split_off(lines.len() - count)
}

impl Item<'_> {
    fn is_imports(&self) -> bool {
        self.lines.iter().all(|line| line.trim().is_empty() || is_import(line))
    }

    fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// A definition in the place of another. Comments and decorators that it came without are those of the other.
fn replaced(old: &Item<'_>, new: &str) -> String {
    let begins = |line: &&str| defined(line).is_some();
    let before = match new.lines().next().is_some_and(|line| begins(&line)) {
        true => old.lines.iter().take_while(|line| !begins(line)).map(|line| format!("{line}\n")).collect(),
        false => String::new(),
    };
    format!("{before}{}", ended(new, &old.text()))
}

/// With an empty line after it at least.
fn apart(text: String) -> String {
    if text.ends_with("\n\n") { text } else { text + "\n" }
}

/// A text with as many empty lines at its end as another has.
fn ended(text: &str, like: &str) -> String {
    format!("{}{}", text.trim_end(), &like[like.trim_end().len()..])
}

fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start().len()]
}

/// Of the first line that is one.
fn indent_of(text: &str) -> String {
    text.lines().find(|line| !line.trim().is_empty()).map(indent).unwrap_or_default().to_owned()
}

fn count(text: &str) -> usize {
    text.lines().filter(|line| !line.trim().is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\"\"\"Baskets.\"\"\"\n\nimport math\n\nRATE = 2\n\n\n@cached\ndef rate(a):\n    return a * RATE\n\n\nclass Basket:\n    def __init__(self):\n        self.items = []\n\n    # Adds.\n    def add(self, item):\n        self.items.append(item)\n\n    def total(self):\n        return sum(self.items) + 1\n\n\nif __name__ == \"__main__\":\n    print(rate(2))\n";

    fn checked(part: &str, expected: impl Fn(&str) -> String) {
        assert_eq!(merged(FILE, part).as_deref(), Some(expected(FILE).as_str()), "{part}");
    }

    #[test]
    fn a_function_takes_the_place_of_its_old_self() {
        checked("@cached\ndef rate(a):\n    return a + RATE\n", |file| file.replace("a * RATE", "a + RATE"));
        checked("def rate(a):\n    return math.ceil(a)\n\n", |file| file.replace("a * RATE", "math.ceil(a)"));
    }

    #[test]
    fn a_method_is_found_in_its_class_however_it_is_given() {
        let mended = |file: &str| file.replace("sum(self.items) + 1", "sum(self.items)");
        checked("class Basket:\n    def total(self):\n        return sum(self.items)\n", mended);
        checked("    def total(self):\n        return sum(self.items)\n", mended);
        checked("def total(self):\n    return sum(self.items)\n", mended);
    }

    #[test]
    fn what_is_new_stands_before_what_uses_it_and_imports_come_first() {
        let part = "import sys\n\ndef half(a):\n    return a // 2\n\n\ndef rate(a):\n    return half(a)\n";
        checked(part, |file| {
            file.replace("import math", "import sys\nimport math").replace(
                "@cached\ndef rate(a):\n    return a * RATE",
                "def half(a):\n    return a // 2\n\n\n@cached\ndef rate(a):\n    return half(a)",
            )
        });
    }

    #[test]
    fn a_whole_file_is_no_part() {
        for text in [
            FILE.to_owned(),
            FILE.replace("+ 1", ""),
            FILE.replace("@cached\ndef rate(a):\n    return a * RATE\n\n\n", ""),
        ] {
            assert_eq!(merged(FILE, &text), None, "{text}");
        }
        assert_eq!(merged("def a():\n    pass\n", "def a():\n    return 1\n"), None);
        let one = "package a\n\nfunc Add(a, b int) int {\n\treturn a - b\n}\n";
        let function = "func Add(a, b int) int {\n\treturn a + b\n}\n";
        assert_eq!(
            merged(one, function),
            Some(one.replace("a - b", "a + b")),
            "the only function of a file is not the file"
        );
        assert_eq!(merged(one, &one.replace("a - b", "a + b")), None);
        assert_eq!(merged(FILE, "It is wrong.\n"), None);
    }

    #[test]
    fn brackets_close_what_they_opened() {
        let file = "package a\n\nimport \"fmt\"\n\n// Add adds.\nfunc Add(a, b int) int {\n\treturn a - b\n}\n\nfunc Say() {\n\tfmt.Println(1)\n}\n";
        let part = "func Add(a, b int) int {\n\treturn a + b\n}\n";
        assert_eq!(merged(file, part), Some(file.replace("a - b", "a + b")));
    }
}
