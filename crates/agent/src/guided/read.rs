//! What an answer says that files shall be: blocks by the path before them, in them or at their beginning, as models write it.
//!
//! A block is a whole file, the definitions of it that changed ([`super::part`]), or lines to search and what replaces them.
//! What may not be written is refused here, before anything is done: files that were not shown, tests, half of an answer.

use super::{names, part};
use crate::{
    answer::{self, Fence, Marked, Reading, first_fence},
    helper::{self, Over},
    prompt::shown_path,
    tool::Action,
};
use protocol::GuidedFunction;
use std::collections::BTreeMap;

/// Blocks of one answer that are looked at.
const BLOCKS: usize = 32;
/// Names of languages whose blocks are commands or what they print, where no path says otherwise.
const NOT_FILES: [&str; 9] = ["sh", "bash", "shell", "console", "text", "plaintext", "diff", "output", "json"];

/// What an answer is read against.
#[derive(Debug, Default)]
pub(super) struct Ground {
    /// Files that may be changed, as they are now.
    pub(super) files: BTreeMap<String, String>,
    /// Names of all files there are.
    pub(super) names: Vec<String>,
    /// What a new file has to be named in: the task, and what the check says is missing.
    pub(super) named_in: String,
    /// The one function that was asked for.
    pub(super) suspect: Option<GuidedFunction>,
}

impl Ground {
    /// Whether a text is the function that was asked for, with or without what it needs.
    fn is_asked_for(&self, path: &str, text: &str) -> bool {
        self.suspect.as_ref().is_some_and(|suspect| suspect.path == path && defines(text, &suspect.name))
    }

    /// The file a block belongs to that stands under the path of another: all it defines is that one's.
    fn owner_of<'a>(&'a self, block: &Block<'_>, path: &'a str) -> &'a str {
        let given = names::definitions(block.fence.body);
        let Some(named) = self.files.get(path).filter(|_| !given.is_empty()) else { return path };
        let own = names::definitions(named);
        let others = self.files.iter().filter(|(_, text)| given.is_subset(&names::definitions(text)));
        match others.collect::<Vec<_>>()[..] {
            [(owner, _)] if own.is_disjoint(&given) => owner,
            _ => path,
        }
    }
}

/// What it comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Whole new texts by path, in the answer's order.
    pub(super) files: Vec<(String, String)>,
    /// What was not taken, in words for the model.
    pub(super) problems: Vec<String>,
}

pub(super) fn changes(answer: &str, is_cut: bool, ground: &Ground) -> Changes {
    let answer = answer::without_reasoning(answer);
    let mut reader = Reader { ground, now: ground.files.clone(), changes: Changes::default(), unchanged: Vec::new() };
    let blocks = blocks(answer);
    let path_of = |block: &Block<'_>| {
        let asked_for = ground.suspect.as_ref().filter(|asked_for| defines(block.fence.body, &asked_for.name));
        reader.path_of(block).or_else(|| asked_for.map(|asked_for| asked_for.path.clone()))
    };
    let named: Vec<(&Block<'_>, Option<String>)> = blocks.iter().map(|block| (block, path_of(block))).collect();
    for (block, path) in &named {
        if let Some(path) = path {
            reader.take(ground.owner_of(block, path), block, is_cut);
        }
    }
    if reader.has_nothing() {
        reader.take_unnamed(&blocks, is_cut);
    }
    if reader.has_nothing() {
        reader.take_calls(answer);
    }
    if reader.changes == Changes::default() && !reader.unchanged.is_empty() {
        let names = reader.unchanged.iter().map(|path| shown_path(path)).collect::<Vec<_>>().join(", ");
        let problem = format!("{names} as you wrote it is what it was before, with the mistake still in it");
        reader.changes.problems.push(problem);
    }
    if reader.has_nothing() {
        reader.changes.problems.push(match (is_cut, blocks.is_empty()) {
            (true, _) => "your answer was too long and was cut off; write only what has to change".into(),
            (false, true) => "there was no file in your answer".into(),
            (false, false) => "nobody can tell which file your answer is; write its path on the line before it".into(),
        });
    }
    reader.changes
}

/// A fenced block, and what was written before it.
struct Block<'a> {
    fence: Fence<'a>,
    is_last: bool,
}

fn blocks(answer: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = answer;
    while let Some(fence) = first_fence(rest).filter(|_| blocks.len() < BLOCKS) {
        rest = fence.rest;
        blocks.push(Block { is_last: rest.trim().is_empty(), fence });
    }
    blocks
}

struct Reader<'a> {
    ground: &'a Ground,
    /// With what the answer changed so far.
    now: BTreeMap<String, String>,
    changes: Changes,
    /// Files that were written as they are.
    unchanged: Vec<String>,
}

