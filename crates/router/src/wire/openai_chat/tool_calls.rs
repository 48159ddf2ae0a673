//! Tool calls come in pieces: a first one with id and name, then the arguments as fragments of a string.
//!
//! Which call a piece belongs to:
//!
//! | the piece | belongs to |
//! |---|---|
//! | has an index that is known | the call there; with another name, or any once its arguments are whole, to a new one |
//! | has an index that is new, and an id or a name | a new call |
//! | has an index that is new, and neither | the last call |
//! | has no index | the call with its id, else the last one under the same conditions |
//!
//! The index decides and not the id: servers make a new id for every piece, give none, or the same to all.
//!
//! Clients have no such table: they want an index in every piece of a stream. Where a server tells none, the call's own is
//! written beside it.
//!
//! A call that is whole and comes whole once more, under its own index and id, is the same call: servers repeat it in their
//! last chunk.

use crate::{
    Event,
    wire::lenient::{Halves, Members, says_nothing},
};
use serde_json::{Value, value::RawValue};

/// What a call counts against the limit on an answer, besides its arguments: so that there are some thousand at most.
const CALL_BYTES: usize = 4096;

/// Where a piece stands in its chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    Index(u64),
    /// In the list, without an index.
    #[default]
    List,
    /// `function_call`: what tool calls were before they were called so.
    Older,
}

#[derive(Default)]
pub(crate) struct Piece<'a> {
    place: Place,
    id: Option<String>,
    name: Option<String>,
    arguments: Option<&'a RawValue>,
    is_alone: bool,
}

impl<'a> Piece<'a> {
    /// One of `tool_calls`.
    ///
    /// # Errors
    /// What it is, when it is no call of a function.
    pub(crate) fn of(value: &'a RawValue) -> Result<Self, String> {
        let call = Members::of(Some(value));
        if !call.is_object() {
            return if says_nothing(value) {
                Ok(Self::default())
            } else {
                Err("a tool call that is no object".to_owned())
            };
        }
        let function = call.object("function");
        if !function.is_object() {
            if call.get("custom").is_some() {
                return Err("a call of a custom tool".to_owned());
            }
            if let Some(kind) = call.text("type").filter(|kind| !kind.is_empty() && kind != "function") {
                return Err(format!("a tool call of the type `{}`", crate::http::failure::short(&kind)));
            }
        }
        // Some servers leave the wrapping out.
        let function = if function.is_object() { &function } else { &call };
        Ok(Self {
            place: call.count("index").map_or(Place::List, Place::Index),
            id: call.id("id"),
            name: function.id("name"),
            arguments: function.get("arguments"),
            is_alone: false,
        })
    }

    /// Of a message that came whole: nothing of the call is said elsewhere.
    pub(crate) fn alone(self) -> Self {
        Self { is_alone: true, ..self }
    }

    /// `function_call`; nothing of what is no object.
    pub(crate) fn older(value: &'a RawValue) -> Self {
        let function = Members::of(Some(value));
        let (name, arguments) = (function.id("name"), function.get("arguments"));
        Self { place: Place::Older, name, arguments, ..Self::default() }
    }

    /// Its server tells no index that could be read.
    pub(crate) fn is_unindexed(&self) -> bool {
        self.place == Place::List
    }

    fn says_nothing(&self) -> bool {
        self.id.is_none() && self.name.is_none() && !self.has_arguments()
    }

    fn has_arguments(&self) -> bool {
        self.arguments.is_some_and(|arguments| !says_nothing(arguments))
    }

    /// They are there and could stand alone.
    fn has_whole_arguments(&self) -> bool {
        is_whole(&self.text())
    }

    fn text(&self) -> String {
        self.arguments.map(|arguments| text_of(arguments, &mut Halves::default())).unwrap_or_default()
    }
}

