//! The questions, and what counts as a right answer.

use super::{
    Verdict,
    asker::{Asker, Trouble, excerpt},
    context,
    desk::Desk,
    paper,
};
use crate::{
    answer,
    conversation::{Answer, Conversation, Finished, Next},
    model::Prompt,
    prompt::{self, Dialect},
    tool::{Action, Tool},
};
use protocol::{
    ApprovalPolicies, ApprovalPolicy, ChatMessage, ExamOutcome, ExamQuestion, FinishReason, ModelAnswer, Role,
    ToolCall, ToolOutcome,
};
use serde_json::Value;

/// Answers a model has for an edit: one may go into looking, or into copying the lines wrongly.
const EDIT_TURNS: u32 = 2;
/// For a change that needs two files.
const TWO_FILES_TURNS: u32 = 4;
/// To see that nothing is left to do: one may go into looking again.
const STOP_TURNS: u32 = 2;

pub(super) async fn ask(question: ExamQuestion, asker: &mut Asker<'_>) -> Result<Verdict, Trouble> {
    match question {
        ExamQuestion::NativeCall => native_call(asker).await,
        ExamQuestion::Schema => schema(asker).await,
        ExamQuestion::EditTool => edit_tool(asker).await,
        ExamQuestion::EditBlocks => edit_blocks(asker).await,
        ExamQuestion::WholeFile => whole_file(asker).await,
        ExamQuestion::TwoFiles => two_files(asker).await,
        ExamQuestion::Stops => stops(asker).await,
        ExamQuestion::Context => context::ask(asker).await,
    }
}

/// Whatever it asks for, as long as it does so by itself. Where it does not, its words are read from then on.
async fn native_call(asker: &mut Asker<'_>) -> Result<Verdict, Trouble> {
    if !asker.is_native() {
        return Ok(Verdict::skipped("its provider hands no tools to it"));
    }
    let desk = Desk::new(&[paper::SHIPPING])?;
    let mut conversation = conversation(asker, &desk, paper::LOOK, false);
    let asked = asker.ask(Prompt::of(&conversation, &asker.profile, None), None).await;
    let verdict = asked.map(|answer| {
        if answer.tool_calls.is_empty() {
            return Verdict::failed(format!("it wrote words in place of a call: {}", excerpt(&answer.content)));
        }
        let called = answer.tool_calls[0].name.clone();
        conversation.answered(1, answer.into());
        match conversation.next() {
            Next::Call(_) | Next::Finish { .. } => Verdict::passed(format!("it called `{called}`")),
            _ => Verdict::failed(format!("its call of `{called}` cannot be carried out")),
        }
    });
    if !verdict.as_ref().is_ok_and(|verdict| verdict.outcome == ExamOutcome::Passed) {
        asker.give_up_native_calls();
    }
    verdict
}

async fn schema(asker: &mut Asker<'_>) -> Result<Verdict, Trouble> {
    let desk = Desk::new(&[paper::PRICES])?;
    let question = prompt::ask_task(paper::DESCRIBE, &desk.shown(paper::DESCRIBE).join("\n\n"));
    let answer = asker.ask(plain(prompt::ask_rules(None), question), Some(paper::described_schema())).await?;
    let said = answer::without_reasoning(&answer.content).trim();
    let object: Value = serde_json::from_str(said).unwrap_or_default();
    let is_described = object["name"].is_string() && object["parameters"].is_u64();
    Ok(match object.as_object().map(serde_json::Map::len) {
        None => Verdict::failed(format!("it is no JSON object: {}", excerpt(said))),
        Some(2) if is_described => Verdict::passed("the object is as the schema says"),
        Some(_) => Verdict::failed(format!("the object is not as the schema says: {}", excerpt(said))),
    })
}

async fn edit_tool(asker: &mut Asker<'_>) -> Result<Verdict, Trouble> {
    let desk = Desk::new(&[paper::PRICES])?;
    let conversation = conversation(asker, &desk, paper::EDIT, false);
    let expected = paper::edited_prices();
    let is_right = |desk: &Desk| desk.holds(paper::PRICES.0, &expected);
    work(asker, &desk, conversation, EDIT_TURNS, is_right).await
}

async fn edit_blocks(asker: &mut Asker<'_>) -> Result<Verdict, Trouble> {
    let desk = Desk::new(&[paper::PRICES])?;
    let path = paper::PRICES.0;
    let question = prompt::ask_task(paper::EDIT, &desk.shown(paper::EDIT).join("\n\n"));
    let answer = asker.ask(plain(paper::block_rules(path), question), None).await?;
    let Some((old, new)) = answer::search_and_replace(&answer.content) else {
        return Ok(Verdict::failed(format!("there is no block in its answer: {}", excerpt(&answer.content))));
    };
    let done = desk.carry_out(&Action::EditFile { path: path.to_owned(), old, new }, &asker.profile);
    Ok(match (desk.holds(path, &paper::edited_prices()), done.outcome) {
        (true, _) => Verdict::passed("the file is as asked for"),
        (false, ToolOutcome::Succeeded) => {
            Verdict::failed(format!("the edit is another one: {}", excerpt(&done.output)))
        }
        (false, _) => Verdict::failed(format!("the edit cannot be made: {}", excerpt(&done.output))),
    })
}

async fn whole_file(asker: &mut Asker<'_>) -> Result<Verdict, Trouble> {
    let desk = Desk::new(&[paper::PRICES])?;
    let path = paper::PRICES.0;
    let question = prompt::ask_task(paper::EDIT, &desk.shown(paper::EDIT).join("\n\n"));
    let answer = asker.ask(plain(prompt::ask_rules(Some(path)), question), None).await?;
    let content = answer::unwrapped(&answer.content);
    if let Err(why) = desk.replace(path, content) {
        return Ok(Verdict::failed(format!("the file cannot be written: {}", excerpt(&why))));
    }
    Ok(match desk.holds(path, &paper::edited_prices()) {
        true => Verdict::passed("the file is as asked for"),
        false => Verdict::failed(format!("the file is another one: {}", excerpt(&desk.text(path)))),
    })
}

