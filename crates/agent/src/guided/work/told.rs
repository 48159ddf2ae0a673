//! What a guided model is told for its next answer.

use super::{Try, Work};
use crate::{
    answer,
    check::Ended,
    context::estimated_tokens,
    guided::{
        candidates::Plan,
        files::Shown,
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
        let about = self.plan().and_then(|plan| self.about(plan));
        let messages = |text| vec![ChatMessage::new(Role::System, form::WHO), ChatMessage::new(Role::User, text)];
        if let Some(text) = about {
            return messages(text);
        }
        let mut messages = messages(self.opening(&self.terms.files, self.checks.before()).text());
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

    fn opening<'a>(&'a self, files: &'a [Shown], ended: Option<&'a Ended>) -> Opening<'a> {
        let ended = ended.filter(|ended| ended.outcome != CheckOutcome::Unusable);
        Opening { task: &self.terms.task, files, check: self.checks.command().zip(ended), edits: self.terms.edits }
    }

    /// What is told where a plan is about one function, with the files as they are where it begins.
    fn about(&self, plan: &Plan) -> Option<String> {
        let suspect = self.suspect(plan)?;
        let written = self.overlay(plan.parent);
        let now = |file: &Shown| match written.get(&file.path) {
            Some(text) => Shown { text: text.clone(), ..file.clone() },
            None => file.clone(),
        };
        let files: Vec<Shown> = self.terms.files.iter().map(now).collect();
        let parent = plan.parent.and_then(|at| self.tries.get(at)).and_then(|parent| parent.ended.as_ref());
        self.opening(&files, parent.or(self.checks.before())).about(suspect)
    }

    /// Longest answer to ask for, in tokens: all that may change, and a few lines more.
    pub(in crate::guided) fn most_tokens(&self) -> u64 {
        const MORE: u64 = 700;
        /// Of a function.
        const FUNCTION: u64 = 800;
        if self.plan().and_then(|plan| self.suspect(plan)).is_some() {
            return FUNCTION;
        }
        let may_change = self.terms.files.iter().filter(|file| file.may_change && !file.is_long());
        may_change.map(|file| estimated_tokens(&file.text) * 3 / 2).sum::<u64>() + MORE
    }

    /// The form as a grammar.
    pub(in crate::guided) fn grammar(&self) -> String {
        if self.plan().and_then(|plan| self.about(plan)).is_some() {
            return form::function_grammar();
        }
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
