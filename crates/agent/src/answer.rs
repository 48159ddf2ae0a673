//! Reads actions out of what models write when their runtime does not hand over tool calls: because they have none, or
//! because it did not recognise them.
//!
//! Each form has its reader: `envelope` is the one we ask for and any other JSON, `qwen`, `gpt_oss`, `mistral`, `deepseek`
//! and `llama` are those that models were trained on. The form whose mark comes first in the answer is the one that is
//! read; within it several calls are taken in their order. `json` mends what is nearly JSON, `said` knows by which other
//! names models call our tools and their arguments, `prose` finds the command in an answer that is nothing else, and
//! `grammar` is our form for models that can be held to one.
//!
//! Nothing here guesses at an action that is not there: a call in JSON is never a command, wherever it stands
//! ([`is_call`]), half a call is none, and what stands in longer words is an example. The time taken is linear in the text.

mod deepseek;
mod edit_blocks;
mod envelope;
mod fence;
mod gpt_oss;
mod grammar;
mod json;
mod llama;
mod mistral;
mod prose;
mod qwen;
mod said;

pub(crate) use edit_blocks::{Marked, marked_edits, read_marks, search_and_replace, with_marks};
pub(crate) use fence::{Fence, first_fence};
pub(crate) use grammar::{BLOCK_RULES, grammar};

use crate::tool::Action;
use said::Said;

/// Places in an answer that are looked into, for a bound on the time: each may be read to the answer's end.
const LOOKED_AT: usize = 64;
/// Most calls taken from one answer. A model that asks for more in one go is not looking at results.
pub(crate) const CALLS_PER_ANSWER: usize = 8;

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// What to do, in order. Where it was not all that was asked for, why the rest is left out, in words for the model.
    Actions { actions: Vec<Action>, left_out: Option<String> },
    /// Words, and nothing to do.
    Prose,
    /// Something is to be done and cannot be. Why, in words for the model.
    Malformed(String),
}

/// One reader: the marks its form begins with, and what it reads.
type Form = (&'static [&'static str], fn(&str) -> Vec<Said<'_>>);

const FORMS: [Form; 5] = [
    (gpt_oss::MARKS, |text| gpt_oss::calls(text)),
    (deepseek::MARKS, |text| deepseek::calls(text)),
    (mistral::MARKS, |text| mistral::calls(text)),
    (llama::MARKS, |text| llama::calls(text)),
    (qwen::MARKS, |text| qwen::calls(text)),
];

/// What to do, according to an answer.
pub(crate) fn read(answer: &str) -> Reading {
    let answer = without_reasoning(answer);
    let (objects, first_object) = envelope::calls(answer);
    let marked = FORMS
        .iter()
        .filter_map(|form| Some((form.0.iter().filter_map(|mark| answer.find(mark)).min()?, form)))
        .min_by_key(|(at, _)| *at);
    match marked {
        Some((at, (_, read))) if at < first_object || objects.is_empty() => match read(&answer[at..]) {
            calls if !calls.is_empty() => actions(&calls),
            // A channel's marks without a call in it.
            _ if at == 0 && answer.starts_with(gpt_oss::MARKS[0]) => Reading::Prose,
            _ => Reading::Malformed("a tool call was begun in your answer and cannot be read".into()),
        },
        _ if !objects.is_empty() => actions(&objects),
        _ => match prose::lone_command(answer).map(|command| Action::run(&command)) {
            Some(Ok(action)) => Reading::Actions { actions: vec![action], left_out: None },
            Some(Err(reason)) => Reading::Malformed(reason),
            None => Reading::Prose,
        },
    }
}

/// Takes calls up to the first that cannot be done. What a model writes after it has finished is no part of its work.
fn actions(calls: &[Said<'_>]) -> Reading {
    let mut actions: Vec<Action> = Vec::new();
    let mut left_out = None;
    for call in calls {
        match call.action() {
            // A model that repeats itself asks for one thing.
            Ok(action) if actions.last() == Some(&action) => {}
            Ok(action) => actions.push(action),
            Err(reason) if actions.is_empty() => return Reading::Malformed(reason),
            Err(reason) => {
                left_out = Some(reason);
                break;
            }
        }
        if matches!(actions.last(), Some(Action::Finish { .. })) {
            break;
        }
    }
    match actions.len() {
        0..=CALLS_PER_ANSWER => Reading::Actions { actions, left_out },
        count => Reading::Malformed(too_many(count)),
    }
}

pub(crate) fn too_many(count: usize) -> String {
    format!("{count} calls in one answer; at most {CALLS_PER_ANSWER} are taken. Do one step and look at its result")
}

/// Whether a text is a call in one of the forms, or begins with one: it was meant for the agent, and no shell and no file
/// should get it.
pub(crate) fn is_call(text: &str) -> bool {
    let text = text.trim_start();
    let inner = match first_fence(text) {
        Some(Fence { before: "", body, .. }) => body.trim_start(),
        _ => text,
    };
    let has_mark = |text: &str| FORMS.iter().flat_map(|form| form.0).any(|mark| text.starts_with(mark));
    [text, inner].into_iter().any(|text| has_mark(text) || envelope::begins_with_call(text))
}

/// Whether a command has a call in JSON among its lines. Where it makes a file of the lines that follow, they are its text.
pub(crate) fn has_call_line(command: &str) -> bool {
    !command.contains("<<")
        && command
            .lines()
            .filter(|line| line.trim_start().starts_with('{'))
            .take(LOOKED_AT)
            .any(envelope::begins_with_call)
}

/// The text of a file: without the one fence that may wrap all of it, ending with a line end.
pub(crate) fn unwrapped(answer: &str) -> String {
    let answer = without_reasoning(answer);
    let text = match first_fence(answer.trim()) {
        Some(Fence { before: "", rest: "", body, .. }) => body,
        _ => answer.trim_start_matches(['\n', '\r']).trim_end(),
    };
    match text.is_empty() || text.ends_with('\n') {
        true => text.to_owned(),
        false => format!("{text}\n"),
    }
}

/// What follows a model's reasoning, where its template shows that.
pub(crate) fn without_reasoning(answer: &str) -> &str {
    match answer.rfind("</think>") {
        Some(at) if answer.trim_start().starts_with("<think>") || !answer.contains("<think>") => {
            &answer[at + "</think>".len()..]
        }
        _ => answer,
    }
}

/// What an answer without a call says to people.
pub(crate) fn words(answer: &str) -> &str {
    gpt_oss::said_to_people(without_reasoning(answer)).trim()
}

/// A text as a fenced block, with marks longer than any within.
pub(crate) fn fenced(info: &str, body: &str) -> String {
    let longest = body.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let marks = "`".repeat((longest + 1).max(3));
    let line_end = if body.is_empty() || body.ends_with('\n') { "" } else { "\n" };
    format!("{marks}{info}\n{body}{line_end}{marks}")
}

#[cfg(test)]
mod tests;
