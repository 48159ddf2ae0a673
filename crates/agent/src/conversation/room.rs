//! Room in a model's context. Before each call what is oldest and can be had again goes first:
//!
//! ```text
//!   older runs of the check ─▶ outputs but the newest ─▶ words and file bodies of turns but the newest ─▶ files shown with the task ─▶ the newest outputs,
//!   cut to half, and again
//! ```
//! Where a prompt has to be made smaller, it is made a good deal smaller at once: each change of what stands early makes
//! the model read everything after it again.
//!
//! The size is an estimate, rather too high than too low. A model that counts otherwise says that a prompt did not fit; then
//! less fits from there on. Both follow from the log alone, so a rebuild drops the same.

use super::Conversation;
use crate::{context::estimated_tokens, prompt};

/// Tokens a message takes besides its text.
const MESSAGE_TOKENS: u64 = 8;
/// Outputs are not cut below this, in bytes: an error with its place.
const LEAST_OUTPUT_BYTES: usize = 600;

impl Conversation {
    /// About how many tokens the next prompt takes.
    pub(crate) fn estimated_tokens(&self) -> u64 {
        let tools: u64 = match self.dialect() {
            prompt::Dialect::Native => self.offered().iter().map(|tool| of_value(&tool.spec().parameters)).sum(),
            prompt::Dialect::Text => 0,
        };
        let messages = self.messages(None).into_iter().map(|message| {
            let calls: u64 = message.tool_calls.iter().map(|call| of_value(&call.arguments)).sum();
            estimated_tokens(&message.content) + calls + MESSAGE_TOKENS
        });
        tools + messages.sum::<u64>()
    }

    /// Makes the next prompt fit. Returns how many things were dropped for it.
    pub(crate) fn make_room(&mut self) -> usize {
        let Some(limit) = self.manner.prompt_tokens else { return 0 };
        match self.estimated_tokens() > limit {
            false => 0,
            true => {
                let dropped = self.drop_old(limit - limit / 4);
                dropped + self.cut_newest(limit)
            }
        }
    }

    /// A prompt did not fit: from now on a quarter less does. Returns how many things were dropped; 0 when there is nothing
    /// left to drop and the job has to fail.
    pub(crate) fn shrink(&mut self) -> usize {
        let size = self.estimated_tokens();
        let limit = size - size / 4;
        self.manner.prompt_tokens = Some(self.manner.prompt_tokens.map_or(limit, |known| known.min(limit)));
        let dropped = self.drop_old(limit);
        dropped + self.cut_newest(limit)
    }

    fn drop_old(&mut self, target: u64) -> usize {
        let mut dropped = if self.estimated_tokens() > target { self.forget_checks() } else { 0 };
        let old = self.turns.len().saturating_sub(1);
        for turn in 0..old {
            for call in 0..self.turns[turn].calls.len() {
                if self.estimated_tokens() <= target {
                    return dropped;
                }
                let Some(result) = self.turns[turn].calls[call].result.as_mut() else { continue };
                if !result.dropped && result.text.len() > prompt::DROPPED.len() {
                    result.text = prompt::DROPPED.into();
                    result.dropped = true;
                    dropped += 1;
                }
            }
        }
        for turn in 0..old {
            if self.estimated_tokens() <= target {
                return dropped;
            }
            dropped += usize::from(!std::mem::replace(&mut self.turns[turn].is_compact, true));
        }
        while self.estimated_tokens() > target && self.opening.shorten() {
            dropped += 1;
        }
        dropped
    }

    /// What came last is needed most, and half of it is better than no answer at all.
    fn cut_newest(&mut self, limit: u64) -> usize {
        let mut cut = 0;
        while self.estimated_tokens() > limit {
            let Some(turn) = self.turns.last_mut() else { break };
            let results = turn.calls.iter_mut().filter_map(|state| state.result.as_mut());
            let Some(longest) = results.max_by_key(|result| result.text.len()) else { break };
            if longest.text.len() <= LEAST_OUTPUT_BYTES {
                break;
            }
            longest.text = halved(&longest.text);
            cut += 1;
        }
        cut
    }
}

fn of_value(value: &serde_json::Value) -> u64 {
    estimated_tokens(&value.to_string())
}

/// The beginning and the end of a text, together less than half of it.
fn halved(text: &str) -> String {
    const MARK: &str = "\n[... cut to make room ...]\n";
    let quarter = text.len() / 4 - MARK.len().min(text.len() / 8);
    let (head, tail) = (text.floor_char_boundary(quarter), text.ceil_char_boundary(text.len() - quarter));
    format!("{}{MARK}{}", &text[..head], &text[tail..])
}
