//! System messages for servers whose templates take one, and only at the beginning.
//!
//! ```text
//!   system, system, user, system, assistant, tool, system  ──▶  system, user, assistant, tool, user
//!   those that lead: one                   later ones: a note in what the user says beside them
//! ```
//! Nothing stands between a call and its results, and no two messages of the user stand side by side for a note.

use crate::{
    Conversation,
    conversation::{Message, Part},
};
use protocol::Role;
use std::borrow::Cow;

const NOTE: &str = "[System note]\n";

/// The same conversation with its system messages where every template takes them.
pub(crate) fn at_the_beginning(conversation: &Conversation) -> Cow<'_, Conversation> {
    let messages = &conversation.messages;
    let leading = messages.iter().take_while(|message| message.role == Role::System).count();
    let is_strict = leading <= 1 && messages[leading..].iter().all(|message| message.role != Role::System);
    if is_strict {
        return Cow::Borrowed(conversation);
    }
    let mut folded = Conversation { messages: Vec::new(), ..conversation.clone() };
    let (first, rest) = messages.split_at(leading);
    if !first.is_empty() {
        let parts = first.iter().flat_map(|message| message.parts.iter().cloned()).collect();
        folded.messages.push(Message { role: Role::System, parts });
    }
    let mut notes: Vec<Part> = Vec::new();
    for message in rest {
        match message.role {
            Role::System => match folded.messages.last_mut().filter(|last| last.role == Role::User) {
                Some(said) if notes.is_empty() => said.parts.extend(message.parts.iter().map(note)),
                _ => notes.extend(message.parts.iter().map(note)),
            },
            Role::User => {
                let parts = notes.drain(..).chain(message.parts.iter().cloned()).collect();
                folded.messages.push(Message { role: Role::User, parts });
            }
            Role::Tool => folded.messages.push(message.clone()),
            Role::Assistant => {
                said(&mut folded.messages, &mut notes);
                folded.messages.push(message.clone());
            }
        }
    }
    said(&mut folded.messages, &mut notes);
    Cow::Owned(folded)
}

fn said(messages: &mut Vec<Message>, notes: &mut Vec<Part>) {
    if !notes.is_empty() {
        messages.push(Message { role: Role::User, parts: std::mem::take(notes) });
    }
}

fn note(part: &Part) -> Part {
    match part {
        Part::Text(text) => Part::Text(format!("{NOTE}{text}")),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(said: &[(Role, &str)]) -> Conversation {
        let messages = said.iter().map(|(role, text)| match role {
            Role::Tool => {
                let parts = vec![Part::Text((*text).to_owned())];
                let result = Part::ToolResult { call_id: "a".to_owned(), parts, is_error: false };
                Message { role: Role::Tool, parts: vec![result] }
            }
            role => Message::text(*role, *text),
        });
        Conversation { messages: messages.collect(), ..Conversation::default() }
    }

    fn told(conversation: &Conversation) -> String {
        let one = |message: &Message| {
            let texts = message.parts.iter().map(|part| match part {
                Part::Text(text) => text.replace(NOTE, "!"),
                _ => "result".to_owned(),
            });
            format!("{}={}", message.role.as_str(), texts.collect::<Vec<_>>().join("+"))
        };
        conversation.messages.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_template_that_takes_one_system_message_first_takes_every_conversation() {
        use Role::{Assistant, System, Tool, User};
        for (given, expected) in [
            (&[(System, "a"), (User, "x")][..], "system=a user=x"),
            (&[(System, "a"), (System, "b"), (User, "x")], "system=a+b user=x"),
            (&[(User, "x"), (System, "a")], "user=x+!a"),
            (&[(User, "x"), (Assistant, "y"), (System, "a"), (User, "z")], "user=x assistant=y user=!a+z"),
            (&[(User, "x"), (Assistant, "y"), (System, "a")], "user=x assistant=y user=!a"),
            (
                &[(User, "x"), (Assistant, "y"), (System, "a"), (Tool, "r"), (System, "b"), (Assistant, "z")],
                "user=x assistant=y tool=result user=!a+!b assistant=z",
            ),
        ] {
            assert_eq!(told(&at_the_beginning(&conversation(given))), expected, "{given:?}");
        }
    }
}
