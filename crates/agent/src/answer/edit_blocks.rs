//! The two halves of an edit out of the blocks after a call: two blocks, or one with search and replace marks, or a diff.

use super::fence::Fence;

const SEARCH: &str = "<<<<<<<";
const DIVIDER: &str = "=======";
const REPLACE: &str = ">>>>>>>";

/// Both halves in one text with marks, as models are trained to write them. `None` where a line of them reads like a mark.
pub(crate) fn with_marks(old: &str, new: &str) -> Option<String> {
    let reads_like_mark =
        |line: &str| [SEARCH, DIVIDER, REPLACE, "```"].iter().any(|mark| line.trim_start().starts_with(mark));
    if old.is_empty() || [old, new].into_iter().flat_map(str::lines).any(reads_like_mark) {
        return None;
    }
    let line_end = |text: &str| if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    Some(format!("{SEARCH} SEARCH\n{old}{}{DIVIDER}\n{new}{}{REPLACE} REPLACE\n", line_end(old), line_end(new)))
}

pub(super) fn old_and_new(blocks: &[Fence<'_>]) -> Option<(String, String)> {
    match blocks {
        [block] | [block, _] if block.body.trim_start().starts_with(SEARCH) => marked(block.body),
        [block] if block.info == "diff" => Some(from_diff(block.body)),
        [old, new, ..] => Some((old.body.to_owned(), new.body.to_owned())),
        _ => None,
    }
}

/// Both halves of the first block in an answer that is nothing else, with or without a fence around it.
pub(crate) fn search_and_replace(answer: &str) -> Option<(String, String)> {
    marked(super::without_reasoning(answer))
}

fn marked(text: &str) -> Option<(String, String)> {
    marked_edits(text).into_iter().next()
}

/// What a text with changes in it comes to, which are written the way of merge conflicts, as many models are trained to.
#[derive(Default)]
pub(crate) struct Marked {
    /// Old and new of each. A change that does not come to its end is none.
    pub(crate) edits: Vec<(String, String)>,
    /// What stands around them: nothing, but for weak models, which write marks into a text that is whole.
    pub(crate) around: String,
    /// The text with the new halves in the place of the changes.
    pub(crate) made: String,
}

pub(crate) fn read_marks(text: &str) -> Marked {
    let mut marked = Marked::default();
    let (mut old, mut new) = (String::new(), String::new());
    let mut in_new = None;
    for line in text.split_inclusive('\n') {
        match (line.trim_end(), in_new) {
            (mark, None) if mark.trim_start().starts_with(SEARCH) => in_new = Some(false),
            (DIVIDER, Some(false)) => in_new = Some(true),
            (mark, Some(true)) if mark.starts_with(REPLACE) => {
                marked.edits.push((std::mem::take(&mut old), std::mem::take(&mut new)));
                in_new = None;
            }
            (_, Some(false)) => old.push_str(line),
            (_, Some(true)) => [&mut new, &mut marked.made].into_iter().for_each(|text| text.push_str(line)),
            (_, None) => [&mut marked.around, &mut marked.made].into_iter().for_each(|text| text.push_str(line)),
        }
    }
    marked
}

/// The changes alone.
pub(crate) fn marked_edits(text: &str) -> Vec<(String, String)> {
    read_marks(text).edits
}

fn from_diff(text: &str) -> (String, String) {
    let (mut old, mut new) = (String::new(), String::new());
    let lines =
        text.split_inclusive('\n').filter(|line| !["---", "+++", "@@"].iter().any(|mark| line.starts_with(mark)));
    for line in lines {
        let rest = line.get(1..).unwrap_or_default();
        match line.as_bytes().first() {
            Some(b'-') => old.push_str(rest),
            Some(b'+') => new.push_str(rest),
            Some(b' ') => [&mut old, &mut new].into_iter().for_each(|side| side.push_str(rest)),
            // A model that leaves the space in front away.
            _ => [&mut old, &mut new].into_iter().for_each(|side| side.push_str(line)),
        }
    }
    (old, new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block<'a>(info: &'a str, body: &'a str) -> Fence<'a> {
        Fence { before: "", info, body, rest: "" }
    }

    #[test]
    fn halves_are_found_in_each_form() {
        let expected = Some(("a\nb\n".to_owned(), "a\nc\n".to_owned()));
        assert_eq!(old_and_new(&[block("", "a\nb\n"), block("", "a\nc\n")]), expected);
        let marks = "<<<<<<< SEARCH\na\nb\n=======\na\nc\n>>>>>>> REPLACE\n";
        assert_eq!(old_and_new(&[block("python", marks)]), expected);
        assert_eq!(old_and_new(&[block("diff", "@@ -1 +1 @@\n a\n-b\n+c\n")]), expected);
        for incomplete in ["x\n", "<<<<<<< SEARCH\na\n=======\nb\n"] {
            assert_eq!(old_and_new(&[block("", incomplete)]), None, "{incomplete}");
        }
    }

    #[test]
    fn a_block_is_found_whatever_stands_around_it() {
        let block = "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n";
        let found = Some(("a\n".to_owned(), "b\n".to_owned()));
        for answer in [
            block.to_owned(),
            format!("```python\n{block}```\n"),
            format!("<think>\n<<<<<<< SEARCH\n</think>\nHere it is:\n\n{block}"),
        ] {
            assert_eq!(search_and_replace(&answer), found, "{answer}");
        }
        assert_eq!(search_and_replace("change a to b"), None);
        assert_eq!(search_and_replace("<<<<<<< SEARCH\na\n"), None);
    }
}
