use super::*;
use protocol::{ChatMessage, Role};
use serde_json::json;

fn conversation(dialect: Dialect) -> Conversation {
    Conversation::new(dialect, Tool::ALL.to_vec(), "Task:\nMake it work.".into(), 1)
}

fn text(content: &str) -> Answer {
    Answer { content: content.into(), tool_calls: Vec::new(), finish_reason: FinishReason::Stop }
}

fn native(calls: &[(&str, serde_json::Value)]) -> Answer {
    let call = |(name, arguments): &(&str, serde_json::Value)| ToolCall {
        id: "call_0".into(),
        name: (*name).into(),
        arguments: arguments.clone(),
    };
    Answer {
        content: String::new(),
        tool_calls: calls.iter().map(call).collect(),
        finish_reason: FinishReason::ToolCalls,
    }
}

fn succeeded(output: &str) -> Finished {
    Finished { outcome: ToolOutcome::Succeeded, exit_code: Some(0), output: output.into() }
}

fn run(id: &str, command: &str) -> Next {
    Next::Call(Call { id: id.into(), action: Action::Run { command: command.into() } })
}

/// The messages as a reader would see them.
fn transcript(messages: &[ChatMessage]) -> String {
    let mut shown = String::new();
    for message in messages.iter().skip(1) {
        shown.push_str(&format!("--- {}", message.role.as_str()));
        if let Some(id) = &message.tool_call_id {
            shown.push_str(&format!(" {id}"));
        }
        shown.push_str(&format!("\n{}\n", message.content));
        for call in &message.tool_calls {
            shown.push_str(&format!("-> {} {} {}\n", call.id, call.name, call.arguments));
        }
    }
    shown
}

