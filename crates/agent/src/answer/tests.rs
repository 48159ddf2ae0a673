use super::*;
use crate::tool::Tool;
use proptest::prelude::*;

fn run(command: &str) -> Action {
    Action::Run { command: command.into() }
}

fn write(path: &str, content: &str) -> Action {
    Action::WriteFile { path: path.into(), content: content.into() }
}

fn finish(summary: &str) -> Action {
    Action::Finish { summary: summary.into() }
}

fn done(actions: impl IntoIterator<Item = Action>) -> Reading {
    Reading::Actions { actions: actions.into_iter().collect(), left_out: None }
}

#[test]
fn our_own_form_is_read() {
    assert_eq!(read("{\"thought\": \"look\", \"action\": \"run\"}\n```sh\nls -la\n```"), done([run("ls -la")]));
    let python = "{\"action\": \"write_file\", \"path\": \"a.py\"}\n```python\nprint('{}')\n```\n";
    assert_eq!(read(python), done([write("a.py", "print('{}')\n")]));
    let edit = "{\"action\": \"edit_file\", \"path\": \"a.py\"}\n```\nx = 1\n```\n```\nx = 2\n```";
    assert_eq!(
        read(edit),
        done([Action::EditFile { path: "a.py".into(), old: "x = 1\n".into(), new: "x = 2\n".into() }])
    );
    let marked = "{\"action\": \"edit_file\", \"path\": \"a.py\"}\n```\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n```\n{\"action\": \"run\"}\n```\nmake\n```";
    assert_eq!(
        read(marked),
        done([Action::EditFile { path: "a.py".into(), old: "x\n".into(), new: "y\n".into() }, run("make")])
    );
    let other = marked.replacen("edit_file", "write_file", 1);
    assert_eq!(read(&other), read(marked), "a change is an edit, whatever it is called");
    let green = "{\"thought\": \"all green\", \"action\": \"finish\", \"summary\": \"Fixed it.\"}";
    assert_eq!(read(green), done([finish("Fixed it.")]));
}

