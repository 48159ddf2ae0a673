//! The conversation as messages for a model. Roles always take turns, because many chat templates insist on it.

use super::{Conversation, check, turn::Turn};
use crate::prompt::{self, Dialect};
use protocol::{ChatMessage, Role};

impl Conversation {
    /// Everything said so far; ends with what the model has to answer to.
    pub(crate) fn messages(&self) -> Vec<ChatMessage> {
        let mut messages = vec![
            ChatMessage::new(Role::System, prompt::code_rules(self.dialect, &self.offered)),
            ChatMessage::new(Role::User, self.task.clone()),
        ];
        if let (Some(told), Some(task)) = (&self.told_first, messages.last_mut()) {
            check::append(&mut task.content, told);
        }
        for turn in &self.turns {
            match (self.dialect, turn.native.is_empty()) {
                (Dialect::Native, false) => self.native_turn(turn, &mut messages),
                // A turn of a model that calls tools, shown to one that does not.
                (_, false) => self.translated_turn(turn, &mut messages),
                (_, true) => self.text_turn(turn, &mut messages),
            }
            if let Some(pattern) = turn.nudge
                && let Some(last) = messages.last_mut()
            {
                last.content.push_str("\n\n");
                last.content.push_str(&pattern.nudge());
            }
            if let (Some(told), Some(last)) = (&turn.told, messages.last_mut()) {
                check::append(&mut last.content, told);
            }
        }
        messages
    }

    fn native_turn(&self, turn: &Turn, messages: &mut Vec<ChatMessage>) {
        messages.push(ChatMessage {
            tool_calls: turn.native.clone(),
            ..ChatMessage::new(Role::Assistant, turn.content.clone())
        });
        for call in &turn.native {
            let result = match &turn.malformed {
                Some(reason) => prompt::malformed(self.dialect, &self.offered, reason),
                None => result_of(turn, &call.id),
            };
            messages.push(ChatMessage { tool_call_id: Some(call.id.clone()), ..ChatMessage::new(Role::Tool, result) });
        }
    }

    fn translated_turn(&self, turn: &Turn, messages: &mut Vec<ChatMessage>) {
        if let Some(reason) = &turn.malformed {
            messages.push(ChatMessage::new(Role::Assistant, turn.content.clone()));
            messages.push(ChatMessage::new(Role::User, prompt::malformed(self.dialect, &self.offered, reason)));
            return;
        }
        for state in &turn.calls {
            messages.push(ChatMessage::new(Role::Assistant, prompt::as_text(&state.call.action)));
            messages.push(ChatMessage::new(Role::User, result_of(turn, &state.call.id)));
        }
    }

    fn text_turn(&self, turn: &Turn, messages: &mut Vec<ChatMessage>) {
        messages.push(ChatMessage::new(Role::Assistant, turn.content.clone()));
        if let Some(bodiless) = &turn.bodiless {
            messages.push(ChatMessage::new(Role::User, prompt::body_request(bodiless)));
            return;
        }
        if let Some((bodiless, body)) = &turn.body {
            messages.push(ChatMessage::new(Role::User, prompt::body_request(bodiless)));
            messages.push(ChatMessage::new(Role::Assistant, body.clone()));
        }
        let reply = match (&turn.malformed, turn.calls.first()) {
            (Some(reason), _) => prompt::malformed(self.dialect, &self.offered, reason),
            (None, Some(state)) => result_of(turn, &state.call.id),
            (None, None) => return,
        };
        messages.push(ChatMessage::new(Role::User, reply));
    }
}

fn result_of(turn: &Turn, call_id: &str) -> String {
    let state = turn.calls.iter().find(|state| state.call.id == call_id);
    state.and_then(|state| state.result.as_ref()).map(|result| result.text.clone()).unwrap_or_default()
}