async fn two_files(asker: &mut Asker<'_>) -> Result<Verdict, Trouble> {
    let desk = Desk::new(&[paper::CLIENT, paper::SETTINGS])?;
    let conversation = conversation(asker, &desk, paper::CORRECT, false);
    let is_right = |desk: &Desk| {
        paper::is_corrected(&desk.text(paper::CLIENT.0)) && desk.holds(paper::SETTINGS.0, paper::SETTINGS.1)
    };
    work(asker, &desk, conversation, TWO_FILES_TURNS, is_right).await
}

/// The work is done and its check has passed, in a conversation that the model finds itself in.
async fn stops(asker: &mut Asker<'_>) -> Result<Verdict, Trouble> {
    let desk = Desk::new(&[paper::PRICES])?;
    let mut conversation = conversation(asker, &desk, paper::EDIT, true);
    let (old, new) = (paper::EDITED_LINES.0.to_owned(), paper::EDITED_LINES.1.to_owned());
    let past = [
        (1, Action::EditFile { path: paper::PRICES.0.to_owned(), old, new }),
        (2, Action::Run { command: paper::CHECK.to_owned() }),
    ];
    for (turn, action) in past {
        conversation.answered(turn, as_answer(asker, &action));
        settle(&mut conversation, &desk, asker);
    }
    let mut last = String::new();
    for turn in 3..3 + STOP_TURNS {
        let answer = asker.ask(Prompt::of(&conversation, &asker.profile, None), None).await?;
        last = said(&answer);
        conversation.answered(turn, answer.into());
        match conversation.next() {
            Next::Finish { .. } => return Ok(Verdict::passed("it finished")),
            Next::Call(call) if matches!(call.action.tool(), Tool::EditFile | Tool::WriteFile) => {
                return Ok(Verdict::failed(format!("it went on to change files: {last}")));
            }
            _ => settle(&mut conversation, &desk, asker),
        }
    }
    Ok(Verdict::failed(format!("it went on: {last}")))
}

/// Carries out what is open. The check passes, whatever was run.
fn settle(conversation: &mut Conversation, desk: &Desk, asker: &Asker<'_>) {
    while let Next::Call(call) = conversation.next() {
        let finished = match call.action {
            Action::Run { .. } => {
                let output = paper::CHECK_PASSED.to_owned();
                Finished { outcome: ToolOutcome::Succeeded, exit_code: Some(0), output }
            }
            _ => desk.carry_out(&call.action, &asker.profile),
        };
        conversation.started(&call.id);
        conversation.finished(&call.id, &finished);
    }
}

/// Lets a model work until the files are right or its turns are used up.
async fn work(
    asker: &mut Asker<'_>,
    desk: &Desk,
    mut conversation: Conversation,
    turns: u32,
    is_right: impl Fn(&Desk) -> bool,
) -> Result<Verdict, Trouble> {
    let mut last = String::new();
    loop {
        match conversation.next() {
            Next::Answer { turn } if turn > turns => {
                return Ok(Verdict::failed(format!("the files are not right after {turns} answers: {last}")));
            }
            Next::Answer { turn } => {
                let answer = asker.ask(Prompt::of(&conversation, &asker.profile, None), None).await?;
                last = said(&answer);
                conversation.answered(turn, answer.into());
            }
            Next::Call(call) => {
                conversation.started(&call.id);
                let finished = desk.carry_out(&call.action, &asker.profile);
                conversation.finished(&call.id, &finished);
                if is_right(desk) {
                    return Ok(Verdict::passed("the files are as asked for"));
                }
                if finished.outcome != ToolOutcome::Succeeded {
                    last = excerpt(&finished.output);
                }
            }
            Next::Finish { .. } => {
                return Ok(Verdict::failed(format!("it finished before the files were right: {last}")));
            }
            Next::Stuck(pattern) => return Ok(Verdict::failed(pattern.describe())),
        }
    }
}

/// As a job begins.
fn conversation(asker: &Asker<'_>, desk: &Desk, task: &str, can_run: bool) -> Conversation {
    let run = if can_run { ApprovalPolicy::Auto } else { ApprovalPolicy::Never };
    let approvals = ApprovalPolicies { run, write_file: ApprovalPolicy::Auto };
    Conversation::new(asker.profile.manner(&approvals), desk.opening(task), 1)
}

/// Rules and a question, and nothing that holds the answer to a form.
pub(super) fn plain(rules: String, question: String) -> Prompt {
    Prompt::plain(vec![ChatMessage::new(Role::System, rules), ChatMessage::new(Role::User, question)])
}

/// What the model itself would have answered.
fn as_answer(asker: &Asker<'_>, action: &Action) -> Answer {
    let call = ToolCall { id: "past".into(), name: action.tool().as_str().into(), arguments: action.arguments() };
    let (content, tool_calls) = match asker.profile.dialect {
        Dialect::Native => (String::new(), vec![call]),
        Dialect::Text => (prompt::as_text("this is the next step", action), Vec::new()),
    };
    Answer { content, tool_calls, finish_reason: FinishReason::Stop }
}

fn said(answer: &ModelAnswer) -> String {
    match answer.tool_calls.first() {
        Some(call) => excerpt(&format!("{} {}", call.name, call.arguments)),
        None => excerpt(answer::without_reasoning(&answer.content)),
    }
}
