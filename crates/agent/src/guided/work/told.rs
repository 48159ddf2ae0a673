//! What a guided model is told for its next answer.

use super::{Try, Work};
use crate::{
    answer,
    context::estimated_tokens,
    guided::{
        form::{self, Opening},
        read,
    },
    prompt,
};
use protocol::{ChatMessage, CheckOutcome, Role};

/// Longest answer that is shown to its model again, in bytes.
const SHOWN_BYTES: usize = 24_000;

impl Work {
    /// Everything the model is told for its next answer.
    pub(in crate::guided) fn messages(&self) -> Vec<ChatMessage> {
        let before = self.checks.before().filter(|before| before.outcome != CheckOutcome::Unusable);
        let check = self.checks.command().zip(before);
        let opening = Opening { task: &self.terms.task, files: &self.terms.files, check, edits: self.terms.edits };
        let mut messages = vec![
            ChatMessage::new(Role::System, form::rules(self.terms.edits)),
            ChatMessage::new(Role::User, opening.text()),
        ];
        let Some(last) = self.tries.last() else { return messages };
        let mut before = self.checks.before();
        let mut rounds = Vec::new();
        for tried in self.chain(last.plan.parent) {
            let said = ChatMessage::new(Role::Assistant, tried.said());
            let told = form::handed_back(tried.ended.as_ref(), before, &tried.problems);
            rounds.push([said, ChatMessage::new(Role::User, told)]);
            before = tried.ended.as_ref().or(before);
        }
        // The first ones go first: what failed last is what has to be mended.
        let size =
            |messages: &[ChatMessage]| messages.iter().map(|message| estimated_tokens(&message.content)).sum::<u64>();
        let fixed = size(&messages);
        while rounds.len() > 1
            && self
                .terms
                .prompt_tokens
                .is_some_and(|most| fixed + rounds.iter().map(|round| size(round)).sum::<u64>() > most)
        {
            rounds.remove(0);
        }
        messages.extend(rounds.into_iter().flatten());
        messages
    }

    /// Longest answer to ask for, in tokens: all that may change, and a few lines more.
    pub(in crate::guided) fn most_tokens(&self) -> u64 {
        const MORE: u64 = 700;
        let may_change = self.terms.files.iter().filter(|file| file.may_change && !file.is_long());
        may_change.map(|file| estimated_tokens(&file.text) * 3 / 2).sum::<u64>() + MORE
    }

    /// The form as a grammar.
    pub(in crate::guided) fn grammar(&self) -> String {
        form::grammar(&self.terms.files, read::may_need_new(&self.named_in(), &self.terms.names))
    }
}

impl Try {
    /// As it is shown to its model: what cannot be used is not repeated.
    fn said(&self) -> String {
        let said = answer::without_reasoning(self.answer.as_deref().unwrap_or_default()).trim();
        match self.calls.is_empty() || said.len() > SHOWN_BYTES {
            true => prompt::UNUSABLE.to_owned(),
            false => said.to_owned(),
        }
    }
}
