//! What the router itself changes in a request.

use super::{Run, rescue::Mode};
use crate::{Conversation, Error, conversation::Message, plan::Candidate};
use protocol::Role;
use std::sync::Arc;

impl Run {
    /// `None` when the caller's request goes as it is, so that its own bytes can be forwarded.
    pub(super) fn changed(&self, candidate: &Candidate, mode: &Mode) -> Result<Option<Arc<Conversation>>, Error> {
        let bound = self.inner.books.output_bound(&self.call, candidate, self.policy());
        let asked = self.call.asked.peek.max_output_tokens;
        let bounded = bound.filter(|&bound| asked.is_none_or(|asked| asked > bound));
        let temperature = self.policy().and_then(|policy| policy.temperature);
        let prefill = matches!(mode, Mode::Prefill(_)).then(|| self.sent.text.trim_end());
        if bounded.is_none() && temperature.is_none() && prefill.is_none() {
            return Ok(None);
        }
        let mut conversation = self.call.asked.conversation()?.clone();
        let before = (conversation.max_output_tokens, conversation.temperature);
        if let Some(bound) = bounded {
            conversation.max_output_tokens = Some(bound);
        }
        if let (Some((least, most)), Some(asked)) = (temperature, conversation.temperature) {
            conversation.temperature = Some(asked.clamp(least, most));
        }
        if let Some(sent) = prefill {
            // The caller's limit is on the whole answer, of which this target writes the rest. No server takes 0.
            let rest = |limit: u32| limit.saturating_sub(self.sent.tokens()).max(1);
            conversation.max_output_tokens = conversation.max_output_tokens.map(rest);
            conversation.messages.push(Message::text(Role::Assistant, sent));
        } else if before == (conversation.max_output_tokens, conversation.temperature) {
            return Ok(None);
        }
        Ok(Some(Arc::new(conversation)))
    }
}
