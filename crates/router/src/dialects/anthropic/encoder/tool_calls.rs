//! Tool calls that are made side by side, for a dialect that has one after the other.

use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::{collections::VecDeque, vec};

/// In the order in which they began. Bounded by what a provider may say in one answer.
#[derive(Default)]
pub(super) struct Waiting(VecDeque<Call>);

pub(super) struct Call {
    pub(super) index: usize,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn begin(&mut self, index: usize, id: String, name: String) {
        self.0.push_back(Call { index, id, name, arguments: String::new() });
    }

    /// What comes for a call that was closed is for nobody.
    pub(super) fn arguments(&mut self, index: usize, fragment: &str) {
        if let Some(call) = self.0.iter_mut().rev().find(|call| call.index == index) {
            call.arguments.push_str(fragment);
        }
    }

    /// The calls that can be written now: all that are complete, and the one after them.
    pub(super) fn take(&mut self) -> vec::IntoIter<Call> {
        let complete = self.0.iter().take_while(|call| complete(&call.arguments)).count();
        let count = (complete + 1).min(self.0.len());
        self.0.drain(..count).collect::<Vec<_>>().into_iter()
    }
}

/// Whether nothing more can come.
pub(super) fn complete(arguments: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(arguments).is_ok()
}

pub(super) fn block(id: &str, name: &str) -> Value {
    json!({ "type": "tool_use", "id": id, "name": name, "input": {} })
}
