//! The conversation as messages for a model. Roles always take turns, because many chat templates insist on it.

use super::{
    Conversation, check,
    turn::{Refusal, Turn},
};
use crate::{
    answer,
    prompt::{self, Dialect},
    tool::Action,
};
use protocol::{ChatMessage, Role, ToolCall};

/// Steps below which a model is told how many it has left. Told always, it would only be noise.
const FEW_STEPS: u32 = 5;

impl Conversation {
    /// Everything said so far; ends with what the model has to answer to.
    pub(crate) fn messages(&self, steps_left: Option<u32>) -> Vec<ChatMessage> {
        let mut messages = vec![
            ChatMessage::new(Role::System, prompt::code_rules(self.dialect(), self.offered())),
            ChatMessage::new(Role::User, self.opening.text()),
        ];
        if let (Some(told), Some(task)) = (&self.told_first, messages.last_mut()) {
            check::append(&mut task.content, told);
        }
        for turn in &self.turns {
            match (self.dialect(), turn.native.is_empty()) {
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
        if let (Some(steps), Some(last)) = (steps_left.filter(|steps| *steps <= FEW_STEPS), messages.last_mut()) {
            last.content.push_str(&prompt::steps_left(steps));
        }
        messages
    }

    fn native_turn(&self, turn: &Turn, messages: &mut Vec<ChatMessage>) {
        let calls = turn.native.iter().cloned().map(|call| match turn.is_compact {
            true => compact_call(turn, call),
            false => call,
        });
        let content = if turn.is_compact { String::new() } else { shown(&turn.content) };
        messages.push(ChatMessage { tool_calls: calls.collect(), ..ChatMessage::new(Role::Assistant, content) });
        for call in &turn.native {
            let result = self.refusal(turn).unwrap_or_else(|| result_of(turn, &call.id));
            messages.push(ChatMessage { tool_call_id: Some(call.id.clone()), ..ChatMessage::new(Role::Tool, result) });
        }
    }

    fn translated_turn(&self, turn: &Turn, messages: &mut Vec<ChatMessage>) {
        if let Some(refusal) = self.refusal(turn) {
            messages.push(ChatMessage::new(Role::Assistant, shown(&turn.content)));
            messages.push(ChatMessage::new(Role::User, refusal));
            return;
        }
        for state in &turn.calls {
            let action = if turn.is_compact { compact(&state.call.action) } else { state.call.action.clone() };
            messages.push(ChatMessage::new(Role::Assistant, prompt::as_text("", &action)));
            messages.push(ChatMessage::new(Role::User, result_of(turn, &state.call.id)));
        }
    }

    fn text_turn(&self, turn: &Turn, messages: &mut Vec<ChatMessage>) {
        let said = match turn.is_compact {
            is_compact if turn.calls.is_empty() && (is_compact || self.manner.gives_hints) => {
                prompt::UNUSABLE.to_owned()
            }
            false if self.manner.gives_hints && !turn.calls.is_empty() => {
                let calls = turn.calls.iter().map(|state| prompt::as_text("", &state.call.action));
                calls.collect::<Vec<_>>().join("\n\n")
            }
            false => shown(&turn.content),
            true => {
                let calls = turn.calls.iter().map(|state| prompt::as_text("", &compact(&state.call.action)));
                calls.collect::<Vec<_>>().join("\n\n")
            }
        };
        messages.push(ChatMessage::new(Role::Assistant, said));
        let mut reply = match (self.refusal(turn), &turn.calls[..]) {
            (Some(refusal), _) => refusal,
            (None, [state]) => result_of(turn, &state.call.id),
            (None, calls) => {
                let results = calls.iter().enumerate().map(|(index, state)| {
                    let tool = state.call.action.tool().as_str();
                    format!("Call {}, {tool}:\n{}", index + 1, result_of(turn, &state.call.id).trim_end())
                });
                results.collect::<Vec<_>>().join("\n\n")
            }
        };
        if let Some(reason) = &turn.left_out {
            reply.truncate(reply.trim_end().len());
            reply.push_str(&format!("\n\nThe rest of your answer was not done: {reason}."));
        }
        messages.push(ChatMessage::new(Role::User, reply));
    }

    fn refusal(&self, turn: &Turn) -> Option<String> {
        Some(match turn.refused.as_ref()? {
            Refusal::Malformed(reason) => prompt::malformed(self.dialect(), reason),
            Refusal::OnlyWords => prompt::only_words(self.dialect()),
        })
    }
}

/// What a model said, without the thoughts before it: they were for that turn alone, and cost as much as all the rest.
fn shown(content: &str) -> String {
    answer::without_reasoning(content).trim().to_owned()
}

fn result_of(turn: &Turn, call_id: &str) -> String {
    let state = turn.calls.iter().find(|state| state.call.id == call_id);
    state.and_then(|state| state.result.as_ref()).map(|result| result.text.clone()).unwrap_or_default()
}

/// An action without the text of files.
fn compact(action: &Action) -> Action {
    match action {
        Action::WriteFile { path, content } => {
            Action::WriteFile { path: path.clone(), content: prompt::left_out(content) }
        }
        Action::EditFile { path, old, new } => {
            Action::EditFile { path: path.clone(), old: prompt::left_out(old), new: prompt::left_out(new) }
        }
        other => other.clone(),
    }
}

fn compact_call(turn: &Turn, call: ToolCall) -> ToolCall {
    let state = turn.calls.iter().find(|state| state.call.id == call.id);
    match state {
        Some(state) => ToolCall { arguments: compact(&state.call.action).arguments(), ..call },
        None => call,
    }
}
