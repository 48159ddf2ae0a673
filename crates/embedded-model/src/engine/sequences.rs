//! What sequences have read, kept after their answers for prompts that begin alike.
//!
//! ```text
//! prompt ─▶ the longest beginning it shares ─▶ all that a kept sequence holds: that sequence goes on (a conversation)
//!                                           ─▶ a part of it, or one under way: a copy of that part goes on (a second
//!                                              answer to the same prompt); the original keeps its place in the line
//! ```
//! Together they hold a bounded number of tokens; what was not used for longest goes first.

use crate::decoder::Cache;

/// Tokens and what the decoder keeps of them.
pub(super) struct Sequence {
    pub tokens: Vec<u32>,
    pub cache: Cache,
}

impl Sequence {
    /// How many tokens of `prompt` need not be read. The last is read in any case: its scores begin the answer.
    pub(super) fn shared_with(&self, prompt: &[u32]) -> usize {
        shared(&self.tokens, prompt).min(prompt.len().saturating_sub(1))
    }

    fn beginning(&self, length: usize) -> Sequence {
        Sequence { tokens: self.tokens[..length].to_vec(), cache: self.cache.beginning(length) }
    }
}

pub(super) fn shared(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Those without an answer under way, the one used last at the end.
pub(super) struct Kept {
    sequences: Vec<Sequence>,
    /// Of all sequences, those under way included.
    most_tokens: usize,
}

impl Kept {
    pub(super) fn new(most_tokens: usize) -> Kept {
        Kept { sequences: Vec::new(), most_tokens }
    }

    /// A sequence that begins as `prompt` does, as far as any of these or of those under way does, or a new one.
    ///
    /// `reserved` is what the sequences under way may come to hold, this one included.
    pub(super) fn take(
        &mut self,
        prompt: &[u32],
        under_way: &[&Sequence],
        reserved: usize,
        new: impl FnOnce() -> Cache,
    ) -> Sequence {
        let best = (0..self.sequences.len()).max_by_key(|&index| self.sequences[index].shared_with(prompt));
        let kept = best.map_or(0, |index| self.sequences[index].shared_with(prompt));
        let other = under_way.iter().max_by_key(|sequence| sequence.shared_with(prompt));
        let elsewhere = other.map_or(0, |sequence| sequence.shared_with(prompt));
        let sequence = match (best, other) {
            (_, Some(other)) if elsewhere > kept => other.beginning(elsewhere),
            (Some(best), _) if kept > 0 && kept == self.sequences[best].tokens.len() => self.sequences.remove(best),
            (Some(best), _) if kept > 0 => self.sequences[best].beginning(kept),
            _ => Sequence { tokens: Vec::new(), cache: new() },
        };
        self.make_room(reserved);
        sequence
    }

    /// An answer is over; `reserved` is what those still under way may come to hold.
    pub(super) fn put(&mut self, sequence: Sequence, reserved: usize) {
        // What another holds as well is held once.
        self.sequences.retain(|kept| !sequence.tokens.starts_with(&kept.tokens));
        self.sequences.push(sequence);
        self.make_room(reserved);
    }

    fn make_room(&mut self, reserved: usize) {
        let mut held: usize = self.sequences.iter().map(|sequence| sequence.tokens.len()).sum();
        let mut gone = 0;
        while gone < self.sequences.len() && held + reserved > self.most_tokens {
            held -= self.sequences[gone].tokens.len();
            gone += 1;
        }
        self.sequences.drain(..gone);
    }
}
