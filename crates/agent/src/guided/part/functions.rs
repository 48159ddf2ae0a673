//! The functions of a file, and a file with one of them emptied. A weak model that sees a function copies it, mistake and
//! all; one that sees only its head, what it is for and who calls it writes it anew.

use super::{Item, indent, inner, items};
use crate::guided::names;

/// What has functions in it that count as the file's own.
const CONTAINERS: [&str; 3] = ["class", "impl", "object"];
/// What says that a function follows.
const FUNCTIONS: [&str; 4] = ["def", "fn", "func", "function"];
/// What is something else, whatever brackets follow.
const OTHERS: [&str; 6] = ["struct", "enum", "trait", "type", "interface", "mod"];
/// Stands where a body was.
const EMPTY: &str = "to be written";

#[derive(Debug, PartialEq, Eq)]
pub(in crate::guided) struct Function<'a> {
    pub(in crate::guided) name: &'a str,
    pub(in crate::guided) text: String,
}

/// Those whose bodies can be told from their heads, in the file's order.
pub(in crate::guided) fn functions<'a>(path: &str, text: &'a str) -> Vec<Function<'a>> {
    let mut found: Vec<Function<'a>> = Vec::new();
    for item in items(text, "") {
        let nested = if is_container(&item) { inner(&item).unwrap_or_default() } else { vec![item] };
        for item in nested {
            let Some(name) = item.name else { continue };
            let is_known = found.iter().any(|known| known.name == name);
            if !is_known && emptied(path, &item).is_some() {
                found.push(Function { name, text: item.text() });
            }
        }
    }
    found
}

/// The file with this function's body taken out.
pub(in crate::guided) fn hollowed(path: &str, text: &str, name: &str) -> Option<String> {
    let old = functions(path, text).into_iter().find(|function| function.name == name)?.text;
    let item = items(&old, indent(old.lines().find(|line| !line.trim().is_empty())?));
    let empty = item.iter().find(|item| item.name == Some(name)).and_then(|item| emptied(path, item))?;
    let before: String = item.iter().take_while(|item| item.name != Some(name)).map(Item::text).collect();
    Some(text.replacen(&old, &format!("{before}{empty}"), 1))
}

/// The words before the name on the line that defines it.
fn words_before<'a>(line: &'a str, name: &str) -> Vec<&'a str> {
    let end = line.find(name).unwrap_or(line.len());
    line[..end]
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
        .collect()
}

fn defining<'a>(item: &Item<'a>) -> Option<(usize, &'a str, &'a str)> {
    let name = item.name?;
    let at = item.lines.iter().position(|line| names::defined(line) == Some(name))?;
    Some((at, item.lines[at], name))
}

fn is_container(item: &Item<'_>) -> bool {
    defining(item).is_some_and(|(_, line, name)| words_before(line, name).iter().any(|word| CONTAINERS.contains(word)))
}

fn is_function(line: &str, name: &str) -> bool {
    let before = words_before(line, name);
    let has = |kinds: &[&str]| before.iter().any(|word| kinds.contains(word));
    let is_value = has(&["const", "let", "var"]);
    !has(&CONTAINERS) && !has(&OTHERS) && (has(&FUNCTIONS) || !is_value && line.contains('(') || line.contains("=>"))
}

/// A function without its body; `None` for what is none, or has no body that can be told from its head.
fn emptied(path: &str, item: &Item<'_>) -> Option<String> {
    let (at, line, name) = defining(item)?;
    if !is_function(line, name) {
        return None;
    }
    let lines = &item.lines;
    let last = lines.iter().rposition(|line| !line.trim().is_empty())?;
    let head = at + lines[at..].iter().position(|line| line.trim_end().ends_with([':', '{']))?;
    let has_brackets = lines[head].trim_end().ends_with('{');
    let (begin, end) = match has_brackets {
        true => (head + 1, lines.iter().rposition(|line| line.trim_start().starts_with('}'))?),
        false => (head + 1 + docstring(&lines[head + 1..=last]), last + 1),
    };
    let first = lines.get(begin..end)?.iter().find(|line| !line.trim().is_empty())?;
    let mark = if has_brackets && !path.ends_with(".sh") { "//" } else { "#" };
    let empty = format!("{}{mark} {EMPTY}", indent(first));
    let kept = lines[..begin].iter().copied().chain([empty.as_str()]).chain(lines[end..].iter().copied());
    Some(kept.map(|line| format!("{line}\n")).collect())
}

