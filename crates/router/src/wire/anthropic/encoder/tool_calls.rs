//! What came while the arguments of a call were still coming: this dialect has one block after the other.

use serde_json::{Value, json};
use std::{collections::VecDeque, vec};

/// In the order in which it came. Bounded by what a provider may say in one answer.
#[derive(Default)]
pub(crate) struct Waiting(VecDeque<Piece>);

pub(crate) enum Piece {
    Text(String),
    Thinking(String),
    ThinkingSignature(String),
    RedactedThinking(String),
    Call(Call),
}

pub(crate) struct Call {
    pub(crate) index: usize,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
}

impl Call {
    pub(crate) fn new(index: usize, id: String, name: String) -> Self {
        Self { index, id, name, arguments: String::new() }
    }
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, piece: Piece) {
        match (self.0.back_mut(), piece) {
            (Some(Piece::Text(text)), Piece::Text(more)) | (Some(Piece::Thinking(text)), Piece::Thinking(more)) => {
                text.push_str(&more);
            }
            (_, piece) => self.0.push_back(piece),
        }
    }

    /// What comes for a call that was closed is for nobody.
    pub(crate) fn arguments(&mut self, index: usize, fragment: &str) {
        let call = self.0.iter_mut().rev().find_map(|piece| match piece {
            Piece::Call(call) if call.index == index => Some(call),
            _ => None,
        });
        if let Some(call) = call {
            call.arguments.push_str(fragment);
        }
    }

    /// What can be written now: all up to a call that is not complete, and that call.
    pub(crate) fn take(&mut self) -> vec::IntoIter<Piece> {
        let is_complete = |piece: &&Piece| match piece {
            Piece::Call(call) => Progress::of(&call.arguments).is_complete(),
            _ => true,
        };
        let complete = self.0.iter().take_while(is_complete).count();
        let count = (complete + 1).min(self.0.len());
        self.0.drain(..count).collect::<Vec<_>>().into_iter()
    }
}

/// How far the arguments of one call have come, known from each fragment as it passes: an object is complete with the brace
/// that closes it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Progress {
    depth: usize,
    in_string: bool,
    escaped: bool,
    complete: bool,
}

impl Progress {
    pub(crate) fn of(arguments: &str) -> Self {
        let mut progress = Self::default();
        progress.add(arguments);
        progress
    }

    pub(crate) fn add(&mut self, fragment: &str) {
        for byte in fragment.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.complete |= self.depth == 0;
                }
                _ => {}
            }
        }
    }

    pub(crate) fn is_complete(self) -> bool {
        self.complete
    }
}

pub(crate) fn block(id: &str, name: &str) -> Value {
    json!({ "type": "tool_use", "id": id, "name": name, "input": {} })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_complete_with_their_last_brace() {
        for arguments in [r#"{}"#, r#"{"a":{"b":[1,{"c":"}"}]}}"#, r#"{"a":"\"}\\"}"#, r#"{"é":"{["}"#] {
            let mut progress = Progress::default();
            for character in arguments.chars() {
                assert!(!progress.is_complete(), "{arguments}");
                progress.add(&character.to_string());
            }
            assert!(progress.is_complete(), "{arguments}");
        }
        assert!(!Progress::of("").is_complete());
    }
}
