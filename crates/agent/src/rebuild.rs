//! What the log says an earlier attempt got to. Together with [`Conversation::replay`] it puts the next attempt exactly
//! where the last one stood: same words for the model, same workspace, same counts.

use crate::{
    answer::{self, fenced},
    call_id::ModelCallId,
    check::{Check, Ended},
    conversation::{Answer, Conversation, Finished},
    setup,
};
use domain::ErrorCode;
use protocol::{Event, EventBody, FinishReason, GuidedFile, ToolOutcome, Usage};

/// One entry of the log that moves a conversation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    Answered {
        turn: u32,
        answer: Answer,
    },
    Started {
        call_id: String,
    },
    Finished {
        call_id: String,
        finished: Finished,
    },
    CheckStarted(Check),
    Checked(Ended),
    /// A prompt did not fit, and outputs were dropped for the next try.
    DidNotFit,
    /// The workspace was left at this step.
    Step {
        commit: String,
    },
    /// The model is guided from here on.
    Guided {
        commit: String,
        files: Vec<GuidedFile>,
    },
    /// An answer is asked for, in the workspace of this step.
    Candidate {
        candidate: u32,
        round: u32,
        commit: String,
    },
    /// None of them passed, and this one stays, or none.
    Kept {
        candidate: Option<u32>,
        round: Option<u32>,
    },
    /// Another model took over.
    Escalated(Escalation),
}

/// One model's work handed to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Escalation {
    /// `provider/model`.
    pub(crate) to: String,
    pub(crate) why: String,
    /// The step it begins at.
    pub(crate) commit: String,
}

/// A step commit and where it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) location: String,
    pub(crate) base_commit: String,
    pub(crate) branch: String,
    pub(crate) commit: String,
    pub(crate) step: u32,
}

/// An earlier attempt's work, read from the log event by event.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Since the workspace was last begun anew.
    pub(crate) facts: Vec<Fact>,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The highest turn of all attempts, so that no call id is used twice.
    pub(crate) last_turn: u32,
    pub(crate) usage: Usage,
    /// `provider/model` of every model that answered, in order of appearance.
    pub(crate) models: Vec<String>,
    /// The setup of the workspace at this location succeeded.
    pub(crate) set_up: Option<String>,
    prepared: Option<(String, String, String)>,
}

impl Past {
    /// Reads on. Types and shapes this build does not know move nothing.
    pub(crate) fn add(&mut self, event: &Event) {
        // By far the most frequent, and they tell nothing the finished events do not.
        if matches!(event.event_type.as_str(), "model.delta" | "tool.output") {
            return;
        }
        let Some(body) = event.body() else { return };
        match body {
            EventBody::WorkspacePrepared { location, base_commit, branch, resumed_from, .. } => {
                if resumed_from.is_none() {
                    // This attempt could not go on from the steps before it and began anew; so did its conversation.
                    self.facts.clear();
                    self.checkpoint = None;
                }
                self.prepared = Some((location, base_commit, branch));
            }
            EventBody::WorkspaceCheckpoint { commit, step } => {
                // Before anything else happened it is only where the work begins.
                if !self.facts.is_empty() {
                    self.facts.push(Fact::Step { commit: commit.clone() });
                }
                if let Some((location, base_commit, branch)) = self.prepared.clone() {
                    self.checkpoint = Some(Checkpoint { location, base_commit, branch, commit, step });
                }
            }
            EventBody::ModelFinished { .. } => self.answered(body),
            EventBody::ModelFailed { code, .. } if code == ErrorCode::ContextLengthExceeded.as_str() => {
                self.facts.push(Fact::DidNotFit);
            }
            EventBody::ToolStarted { call_id, .. } if call_id == setup::CALL_ID => {}
            EventBody::ToolFinished { call_id, outcome, duration_ms, .. } if call_id == setup::CALL_ID => {
                self.usage.tool_ms += duration_ms;
                let location = self.prepared.as_ref().map(|(location, ..)| location.clone());
                self.set_up = location.filter(|_| outcome == ToolOutcome::Succeeded);
            }
            EventBody::ToolStarted { call_id, .. } => self.facts.push(Fact::Started { call_id }),
            EventBody::ToolFinished { call_id, outcome, exit_code, output, duration_ms, .. } => {
                self.usage.tool_ms += duration_ms;
                self.facts.push(Fact::Finished { call_id, finished: Finished { outcome, exit_code, output } });
            }
            EventBody::CheckStarted { command, why, .. } => self.facts.push(Fact::CheckStarted(Check { command, why })),
            EventBody::CheckFinished { commit, outcome, exit_code, passed, failed, output, duration_ms, .. } => {
                self.usage.tool_ms += duration_ms;
                self.facts.push(Fact::Checked(Ended { commit, outcome, exit_code, passed, failed, output }));
            }
            EventBody::GuidedStarted { commit, files, .. } => self.facts.push(Fact::Guided { commit, files }),
            EventBody::CandidateStarted { candidate, round, commit, .. } => {
                self.facts.push(Fact::Candidate { candidate, round, commit });
            }
            EventBody::CandidateKept { candidate, round, .. } => self.facts.push(Fact::Kept { candidate, round }),
            EventBody::ModelEscalated { to, why, commit, .. } => {
                self.facts.push(Fact::Escalated(Escalation { to, why, commit }));
            }
            _ => {}
        }
    }

