//! JSON of others on its way to a type of ours, in bodies and in messages of a WebSocket.
//!
//! ```text
//!  bytes ─▶ UTF-8 ─▶ every reader keeps it (domain::i_json) ─▶ the type ─▶ objects where objects belong ─▶ handler
//!             └──────────────┴────────────────────────────────────┴──────────────┴──▶ 400 with the place
//! ```

use crate::problem::{Failure, Result};
use domain::{
    ErrorCode,
    i_json::{self, Flaw, escaped},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{from_str, value::RawValue};
use serde_path_to_error::Segment;
use std::{collections::BTreeMap, fmt::Write as _};

/// The value in a body or a message.
///
/// # Errors
/// With the place: what is no JSON, what not every reader would keep as it is, and what does not fit the type.
pub fn parse<T: DeserializeOwned + Serialize>(body: &[u8]) -> Result<T> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Failure::new(
            ErrorCode::InvalidJson,
            format!("The body is not UTF-8: it breaks at byte {}.", error.valid_up_to()),
        )
    })?;
    i_json::check_text(text).map_err(|Flaw { pointer, problem }| Failure::field(pointer, problem.to_string()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let parent = pointer(error.path());
        let error = error.into_inner();
        match error.classify() {
            serde_json::error::Category::Data => {
                let message = error.to_string();
                Failure::field(parent + &named_field(&message), message)
            }
            _ => not_json(&error),
        }
    })?;
    deserializer.end().map_err(|error| not_json(&error))?;
    check_objects(text, &value)?;
    Ok(value)
}

/// Refuses an array that was taken for an object: serde fills a struct from one in the order of its fields, and `[]` would be
/// whatever the fields default to. Nothing on the way to a type sees it where a tag comes after what it tags; but a struct
/// is written as an object, so the value that was made shows where one belongs.
fn check_objects<T: Serialize>(text: &str, made: &T) -> Result<()> {
    if !text.contains('[') {
        return Ok(());
    }
    let made = serde_json::to_string(made).map_err(Failure::internal)?;
    match array_for_object(text, &made).map_err(|error| not_json(&error))? {
        None => Ok(()),
        Some(pointer) => Err(Failure::field(pointer, "is an array; an object with named fields belongs here")),
    }
}

/// Where it stands. A field that is left out when it says nothing is no struct. Only what has arrays is taken apart: a batch of
/// events has thousands of values and a single array.
fn array_for_object(sent: &str, made: &str) -> serde_json::Result<Option<String>> {
    if !sent.contains('[') {
        return Ok(None);
    }
    match (sent.trim_start().as_bytes().first(), made.as_bytes().first()) {
        (Some(b'['), Some(b'{')) => return Ok(Some(String::new())),
        (Some(b'['), Some(b'[')) => {
            let (sent, made): (Vec<&RawValue>, Vec<&RawValue>) = (from_str(sent)?, from_str(made)?);
            for (index, (sent, made)) in sent.iter().zip(made).enumerate() {
                if let Some(below) = array_for_object(sent.get(), made.get())? {
                    return Ok(Some(format!("/{index}{below}")));
                }
            }
        }
        (Some(b'{'), Some(b'{')) => {
            let (sent, made): (Members<'_>, Members<'_>) = (from_str(sent)?, from_str(made)?);
            for (name, sent) in sent {
                if let Some(made) = made.get(&name)
                    && let Some(below) = array_for_object(sent.get(), made.get())?
                {
                    return Ok(Some(format!("/{}{below}", escaped(&name))));
                }
            }
        }
        _ => {}
    }
    Ok(None)
}

/// The members of an object, none of them parsed.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Of fields that are missing or there twice, only the message knows the name.
fn named_field(message: &str) -> String {
    let name = ["missing field `", "duplicate field `"].iter().find_map(|start| message.strip_prefix(start));
    name.and_then(|rest| rest.split('`').next()).map_or_else(String::new, |name| format!("/{}", escaped(name)))
}

fn not_json(error: &serde_json::Error) -> Failure {
    Failure::new(ErrorCode::InvalidJson, format!("The body is not JSON: {error}."))
}

