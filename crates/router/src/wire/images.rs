//! Whether a prompt shows an image: looked for where a message, a tool's result or an input item has its content, and nowhere
//! else. A tool's schema and a call's arguments may use the same words for anything.

use crate::json_object::Fields;
use serde_json::value::RawValue;

/// Fields that hold what a model is shown: of messages and blocks, of results and their items, of what servers drew, and of
/// documents made of blocks.
const SHOWN: [&str; 4] = ["content", "output", "images", "source"];
/// A block in a document in a tool's result in a message lies 11 deep. Each level is read again, so there is an end.
const DEPTH: u32 = 16;

/// `kinds`: the `type`s that blocks of an image have.
pub(crate) fn shown(prompt: &RawValue, kinds: &[&str]) -> bool {
    // Most prompts have no such word, and are read no further.
    let may = kinds.iter().any(|kind| prompt.get().contains(&format!("\"{kind}\"")));
    may && lies_in(prompt, kinds, DEPTH)
}

fn lies_in(value: &RawValue, kinds: &[&str], depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match value.get().as_bytes().first() {
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
            items.iter().any(|item| lies_in(item, kinds, depth))
        }
        Some(b'{') => {
            let Ok(fields) = Fields::of(value.get().as_bytes()) else { return false };
            let kind: Option<String> = fields.read("type");
            kind.is_some_and(|kind| kinds.contains(&kind.as_str()))
                || SHOWN.iter().filter_map(|name| fields.get(name)).any(|shown| lies_in(shown, kinds, depth))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::dialect::Dialect;
    use bytes::Bytes;
    use serde_json::{Value, json};

    const DIALECTS: [Dialect; 4] =
        [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::Anthropic, Dialect::OllamaChat];

    fn has_images(dialect: Dialect, body: &Value) -> bool {
        dialect.peek(&Bytes::from(body.to_string())).unwrap().has_images
    }

    #[test]
    fn what_a_model_is_shown_counts() {
        let chat = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}});
        let input = json!({"type": "input_image", "image_url": "data:image/png;base64,AA"});
        let block = json!({"type": "image", "source": {"type": "url", "url": "https://a/b.png"}});
        let screen = json!({"type": "computer_screenshot", "image_url": "data:image/png;base64,AA"});
        let document = json!({"type": "document", "source": {"type": "content", "content": [block]}});
        let (user, tool) = ("user", "tool");
        for (what, dialect, shown) in [
            ("a part", Dialect::OpenAiChat, json!({"role": user, "content": [{"type": "text", "text": "?"}, chat]})),
            ("a result", Dialect::OpenAiChat, json!({"role": tool, "tool_call_id": "c", "content": [chat]})),
            ("one drawn", Dialect::OpenAiChat, json!({"role": "assistant", "content": "", "images": [chat]})),
            ("an item", Dialect::OpenAiResponses, json!({"role": user, "content": [input]})),
            (
                "a result",
                Dialect::OpenAiResponses,
                json!({"type": "function_call_output", "call_id": "c", "output": [input]}),
            ),
            (
                "a screen",
                Dialect::OpenAiResponses,
                json!({"type": "computer_call_output", "call_id": "c", "output": screen}),
            ),
            ("a block", Dialect::Anthropic, json!({"role": user, "content": [block]})),
            (
                "a result",
                Dialect::Anthropic,
                json!({"role": user, "content": [{"type": "tool_result", "tool_use_id": "t", "content": [block]}]}),
            ),
            (
                "a document's in a result",
                Dialect::Anthropic,
                json!({"role": user, "content": [{"type": "tool_result", "tool_use_id": "t", "content": [document]}]}),
            ),
            ("an image", Dialect::OllamaChat, json!({"role": user, "content": "?", "images": ["aGk="]})),
            ("a result", Dialect::OllamaChat, json!({"role": tool, "content": "", "images": ["aGk="]})),
        ] {
            let list = if dialect == Dialect::OpenAiResponses { "input" } else { "messages" };
            let body = json!({"model": "m", list: [{"role": "user", "content": "Look."}, shown]});
            assert!(has_images(dialect, &body), "{what} in {dialect:?}");
        }
    }

    #[test]
    fn the_same_words_elsewhere_are_no_image() {
        let words = ["image", "images", "image_url", "input_image", "computer_screenshot"];
        let schema = |word: &str| json!({"type": "object", "properties": {word: {"type": "string", "enum": [word]}, "type": {"const": word}}});
        for word in words {
            // As arguments may look: even like a whole message with an image in it.
            let said = json!({word: "nginx:1", "type": word, "content": [{"type": word, word: ["nginx:1"]}]});
            let text = format!("the \"{word}\" of {said}");
            for dialect in DIALECTS {
                let (tool, called) = match dialect {
                    Dialect::OpenAiResponses => (
                        json!({"type": "function", "name": "f", "parameters": schema(word)}),
                        json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": said.to_string()}),
                    ),
                    Dialect::Anthropic => (
                        json!({"name": "f", "input_schema": schema(word)}),
                        json!({"role": "assistant", "content": [
                            {"type": "tool_use", "id": "t", "name": "f", "input": said}]}),
                    ),
                    Dialect::OllamaChat => (
                        json!({"type": "function", "function": {"name": "f", "parameters": schema(word)}}),
                        json!({"role": "assistant", "content": "", "tool_calls": [
                            {"function": {"name": "f", "arguments": said}}]}),
                    ),
                    _ => (
                        json!({"type": "function", "function": {"name": "f", "parameters": schema(word)}}),
                        json!({"role": "assistant", "content": null, "tool_calls": [
                            {"id": "c", "type": "function", "function": {"name": "f", "arguments": said.to_string()}}]}),
                    ),
                };
                let list = if dialect == Dialect::OpenAiResponses { "input" } else { "messages" };
                let body = json!({"model": "m", list: [{"role": "user", "content": text}, called], "tools": [tool]});
                assert!(!has_images(dialect, &body), "{word} in {dialect:?}");
            }
        }
    }

    #[test]
    fn content_without_end_is_read_to_some_depth() {
        let depth = 100;
        let body = format!(
            r#"{{"model":"m","messages":[{}{{"type":"image"}}{}]}}"#,
            r#"{"content":"#.repeat(depth),
            "}".repeat(depth)
        );
        assert!(!Dialect::Anthropic.peek(&Bytes::from(body)).unwrap().has_images);
    }
}
