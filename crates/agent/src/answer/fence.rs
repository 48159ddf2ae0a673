//! Fenced blocks as Markdown has them, with one more rule: a fence that names a language opens a block within the block,
//! because models put whole Markdown files into fences of the same length.

/// A block and what stands around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fence<'a> {
    pub(crate) before: &'a str,
    /// What follows the opening marks, lower-case in practice: `sh`, `python` …
    pub(crate) info: &'a str,
    /// The lines between the marks, the last line end included.
    pub(crate) body: &'a str,
    pub(crate) rest: &'a str,
}

/// Fewer marks are code within a line.
const SHORTEST: usize = 3;

/// The mark and how often it stands at the start of the line, and what follows.
fn marks(line: &str) -> Option<(char, usize, &str)> {
    let line = line.trim();
    let mark = line.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let info = line.trim_start_matches(mark);
    let count = line.len() - info.len();
    // ```` ```ls``` ```` is code within a line.
    (count >= SHORTEST && !info.contains(mark)).then_some((mark, count, info.trim()))
}

/// The first fenced block. One that is never closed reaches to the end.
pub(crate) fn first_fence(text: &str) -> Option<Fence<'_>> {
    let mut lines = lines_with_offsets(text);
    let (start, opening, (mark, count, info)) =
        lines.find_map(|(start, line)| marks(line).map(|marks| (start, line, marks)))?;
    let body_start = start + opening.len();
    let mut nested = 0_usize;
    let mut last_bare = None;
    for (offset, line) in lines {
        let Some((other, length, inner)) = marks(line) else { continue };
        if other != mark || length < count {
            continue;
        }
        match (inner.is_empty(), nested) {
            (false, _) => nested += 1,
            (true, 0) => return Some(block(text, start, info, body_start, offset, line)),
            (true, _) => {
                nested -= 1;
                last_bare = Some((offset, line));
            }
        }
    }
    Some(match last_bare {
        // The inner block was the one left open, or there was none.
        Some((offset, line)) => block(text, start, info, body_start, offset, line),
        None => Fence { before: &text[..start], info, body: &text[body_start..], rest: "" },
    })
}

fn block<'a>(text: &'a str, start: usize, info: &'a str, body_start: usize, end: usize, close: &str) -> Fence<'a> {
    let rest = text[end + close.len()..].trim_start_matches(['\n', '\r']);
    Fence { before: &text[..start], info, body: &text[body_start..end], rest }
}

/// Lines with their line ends, and where they begin.
fn lines_with_offsets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |offset, line| {
        let start = *offset;
        *offset += line.len();
        Some((start, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_block_and_what_stands_around_it() {
        let fence = first_fence("a\n```sh\nls\n```\nb\n").unwrap();
        assert_eq!(fence, Fence { before: "a\n", info: "sh", body: "ls\n", rest: "b\n" });
        assert_eq!(first_fence("no `code` and ```none``` here"), None);
        assert_eq!(first_fence("~~~\n```\n~~~").unwrap().body, "```\n");
    }

    #[test]
    fn an_open_block_reaches_to_the_end() {
        assert_eq!(first_fence("```\na\nb").unwrap().body, "a\nb");
        assert_eq!(first_fence("```md\n```sh\nx\n```\n").unwrap().body, "```sh\nx\n");
    }
}
