//! What the router itself changes in a request.

use super::{Run, rescue::Mode};
use crate::{Conversation, Error, conversation::Message, dialect::Asked, plan::Candidate, providers::Edits};
use protocol::Role;
use std::sync::Arc;

impl Run {
    /// Fields that are set in the caller's request. Nothing else of it changes.
    pub(super) fn edits(&self, candidate: &Candidate) -> Result<Edits, Error> {
        let bound = self.inner.books.output_bound(&self.call, candidate, self.policy());
        let asked = self.call.asked.peek.max_output_tokens;
        let max_output_tokens = bound.filter(|&bound| asked.is_none_or(|asked| asked > bound));
        let temperature = match self.policy().and_then(|policy| policy.temperature) {
            Some((least, most)) => {
                let asked = self.call.asked.temperature();
                asked.map(|asked| (asked, asked.clamp(least, most))).filter(|(asked, held)| asked != held)
            }
            None => None,
        };
        Ok(Edits { max_output_tokens, temperature: temperature.map(|(_, held)| held) })
    }

    /// Another conversation in place of the caller's: one that ends with the answer so far. `None` for a fresh answer.
    pub(super) fn begun_answer(
        &self,
        asked: &Asked,
        mode: &Mode,
        edits: &Edits,
    ) -> Result<Option<Arc<Conversation>>, Error> {
        if !matches!(mode, Mode::Prefill(_)) {
            return Ok(None);
        }
        let mut conversation = asked.conversation()?.clone();
        edits.apply(&mut conversation);
        // The caller's limit is on the whole answer, of which this target writes the rest. No server takes 0.
        let rest = |limit: u32| limit.saturating_sub(self.sent.tokens()).max(1);
        conversation.max_output_tokens = conversation.max_output_tokens.map(rest);
        conversation.messages.push(Message::text(Role::Assistant, self.sent.text.trim_end()));
        Ok(Some(Arc::new(conversation)))
    }
}
