//! What of an answer never reaches its caller: content that there are no words for here ([`Event::Opaque`]) and whose bytes do
//! not pass, because the caller speaks another wire or must not see them.
//!
//! ```text
//!   text or a tool call came, too ──▶ the answer is told, and what it leaves out is named with the request's lost fields
//!   nothing else came             ──▶ the answer is not usable: the next target, or an error of the caller's wire
//! ```
//! An answer is never empty and a success where the model's was not empty.

use crate::{
    Error, Event, Frame,
    answer::{Block, Whole},
};

/// Names that are kept; each answer has one or two kinds at most, and a vendor could make up any number.
const NAMES: usize = 8;
/// Of one name: they stand in headers.
const NAME_CHARACTERS: usize = 80;

#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    names: Vec<String>,
    told: usize,
}

impl LeftOut {
    pub(crate) fn note(&mut self, frame: &Frame) {
        for event in frame.events.iter().filter(|event| frame.is_left_out(event)) {
            let Event::Opaque(what) = event else { continue };
            let plain =
                |character: char| if character == ' ' || character.is_ascii_graphic() { character } else { '?' };
            let name: String = what.chars().take(NAME_CHARACTERS).map(plain).collect();
            if self.names.len() < NAMES && !self.names.contains(&name) {
                self.names.push(name);
            }
        }
    }

    /// What was not told yet, as lost fields are.
    pub(crate) fn untold(&mut self) -> Vec<String> {
        let told = std::mem::replace(&mut self.told, self.names.len());
        self.names[told..].iter().map(|name| format!("answer: {name}")).collect()
    }

    /// Why an answer is none for this caller, who has `text` of it already.
    pub(crate) fn is_all_of(&self, whole: &Whole, text: &str, provider: &str) -> Option<Error> {
        let says = |block: &Block| match block {
            Block::Text(text) => !text.trim().is_empty(),
            Block::ToolCall { .. } => true,
            Block::Thinking { .. } | Block::RedactedThinking(_) => false,
        };
        if self.names.is_empty() || !text.trim().is_empty() || whole.blocks.iter().any(says) {
            return None;
        }
        let message = format!(
            "it says nothing but {}, which this API has no words for. Ask for text, or ask through the API that the model's server speaks",
            self.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        );
        Some(Error::Flawed { provider: provider.to_owned(), message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn only_what_does_not_pass_is_left_out_and_told_once() {
        let opaque = |what: &str| Event::Opaque(what.to_owned());
        let mut left_out = LeftOut::default();
        left_out.note(&Frame::new(Some(Bytes::from("{}")), vec![opaque("images")]));
        assert_eq!(left_out.untold(), Vec::<String>::new());
        left_out.note(&Frame::new(None, vec![opaque("images"), Event::Text("a".into()), opaque("a block `\n\u{e9}`")]));
        assert_eq!(left_out.untold(), ["answer: images", "answer: a block `??`"]);
        left_out.note(&opaque("images").into());
        assert_eq!(left_out.untold(), Vec::<String>::new());
    }

    #[test]
    fn an_answer_is_none_where_nothing_else_is_told() {
        let call = || Event::ToolCall { index: 0, id: "a".into(), name: "read".into() };
        for (event, had, is_none) in [
            (Event::Thinking("hm".into()), "", true),
            (Event::Text(" ".into()), "", true),
            (Event::Text("a".into()), "", false),
            (call(), "", false),
            (Event::Thinking("hm".into()), "so far", false),
        ] {
            let (mut left_out, mut whole) = (LeftOut::default(), Whole::default());
            whole.add(&event);
            assert_eq!(left_out.is_all_of(&whole, had, "p"), None);
            left_out.note(&Event::Opaque("images".into()).into());
            assert_eq!(left_out.is_all_of(&whole, had, "p").is_some(), is_none, "{event:?}");
        }
    }
}
