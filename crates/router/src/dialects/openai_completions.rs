//! To be written.

use crate::{
    Conversation, Error,
    answer::Whole,
    dialect::{Encoder, Envelope, Peek},
};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

pub(crate) fn peek(_body: &Bytes) -> Result<Peek, Error> {
    todo!()
}

pub(crate) fn conversation(_body: &Bytes) -> Result<Conversation, Error> {
    todo!()
}

pub(crate) fn encoder(_envelope: Envelope) -> Box<dyn Encoder> {
    todo!()
}

pub(crate) fn whole(_envelope: &Envelope, _whole: &Whole) -> Value {
    todo!()
}

pub(crate) fn error(_error: &Error, _request_id: &str) -> (StatusCode, Value) {
    todo!()
}