/// Each answer as a model of that family writes it when its runtime does not take the calls out.
#[test]
fn the_forms_of_models_are_read() {
    for (family, answer) in [
        ("Qwen 2.5", "<tool_call>\n{\"name\": \"run\", \"arguments\": {\"command\": \"ls -la\"}}\n</tool_call>"),
        (
            "Qwen 2.5, end forgotten",
            "I'll look.\n<tool_call>\n{\"name\": \"run\", \"arguments\": {\"command\": \"ls -la\"}}\n",
        ),
        (
            "Qwen 2.5, bracket forgotten",
            "<tool_call>\n{\"name\": \"run\", \"arguments\": {\"command\": \"ls -la\"}\n</tool_call>",
        ),
        (
            "Qwen 2.5, in a fence",
            "<tool_call>\n```json\n{\"name\": \"run\", \"arguments\": {\"command\": \"ls -la\"}}\n```\n</tool_call>",
        ),
        (
            "Qwen 2.5 Coder",
            "```json\n{\n  \"name\": \"run\",\n  \"arguments\": {\n    \"command\": \"ls -la\"\n  }\n}\n```",
        ),
        (
            "Qwen 2.5 Coder, xml",
            "```xml\n<tool_call>\n{\"name\": \"run\", \"arguments\": {\"command\": \"ls -la\"}}\n</tool_call>\n```",
        ),
        (
            "Qwen 3 Coder",
            "<tool_call>\n<function=run>\n<parameter=command>\nls -la\n</parameter>\n</function>\n</tool_call>",
        ),
        ("Qwen 3 Coder, bare", "Now:\n<function=run>\n<parameter=command>\nls -la\n</parameter>\n</function>"),
        ("Qwen 3 Coder, tag forgotten", "<function=run>\n<parameter=command>\nls -la\n</function>\n</tool_call>"),
        ("Hermes", "<tool_call>{'name': 'run', 'arguments': {'command': 'ls -la'}}</tool_call>"),
        (
            "gpt-oss",
            "<|channel|>analysis<|message|>We should look, maybe {x}.<|end|><|start|>assistant<|channel|>commentary to=functions.run <|constrain|>json<|message|>{\"command\":\"ls -la\"}<|call|>",
        ),
        (
            "gpt-oss, list of words",
            "<|channel|>commentary to=functions.run code<|message|>{\"command\":[\"bash\",\"-lc\",\"ls -la\"]}",
        ),
        ("gpt-oss without marks", "We look. assistantcommentary to=functions.run json{\"command\":\"ls -la\"}"),
        (
            "DeepSeek V3",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>run\n```json\n{\"command\": \"ls -la\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        ),
        (
            "DeepSeek V3.1",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>run<｜tool▁sep｜>{\"command\": \"ls -la\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        ),
        (
            "Kimi K2",
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.run:0<|tool_call_argument_begin|>{\"command\": \"ls -la\"}<|tool_call_end|>",
        ),
        ("Mistral", "[TOOL_CALLS][{\"name\": \"run\", \"arguments\": {\"command\": \"ls -la\"}}]"),
        ("Mistral, newer", "[TOOL_CALLS]run[ARGS]{\"command\": \"ls -la\"}</s>"),
        ("Devstral", "I look.[TOOL_CALLS]run[CALL_ID]a1b2c3d4e[ARGS]{\"command\": \"ls -la\"}"),
        ("Llama 3.1", "{\"name\": \"run\", \"parameters\": {\"command\": \"ls -la\"}}"),
        ("Llama 3.1, mark", "<|python_tag|>{\"name\": \"run\", \"parameters\": {\"command\": \"ls -la\"}}<|eom_id|>"),
        ("Llama 3.2", "<function=run>{\"command\": \"ls -la\"}</function>"),
        (
            "OpenAI's shape",
            "{\"tool_calls\": [{\"type\": \"function\", \"function\": {\"name\": \"run\", \"arguments\": \"{\\\"command\\\": \\\"ls -la\\\"}\"}}]}",
        ),
        ("reasoning", "<think>maybe {\"action\": \"finish\"}?</think>\n{\"action\": \"run\"}\n```\nls -la\n```"),
        ("reasoning, opened by the template", "look first</think>{\"action\": \"run\", \"command\": \"ls -la\",}"),
        ("object in a fence", "Let me look.\n```json\n{\"action\": \"run\"}\n```\n```bash\nls -la\n```\nDone."),
        ("object in a shell's fence", "```sh\n{\"action\": \"run\", \"command\": \"ls -la\"}\n```"),
        ("lone block", "I will look first:\n```bash\nls -la\n```\n"),
        ("not closed", "{\"action\": \"run\"}\n```sh\nls -la"),
    ] {
        assert_eq!(read(answer), done([run("ls -la")]), "{family}");
    }
}

#[test]
fn several_calls_are_taken_in_order() {
    for (family, answer) in [
        ("objects", "{\"action\": \"run\", \"command\": \"a\"}\n{\"action\": \"run\", \"command\": \"b\"}"),
        ("with blocks", "{\"action\": \"run\"}\n```sh\na\n```\nThen:\n{\"action\": \"run\"}\n```sh\nb\n```"),
        (
            "in one fence",
            "```json\n{\"name\": \"run\", \"arguments\": {\"command\": \"a\"}}\n{\"name\": \"run\", \"arguments\": {\"command\": \"b\"}}\n```",
        ),
        (
            "a list",
            "[{\"name\": \"run\", \"arguments\": {\"command\": \"a\"}}, {\"name\": \"run\", \"arguments\": {\"command\": \"b\"}}]",
        ),
        (
            "two fences",
            "```json\n{\"name\": \"run\", \"arguments\": {\"command\": \"a\"}}\n```\n\n```json\n{\"name\": \"run\", \"arguments\": {\"command\": \"b\"}}\n```",
        ),
        (
            "tags",
            "<tool_call>{\"name\": \"run\", \"arguments\": {\"command\": \"a\"}}</tool_call>\n<tool_call>{\"name\": \"run\", \"arguments\": {\"command\": \"b\"}}</tool_call>",
        ),
        (
            "functions",
            "<function=run><parameter=command>a</parameter></function><function=run><parameter=command>b</parameter></function>",
        ),
        (
            "python tag",
            "<|python_tag|>{\"name\": \"run\", \"parameters\": {\"command\": \"a\"}}; {\"name\": \"run\", \"parameters\": {\"command\": \"b\"}}",
        ),
        ("mistral", "[TOOL_CALLS]run[ARGS]{\"command\": \"a\"}[TOOL_CALLS]run[ARGS]{\"command\": \"b\"}"),
        (
            "deepseek",
            "<｜tool▁call▁begin｜>run<｜tool▁sep｜>{\"command\": \"a\"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>run<｜tool▁sep｜>{\"command\": \"b\"}<｜tool▁call▁end｜>",
        ),
        (
            "channels",
            "<|channel|>commentary to=functions.run<|message|>{\"command\":\"a\"}<|call|><|channel|>commentary to=functions.run<|message|>{\"command\":\"b\"}<|call|>",
        ),
    ] {
        assert_eq!(read(answer), done([run("a"), run("b")]), "{family}");
    }
}

#[test]
fn a_file_may_hold_fences_and_calls_itself() {
    let markdown = "{\"action\": \"write_file\", \"path\": \"README.md\"}\n```md\n# Use\n```sh\nmake\n```\nEnd.\n```\n";
    assert_eq!(read(markdown), done([write("README.md", "# Use\n```sh\nmake\n```\nEnd.\n")]));
    let longer = "{\"action\": \"write_file\", \"path\": \"a.md\"}\n````\n```\nx\n```\n````\n";
    assert_eq!(read(longer), done([write("a.md", "```\nx\n```\n")]));
    let parser = "{\"action\": \"write_file\", \"path\": \"p.py\"}\n```\nMARK = \"<tool_call>\"\nCALL = {\"action\": \"run\", \"command\": \"x\"}\n```";
    assert_eq!(
        read(parser),
        done([write("p.py", "MARK = \"<tool_call>\"\nCALL = {\"action\": \"run\", \"command\": \"x\"}\n")])
    );
    let parameter = "<function=write_file>\n<parameter=path>\na.html\n</parameter>\n<parameter=content>\n<b>\n  x\n</b>\n</parameter>\n</function>";
    assert_eq!(read(parameter), done([write("a.html", "<b>\n  x\n</b>")]));
}

#[test]
fn what_follows_the_end_of_the_work_is_not_done() {
    let summary = "{\"action\": \"finish\", \"summary\": \"Mended.\"}\n\nTo undo it:\n```bash\ngit checkout . && git clean -fdq\n```";
    assert_eq!(read(summary), done([finish("Mended.")]));
    let more = "{\"action\": \"finish\", \"summary\": \"Mended.\"}\n{\"action\": \"run\", \"command\": \"rm -rf .\"}";
    assert_eq!(read(more), done([finish("Mended.")]));
    assert_eq!(read("All is well. For example:\n```bash\nrm -rf build\n```"), Reading::Prose);
    assert_eq!(
        read("<|channel|>analysis<|message|>Done.<|end|><|start|>assistant<|channel|>final<|message|>It works."),
        Reading::Prose
    );
    assert_eq!(
        words("<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>It works.<|return|>"),
        "It works."
    );
}

#[test]
fn a_model_that_repeats_itself_asks_once() {
    let call = "{\"action\": \"run\", \"command\": \"ls\"}\n";
    assert_eq!(read(&call.repeat(40)), done([run("ls")]));
    let many: String =
        (0..10).map(|number| format!("{{\"action\": \"run\", \"command\": \"echo {number}\"}}\n")).collect();
    assert_eq!(
        read(&many),
        Reading::Malformed("10 calls in one answer; at most 8 are taken. Do one step and look at its result".into())
    );
}

#[test]
fn says_what_is_wrong() {
    for (answer, reason) in [
        (r#"{"action": "browse"}"#, "`browse` is not one of the tools"),
        (r#"{"action": "write_file"}"#, "`write_file` needs the `path` of the file"),
        (r#"{"action": "run"}"#, "the command is missing"),
        ("{\"action\": \"run\"}\n```sh\n{\"action\": \"run\", \"command\": \"\"}\n```", "the command is missing"),
        (r#"{"action": "run", "command": "rm -rf ./bui"#, "the call of `run` ends in the middle"),
        ("<tool_call>\n{\"name\": \"run\", \"arguments\": {\"comm", "the call of `run` ends in the middle"),
        ("<function=run>\n<parameter=command>\nrm -rf ./bui", "the call of `run` ends in the middle"),
        ("<tool_call>\nrun ls\n</tool_call>", "a tool call was begun in your answer and cannot be read"),
        ("[TOOL_CALLS]run", "a tool call was begun"),
        (
            "{\"action\": \"run\", \"command\": \"{\\\"action\\\": \\\"run\\\", \\\"command\\\": \\\"ls\\\"}\"}",
            "the command is itself a tool call",
        ),
        (
            "{\"action\": \"run\"}\n```sh\n<tool_call>{\"name\": \"run\"}</tool_call>\n```",
            "the command is itself a tool call",
        ),
        (
            "{\"action\": \"write_file\", \"path\": \"a.py\", \"content\": \"{\\\"action\\\": \\\"finish\\\"}\"}",
            "the content of a.py is itself a tool call",
        ),
    ] {
        let Reading::Malformed(told) = read(answer) else { panic!("{answer}: {:?}", read(answer)) };
        assert!(told.starts_with(reason), "{told}");
    }
    for prose in [
        "I cannot do that.",
        "",
        "```python\nprint(1)\n```",
        "```json\n{\"name\": \"left-pad\"}\n```",
        "{ let x = 1; }",
    ] {
        assert_eq!(read(prose), Reading::Prose, "{prose}");
    }
    let rest = read("{\"action\": \"run\", \"command\": \"ls\"}\n{\"action\": \"browse\"}");
    let left_out = Some("`browse` is not one of the tools".into());
    assert_eq!(rest, Reading::Actions { actions: vec![run("ls")], left_out });
}

#[test]
fn one_wrapping_fence_is_taken_off() {
    assert_eq!(unwrapped("```text\nhello\n```"), "hello\n");
    assert_eq!(unwrapped("\nhello "), "hello\n");
    assert_eq!(unwrapped("hello\n```\nx\n```"), "hello\n```\nx\n```\n");
    assert_eq!(unwrapped("```\na\n```\n\n```\nb\n```"), "```\na\n```\n\n```\nb\n```\n");
    assert_eq!(unwrapped(""), "");
}

/// A megabyte of what models repeat when they are lost. Quadratic reading of it would take minutes.
#[test]
fn a_megabyte_of_anything_is_read_in_linear_time() {
    let marks = [
        "{",
        "[",
        "{\"",
        "{\"action\": \"run\"}\n",
        "```\n",
        "```sh\n",
        "```a\n```b\n```\n",
        "<tool_call>",
        "<tool_call>{\"a\": ",
        "<function=",
        "<function=run>",
        "<parameter=a>",
        "[TOOL_CALLS]",
        "<｜tool▁call▁begin｜>",
        "to=functions.run ",
        "<|python_tag|>",
        "<think>",
        "x ",
        "\\",
        "{\"action\": \"run\", \"command\": \"ls\"}\n",
    ];
    for mark in marks {
        let started = std::time::Instant::now();
        let answer = mark.repeat((1 << 20) / mark.len());
        let _ = (read(&answer), is_call(&answer), unwrapped(&answer));
        assert!(started.elapsed().as_secs() < 20, "{mark}: {:?}", started.elapsed());
    }
}

/// What no command may ever be.
fn is_envelope(command: &str) -> bool {
    let object = serde_json::from_str::<serde_json::Value>(command.trim());
    object.is_ok_and(|object| {
        ["action", "name", "tool"]
            .iter()
            .any(|key| object[*key].as_str().is_some_and(|name| Tool::parse(name).is_some()))
    })
}

fn check(answer: &str) {
    if let Reading::Actions { actions, .. } = read(answer) {
        assert!(!actions.is_empty() && actions.len() <= CALLS_PER_ANSWER, "{answer}");
        for action in &actions {
            if let Action::Run { command } = action {
                assert!(!command.trim().is_empty() && !is_envelope(command), "{answer}");
            }
        }
    }
    let _ = (unwrapped(answer), words(answer));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(answer in any::<String>()) {
        check(&answer);
    }

    #[test]
    fn nor_does_text_made_of_its_own_marks(
        parts in proptest::collection::vec(
            prop::sample::select(vec![
                "{", "}", "[", "]", "\"action\"", "\"name\"", "\"arguments\"", "\"command\"", ":", "\"run\"", "\"write_file\"", "```", "````",
                "~~~", "sh", "json", "\n", " ", "\"path\"", ",", "\"a\"", "<think>", "</think>", "é", "\\", "<tool_call>", "</tool_call>",
                "<function=run>", "<parameter=command>", "</parameter>", "</function>", "[TOOL_CALLS]", "[ARGS]", "<|python_tag|>",
                "<|channel|>commentary to=functions.run<|message|>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "ls", "'", "\"\"\"",
                "{\"action\": \"run\"}", "{\"action\": \"run\", \"command\": \"ls\"}", "{\"name\": \"run\", \"arguments\": {\"command\": ",
                "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "$ ",
            ]),
            0..40,
        ),
    ) {
        check(&parts.concat());
    }

    #[test]
    fn any_command_comes_back_as_it_was(command in "[a-z '\"|$&\n\\\\-]{0,40}[a-z]") {
        let answer = format!("{{\"action\": \"run\"}}\n```sh\n{command}\n```");
        let expected = if command.trim().is_empty() { return Ok(()) } else { run(command.trim()) };
        prop_assert_eq!(read(&answer), done([expected.clone()]));
        let tags = format!("<tool_call>{}</tool_call>", serde_json::json!({"name": "run", "arguments": {"command": command}}));
        prop_assert_eq!(read(&tags), done([expected]));
    }
}
