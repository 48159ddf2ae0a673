//! The facts of a log, taken in their order.

use super::{Next, Work};
use crate::rebuild::Fact;

impl Work {
    /// Takes the facts of earlier attempts in their order.
    pub(in crate::guided) fn replay(&mut self, facts: Vec<Fact>) {
        for fact in facts {
            match fact {
                Fact::Candidate { candidate, round, commit } => {
                    // By the same rules as then: the log only says that it was begun.
                    if let Next::Begin(plan) = self.next()
                        && (plan.candidate, plan.round) == (candidate, round)
                    {
                        self.begun(plan, commit);
                    }
                }
                Fact::Answered { turn, answer } => self.answered(turn, &answer),
                Fact::Started { call_id } => self.started(&call_id),
                Fact::Finished { call_id, finished } => self.finished(&call_id, finished),
                Fact::Step { commit } => self.stepped(commit),
                Fact::CheckStarted(check) => self.check_started(check),
                Fact::Checked(ended) => self.checked(ended),
                Fact::Kept { candidate, round } => {
                    let at = candidate.zip(round).and_then(|(candidate, round)| self.try_of(candidate, round));
                    self.kept(at);
                }
                Fact::DidNotFit => drop(self.shrink()),
                Fact::Guided { .. } | Fact::Escalated(_) => {}
            }
        }
    }
}