impl Reader<'_> {
    /// Nothing of the answer was understood.
    fn has_nothing(&self) -> bool {
        self.changes == Changes::default() && self.unchanged.is_empty()
    }

    /// The path a block is written under: after its marks, on the line before, or in a comment on its first line.
    fn path_of(&self, block: &Block<'_>) -> Option<String> {
        let Fence { before, info, body, .. } = &block.fence;
        let line = before.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let first = body.lines().next().unwrap_or_default();
        let comment = ["#", "//", "--", "/*", "<!--"].iter().any(|mark| first.trim_start().starts_with(mark));
        [*info, line, if comment { first } else { "" }].into_iter().find_map(|text| self.path_in(text))
    }

    /// The last word of a line that is a path.
    fn path_in(&self, line: &str) -> Option<String> {
        let is_mark = |character: char| character.is_whitespace() || "`*\"'()[]{}<>,;:=".contains(character);
        // Longer lines are prose.
        let words: Vec<&str> = line.split(is_mark).filter(|word| !word.is_empty()).collect();
        let known = |word: &str| {
            let word = word.trim_start_matches("./").trim_end_matches('.');
            let ends = |name: &&String| name.as_str() == word || name.ends_with(&format!("/{word}"));
            let exact = self.ground.names.iter().find(|name| name.as_str() == word);
            exact.or_else(|| {
                let mut found = self.ground.names.iter().filter(ends);
                found.next().filter(|_| found.next().is_none())
            })
        };
        if let Some(known) = words.iter().rev().find_map(|word| known(word)) {
            return Some(known.clone());
        }
        let is_path = |word: &&str| {
            let stem = word.rsplit('/').next().unwrap_or(word);
            stem.rsplit_once('.').is_some_and(|(stem, ending)| {
                !stem.is_empty()
                    && (1..=5).contains(&ending.len())
                    && ending.chars().all(|letter| letter.is_ascii_alphanumeric())
            })
        };
        let path = words.iter().rev().copied().find(is_path).filter(|_| words.len() <= 3)?;
        Some(path.trim_start_matches("./").to_owned())
    }

    fn take(&mut self, path: &str, block: &Block<'_>, is_cut: bool) {
        let was_whole = |known: &String| known == path;
        if is_cut
            && block.is_last
            && (self.changes.files.iter().map(|(known, _)| known).chain(&self.unchanged)).any(was_whole)
        {
            // It began to write the same again.
            return;
        }
        match self.whole(path, block, is_cut) {
            Ok(text) if self.now.get(path) == Some(&text) => self.unchanged.push(path.to_owned()),
            Ok(text) => self.set(path, text),
            Err(problem) => self.changes.problems.push(problem),
        }
    }

    fn set(&mut self, path: &str, text: String) {
        self.now.insert(path.to_owned(), text.clone());
        match self.changes.files.iter_mut().find(|(known, _)| known == path) {
            Some((_, known)) => *known = text,
            None => self.changes.files.push((path.to_owned(), text)),
        }
    }

    /// The whole new text of a file.
    fn whole(&self, path: &str, block: &Block<'_>, is_cut: bool) -> Result<String, String> {
        let shown = shown_path(path);
        if is_cut && block.is_last {
            return Err(format!("{shown} was cut off in the middle, because your answer was too long"));
        }
        let body = block.fence.body;
        let Some(known) = self.now.get(path) else {
            self.may_be_new(path)?;
            return Ok(with_end(without_path(body, path, "")));
        };
        let Marked { edits, around, made } = answer::read_marks(body);
        let (body, edits) = match names::definitions(&around).is_empty() {
            true => (body, edits),
            false => (made.as_str(), Vec::new()),
        };
        let text = match edits.is_empty() {
            false => edits
                .into_iter()
                .try_fold(known.clone(), |text, (old, new)| helper::replaced(path, &text, &old, &new))?,
            true => {
                let body = without_path(body, path, known);
                let (old, new) = (names::definitions(known), names::definitions(&body));
                if let (Some(name), true) = (old.first(), new.is_empty()) {
                    return Err(format!("{shown} would lose `{name}` and all it defines; write it whole"));
                }
                match self.ground.is_asked_for(path, &body) {
                    true => part::with(known, &body),
                    false => part::merged(known, &body).unwrap_or_else(|| with_kept_tests(known, &with_end(body))),
                }
            }
        };
        match helper::refusal(&shown, known, &text, Over::WholeFiles) {
            Some(refused) => Err(refused),
            None if text.trim().is_empty() && !known.trim().is_empty() => Err(format!("{shown} would be empty")),
            None => Ok(text),
        }
    }

    fn may_be_new(&self, path: &str) -> Result<(), String> {
        let shown = shown_path(path);
        if self.ground.names.iter().any(|name| name == path) {
            return Err(match names::is_test(path) {
                true => format!("{shown} is a test and was not changed; change what it tests"),
                false => format!("{shown} was not changed, because it is none of the files that may change"),
            });
        }
        let stem = names::called(path);
        let named = self.ground.named_in.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        match self.ground.names.is_empty() || named.into_iter().any(|word| word == stem) {
            true => Ok(()),
            false => Err(format!("{shown} was not made: nothing names such a file; change the files that are there")),
        }
    }

    /// Blocks without a path: each is of the file whose definitions it has. A single one can only be the one file.
    fn take_unnamed(&mut self, blocks: &[Block<'_>], is_cut: bool) {
        let code = |block: &&Block<'_>| {
            let language = block.fence.info.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
            !NOT_FILES.contains(&language.as_str()) || self.ground.files.keys().any(|path| path.ends_with(".sh"))
        };
        let blocks: Vec<&Block<'_>> = blocks.iter().filter(code).collect();
        for block in &blocks {
            let searched = answer::marked_edits(block.fence.body);
            let defined = names::definitions(block.fence.body);
            let alike = |text: &str| match searched.first() {
                Some((old, _)) => usize::from(text.contains(old.trim())),
                None => names::definitions(text).intersection(&defined).count(),
            };
            let best = self.ground.files.iter().map(|(path, text)| (alike(text), path)).max_by_key(|(alike, _)| *alike);
            if let Some((1.., path)) = best {
                self.take(path, block, is_cut);
            }
        }
        let longest = blocks.iter().max_by_key(|block| block.fence.body.len());
        if let (true, 1, Some(block)) = (self.has_nothing(), self.ground.files.len(), longest)
            && let Some(path) = self.ground.files.keys().next()
        {
            self.take(path, block, is_cut);
        }
    }

    /// Tools that nobody offered, called all the same.
    fn take_calls(&mut self, answer: &str) {
        let Reading::Actions { actions, .. } = answer::read(answer) else { return };
        for action in actions {
            let taken = match action {
                Action::WriteFile { path, content } => {
                    let fence = Fence { before: "", info: "", body: &content, rest: "" };
                    self.whole(&path, &Block { fence, is_last: false }, false).map(|text| (path, text))
                }
                Action::EditFile { path, old, new } => match self.now.get(&path) {
                    Some(known) => helper::replaced(&path, known, &old, &new).map(|text| (path, text)),
                    None => self.may_be_new(&path).and(Err(format!("there is no file {}", shown_path(&path)))),
                },
                _ => continue,
            };
            match taken {
                Ok((path, text)) => self.set(&path, text),
                Err(problem) => self.changes.problems.push(problem),
            }
        }
    }
}