#[test]
fn native_calls_run_one_after_the_other() {
    let mut conversation = conversation(Dialect::Native);
    assert_eq!(conversation.next(), Next::Answer { turn: 1 });
    let two = native(&[("run", json!({"command": "ls"})), ("run", json!({"command": "pwd"}))]);
    conversation.answered(1, Part::Action, two);
    assert_eq!(conversation.next(), run("t1-1", "ls"));
    conversation.finished("t1-1", &succeeded("a.txt\n"));
    assert_eq!(conversation.next(), run("t1-2", "pwd"));
    conversation.finished("t1-2", &succeeded("/tree\n"));
    assert_eq!(conversation.next(), Next::Answer { turn: 2 });
    conversation.answered(2, Part::Action, native(&[("finish", json!({"summary": "Done."}))]));
    assert_eq!(conversation.next(), Next::Finish { summary: "Done.".into() });
    insta::assert_snapshot!(transcript(&conversation.messages()[..5]), @r#"
    --- user
    Task:
    Make it work.
    --- assistant

    -> t1-1 run {"command":"ls"}
    -> t1-2 run {"command":"pwd"}
    --- tool t1-1
    Exit code 0.
    a.txt

    --- tool t1-2
    Exit code 0.
    /tree
    "#);
}

#[test]
fn a_constrained_action_is_followed_by_its_body() {
    let mut conversation = conversation(Dialect::Schema);
    let object = r#"{"thought":"look","action":"run","path":"","summary":""}"#;
    conversation.answered(1, Part::Action, text(object));
    assert_eq!(conversation.next(), Next::Body { turn: 1 });
    assert_eq!(conversation.messages().last().map(|last| last.role), Some(Role::User));
    conversation.answered(1, Part::Body, text("```sh\nls\n```"));
    assert_eq!(conversation.next(), run("t1-1", "ls"));
    conversation.finished("t1-1", &succeeded("a.txt\n"));
    insta::assert_snapshot!(transcript(&conversation.messages()), @r#"
    --- user
    Task:
    Make it work.
    --- assistant
    {"thought":"look","action":"run","path":"","summary":""}
    --- user
    Now write the shell command to run, and nothing else.
    --- assistant
    ```sh
    ls
    ```
    --- user
    Exit code 0.
    a.txt
    "#);
}

#[test]
fn three_answers_without_an_action_are_named_and_three_more_end_it() {
    let mut conversation = conversation(Dialect::Text);
    for turn in 1..=2 {
        assert_eq!(conversation.answered(turn, Part::Action, text("Hm.")), None);
    }
    assert_eq!(conversation.answered(3, Part::Action, text("Hm.")), Some(Pattern::Malformed));
    let told = conversation.messages().last().map(|last| last.content.clone()).unwrap_or_default();
    assert!(told.starts_with("Nothing was done: there is no JSON object"), "{told}");
    assert!(told.ends_with(&Pattern::Malformed.nudge()), "{told}");
    for turn in 4..=6 {
        assert_eq!(conversation.next(), Next::Answer { turn });
        conversation.answered(turn, Part::Action, text("Hm."));
    }
    assert_eq!(conversation.next(), Next::Stuck(Pattern::Malformed));
}

#[test]
fn an_answer_that_was_cut_off_is_never_carried_out() {
    let mut conversation = conversation(Dialect::Text);
    let cut = Answer { finish_reason: FinishReason::Length, ..text("{\"action\": \"run\"}\n```sh\nrm -rf ./bui") };
    conversation.answered(1, Part::Action, cut);
    assert_eq!(conversation.next(), Next::Answer { turn: 2 });
}

#[test]
fn tools_that_are_not_offered_are_refused() {
    let mut conversation = Conversation::new(Dialect::Native, vec![Tool::WriteFile, Tool::Finish], "Task".into(), 1);
    conversation.answered(1, Part::Action, native(&[("run", json!({"command": "ls"}))]));
    assert_eq!(conversation.next(), Next::Answer { turn: 2 });
    let told = conversation.messages().last().map(|last| last.content.clone()).unwrap_or_default();
    assert!(told.contains("`run` is not allowed in this job"), "{told}");
}

#[test]
fn finishing_beside_other_calls_waits_for_their_results() {
    let mut conversation = conversation(Dialect::Native);
    let hasty = native(&[("run", json!({"command": "make test"})), ("finish", json!({"summary": "Done."}))]);
    conversation.answered(1, Part::Action, hasty);
    conversation.finished("t1-1", &Finished { outcome: ToolOutcome::Failed, exit_code: Some(1), output: "red".into() });
    assert_eq!(conversation.next(), Next::Answer { turn: 2 });
}

#[test]
fn another_model_can_read_on() {
    let mut conversation = conversation(Dialect::Text);
    conversation.answered(1, Part::Action, native(&[("run", json!({"command": "ls"}))]));
    conversation.finished("t1-1", &succeeded("a.txt\n"));
    let roles: Vec<Role> = conversation.messages().iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
    assert!(conversation.messages().iter().all(|message| message.tool_calls.is_empty()));
}

#[test]
fn a_call_that_began_and_never_ended_is_found() {
    let mut conversation = conversation(Dialect::Native);
    conversation.answered(1, Part::Action, native(&[("run", json!({"command": "make"}))]));
    assert_eq!(conversation.interrupted(), None, "it has not begun");
    conversation.started("t1-1");
    assert_eq!(conversation.interrupted().map(|call| call.id.as_str()), Some("t1-1"));
}

#[test]
fn making_room_drops_the_oldest_outputs_twice_and_then_says_so() {
    let mut conversation = conversation(Dialect::Native);
    for turn in 1..=6 {
        conversation.answered(turn, Part::Action, native(&[("run", json!({"command": format!("cat {turn}")}))]));
        conversation.finished(&tool_call_id(turn, 1), &succeeded(&"long ".repeat(100)));
    }
    assert_eq!(conversation.shrink(), 3);
    assert_eq!(conversation.shrink(), 2);
    assert_eq!(conversation.shrink(), 0);
    let shown: Vec<bool> =
        conversation.messages().iter().filter(|m| m.role == Role::Tool).map(|m| m.content == prompt::DROPPED).collect();
    assert_eq!(shown, [true, true, true, true, true, false]);
}
