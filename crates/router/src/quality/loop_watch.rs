//! Notices while an answer comes that its model has begun to repeat itself without end.
//!
//! The last 16 KiB are kept. Every so often they are read backwards and the shortest unit is looked for whose repetition
//! they end with (the prefix function of Knuth, Morris and Pratt gives the shortest period of every suffix in one pass). How
//! much repetition is too much depends on the unit:
//!
//! - words and sentences: legitimate text never says one for kilobytes on end;
//! - rulers, zeros, empty cells (nothing but digits and signs, or a single character): matrices and pictures do, so these
//!   must fill everything that is kept;
//! - white space: constrained models fall into it, and nobody means two kilobytes of it.

/// What repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loop {
    /// Cut to a readable length.
    pub unit: String,
    /// How often it was there when it was noticed.
    pub times: usize,
}

#[derive(Debug, Default)]
pub struct LoopWatch {
    tail: Vec<u8>,
    /// Bytes since the last look at the near tail and at all of it.
    since_near: usize,
    since_far: usize,
    found: Option<Loop>,
}

/// What is kept. Enough for four paragraphs of 4 KiB.
const FAR: usize = 16 * 1024;
/// What is looked at more often, for the sake of short units.
const NEAR: usize = 4 * 1024;
/// Each look reads its tail once, so every byte is read four times for the near tail and four times for the far one.
const PART: usize = 4;
/// A model that loops on white space says nothing else.
const BLANKS: usize = 2 * 1024;
/// Words, short lines.
const SHORT_UNIT: usize = 32;
const SHORT_SPAN: usize = 4 * 1024;
/// Lines, sentences, paragraphs.
const LONG_SPAN: usize = 3 * 1024;
const LONG_TIMES: usize = 8;
/// Units above this repeat at least [`HUGE_TIMES`].
const HUGE_UNIT: usize = 512;
const HUGE_TIMES: usize = 4;

impl LoopWatch {
    /// Whether the text up to here ends in a loop, or did once: then the rest is not looked at.
    pub fn push(&mut self, text: &str) -> bool {
        let mut bytes = text.as_bytes();
        while self.found.is_none() && !bytes.is_empty() {
            let until_look = (NEAR / PART - self.since_near).min(FAR / PART - self.since_far);
            let (now, later) = bytes.split_at(bytes.len().min(until_look));
            bytes = later;
            self.tail.extend_from_slice(now);
            self.since_near += now.len();
            self.since_far += now.len();
            self.look();
        }
        self.found.is_some()
    }

    pub fn found(&self) -> Option<&Loop> {
        self.found.as_ref()
    }

    fn look(&mut self) {
        if self.since_near >= NEAR / PART {
            self.since_near = 0;
            let near = self.tail.len().saturating_sub(NEAR);
            self.found = repeated(&self.tail[near..]);
        }
        if self.found.is_none() && self.since_far >= FAR / PART {
            self.since_far = 0;
            // Dropped here only, so that moving the rest costs as little as the look.
            self.tail.drain(..self.tail.len().saturating_sub(FAR));
            self.found = repeated(&self.tail);
        }
    }
}

/// The unit whose repetition `tail` ends with, when it is repeated too often.
fn repeated(tail: &[u8]) -> Option<Loop> {
    let backwards: Vec<u8> = tail.iter().rev().copied().collect();
    let mut borders = vec![0_u16; backwards.len()];
    let mut border = 0_usize;
    let mut blank = backwards.first().is_some_and(u8::is_ascii_whitespace);
    // The unit grows, and seldom; so each is looked at once.
    let (mut kind, mut kind_of) = (Kind::Dull, 0);
    for at in 1..backwards.len() {
        while border > 0 && backwards[at] != backwards[border] {
            border = usize::from(borders[border - 1]);
        }
        border += usize::from(backwards[at] == backwards[border]);
        // Fits: the tail is at most 20 KiB.
        borders[at] = u16::try_from(border).ok()?;
        blank &= backwards[at].is_ascii_whitespace();
        let span = at + 1;
        let unit = span - border;
        let times = span / unit;
        let often = times >= HUGE_TIMES && span >= LONG_SPAN;
        if often && kind_of != unit {
            (kind, kind_of) = (Kind::of(&backwards[..unit]), unit);
        }
        if blank && span >= BLANKS || often && kind.is_too_much(span, times) {
            let unit = String::from_utf8_lossy(&tail[tail.len() - unit..]);
            return Some(Loop { unit: super::schema::short(&unit), times });
        }
    }
    None
}

#[derive(Clone, Copy)]
enum Kind {
    /// Nothing but digits and signs, or a single character.
    Dull,
    Short,
    Long,
    Huge,
}

impl Kind {
    fn of(unit: &[u8]) -> Self {
        let speaks = unit.iter().any(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii());
        match unit.len() {
            _ if !speaks || is_one_character(unit) => Self::Dull,
            ..SHORT_UNIT => Self::Short,
            SHORT_UNIT..HUGE_UNIT => Self::Long,
            _ => Self::Huge,
        }
    }

    fn is_too_much(self, span: usize, times: usize) -> bool {
        match self {
            Self::Dull => span >= FAR,
            Self::Short => span >= SHORT_SPAN,
            Self::Long => span >= LONG_SPAN && times >= LONG_TIMES,
            Self::Huge => span >= LONG_SPAN && times >= HUGE_TIMES,
        }
    }
}

/// A single character, whatever its length in UTF-8. (`unit` is backwards; the order does not matter for counting.)
fn is_one_character(unit: &[u8]) -> bool {
    unit.iter().filter(|byte| !is_continuation(**byte)).count() == 1
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

#[cfg(test)]
mod tests;