/// Whether a text defines this name.
fn defines(text: &str, name: &str) -> bool {
    text.lines().any(|line| names::defined(line) == Some(name))
}

/// Without a first line that is nothing but the path in a comment, unless the file has it.
fn without_path(body: &str, path: &str, known: &str) -> String {
    let first = body.lines().next().unwrap_or_default();
    let file = path.rsplit('/').next().unwrap_or(path);
    let words: Vec<&str> =
        first.trim().trim_start_matches(['#', '/', '*', '-', '<', '!', ' ']).split_whitespace().collect();
    let is_path = matches!(words[..], [word] | [_, word] if word == path || word == file);
    match is_path && !known.starts_with(first) {
        true => body.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned()),
        false => body.to_owned(),
    }
}

/// With one line end at its end, however many the answer has.
fn with_end(text: String) -> String {
    match text.trim_end_matches(['\n', '\r']) {
        "" => String::new(),
        text => format!("{text}\n"),
    }
}

/// Tests that stand at the end of the code they test stay as they are.
fn with_kept_tests(known: &str, text: &str) -> String {
    const MARK: &str = "#[cfg(test)]\nmod ";
    let Some(at) = known.find(MARK) else { return text.to_owned() };
    let code = text.find(MARK).map_or(text, |at| &text[..at]);
    format!("{}\n\n{}", code.trim_end(), &known[at..])
}

/// Whether task or check speak of a file that is not there.
pub(super) fn may_need_new(named_in: &str, names: &[String]) -> bool {
    const MISSING: [&str; 4] = ["No module named", "Cannot find module", "No such file", "file not found"];
    let is_file = |word: &str| {
        word.rsplit_once('.').is_some_and(|(stem, ending)| {
            stem.len() > 1
                && (1..=4).contains(&ending.len())
                && ending.chars().all(|letter| letter.is_ascii_lowercase())
        })
    };
    let is_known = |word: &str| names.iter().any(|name| name == word || name.ends_with(&format!("/{word}")));
    let words = named_in.split(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '.' | '/' | '_' | '-')));
    let new = |word: &str| is_file(word) && !is_known(word.trim_start_matches("./"));
    MISSING.iter().any(|words| named_in.contains(words)) || words.map(|word| word.trim_end_matches('.')).any(new)
}

#[cfg(test)]
mod tests;