/// A fragment as it came, or an object as servers give it that give it whole.
fn text_of(arguments: &RawValue, halves: &mut Halves) -> String {
    match arguments.get().as_bytes().first() {
        Some(b'"') => halves.read(arguments),
        Some(b'{' | b'[') if !says_nothing(arguments) => arguments.get().to_owned(),
        _ => String::new(),
    }
}

fn is_whole(arguments: &str) -> bool {
    arguments.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(arguments).is_ok()
}

#[derive(Debug, Default)]
struct Call {
    place: Place,
    /// As clients know it; of a message that came whole and of an older call there is none to know.
    index: Option<u64>,
    /// As the server has it, which may be another call's as well.
    given_id: Option<String>,
    /// As it is told.
    id: String,
    /// Empty until it is known; then the call was told.
    name: String,
    /// All of them so far.
    arguments: String,
    /// How much of them was told.
    told: usize,
    halves: Halves,
}

/// The calls of one answer as they grow, in the order they began.
#[derive(Debug, Default)]
pub(crate) struct Calls(Vec<Call>);

impl Calls {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A call whose name never came.
    pub(crate) fn has_nameless(&self) -> bool {
        self.0.iter().any(|call| call.name.is_empty())
    }

    /// The index of the call that the piece will belong to. `None` where it belongs to none.
    pub(crate) fn index_of(&self, piece: &Piece<'_>) -> Option<u64> {
        match self.find(piece) {
            Some(at) => self.0[at].index,
            None if piece.says_nothing() => None,
            None => Some(self.next_index()),
        }
    }

    fn next_index(&self) -> u64 {
        self.0.iter().filter_map(|call| call.index).max().map_or(0, |last| last.saturating_add(1))
    }

    /// Gives how many bytes this adds to the answer.
    pub(crate) fn add(&mut self, piece: &Piece<'_>, events: &mut Vec<Event>) -> usize {
        if piece.says_nothing() {
            return 0;
        }
        let (at, mut bytes) = match self.find(piece) {
            Some(at) => (at, 0),
            None => {
                let index = match piece.place {
                    Place::Index(index) => Some(index),
                    Place::List if !piece.is_alone => Some(self.next_index()),
                    Place::List | Place::Older => None,
                };
                self.0.push(Call { place: piece.place, index, ..Call::default() });
                (self.0.len() - 1, CALL_BYTES)
            }
        };
        let is_taken = |id: &String| self.0.iter().enumerate().any(|(other, call)| other != at && call.id == *id);
        let id = piece.id.clone().filter(|id| !is_taken(id));
        let call = &mut self.0[at];
        if call.given_id.is_none() {
            call.given_id.clone_from(&piece.id);
        }
        if call.id.is_empty() {
            call.id = id.unwrap_or_default();
        }
        if let Some(arguments) = piece.arguments {
            let is_fragment = arguments.get().starts_with('"');
            // Only fragments go on with what is there, and only with what is not whole.
            if call.arguments.trim().is_empty() || (is_fragment && !call.is_repeated_in(piece)) {
                let more = text_of(arguments, &mut call.halves);
                bytes += more.len();
                call.arguments.push_str(&more);
            }
        }
        if call.name.is_empty()
            && let Some(name) = &piece.name
        {
            call.name.clone_from(name);
            if call.id.is_empty() {
                call.id = new_call_id();
            }
            events.push(Event::ToolCall { index: at, id: call.id.clone(), name: name.clone() });
        }
        call.tell(at, events);
        bytes
    }

    fn find(&self, piece: &Piece<'_>) -> Option<usize> {
        if piece.is_alone {
            let repeats = |call: &Call| call.is_same_as(piece) && call.given_id.is_some() && call.is_repeated_in(piece);
            return self.0.iter().rposition(repeats);
        }
        let last = self.0.len().checked_sub(1);
        let with_id =
            || piece.id.as_ref().and_then(|id| self.0.iter().rposition(|call| call.given_id.as_ref() == Some(id)));
        let at = match piece.place {
            Place::Index(_) => {
                let there = self.0.iter().rposition(|call| call.place == piece.place);
                there.or_else(|| match (&piece.id, &piece.name) {
                    (_, Some(_)) => None,
                    (Some(_), None) => with_id(),
                    (None, None) => last,
                })
            }
            Place::List | Place::Older => with_id().or(last),
        };
        at.filter(|&at| !self.0[at].ends_before(piece))
    }

