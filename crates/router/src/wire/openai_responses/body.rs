//! The body of `POST /responses`, from a conversation: the server keeps nothing of it.

use crate::wire::{
    effort::Efforts,
    openai::provider::Dressing,
    openai_chat::body::{image_url, images, is_strict, plain_number, result_text, texts},
};
use crate::{
    Conversation, Field,
    conversation::{Document, Format, Image, Message, Part, Thinking, ToolChoice},
};
use protocol::{Location, Role};
use serde_json::{Value, json};

/// What this API has no field for.
pub(crate) fn unknown(location: Location, efforts: &Efforts, conversation: &Conversation) -> Vec<Field> {
    let mut unknown = vec![Field::TopK, Field::FrequencyPenalty, Field::PresencePenalty, Field::Seed, Field::Stop];
    let is_told = matches!(&conversation.thinking, Thinking::Effort(effort) if efforts.nearest(effort).is_some());
    unknown.extend((!is_told).then_some(Field::Thinking));
    unknown.extend((location == Location::Local).then_some(Field::User));
    unknown
}

pub(crate) fn body(conversation: &Conversation, dressing: &Dressing<'_>) -> Value {
    let leading = conversation.messages.iter().take_while(|message| message.role == Role::System).count();
    let (system, rest) = conversation.messages.split_at(leading);
    let mut body = json!({"model": dressing.model, "input": input(rest), "stream": true, "store": false});
    if !system.is_empty() {
        let texts: Vec<&str> = system.iter().flat_map(|message| texts(&message.parts)).collect();
        body["instructions"] = json!(texts.join("\n\n"));
    }
    if !conversation.tools.is_empty() {
        let tools = conversation.tools.iter().map(|tool| {
            json!({
                "type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters,
                // Here it is the default, and refused for schemas outside the strict subset.
                "strict": tool.strict.unwrap_or(false),
            })
        });
        body["tools"] = tools.collect();
        match &conversation.tool_choice {
            ToolChoice::Auto => {}
            ToolChoice::None => body["tool_choice"] = json!("none"),
            ToolChoice::Required => body["tool_choice"] = json!("required"),
            ToolChoice::Named(name) => body["tool_choice"] = json!({"type": "function", "name": name}),
        }
        if let Some(parallel) = conversation.parallel_tool_calls {
            body["parallel_tool_calls"] = json!(parallel);
        }
    }
    match &conversation.format {
        Format::Text | Format::Grammar(_) => {}
        Format::Json => body["text"] = json!({"format": {"type": "json_object"}}),
        Format::Schema { name, schema, strict } => {
            let strict = strict.unwrap_or_else(|| is_strict(schema));
            body["text"] = json!({"format": {"type": "json_schema", "name": name, "schema": schema, "strict": strict}});
        }
    }
    let user = conversation.user.as_deref().filter(|_| dressing.location == Location::Cloud);
    let optional = [
        ("max_output_tokens", conversation.max_output_tokens.map(Value::from)),
        ("temperature", conversation.temperature.map(plain_number)),
        ("top_p", conversation.top_p.map(plain_number)),
        ("user", user.map(Value::from)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    if let Thinking::Effort(effort) = &conversation.thinking
        && let Some(effort) = dressing.efforts.nearest(effort)
    {
        body["reasoning"] = json!({"effort": effort, "summary": "auto"});
    }
    body
}

fn input(messages: &[Message]) -> Vec<Value> {
    let mut input = Vec::with_capacity(messages.len());
    let mut shown: Vec<Value> = Vec::new();
    for message in messages {
        for part in &message.parts {
            if let Part::ToolResult { call_id, parts, is_error } = part {
                let output = result_text(parts, *is_error);
                input.push(json!({"type": "function_call_output", "call_id": call_id, "output": output}));
                shown.extend(images(parts).map(image));
                shown.extend(parts.iter().filter_map(document));
            }
        }
        if message.role == Role::Tool {
            continue;
        }
        if !shown.is_empty() {
            input.push(json!({"type": "message", "role": "user", "content": std::mem::take(&mut shown)}));
        }
        let text_type = if message.role == Role::Assistant { "output_text" } else { "input_text" };
        let content = message.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(json!({"type": text_type, "text": text})),
            Part::Image(shown) if message.role != Role::Assistant => Some(image(shown)),
            part => document(part),
        });
        let content: Vec<Value> = content.collect();
        if !content.is_empty() {
            input.push(json!({"type": "message", "role": message.role.as_str(), "content": content}));
        }
        for part in &message.parts {
            if let Part::ToolCall { id, name, arguments } = part {
                input.push(json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments}));
            }
        }
    }
    if !shown.is_empty() {
        input.push(json!({"type": "message", "role": "user", "content": shown}));
    }
    input
}