/// RFC 6901.
pub fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        // Writing to a String cannot fail.
        let _ = match segment {
            Segment::Seq { index } => write!(pointer, "/{index}"),
            Segment::Map { key } => write!(pointer, "/{}", escaped(key)),
            Segment::Enum { variant } => write!(pointer, "/{variant}"),
            Segment::Unknown => Ok(()),
        };
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use protocol::{AppendEvents, ClientMessage, CreateJob, CreateToken, FinishJob, KeyPolicy, RequestApproval};

    fn refusal(body: &[u8]) -> (ErrorCode, String) {
        let failure = parse::<CreateJob>(body).unwrap_err();
        (failure.code, failure.errors.first().map(|error| error.pointer.clone()).unwrap_or_default())
    }

    #[test]
    fn mistakes_are_pointed_at() {
        assert_eq!(
            refusal(br#"{"kind":"ask","task":"x","limits":{"steps":-1}}"#),
            (ErrorCode::InvalidRequest, "/limits/steps".into())
        );
        assert_eq!(refusal(br#"{"kind":"ask","task":"x","colour":1}"#), (ErrorCode::InvalidRequest, "/colour".into()));
        assert_eq!(refusal(br#"{"kind":"ask","task":"x","task":"y"}"#), (ErrorCode::InvalidRequest, "/task".into()));
        assert_eq!(refusal(br#"{"kind":"ask"}"#), (ErrorCode::InvalidRequest, "/task".into()));
        assert_eq!(refusal(br#"{"kind":"sing","task":"x"}"#), (ErrorCode::InvalidRequest, "/kind".into()));
    }

    #[test]
    fn what_is_not_json_says_so() {
        for body in
            [&b"{"[..], b"", b"nul", b"{\"kind\":\"ask\",\"task\":\"\xff\"}", b"{\"kind\":\"ask\",\"task\":\"x\"} {}"]
        {
            assert_eq!(refusal(body).0, ErrorCode::InvalidJson, "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn ten_thousand_levels_are_refused_and_not_recursed_into() {
        let deep = format!(
            r#"{{"epoch":"5f0c21ab","attempt":1,"producer_seq":1,"events":[{{"type":"tool.started","payload":{{"call_id":"1","tool":"run","arguments":{}1{}}}}}]}}"#,
            "[".repeat(10_000),
            "]".repeat(10_000)
        );
        let failure = parse::<AppendEvents>(deep.as_bytes()).unwrap_err();
        assert_eq!(failure.code, ErrorCode::InvalidRequest, "{}", failure.detail);
        assert!(failure.errors[0].pointer.starts_with("/events/0/payload/arguments/0/0"), "{}", failure.detail);
    }

    #[test]
    fn only_objects_are_objects_however_a_type_is_tagged() {
        fn refused<T: DeserializeOwned + Serialize>(body: &str) -> Option<String> {
            let failure = parse::<T>(body.as_bytes()).err()?;
            assert_eq!(failure.code, ErrorCode::InvalidRequest, "{body}: {}", failure.detail);
            Some(failure.errors.first().unwrap_or_else(|| panic!("{body}: {}", failure.detail)).pointer.clone())
        }
        let at = |pointer: &str| Some(pointer.to_owned());
        assert_eq!(refused::<KeyPolicy>("[]"), at(""));
        assert_eq!(refused::<KeyPolicy>(r#"{"models":[]}"#), None);
        assert_eq!(refused::<CreateToken>(r#"{"name":"a","scope":"model","policy":[]}"#), at("/policy"));
        assert_eq!(refused::<CreateJob>(r#"{"kind":"ask","task":"x","limits":[]}"#), at("/limits"));
        assert_eq!(
            refused::<CreateJob>(r#"{"kind":"code","task":"x","repository":["/srv/x",null]}"#),
            at("/repository")
        );
        // Tagged inside: the rest is kept until the tag is known.
        let outcome = |result: &str| {
            format!(r#"{{"epoch":"5f0c21ab","attempt":1,"outcome":{{"result":{result},"state":"succeeded"}}}}"#)
        };
        assert_eq!(refused::<FinishJob>(&outcome("{}")), None);
        assert_eq!(refused::<FinishJob>(&outcome("[]")), at("/outcome/result"));
        assert_eq!(
            refused::<FinishJob>(r#"{"epoch":"5f0c21ab","attempt":1,"outcome":["cancelled",{}]}"#),
            at("/outcome")
        );
        assert_eq!(refused::<ClientMessage>(r#"["unsubscribe","jobs"]"#), at(""));
        assert_eq!(refused::<ClientMessage>(r#"["unsubscribe",{"topic":"jobs"}]"#), at(""));
        // Tagged beside, with the tag first and last.
        let events = |event: &str| format!(r#"{{"epoch":"5f0c21ab","attempt":1,"producer_seq":1,"events":[{event}]}}"#);
        let (note, first, last) = (
            r#"{"type":"agent.note","payload":{"message":"x"}}"#,
            r#"{"type":"agent.note","payload":["x"]}"#,
            r#"{"payload":["x"],"type":"agent.note"}"#,
        );
        assert_eq!(refused::<AppendEvents>(&events(note)), None);
        assert_eq!(refused::<AppendEvents>(&events(first)), at("/events/0/payload"));
        // Here serde itself takes only an object, and does not say where.
        assert_eq!(refused::<AppendEvents>(&events(&format!("{note},{last}"))), at("/events/1"));
        assert_eq!(refused::<AppendEvents>(&events(r#"["agent.note",{"message":"x"}]"#)), at("/events/0"));
    }

    #[test]
    fn what_some_reader_would_change_is_pointed_at() {
        let refused = |arguments: &str| {
            let body =
                format!(r#"{{"epoch":"5f0c21ab","attempt":1,"call_id":"c","tool":"run","arguments":{arguments}}}"#);
            let failure = parse::<RequestApproval>(body.as_bytes()).unwrap_err();
            (failure.code, failure.errors[0].pointer.clone(), failure.detail)
        };
        let (code, pointer, detail) = refused(r#"{"amounts":[1,9007199254740993]}"#);
        assert_eq!((code, pointer.as_str()), (ErrorCode::InvalidRequest, "/arguments/amounts/1"));
        assert!(detail.contains("is 9007199254740993;") && detail.contains("as a string"), "{detail}");
        let (code, pointer, detail) = refused(r#"{"command":"safe","command":"rm -rf /"}"#);
        assert_eq!((code, pointer.as_str()), (ErrorCode::InvalidRequest, "/arguments/command"), "{detail}");
        let (code, pointer, _) = refused(&format!("{}{}", "[".repeat(64), "]".repeat(64)));
        assert_eq!((code, pointer), (ErrorCode::InvalidRequest, format!("/arguments{}", "/0".repeat(63))));
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<CreateJob>(&body);
        }
    }
}