    /// The answer is whole: an empty object for calls without arguments. Gives the places of those where the provider's bytes
    /// have to be told so, each with no call beside it that would get the object as well.
    pub(crate) fn finish(&mut self, events: &mut Vec<Event>) -> Vec<Place> {
        let mut places = Vec::new();
        for at in 0..self.0.len() {
            let call = &mut self.0[at];
            if call.name.is_empty() || !call.arguments.trim().is_empty() {
                continue;
            }
            call.arguments.push_str("{}");
            call.tell(at, events);
            let place = call.told_place();
            if place != Place::List && self.0.iter().filter(|call| call.told_place() == place).count() == 1 {
                places.push(place);
            }
        }
        places
    }
}

impl Call {
    /// Where clients know it to be.
    fn told_place(&self) -> Place {
        self.index.map_or(self.place, Place::Index)
    }

    /// Whether the piece, which stands where this call does, begins another one.
    fn ends_before(&self, piece: &Piece<'_>) -> bool {
        let ids = self.given_id.as_ref().zip(piece.id.as_ref());
        let (is_same_id, is_other_id) = (ids.is_some_and(|(a, b)| a == b), ids.is_some_and(|(a, b)| a != b));
        let by_id = piece.place == Place::List && is_other_id;
        let Some(name) = &piece.name else { return by_id && is_whole(&self.arguments) };
        if self.name.is_empty() {
            return by_id;
        }
        if is_whole(&self.arguments) {
            let repeats = !piece.has_arguments() || self.is_repeated_in(piece);
            return !(is_same_id && repeats);
        }
        if is_same_id {
            return false;
        }
        // Servers that tell the name with every fragment, and those that make a new id for every one of them.
        let goes_on = piece.has_arguments() && (!piece.has_whole_arguments() || !self.arguments.trim().is_empty());
        *name != self.name || by_id || (is_other_id && !goes_on)
    }

    /// By all that is said of it but its arguments.
    fn is_same_as(&self, piece: &Piece<'_>) -> bool {
        self.place == piece.place && self.given_id == piece.id && piece.name.as_ref() == Some(&self.name)
    }

    /// Whether the arguments are whole and the piece has them all once more, spaced as it may be.
    fn is_repeated_in(&self, piece: &Piece<'_>) -> bool {
        let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
        let text = piece.text();
        is_whole(&self.arguments)
            && (text == self.arguments || is_whole(&text) && parsed(&text) == parsed(&self.arguments))
    }

    fn tell(&mut self, at: usize, events: &mut Vec<Event>) {
        if !self.name.is_empty() && self.told < self.arguments.len() {
            events.push(Event::ToolArguments { index: at, fragment: self.arguments[self.told..].to_owned() });
            self.told = self.arguments.len();
        }
    }
}