fn document(part: &Part) -> Option<Value> {
    let Part::Document { name, media_type, content } = part else { return None };
    Some(match content {
        Document::Text(text) => json!({"type": "input_text", "text": text}),
        Document::Url(url) => json!({"type": "input_file", "file_url": url}),
        Document::Base64(data) => json!({
            "type": "input_file",
            "filename": name.as_deref().unwrap_or("document"),
            "file_data": format!("data:{media_type};base64,{data}"),
        }),
    })
}

fn image(image: &Image) -> Value {
    json!({"type": "input_image", "image_url": image_url(image)})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        conversation::Tool,
        providers::openai::{OutputLimit, Prefill},
    };

    const DRESSING: Dressing<'_> = Dressing {
        provider: "p",
        model: "gpt",
        location: Location::Cloud,
        output_limit: OutputLimit::MaxTokens,
        prefill: Prefill::None,
        efforts: &Efforts::COMMON,
    };

    #[test]
    fn how_much_to_think_is_said_in_words_every_server_knows() {
        for (asked, told) in [("minimal", "low"), ("high", "high"), ("xhigh", "high"), ("max", "high")] {
            let thinking = Thinking::Effort(asked.to_owned());
            let conversation = Conversation { thinking, ..Conversation::default() };
            assert_eq!(body(&conversation, &DRESSING)["reasoning"]["effort"], told, "{asked}");
        }
    }

    #[test]
    fn a_conversation_in_items() {
        let call = Part::ToolCall { id: "a".to_owned(), name: "shell".to_owned(), arguments: "{}".to_owned() };
        let picture = Part::Image(Image::Url("https://example.invalid/a.png".to_owned()));
        let parts = vec![Part::Text("done".to_owned()), picture.clone()];
        let result = Part::ToolResult { call_id: "a".to_owned(), parts, is_error: false };
        let conversation = Conversation {
            messages: vec![
                Message::text(Role::System, "Be brief."),
                Message { role: Role::User, parts: vec![Part::Text("Look.".to_owned()), picture] },
                Message { role: Role::Assistant, parts: vec![Part::Text("So:".to_owned()), call] },
                Message { role: Role::Tool, parts: vec![result] },
            ],
            tools: vec![Tool {
                name: "shell".to_owned(),
                description: "Runs.".to_owned(),
                parameters: json!({"type": "object"}),
                strict: None,
            }],
            tool_choice: ToolChoice::Named("shell".to_owned()),
            format: Format::Schema { name: "n".to_owned(), schema: json!({"type": "string"}), strict: None },
            thinking: Thinking::Effort("low".to_owned()),
            max_output_tokens: Some(9),
            ..Conversation::default()
        };
        let url = "https://example.invalid/a.png";
        let expected = json!({
            "model": "gpt", "stream": true, "store": false, "instructions": "Be brief.", "max_output_tokens": 9,
            "input": [
                {"type": "message", "role": "user", "content": [
                    {"type": "input_text", "text": "Look."}, {"type": "input_image", "image_url": url}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "So:"}]},
                {"type": "function_call", "call_id": "a", "name": "shell", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "a", "output": "done"},
                {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": url}]},
            ],
            "tools": [{"type": "function", "name": "shell", "description": "Runs.",
                       "parameters": {"type": "object"}, "strict": false}],
            "tool_choice": {"type": "function", "name": "shell"},
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "string"}, "strict": true}},
            "reasoning": {"effort": "low", "summary": "auto"},
        });
        assert_eq!(body(&conversation, &DRESSING), expected);
    }
}
