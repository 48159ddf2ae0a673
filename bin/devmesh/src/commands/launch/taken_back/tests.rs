//! Settings before devmesh, with it, and with what others wrote since.

use super::*;

fn back(tool: Tool, original: Option<&str>, written: &str, now: &str) -> Option<String> {
    let [text, written] = [original, Some(written)].map(|text| text.map(str::to_owned));
    taken_back(tool, &Copy { file: "/h/s".into(), text, mode: None, written }, Some(now)).unwrap()
}

#[test]
fn what_others_wrote_since_stays() {
    let codex = "model = \"code\"\nmodel_context_window = 5\n\n[model_providers.devmesh]\nname = \"devmesh\"\n";
    let claude = "{\n  \"model\": \"code\",\n  \"env\": {\n    \"ANTHROPIC_MODEL\": \"code\"\n  }\n}\n";
    let aider = "dark-mode: true # eyes\nmodel: openai/code\nopenai-api-key: dm_x\nshow-model-warnings: false\n";
    let listed = "models:\n  - name: devmesh\n    model: code\n  - name: big\n    provider: mistral\n";
    let begun = "name: Local\nversion: 1.0.0\nschema: v1\nmodels:\n  - name: devmesh\n    model: code\n";
    let qwen = r#"{"modelProviders": {"openai": [{"id": "big", "name": "big"}, {"id": "code", "name": "devmesh"}]}}"#;
    let cline = r#"{"version": 1, "modes": {}, "providers": {"openai-compatible": {"settings": {"model": "code"}}}}"#;
    for (tool, original, written, now, left) in [
        // Trust in a folder, and a setting of the user's back in its place.
        (
            Tool::Codex,
            Some("model = \"big\" # mine\n"),
            codex,
            format!("{codex}\n[projects.\"/tmp/x\"]\ntrust_level = \"trusted\"\n"),
            Some("model = \"big\"\n\n[projects.\"/tmp/x\"]\ntrust_level = \"trusted\"\n"),
        ),
        (
            Tool::Codex,
            None,
            codex,
            format!("{codex}\n[projects.\"/tmp/x\"]\ntrust_level = \"trusted\"\n"),
            Some("\n[projects.\"/tmp/x\"]\ntrust_level = \"trusted\"\n"),
        ),
        // Written anew by the tool, in another order.
        (
            Tool::Claude,
            Some("{\"env\": {\"MINE\": \"1\", \"ANTHROPIC_MODEL\": \"opus\"}}"),
            "{\"env\": {\"MINE\": \"1\", \"ANTHROPIC_MODEL\": \"code\"}, \"model\": \"code\"}",
            "{\"theme\": \"dark\", \"model\": \"code\", \"env\": {\"ANTHROPIC_MODEL\": \"code\", \"MINE\": \"2\"}}"
                .to_owned(),
            Some("{\"theme\": \"dark\", \"env\": {\"ANTHROPIC_MODEL\": \"opus\", \"MINE\": \"2\"}}\n"),
        ),
        (
            Tool::Claude,
            None,
            claude,
            claude.replace("{\n  \"model\"", "{\n  \"theme\": \"dark\",\n  \"model\""),
            Some("{\n  \"theme\": \"dark\"\n}\n"),
        ),
        // What was decided since is nobody's to take back.
        (
            Tool::Claude,
            None,
            claude,
            claude.replace("\"model\": \"code\"", "\"model\": \"opus\""),
            Some("{\n  \"model\": \"opus\"\n}\n"),
        ),
        (Tool::Claude, None, claude, claude.replace('\n', ""), None),
        // What launch took out comes back.
        (
            Tool::Claude,
            Some("{\"apiKeyHelper\": \"mine\"}"),
            "{\"model\": \"code\"}",
            "{\"model\": \"code\", \"theme\": \"dark\"}".to_owned(),
            Some("{\n  \"theme\": \"dark\",\n  \"apiKeyHelper\": \"mine\"\n}\n"),
        ),
        (
            Tool::Qwen,
            Some(r#"{"modelProviders": {"openai": [{"id": "big", "name": "big"}]}}"#),
            qwen,
            qwen.replace("\"id\": \"code\"", "\"id\": \"other\"").replace("{\"modelP", "{\"ui\": 1, \"modelP"),
            Some(
                "{\"ui\": 1, \"modelProviders\": {\"openai\": [\n      {\n        \"id\": \"big\",\n        \"name\": \"big\"\n      }\n    ]}}\n",
            ),
        ),
        // Without its frame the tool would drop the whole file.
        (
            Tool::Cline,
            None,
            cline,
            cline.replace("\"providers\": {", "\"providers\": {\"mine\": {}, "),
            Some("{\"version\": 1, \"modes\": {}, \"providers\": {\"mine\": {}}}\n"),
        ),
        (
            Tool::Aider,
            Some("dark-mode: true # eyes\nmodel: gpt-4o\n"),
            aider,
            format!("{aider}vim: true\n"),
            Some("dark-mode: true # eyes\nmodel: gpt-4o\nvim: true\n"),
        ),
        (
            Tool::Continue,
            Some("models:\n  - name: big\n    provider: mistral\n"),
            listed,
            listed.replace("    model: code\n", "    model: code\n    roles:\n      - chat\n") + "rules:\n  - short\n",
            Some("models:\n  - name: big\n    provider: mistral\nrules:\n  - short\n"),
        ),
        (
            Tool::Continue,
            None,
            begun,
            format!("{begun}  - name: mine\n    model: x\n"),
            Some("name: Local\nversion: 1.0.0\nschema: v1\nmodels:\n  - name: mine\n    model: x\n"),
        ),
        (Tool::Continue, None, begun, format!("{begun}\n"), None),
    ] {
        assert_eq!(back(tool, original, written, &now).as_deref(), left, "{tool:?}: {now}");
    }
}

#[test]
fn what_nobody_touched_is_as_it_was_to_the_byte() {
    let mine = "# mine\nmodel = \"big\" # the best\n";
    assert_eq!(back(Tool::Codex, Some(mine), "model = \"code\"\n", "model = \"code\"\n").as_deref(), Some(mine));
    assert_eq!(back(Tool::Codex, None, "model = \"code\"\n", "model = \"code\"\n"), None);
}

#[test]
fn what_cannot_be_told_apart_is_said() {
    let mut copy = Copy { file: "/h/s".into(), text: None, mode: None, written: None };
    assert!(taken_back(Tool::Codex, &copy, Some("a = 1\n")).unwrap_err().contains("earlier version"));
    copy.written = Some("a = 1\n".to_owned());
    assert!(taken_back(Tool::Codex, &copy, Some("a = \n")).unwrap_err().contains("no TOML"));
}