/// An id for a tool call that came without one, on any wire. Ids must be unique within a job, because decisions of people are
/// bound to them; 64 random bits are.
pub(crate) fn new_call_id() -> String {
    format!("call_{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Block, Whole};
    use serde_json::json;

    fn calls(pieces: Value) -> Vec<(String, String, String)> {
        let (mut calls, mut events) = (Calls::default(), Vec::new());
        let pieces = pieces.to_string();
        for piece in serde_json::from_str::<Vec<&RawValue>>(&pieces).unwrap() {
            calls.add(&Piece::of(piece).unwrap(), &mut events);
        }
        calls.finish(&mut events);
        let mut whole = Whole::default();
        events.iter().for_each(|event| whole.add(event));
        let blocks = whole.blocks.into_iter();
        blocks
            .map(|block| match block {
                Block::ToolCall { id, name, arguments, .. } => (id, name, arguments),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.to_owned(), name.to_owned(), arguments.to_owned())
    }

    #[test]
    fn interleaved_fragments_are_told_apart_by_index() {
        let got = calls(json!([
            {"index": 0, "id": "a", "type": "function", "function": {"name": "read", "arguments": ""}},
            {"index": 1, "id": "b", "type": "function", "function": {"name": "list", "arguments": ""}},
            {"index": 0, "function": {"arguments": "{\"path\":"}},
            {"index": 1, "function": {"arguments": "{}"}},
            {"index": 0, "function": {"arguments": "\"x\"}"}},
        ]));
        assert_eq!(got, [call("a", "read", r#"{"path":"x"}"#), call("b", "list", "{}")]);
    }

    #[test]
    fn a_call_that_comes_whole_once_more_is_the_same_call() {
        let piece = |id: Value, name: Value, arguments: Value| json!({"index": 0, "id": id, "function": {"name": name, "arguments": arguments}});
        let whole = |arguments: Value| piece(json!("c"), json!("read"), arguments);
        let (begins, goes_on) = (whole(json!("")), piece(Value::Null, Value::Null, json!(r#"{"a":"1"}"#)));
        for again in [
            whole(json!(r#"{"a":"1"}"#)),
            whole(json!(r#"{"a": "1"}"#)),
            whole(json!({"a": "1"})),
            whole(json!("")),
            piece(Value::Null, Value::Null, json!(r#"{"a":"1"}"#)),
        ] {
            let got = calls(json!([begins, goes_on, again]));
            assert_eq!(got, [call("c", "read", r#"{"a":"1"}"#)], "{again}");
        }
        let other = piece(json!("d"), json!("read"), json!(r#"{"a":"1"}"#));
        assert_eq!(calls(json!([begins, goes_on, other])).len(), 2, "another id is another call");
        let more = whole(json!(r#"{"a":"2"}"#));
        assert_eq!(calls(json!([begins, goes_on, more])).len(), 2, "other arguments are another call");
    }

    #[test]
    fn servers_that_bend_the_rules_are_understood() {
        let same_index = json!([
            {"index": 0, "id": "a", "function": {"name": "read", "arguments": "{}"}},
            {"index": 0, "id": "b", "function": {"name": "list", "arguments": {"all": true}}},
        ]);
        assert_eq!(calls(same_index), [call("a", "read", "{}"), call("b", "list", r#"{"all":true}"#)]);
        let repeated = json!([
            {"index": 0, "id": "a", "function": {"name": "read", "arguments": "{\"n\""}},
            {"index": 0, "id": "a", "function": {"name": "read", "arguments": ":1}"}},
        ]);
        assert_eq!(calls(repeated), [call("a", "read", r#"{"n":1}"#)]);
        let no_index = json!([
            {"id": "a", "function": {"name": "read", "arguments": ""}}, {"function": {"arguments": "oops {"}},
        ]);
        assert_eq!(calls(no_index), [call("a", "read", "oops {")]);
        let name_last = json!([
            {"index": 3, "id": "a"}, {"index": 3, "function": {"arguments": "{\"n\":"}},
            {"index": 3, "function": {"name": "read", "arguments": "1}"}},
        ]);
        assert_eq!(calls(name_last), [call("a", "read", r#"{"n":1}"#)]);
        let no_id = calls(json!([{"index": 0, "function": {"name": "read", "arguments": ""}}]));
        assert!(no_id[0].0.starts_with("call_") && no_id[0].2 == "{}", "{no_id:?}");
    }

    #[test]
    fn every_piece_finds_its_call() {
        let piece = |index: Value, id: Value, name: Value, arguments: Value| json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        let none = || Value::Null;
        let two = [("read", r#"{"a":1}"#), ("list", r#"{"b":2}"#)];
        for (case, pieces, expected) in [
            (
                "numbers as ids and texts as indexes",
                json!([
                    piece(json!("0"), json!(7), json!("read"), json!("{\"a\":")),
                    piece(json!(0.0), json!(7), none(), json!("1}"))
                ]),
                &two[..1],
            ),
            (
                "another id for every piece",
                json!([
                    piece(json!(0), json!("x"), json!("read"), json!("")),
                    piece(json!(0), json!("y"), none(), json!("{\"a\":1}"))
                ]),
                &two[..1],
            ),
            (
                "another id and the name with every fragment",
                json!([
                    piece(json!(0), json!("x"), json!("read"), json!("{\"a\"")),
                    piece(json!(0), json!("y"), json!("read"), json!(":1}"))
                ]),
                &two[..1],
            ),
            (
                "whole calls under one index, without ids",
                json!([
                    piece(json!(0), json!(""), json!("read"), json!("{\"a\":1}")),
                    piece(json!(0), json!(""), json!("list"), json!("{\"b\":2}"))
                ]),
                &two,
            ),
            (
                "whole calls without indexes and ids",
                json!([
                    piece(none(), none(), json!("read"), json!("{\"a\":1}")),
                    piece(none(), none(), json!("list"), json!({"b": 2}))
                ]),
                &two,
            ),
            (
                "whole calls with one id under two indexes",
                json!([
                    piece(json!(0), json!("x"), json!("read"), json!("{\"a\":1}")),
                    piece(json!(1), json!("x"), json!("list"), json!("{\"b\":2}"))
                ]),
                &two,
            ),
            (
                "interleaved by id alone",
                json!([
                    piece(none(), json!("x"), json!("read"), json!("")),
                    piece(none(), json!("y"), json!("list"), json!("")),
                    piece(none(), json!("x"), none(), json!("{\"a\":1}")),
                    piece(none(), json!("y"), none(), json!("{\"b\":2}")),
                ]),
                &two,
            ),
            (
                "a new index with neither id nor name",
                json!([
                    piece(json!(0), json!("x"), json!("read"), json!("{\"a\"")),
                    piece(json!(1), none(), none(), json!(":1}"))
                ]),
                &two[..1],
            ),
            (
                "a piece that says nothing",
                json!([
                    piece(json!(0), json!(""), json!(""), json!("")),
                    piece(json!(0), json!("x"), json!("read"), json!("{\"a\":1}")),
                    piece(json!(3), none(), none(), json!(""))
                ]),
                &two[..1],
            ),
            (
                "without the wrapping",
                json!([{"id": "x", "name": "read", "arguments": {"a": 1}}, {"id": "y", "name": "list", "arguments": "{\"b\":2}"}]),
                &two,
            ),
            (
                "the same piece once more",
                json!([
                    piece(json!(0), json!("x"), json!("read"), json!("{\"a\":1}")),
                    piece(json!(0), json!("x"), json!("read"), json!(""))
                ]),
                &two[..1],
            ),
        ] {
            let got = calls(pieces);
            let said: Vec<_> = got.iter().map(|(_, name, arguments)| (name.as_str(), arguments.as_str())).collect();
            assert_eq!(said, expected, "{case}");
            let mut ids: Vec<_> = got.iter().map(|(id, ..)| id.as_str()).collect();
            ids.sort_unstable();
            ids.dedup();
            assert!(ids.len() == got.len() && ids.iter().all(|id| !id.is_empty()), "{case}: {ids:?}");
        }
    }

    #[test]
    fn an_emoji_cut_over_two_pieces_is_whole() {
        let pieces: [&str; 2] = [
            r#"{"index":0,"id":"a","function":{"name":"say","arguments":"{\"t\":\"\ud83d"}}"#,
            r#"{"index":0,"function":{"arguments":"\ude00\"}"}}"#,
        ];
        let (mut calls, mut events) = (Calls::default(), Vec::new());
        for piece in pieces {
            let piece: &RawValue = serde_json::from_str(piece).unwrap();
            calls.add(&Piece::of(piece).unwrap(), &mut events);
        }
        assert_eq!(calls.0[0].arguments, "{\"t\":\"😀\"}");
    }
}
