//! An `ask` job: what the workspace has to say goes into one prompt, and the answer is the result. With `write_file` the
//! answer becomes that file, through the same tool call, approval and step commit as in a `code` job.

use crate::{
    answer::{unwrapped, without_reasoning},
    attempt::{Attempt, Done},
    call_id::tool_call_id,
    context,
    conversation::{Answer, Call},
    halt::Halt,
    helper::check_path,
    model::{CallError, Prompt},
    prompt,
    rebuild::Fact,
    tool::{Action, Tool},
};
use domain::FailureReason;
use protocol::{ApprovalPolicy, ChatMessage, FinishReason, ModelAnswer, Role, ToolOutcome};

/// Most of the workspace that goes into a prompt, in tokens: answers get worse, not better, with more.
const CONTEXT_TOKENS: u64 = 12_000;
/// What rules, template and rounding may take, in tokens.
const MARGIN_TOKENS: u64 = 256;

impl Attempt {
    pub(crate) async fn ask(&mut self, first_turn: u32, past: Vec<Fact>) -> Result<Done, Halt> {
        self.check_request()?;
        let (turn, answer) = match whole_answer(&past) {
            Some((turn, answer)) => (turn, answer),
            None => self.answer(first_turn).await?,
        };
        let answer = without_reasoning(&answer).trim().to_owned();
        if answer.is_empty() {
            return Err(Halt::error("the model answered with nothing; ask again, or choose another route"));
        }
        if let Some(path) = self.spec.write_file.clone() {
            let call = Call {
                id: tool_call_id(turn, 1),
                action: Action::WriteFile { path: path.clone(), content: unwrapped(&answer) },
            };
            self.write_answer(&call, &past).await?;
        }
        Ok(Done { answer })
    }

    /// What can be refused before a model is paid.
    fn check_request(&self) -> Result<(), Halt> {
        self.profile.check_fits("the task", &self.spec.task)?;
        let Some(path) = &self.spec.write_file else { return Ok(()) };
        check_path(self.workspace.subfolder(), path)
            .map_err(|reason| Halt::error(format!("`write_file` cannot be done: {reason}")))?;
        match Tool::WriteFile.policy(&self.spec.approvals) {
            ApprovalPolicy::Never => Err(Halt::Failed {
                reason: FailureReason::Refused,
                message: "the job is to write a file and its approvals say `never` to `write_file`; set them to `auto` or `ask`".into(),
            }),
            ApprovalPolicy::Auto | ApprovalPolicy::Ask => Ok(()),
        }
    }

    /// Asks, and once more for something shorter where the first answer hit its limit.
    async fn answer(&mut self, first_turn: u32) -> Result<(u32, String), Halt> {
        let (turn, mut messages, answer) = self.first_answer(first_turn).await?;
        if answer.finish_reason != FinishReason::Length {
            return whole(turn, answer);
        }
        let tokens = answer.output_tokens;
        self.note(format!(
            "the answer was cut off at its limit of {tokens} tokens; asking once more for a shorter one"
        ))
        .await?;
        messages.push(ChatMessage::new(Role::Assistant, answer.content));
        messages.push(ChatMessage::new(Role::User, prompt::ask_shorter(tokens)));
        match self.ask_model(turn + 1, Prompt::plain(messages.clone())).await {
            Ok(answer) => whole(turn + 1, answer),
            Err(CallError::Halt(halt)) => Err(halt),
            // The question fitted; with the cut answer it does not.
            Err(CallError::DidNotFit(_)) => Err(cut_off(tokens)),
        }
    }

    /// The room for the workspace is an estimate. Where it was too much, less is tried, and people are told.
    async fn first_answer(&mut self, first_turn: u32) -> Result<(u32, Vec<ChatMessage>, ModelAnswer), Halt> {
        let room = self.room();
        let (names, sources) = (self.workspace.files_at_base(), self.sources(None).await?);
        for (turn, room) in (first_turn..).zip([room, room / 3, 0]) {
            let gathered = context::gather(&names, sources.clone(), &self.spec.task, room);
            if !names.is_empty() {
                self.note(gathered.describe()).await?;
            }
            let messages = self.messages(&gathered.text);
            match self.ask_model(turn, Prompt::plain(messages.clone())).await {
                Ok(answer) => return Ok((turn, messages, answer)),
                Err(CallError::Halt(halt)) => return Err(halt),
                Err(CallError::DidNotFit(message)) if room == 0 => {
                    return Err(Halt::error(format!(
                        "the task does not fit the model's context: {message}. Make it shorter, or choose a route whose model \
                         has a larger context"
                    )));
                }
                Err(CallError::DidNotFit(message)) => {
                    self.note(format!("the prompt did not fit ({message}); trying with less of the workspace in it"))
                        .await?;
                }
            }
        }
        Err(Halt::error("the prompt does not fit the model's context"))
    }