/// Lines that say what a function of Python is for.
fn docstring(lines: &[&str]) -> usize {
    let Some(first) = lines.first().map(|line| line.trim()) else { return 0 };
    let Some(mark) = ["\"\"\"", "'''"].into_iter().find(|mark| first.starts_with(mark)) else { return 0 };
    if first.len() > mark.len() && first[mark.len()..].contains(mark) {
        return 1;
    }
    lines.iter().skip(1).position(|line| line.contains(mark)).map_or(0, |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_emptied_and_all_else_stays() {
        for (path, text, name, hollow) in [
            (
                "a.py",
                "import math\n\n@cached\ndef rate(a,\n         b):\n    \"\"\"The rate.\"\"\"\n    return a * b\n\n\nX = 1\n",
                "rate",
                "import math\n\n@cached\ndef rate(a,\n         b):\n    \"\"\"The rate.\"\"\"\n    # to be written\n\n\nX = 1\n",
            ),
            (
                "a.py",
                "class A:\n    \"\"\"An A.\"\"\"\n\n    def one(self):\n        \"\"\"One,\n        or more.\n        \"\"\"\n        if x:\n            return 1\n        return 2\n\n    def two(self):\n        return 2\n",
                "one",
                "class A:\n    \"\"\"An A.\"\"\"\n\n    def one(self):\n        \"\"\"One,\n        or more.\n        \"\"\"\n        # to be written\n\n    def two(self):\n        return 2\n",
            ),
            (
                "a.go",
                "package a\n\n// Add adds.\nfunc (b *Box) Add(n int) int {\n\tb.n += n\n\treturn b.n\n}\n\nfunc Say() {\n\tprint(1)\n}\n",
                "Add",
                "package a\n\n// Add adds.\nfunc (b *Box) Add(n int) int {\n\t// to be written\n}\n\nfunc Say() {\n\tprint(1)\n}\n",
            ),
            (
                "a.js",
                "export class A {\n  add(a) {\n    this.a = a;\n  }\n}\n\nexport const sum = (list) => {\n  return 1;\n};\n",
                "sum",
                "export class A {\n  add(a) {\n    this.a = a;\n  }\n}\n\nexport const sum = (list) => {\n  // to be written\n};\n",
            ),
            (
                "a.c",
                "#include \"a.h\"\n\nstatic int plain(unsigned char byte)\n{\n    return byte < 32;\n}\n",
                "plain",
                "#include \"a.h\"\n\nstatic int plain(unsigned char byte)\n{\n    // to be written\n}\n",
            ),
            ("a.sh", "say() {\n    echo \"$1\"\n}\nsay a\n", "say", "say() {\n    # to be written\n}\nsay a\n"),
        ] {
            assert_eq!(hollowed(path, text, name).as_deref(), Some(hollow), "{path} {name}");
        }
    }

    #[test]
    fn what_is_no_function_or_has_no_body_of_its_own_is_none() {
        let rust = "use a::b;\n\nconst LIMIT: usize = 3;\n\npub struct Log {\n    notes: Vec<u8>,\n}\n\nimpl Log {\n    pub fn add(&mut self, note: u8) {\n        self.notes.push(note);\n    }\n\n    pub fn len(&self) -> usize { self.notes.len() }\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn it_adds() {\n        assert!(true);\n    }\n}\n";
        let names = |path: &str, text| functions(path, text).into_iter().map(|found| found.name).collect::<Vec<_>>();
        assert_eq!(names("a.rs", rust), ["add"]);
        assert_eq!(names("a.js", "const double = (a) => a * 2;\nconst LIST = [\n  1,\n];\n"), [""; 0]);
        assert_eq!(hollowed("a.py", "def a_b(c):\n    return c\n", "other"), None);
    }
}
