//! What a conversation has of the job's check: its runs are facts like any other, told after the turn that they follow.

use super::{Conversation, turn::Observation};
use crate::{
    check::{self, Check, Checks, Ended, Told},
    tool::Action,
};
use protocol::ToolOutcome;

impl Conversation {
    pub(crate) fn checks(&self) -> &Checks {
        &self.checks
    }

    pub(crate) fn check_started(&mut self, check: Check) {
        self.checks.started(check);
    }

    /// A run ended: the model is told with its next prompt.
    pub(crate) fn checked(&mut self, ended: Ended) {
        let told = check::told(&self.checks, &ended);
        match self.turns.last_mut() {
            Some(turn) => turn.told = told,
            None => self.told_first = told,
        }
        self.checks.ended(ended);
    }

    /// Nothing has happened since the last run.
    pub(crate) fn is_at_check(&self) -> bool {
        self.turns.last().is_none_or(|turn| turn.told.is_some())
    }

    /// The model is done and the check is not.
    pub(crate) fn refuse_finish(&mut self) {
        let text = check::not_yet(&self.checks);
        let open = self.turns.last_mut().and_then(|turn| turn.calls.iter_mut().find(|state| state.result.is_none()));
        if let Some(state) = open.filter(|state| matches!(state.call.action, Action::Finish { .. })) {
            state.result = Some(Observation { text, outcome: ToolOutcome::Failed, dropped: false });
            self.checks.refused();
        }
    }

    /// Drops what older runs printed, to make room. Returns how many.
    pub(super) fn forget_checks(&mut self) -> usize {
        let newest = self.turns.iter().rposition(|turn| turn.told.is_some());
        let older = self.turns.iter_mut().enumerate().filter(|(at, _)| Some(*at) != newest);
        let told = older
            .filter_map(|(_, turn)| turn.told.as_mut())
            .chain(self.told_first.as_mut().filter(|_| newest.is_some()));
        told.filter_map(|told| (!std::mem::take(&mut told.output).is_empty()).then_some(())).count()
    }
}

/// After the words of `message`, a run of the check.
pub(super) fn append(message: &mut String, told: &Told) {
    message.truncate(message.trim_end().len());
    message.push_str("\n\n");
    message.push_str(&told.text());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        conversation::{Answer, Manner, Next, Opening},
        prompt::Dialect,
        tool::Tool,
    };
    use protocol::{CheckOutcome, FinishReason};

    fn fails(commit: &str) -> Ended {
        let (outcome, output) = (CheckOutcome::Failed, format!("FAILED {}", commit.repeat(3)));
        Ended { commit: commit.into(), outcome, exit_code: Some(1), passed: None, failed: None, output }
    }

    fn says(content: &str) -> Answer {
        Answer { content: content.into(), tool_calls: Vec::new(), finish_reason: FinishReason::Stop }
    }

    fn begun() -> Conversation {
        let offered = Tool::ALL.to_vec();
        let manner = Manner { dialect: Dialect::Text, offered, prompt_tokens: None, gives_hints: false };
        let opening = Opening { task: "Task".into(), shown: Vec::new() };
        let mut conversation = Conversation::new(manner, opening, 1);
        conversation.check_started(Check { command: "make test".into(), why: "named".into() });
        conversation.checked(fails("a"));
        conversation
    }

    #[test]
    fn an_answer_after_a_finish_means_that_it_was_refused() {
        let finish = says(r#"{"action": "finish", "summary": "done"}"#);
        let mut conversation = begun();
        assert!(conversation.messages(None)[1].content.ends_with("\nFAILED aaa"));
        conversation.answered(1, finish.clone());
        let Next::Finish { .. } = conversation.next() else { panic!("{:?}", conversation.next()) };
        let mut rebuilt = begun();
        rebuilt.answered(1, finish.clone());
        conversation.refuse_finish();
        assert_eq!(conversation.next(), Next::Answer { turn: 2 });
        for both in [&mut conversation, &mut rebuilt] {
            both.answered(2, finish.clone());
            assert!(matches!(both.checks().on_finish(), check::Verdict::Failed(_)));
        }
        assert_eq!(conversation.messages(None), rebuilt.messages(None));
    }

    #[test]
    fn where_room_is_short_the_newest_run_is_kept() {
        let mut conversation = begun();
        for (turn, commit) in [(1, "b"), (2, "c")] {
            conversation.answered(turn, says("no action"));
            conversation.checked(fails(commit));
        }
        assert!(conversation.shrink() >= 2);
        let said: String = conversation.messages(None).into_iter().map(|message| message.content).collect();
        assert!(said.contains("FAILED ccc") && !said.contains("FAILED aaa") && !said.contains("FAILED bbb"), "{said}");
        assert!(said.contains("Now it fails (exit code 1)"), "{said}");
    }
}