    /// Tokens for what the workspace has to say.
    fn room(&self) -> u64 {
        let rules = prompt::ask_rules(self.spec.write_file.as_deref());
        let taken = context::estimated_tokens(&self.spec.task) + context::estimated_tokens(&rules) + MARGIN_TOKENS;
        match self.profile.context_tokens {
            Some(limit) => limit.saturating_sub(self.profile.answer_tokens() + taken).min(CONTEXT_TOKENS),
            None => CONTEXT_TOKENS / 4,
        }
    }

    fn messages(&self, gathered: &str) -> Vec<ChatMessage> {
        let rules = prompt::ask_rules(self.spec.write_file.as_deref());
        let question = prompt::ask_task(&self.spec.task, gathered);
        vec![ChatMessage::new(Role::System, rules), ChatMessage::new(Role::User, question)]
    }

    async fn write_answer(&mut self, call: &Call, past: &[Fact]) -> Result<(), Halt> {
        let recorded = past.iter().rev().find_map(|fact| match fact {
            Fact::Finished { call_id, finished } if *call_id == call.id => Some(finished.clone()),
            _ => None,
        });
        let finished = match recorded {
            Some(finished) if finished.outcome != ToolOutcome::Interrupted => finished,
            Some(_) => self.carry_out(call).await?,
            None => {
                let begun = |fact: &Fact| matches!(fact, Fact::Started { call_id } if *call_id == call.id);
                if past.iter().any(begun) {
                    self.interrupt(call).await?;
                }
                // The whole file is written, so a write that was interrupted does no harm when made again.
                self.carry_out(call).await?
            }
        };
        match finished.outcome {
            ToolOutcome::Succeeded => Ok(()),
            ToolOutcome::Denied => Err(Halt::Failed {
                reason: FailureReason::Refused,
                message: match finished.output.is_empty() {
                    true => "a person refused to have the file written".into(),
                    false => format!("a person refused to have the file written: {}", finished.output),
                },
            }),
            _ => Err(Halt::error(finished.output)),
        }
    }
}

/// The answer an earlier attempt got.
fn whole_answer(past: &[Fact]) -> Option<(u32, String)> {
    past.iter().rev().find_map(|fact| match fact {
        Fact::Answered { turn, answer: Answer { content, finish_reason: FinishReason::Stop, .. }, .. } => {
            Some((*turn, content.clone()))
        }
        _ => None,
    })
}

fn whole(turn: u32, answer: ModelAnswer) -> Result<(u32, String), Halt> {
    match answer.finish_reason {
        FinishReason::Stop | FinishReason::ToolCalls => Ok((turn, answer.content)),
        FinishReason::Length => Err(cut_off(answer.output_tokens)),
        FinishReason::ContentFilter => Err(Halt::Failed {
            reason: FailureReason::Refused,
            message: "the provider's content filter held the answer back".into(),
        }),
    }
}

fn cut_off(tokens: u64) -> Halt {
    Halt::error(format!(
        "the answer was cut off after {tokens} tokens and could not be had shorter; ask for less, or choose a route whose \
         model has a larger context"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_of_an_earlier_attempt_is_used_again() {
        let answered = |turn, finish_reason| Fact::Answered {
            turn,
            answer: Answer { content: format!("answer {turn}"), tool_calls: Vec::new(), finish_reason },
        };
        assert_eq!(whole_answer(&[answered(1, FinishReason::Length)]), None);
        let past = [answered(1, FinishReason::Length), answered(2, FinishReason::Stop)];
        assert_eq!(whole_answer(&past), Some((2, "answer 2".into())));
    }
}
