//! A `code` job from its first model to its last: who decides what comes next, and who takes over where a model does not get on.
//!
//! ```text
//!   first model of the route ─▶ free | guided ─▶ done
//!                                    └─▶ stuck, or the check fails ─▶ the next model of the route, once ─▶ free | guided ─▶ the end
//! ```
//! The log says which way was begun, and a job goes on in that whatever is found out about its model meanwhile.

use crate::{
    attempt::{Attempt, Done},
    halt::Halt,
    model,
    rebuild::{Escalation, Fact},
};
use domain::FailureReason;
use protocol::{EventBody, WorkMode};

/// Longest account of what a model came to, for the next one, in bytes.
const WHY_BYTES: usize = 600;

/// One model's work on a job.
pub(crate) struct Stage {
    /// Above every turn the log already holds, so no call id is used twice.
    pub(crate) first_turn: u32,
    /// Who handed it over.
    pub(crate) before: Option<Escalation>,
    /// What the log holds of it.
    pub(crate) facts: Vec<Fact>,
}

impl Stage {
    /// The newest one of a log.
    fn of(first_turn: u32, mut facts: Vec<Fact>) -> Self {
        let handed_over = facts.iter().rposition(|fact| matches!(fact, Fact::Escalated(_)));
        let facts = facts.split_off(handed_over.unwrap_or(0));
        let before = match facts.first() {
            Some(Fact::Escalated(escalation)) => Some(escalation.clone()),
            _ => None,
        };
        Self { first_turn, before, facts }
    }

    /// How it was begun.
    fn begun(&self) -> Option<WorkMode> {
        self.facts.iter().find_map(|fact| match fact {
            Fact::Guided { .. } => Some(WorkMode::Guided),
            Fact::Answered { .. } => Some(WorkMode::Free),
            _ => None,
        })
    }
}

impl Attempt {
    pub(crate) async fn code(&mut self, first_turn: u32, past: Vec<Fact>) -> Result<Done, Halt> {
        self.profile.check_fits("the task", &self.spec.task)?;
        let mut stage = Stage::of(first_turn, past);
        loop {
            let is_last = stage.before.is_some();
            let mode = stage.begun().or(self.spec.mode).or(self.profile.mode).unwrap_or(WorkMode::Free);
            self.is_guided = mode == WorkMode::Guided;
            // Both in boxes: a future holds the larger of all that it may wait for.
            let outcome = match mode {
                WorkMode::Free => Box::pin(self.free(stage)).await,
                WorkMode::Guided => Box::pin(self.guided(stage)).await,
            };
            let Err(Halt::Failed { reason, message }) = &outcome else { return outcome };
            let may_help = matches!(reason, FailureReason::Stuck | FailureReason::CheckFailed);
            if !may_help || is_last || self.stop.cause().is_some() || self.budget.exhausted().is_some() {
                return outcome;
            }
            let Some(escalation) = self.escalate(message).await? else { return outcome };
            let first_turn = self.newest_call.map_or(first_turn, |call| call.turn + 1).max(first_turn);
            stage = Stage { first_turn, before: Some(escalation), facts: Vec::new() };
        }
    }

    /// Hands the work to the next model of the route; `None` when there is none, or none may be asked.
    async fn escalate(&mut self, why: &str) -> Result<Option<Escalation>, Halt> {
        if !self.options.escalate {
            return Ok(None);
        }
        let next = model::next_after(&self.client, &self.spec, &self.stop, &self.profile.model).await?;
        let Some(next) = next else { return Ok(None) };
        let mut why = why.to_owned();
        why.truncate(why.floor_char_boundary(WHY_BYTES));
        let escalation = Escalation { to: next.model.clone(), why, commit: self.workspace.commit().await };
        let event = EventBody::ModelEscalated {
            from: self.profile.model.clone(),
            to: escalation.to.clone(),
            why: escalation.why.clone(),
            commit: escalation.commit.clone(),
        };
        self.appender.append(vec![event]).await?;
        self.appender.flush().await?;
        self.target = Some(next.model.clone());
        self.profile = next;
        Ok(Some(escalation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Answer;
    use protocol::FinishReason;

    fn answered() -> Fact {
        let answer = Answer { content: String::new(), tool_calls: Vec::new(), finish_reason: FinishReason::Stop };
        Fact::Answered { turn: 1, answer }
    }

    fn guided() -> Fact {
        Fact::Guided { commit: "c0".into(), files: Vec::new() }
    }

    fn escalated() -> Fact {
        Fact::Escalated(Escalation { to: "p/m".into(), why: "stuck".into(), commit: "c1".into() })
    }

    #[test]
    fn what_was_begun_goes_on_and_what_another_model_did_is_over() {
        for (facts, begun, is_taken_over, count) in [
            (vec![], None, false, 0),
            (vec![answered()], Some(WorkMode::Free), false, 1),
            (vec![guided(), answered()], Some(WorkMode::Guided), false, 2),
            (vec![guided(), answered(), escalated()], None, true, 1),
            (vec![answered(), escalated(), guided(), answered()], Some(WorkMode::Guided), true, 3),
        ] {
            let stage = Stage::of(3, facts);
            assert_eq!((stage.begun(), stage.before.is_some(), stage.facts.len()), (begun, is_taken_over, count));
        }
    }
}
