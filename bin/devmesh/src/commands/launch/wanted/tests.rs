//! Foreign settings with comments, the edited ones, and the same edit again.

use super::*;

const TARGET: Target<'_> = Target {
    url: "http://127.0.0.1:8080",
    model: "code",
    context_tokens: Some(32_768),
    token: "dm_secret",
    now: "2026-01-02T03:04:05.000Z",
};

/// Edited once, and the same when edited again; in a snapshot beside what it was.
#[track_caller]
fn once(tool: Tool, before: &str) -> String {
    let after = edited(tool, [before, before], &TARGET).unwrap();
    assert_eq!(edited(tool, [before, &after], &TARGET).unwrap(), after, "edited again it is the same");
    after
}

#[test]
fn codex_keeps_the_users_tables_and_comments() {
    let before = r#"# mine
model = "gpt-5" # the best one
approval_policy = "on-request"

# a server of mine
[model_providers.mine]
name = "mine"
base_url = "http://localhost:1/v1"

[mcp_servers.files]
command = "files"
"#;
    insta::assert_snapshot!(once(Tool::Codex, before));
    insta::assert_snapshot!("codex_from_nothing", once(Tool::Codex, ""));
}

#[test]
fn claude_keeps_the_users_permissions() {
    let before = r#"{
  // mine
  "permissions": {"allow": ["Bash(ls)"]},
  "env": {
    "MY_OWN": "1", // stays
    "ANTHROPIC_MODEL": "opus"
  },
}
"#;
    insta::assert_snapshot!(once(Tool::Claude, before));
    insta::assert_snapshot!("claude_from_nothing", once(Tool::Claude, ""));
}

#[test]
fn opencode_keeps_the_users_providers() {
    let before = r#"{
  "$schema": "https://opencode.ai/config.json",
  // what I use at work
  "provider": {
    "work": { "options": { "baseURL": "http://localhost:1" } }
  },
  "model": "work/big" /* mine */
}"#;
    insta::assert_snapshot!(once(Tool::Opencode, before));
}

#[test]
fn aider_keeps_the_users_lines() {
    let before = "# my aider\nmodel: gpt-4o # the usual\n\n# eyes\ndark-mode: true\nread:\n  - CONVENTIONS.md\n";
    insta::assert_snapshot!(once(Tool::Aider, before));
    insta::assert_snapshot!("aider_from_comments", once(Tool::Aider, "# nothing yet\n"));
}

#[test]
fn cline_keeps_the_users_other_providers() {
    let before = r#"{
  "version": 1,
  "providers": {
    "anthropic": {"settings": {"provider": "anthropic", "model": "big"}, "tokenSource": "manual"}
  }
}
"#;
    insta::assert_snapshot!(once(Tool::Cline, before));
}

#[test]
fn continue_keeps_the_users_models() {
    let before = "name: Mine # my own\nversion: 1.0.0\nschema: v1\nmodels:\n  # for chat\n  - name: big\n    provider: mistral\n    roles:\n      - chat\ncontext:\n  - provider: code\n";
    insta::assert_snapshot!(once(Tool::Continue, before));
    insta::assert_snapshot!("continue_from_nothing", once(Tool::Continue, ""));
    // One of an earlier launch that stands behind others, with what the user gave it.
    let behind = "models:\n  - name: big\n    provider: mistral\n    apiBase: https://mistral.example\n  - name: devmesh\n    model: old\n    roles:\n      - chat\nrules:\n  - short\n";
    insta::assert_snapshot!("continue_comes_first", once(Tool::Continue, behind));
    let emptied = once(Tool::Continue, "name: x\nmodels: []\nrules:\n  - short\n");
    assert!(emptied.contains("rules:\n  - short\n") && emptied.contains("\n  - name: devmesh\n"), "{emptied}");
}

#[test]
fn qwen_keeps_the_users_models() {
    let before = r#"{
  // mine
  "modelProviders": {"openai": [{"id": "big", "name": "big"}]},
  "ui": {"theme": "Dark"}
}
"#;
    insta::assert_snapshot!(once(Tool::Qwen, before));
}

#[test]
fn what_cannot_be_read_is_left_alone() {
    for (tool, before, why) in [
        (Tool::Codex, "model = \n", "no TOML"),
        (Tool::Codex, "model_providers = 3\n", "`model_providers` is no table"),
        (Tool::Claude, "{\"env\": ", "no JSON"),
        (Tool::Claude, "[1]", "no object"),
        (Tool::Qwen, "{\"modelProviders\": 3}", "`modelProviders` is no object"),
        (Tool::Aider, "- a\n- b\n", "no mapping"),
        (Tool::Aider, "a: [\n", "no YAML"),
        (Tool::Continue, "models: text\n", "`models` is no list"),
        (Tool::Continue, "a: 1\n---\nb: 2\n", "more than one document"),
    ] {
        let said = edited(tool, [before, before], &TARGET).unwrap_err();
        assert!(said.contains(why), "{before:?}: {said}");
    }
}

#[test]
fn a_context_of_an_earlier_launch_goes_and_the_users_own_comes_back() {
    let own = "{\"env\": {\"CLAUDE_CODE_MAX_CONTEXT_TOKENS\": \"5\"}}\n";
    for (tool, original, window, own) in [
        (Tool::Codex, "", "model_context_window = 32768", None),
        (Tool::Codex, "model_context_window = 5\n", "model_context_window = 32768", Some("model_context_window = 5\n")),
        (Tool::Claude, "", "\"CLAUDE_CODE_MAX_CONTEXT_TOKENS\": \"32768\"", None),
        (Tool::Claude, own, "\"32768\"", Some("\"CLAUDE_CODE_MAX_CONTEXT_TOKENS\": \"5\"")),
        (Tool::Opencode, "", "\"context\": 32768", None),
        (Tool::Qwen, "", "\"contextWindowSize\": 32768", None),
    ] {
        let known = edited(tool, [original, original], &TARGET).unwrap();
        assert!(known.contains(window), "{tool:?}: {known}");
        let unknown = edited(tool, [original, &known], &Target { context_tokens: None, ..TARGET }).unwrap();
        assert!(!unknown.contains("32768") && !unknown.contains("null"), "{tool:?}: {unknown}");
        match own {
            Some(own) => assert!(unknown.contains(own), "{tool:?}: {unknown}"),
            None => assert_eq!(unknown.to_lowercase().matches("context").count(), 0, "{tool:?}: {unknown}"),
        }
    }
}
