//! Whether a file should be written over: small models write prose, or half of it, over what they were to mend.

use super::{Change, Over, Refused, Write};

/// A file with fewer lines may shrink: there is little to lose.
const SHRINKS_FROM: usize = 20;
/// Longest change that is shown as the edit to make instead, in lines.
const SHOWN_LINES: usize = 30;
/// Words that stand where lines were left out, in a comment or behind dots.
const LEFT_OUT: [&str; 11] = [
    "rest of the",
    "rest unchanged",
    "remains unchanged",
    "remain unchanged",
    "remains the same",
    "remain the same",
    "existing code",
    "previous code",
    "same as before",
    "unchanged",
    "no changes",
];

/// Why it should not be; `None` when it may.
pub(super) fn judge(task: &Write, known: &str) -> Option<Refused> {
    let content = &task.content;
    let why = refusal(&task.path, known, content, task.over)?;
    let instead = placeholder(content, known).is_none().then(|| change(known, content)).flatten();
    Some(Refused { why, instead })
}

/// The same in words alone.
pub(crate) fn refusal(path: &str, known: &str, content: &str, over: Over) -> Option<String> {
    if over == Over::Anything || known.trim().is_empty() || known == content {
        return None;
    }
    let count = known.lines().count();
    Some(match (placeholder(content, known), over) {
        (Some(line), _) => {
            format!(
                "{path} was not written: the line `{line}` stands for lines that are left out, and they would be lost"
            )
        }
        (None, Over::Nothing) => format!("{path} exists already and has {count} lines; it is not written anew"),
        (None, _) if shrinks(known, content) => format!(
            "{path} was not written: it has {count} lines and would have {}. If all of the old content shall go, remove the file \
             first",
            content.lines().count()
        ),
        _ => return None,
    })
}

/// A line of the new text that stands for others and was not there before.
pub(crate) fn placeholder<'a>(new: &'a str, known: &str) -> Option<&'a str> {
    let is_one = |line: &&str| {
        let lower = line.trim().to_lowercase();
        let is_comment =
            ["#", "//", "/*", "--", "<!--", ";", "...", "…", "%"].iter().any(|mark| lower.starts_with(mark));
        let is_short = lower.len() < 100;
        is_short && is_comment && LEFT_OUT.iter().any(|words| lower.contains(words)) && !known.contains(line.trim())
    };
    new.lines().find(is_one).map(str::trim)
}

fn shrinks(known: &str, new: &str) -> bool {
    let lines = |text: &str| text.lines().filter(|line| !line.trim().is_empty()).count();
    let before = lines(known);
    before >= SHRINKS_FROM && lines(new) * 2 < before
}

/// What differs as one edit, with as many lines around it as make the place unique. `None` where that is most of the file, or
/// more than one would write.
fn change(known: &str, new: &str) -> Option<Change> {
    let (old_lines, new_lines): (Vec<&str>, Vec<&str>) =
        (known.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let same = |(a, b): &(&&str, &&str)| a.trim_end() == b.trim_end();
    let mut start = old_lines.iter().zip(&new_lines).take_while(same).count();
    let most = old_lines.len().min(new_lines.len()) - start;
    let mut after = old_lines.iter().rev().zip(new_lines.iter().rev()).take(most).take_while(same).count();
    let differing = old_lines.len() - start - after;
    let too_much = differing > SHOWN_LINES || differing * 4 > old_lines.len() * 3;
    if too_much || new_lines.len() - start - after > SHOWN_LINES {
        return None;
    }
    loop {
        let old: String = old_lines[start..old_lines.len() - after].concat();
        if !old.trim().is_empty() && known.matches(&old).count() == 1 {
            return Some(Change { old, new: new_lines[start..new_lines.len() - after].concat() });
        }
        match (start, after) {
            (0, 0) => return None,
            (0, _) => after -= 1,
            _ => start -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(known: &str, content: &str, over: Over) -> Option<Refused> {
        let task = Write { tree: "/".into(), folder: "".into(), path: "a.py".into(), content: content.into(), over };
        judge(&task, known)
    }

    const KNOWN: &str = "def add(a, b):\n    return a - b\n\n\ndef sub(a, b):\n    return a - b\n";

    #[test]
    fn the_edit_that_fits_is_shown() {
        let fixed = KNOWN.replacen("a - b", "a + b", 1);
        let refused = judged(KNOWN, &fixed, Over::Nothing).unwrap();
        assert_eq!(refused.why, "a.py exists already and has 6 lines; it is not written anew");
        let Change { old, new } = refused.instead.unwrap();
        assert_eq!(
            (old.as_str(), new.as_str()),
            ("def add(a, b):\n    return a - b\n", "def add(a, b):\n    return a + b\n")
        );
        assert_eq!(judged(KNOWN, &fixed, Over::WholeFiles), None);
        assert_eq!(judged(KNOWN, KNOWN, Over::Nothing), None, "nothing would be lost");
        assert_eq!(judged("\n", "x = 1\n", Over::Nothing), None, "nor here");
    }

    #[test]
    fn an_added_function_is_an_edit_too() {
        let added = format!("{KNOWN}\n\ndef mul(a, b):\n    return a * b\n");
        let Change { old, new } = judged(KNOWN, &added, Over::Nothing).unwrap().instead.unwrap();
        assert_eq!(KNOWN.replacen(&old, &new, 1), added);
    }

    #[test]
    fn prose_and_omissions_have_no_edit_that_fits() {
        let prose = judged(KNOWN, "To fix this, change the sign in add.\n", Over::Nothing).unwrap();
        assert_eq!(prose.instead, None);
        let lazy = "def add(a, b):\n    return a + b\n\n# ... rest of the file unchanged\n";
        let refused = judged(KNOWN, lazy, Over::WholeFiles).unwrap();
        assert!(refused.why.contains("`# ... rest of the file unchanged` stands for lines"), "{}", refused.why);
        assert_eq!(refused.instead, None);
        assert_eq!(placeholder("# unchanged\n", "# unchanged\n"), None, "it was there before");
        assert_eq!(placeholder("print('the rest of the day')\n", ""), None);
    }

    #[test]
    fn a_file_does_not_lose_most_of_its_lines() {
        let long: String = (0..40).map(|line| format!("line {line}\n")).collect();
        let refused = judged(&long, "line 0\n", Over::WholeFiles).unwrap();
        assert!(refused.why.contains("it has 40 lines and would have 1"), "{}", refused.why);
        assert_eq!(judged(&long, "line 0\n", Over::Anything), None);
        assert_eq!(judged(KNOWN, "x = 1\n", Over::WholeFiles), None, "a short one may");
    }
}
