//! What a guided model is told: files, what fails, the task, and the form of the answer. What stands before an answer is the same
//! for all candidates, so that an engine reads it once.

use super::{files::Shown, part::hollowed};
use crate::{
    answer::{BLOCK_RULES, fenced},
    check::{Ended, counted},
    context,
    prompt::shown_path,
};
use protocol::{CheckOutcome, EditForm, GuidedFunction};

/// Lines before a file, and characters in one: what is wrong, said first, makes the change better; more than that is talk.
const LINES: usize = 8;
const LINE: usize = 400;
/// Files of one answer, where there may be new ones.
const MOST_NEW: usize = 4;

/// What stands before everything else. What to do follows the files: a weak model keeps to what it read last.
pub(super) const WHO: &str = "You are an expert programmer. You mend programs so that their checks pass.";

fn rules(edits: EditForm) -> String {
    let form = match edits {
        EditForm::Blocks => {
            "its path on a line of its own, then a ``` block with the change: a line `<<<<<<< SEARCH`, the lines to replace, copied \
             exactly from the file, a line `=======`, the lines that take their place, a line `>>>>>>> REPLACE`."
        }
        EditForm::Tool | EditForm::WholeFile => {
            "its path on a line of its own, then all of its new text in a ``` block."
        }
    };
    format!(
        "Say in one or two sentences what is wrong: quote the wrong line and say what it has to be. Then write the file with that \
         changed: {form} All its other lines stay as they are. Write no file that needs no change."
    )
}

/// The first message.
pub(super) struct Opening<'a> {
    pub(super) task: &'a str,
    pub(super) files: &'a [Shown],
    /// The check and how it ended before the work.
    pub(super) check: Option<(&'a str, &'a Ended)>,
    pub(super) edits: EditForm,
}

impl Opening<'_> {
    /// About all files.
    pub(super) fn text(&self) -> String {
        let shown: Vec<&Shown> = self.files.iter().collect();
        format!("{}\n\n{}\n\n{}", self.told(&shown), self.ending(), rules(self.edits))
    }

    /// About one function, which is shown without its body; `None` where it is not there.
    pub(super) fn about(&self, function: &GuidedFunction) -> Option<String> {
        let GuidedFunction { path, name } = function;
        let file = self.files.iter().find(|file| file.path == *path)?;
        let text = hollowed(path, &file.text, name)?;
        let excerpt =
            file.excerpt.as_ref().map(|shown| context::excerpt(&text, std::slice::from_ref(name), shown.len()));
        let empty = Shown { text, excerpt, ..file.clone() };
        // Last, as what stands last is followed best, and so that what stands before is read once for all functions of a file.
        let others = self.files.iter().filter(|file| file.path != *path);
        let shown: Vec<&Shown> = others.chain([&empty]).collect();
        let file = shown_path(path);
        Some(format!(
            "{}\n\nOnly `{name}` in {file} is missing. Write `{name}` so that it does what its description, the tests and the task want: \
             the whole function in one ``` block, and nothing else.",
            self.told(&shown)
        ))
    }

    fn told(&self, files: &[&Shown]) -> String {
        let mut parts: Vec<String> = files.iter().map(|shown| file(shown)).collect();
        if let Some((command, ended)) = self.check {
            parts.push(match ended.outcome {
                CheckOutcome::Passed => format!("The check `{command}` passes, and has to pass in the end."),
                _ => format!("The check `{command}` {}:\n{}", fails(ended), fenced("", ended.output.trim())),
            });
        }
        parts.push(format!("Task:\n{}", self.task));
        parts.join("\n\n")
    }

    /// What may be written, and how.
    fn ending(&self) -> String {
        let may_change: Vec<&Shown> = self.files.iter().filter(|file| file.may_change).collect();
        let names = may_change.iter().map(|file| shown_path(&file.path)).collect::<Vec<_>>().join(", ");
        let mut words = match may_change.len() {
            0 => "Write the files that the task asks for.".to_owned(),
            1 => format!("Only {names} may change."),
            _ => format!("These may change, and mostly one has to: {names}."),
        };
        if let Some(test) = self.files.iter().find(|file| !file.may_change) {
            words.push_str(&format!(" {} stays as it is.", shown_path(&test.path)));
        }
        if self.edits != EditForm::Blocks {
            for long in may_change.iter().filter(|file| file.is_long()) {
                words.push_str(&format!(
                    " {} is long: write only its functions that change, each whole.",
                    shown_path(&long.path)
                ));
            }
        }
        words
    }
}

fn file(shown: &Shown) -> String {
    let text = shown.excerpt.as_deref().unwrap_or(&shown.text);
    format!("{}\n{}", shown_path(&shown.path), fenced(language(&shown.path), text))
}

/// The word that models write after the marks of a block.
fn language(path: &str) -> &str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("py") => "python",
        Some("rs") => "rust",
        Some("js" | "mjs" | "cjs" | "jsx") => "javascript",
        Some("ts" | "tsx") => "typescript",
        Some("c" | "h") => "c",
        Some("cc" | "cpp" | "hpp") => "cpp",
        Some("go") => "go",
        Some("sh" | "bash") => "bash",
        Some("java") => "java",
        Some("rb") => "ruby",
        _ => "",
    }
}

/// What came of an answer, and what to do about it.
pub(super) fn handed_back(ended: Option<&Ended>, before: Option<&Ended>, problems: &[String]) -> String {
    let mut parts: Vec<String> = problems.iter().map(|problem| format!("Not done: {problem}.")).collect();
    if let Some(ended) = ended {
        let as_before = before.is_some_and(|before| before.output == ended.output);
        parts.push(match as_before {
            true => format!("The check still {}, as before your change: the mistake is elsewhere.", fails(ended)),
            false => format!("With your change the check {}:\n{}", fails(ended), fenced("", ended.output.trim())),
        });
    }
    parts.push(
        "Say which line is still wrong and what it has to be. Then write its file again, with that changed.".into(),
    );
    parts.join("\n\n")
}

/// For people: what was tried, and what stays of it.
pub(super) fn tried(answers: usize, kept: Option<u32>) -> String {
    let answers = if answers == 1 { "one answer was".to_owned() } else { format!("{answers} answers were") };
    match kept {
        Some(candidate) => {
            format!(
                "{answers} tried and none made it pass; the patch is that of candidate {candidate}, which fails least"
            )
        }
        None => format!("{answers} tried and none could be used or was better than before, so nothing was changed"),
    }
}

fn fails(ended: &Ended) -> String {
    match ended.outcome {
        CheckOutcome::TimedOut => "takes too long and was stopped".into(),
        _ => format!("fails{}", counted(ended)),
    }
}

/// The form as a grammar, for models that can be held to one: words, a file, and that about as often as there are files, because a
/// weak model that may go on writes the same one again and again. How it names a file is its own choice: forced into another form than
/// its own, it writes worse code.
pub(super) fn grammar(files: &[Shown], may_be_new: bool) -> String {
    let count = files.iter().filter(|file| file.may_change).count();
    let most = count.max(if may_be_new { MOST_NEW } else { 1 });
    format!("start: (WORDS block){{1,{most}}}\nblock: SHORT | LONG\nWORDS: {}\n{BLOCK_RULES}\n", words())
}

/// The form of an answer about one function.
pub(super) fn function_grammar() -> String {
    format!("start: WORDS? block\nblock: SHORT | LONG\nWORDS: {}\n{BLOCK_RULES}\n", words())
}

fn words() -> String {
    format!(r"/(([^`\n][^\n]{{0,{LINE}}})?\n){{1,{LINES}}}/")
}

#[cfg(test)]
mod tests;