    fn answered(&mut self, body: EventBody) {
        let EventBody::ModelFinished {
            call_id,
            provider,
            model,
            content,
            tool_calls,
            finish_reason,
            input_tokens,
            output_tokens,
            cost_microusd,
            total_ms,
            ..
        } = body
        else {
            return;
        };
        self.usage.steps += 1;
        self.usage.input_tokens += input_tokens;
        self.usage.output_tokens += output_tokens;
        self.usage.cost_microusd += cost_microusd;
        self.usage.model_ms += total_ms;
        let model = format!("{provider}/{model}");
        if !self.models.contains(&model) {
            self.models.push(model);
        }
        let body_of = ModelCallId::parse_body(&call_id);
        let Some(ModelCallId { turn, .. }) = body_of.or_else(|| ModelCallId::parse(&call_id)) else { return };
        self.last_turn = self.last_turn.max(turn);
        // A reason nobody has heard of is not proof of a whole answer.
        let finish_reason =
            serde_json::from_value(serde_json::Value::String(finish_reason)).unwrap_or(FinishReason::Length);
        let mut answer = Answer { content, tool_calls, finish_reason };
        if body_of.is_some() {
            let is_head = |fact: &Fact| matches!(fact, Fact::Answered { turn: of, .. } if *of == turn);
            if let Some(at) = self.facts.iter().rposition(is_head)
                && let Fact::Answered { answer: first, .. } = self.facts.remove(at)
            {
                answer.content = joined(head(&first.content), &answer.content);
            }
        }
        self.facts.push(Fact::Answered { turn, answer });
    }
}

/// A turn of a log from before [ADR 21](../../../docs/adr/0021-one-completion-a-turn.md), which took two completions, as one:
/// what stands there then reads as the same action, and where it does not, the model is told so and the job goes on.
fn joined(head: &str, body: &str) -> String {
    let body = answer::without_reasoning(body).trim();
    match body.contains("```") {
        true => format!("{head}\n{body}"),
        false => format!("{head}\n{}", fenced("", body)),
    }
}

/// Of an answer that was joined with a body already, the first line: the object alone was one.
fn head(content: &str) -> &str {
    content.split_once("\n```").map_or(content, |(head, _)| head)
}

impl Conversation {
    /// Takes the facts of earlier attempts in their order.
    pub(crate) fn replay(&mut self, facts: Vec<Fact>) {
        for fact in facts {
            // What the model was told then, it is told again by the same rules; people have read the notes.
            match fact {
                Fact::Answered { turn, answer } => drop(self.answered(turn, answer)),
                Fact::Started { call_id } => self.started(&call_id),
                Fact::Finished { call_id, finished } => drop(self.finished(&call_id, &finished)),
                Fact::CheckStarted(check) => self.check_started(check),
                Fact::Checked(ended) => self.checked(ended),
                Fact::DidNotFit => drop(self.shrink()),
                Fact::Step { .. }
                | Fact::Guided { .. }
                | Fact::Candidate { .. }
                | Fact::Kept { .. }
                | Fact::Escalated(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
