use super::*;
use protocol::{ChatMessage, Role};
use serde_json::json;

fn manner(dialect: Dialect) -> Manner {
    Manner { dialect, offered: Tool::ALL.to_vec(), prompt_tokens: None, gives_hints: false }
}

fn with(manner: Manner) -> Conversation {
    let opening = Opening { task: "Task:\nMake it work.".into(), shown: vec!["a.py:\nx = 1\n".into()] };
    Conversation::new(manner, opening, 1)
}

fn conversation(dialect: Dialect) -> Conversation {
    with(manner(dialect))
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
    conversation.answered(1, two);
    assert_eq!(conversation.next(), run("t1-1", "ls"));
    conversation.finished("t1-1", &succeeded("a.txt\n"));
    assert_eq!(conversation.next(), run("t1-2", "pwd"));
    conversation.finished("t1-2", &succeeded("/tree\n"));
    assert_eq!(conversation.next(), Next::Answer { turn: 2 });
    conversation.answered(2, native(&[("finish", json!({"summary": "Done."}))]));
    assert_eq!(conversation.next(), Next::Finish { summary: "Done.".into() });
    insta::assert_snapshot!(transcript(&conversation.messages(None)[..5]), @r#"
    --- user
    a.py:
    x = 1

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
fn several_calls_of_one_answer_run_in_order_and_are_answered_together() {
    let mut conversation = conversation(Dialect::Text);
    let two = "{\"action\": \"run\", \"command\": \"ls\"}\n{\"action\": \"read_file\", \"path\": \"a.py\"}\n{\"action\": \"browse\"}";
    conversation.answered(1, text(&format!("<think>Where is it?</think>\n{two}")));
    assert_eq!(conversation.next(), run("t1-1", "ls"));
    conversation.finished("t1-1", &succeeded("a.py\n"));
    conversation.finished("t1-2", &Finished { exit_code: None, ..succeeded("a.py, lines 1 to 1 of 1:\n1| x = 1\n") });
    assert_eq!(conversation.next(), Next::Answer { turn: 2 });
    insta::assert_snapshot!(transcript(&conversation.messages(None)), @r#"
    --- user
    a.py:
    x = 1

    Task:
    Make it work.
    --- assistant
    {"action": "run", "command": "ls"}
    {"action": "read_file", "path": "a.py"}
    {"action": "browse"}
    --- user
    Call 1, run:
    Exit code 0.
    a.py

    Call 2, read_file:
    a.py, lines 1 to 1 of 1:
    1| x = 1

    The rest of your answer was not done: `browse` is not one of the tools.
    "#);
}

#[test]
fn three_answers_without_an_action_are_named_and_three_more_end_it() {
    let mut conversation = conversation(Dialect::Text);
    for turn in 1..=2 {
        assert_eq!(conversation.answered(turn, text("Hm.")), None);
    }
    assert_eq!(conversation.answered(3, text("Hm.")), Some(Pattern::Malformed));
    let told = conversation.messages(None).last().map(|last| last.content.clone()).unwrap_or_default();
    assert!(told.starts_with("Nothing was done: there is no action in your answer"), "{told}");
    assert!(told.ends_with(&Pattern::Malformed.nudge()), "{told}");
    for turn in 4..=6 {
        assert_eq!(conversation.next(), Next::Answer { turn });
        conversation.answered(turn, text("Hm."));
    }
    assert_eq!(conversation.next(), Next::Stuck(Pattern::Malformed));
}

#[test]
fn an_answer_that_was_cut_off_is_never_carried_out() {
    let mut conversation = conversation(Dialect::Text);
    let cut = Answer { finish_reason: FinishReason::Length, ..text("{\"action\": \"run\"}\n```sh\nrm -rf ./bui") };
    conversation.answered(1, cut);
    assert_eq!(conversation.next(), Next::Answer { turn: 2 });
}

#[test]
fn tools_that_are_not_offered_are_refused() {
    let offered = vec![Tool::WriteFile, Tool::Finish];
    let mut conversation = with(Manner { offered, ..manner(Dialect::Native) });
    conversation.answered(1, native(&[("run", json!({"command": "ls"}))]));
    assert_eq!(conversation.next(), Next::Answer { turn: 2 });
    let told = conversation.messages(None).last().map(|last| last.content.clone()).unwrap_or_default();
    assert!(told.contains("`run` is not allowed in this job"), "{told}");
}

#[test]
fn finishing_beside_other_calls_waits_for_their_results() {
    let mut conversation = conversation(Dialect::Native);
    let hasty = native(&[("run", json!({"command": "make test"})), ("finish", json!({"summary": "Done."}))]);
    conversation.answered(1, hasty);
    conversation.finished("t1-1", &Finished { outcome: ToolOutcome::Failed, exit_code: Some(1), output: "red".into() });
    assert_eq!(conversation.next(), Next::Answer { turn: 2 });
}

#[test]
fn another_model_can_read_on() {
    let mut conversation = conversation(Dialect::Text);
    conversation.answered(1, native(&[("run", json!({"command": "ls"}))]));
    conversation.finished("t1-1", &succeeded("a.txt\n"));
    let roles: Vec<Role> = conversation.messages(None).iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
    assert!(conversation.messages(None).iter().all(|message| message.tool_calls.is_empty()));
}

#[test]
fn a_call_that_began_and_never_ended_is_found() {
    let mut conversation = conversation(Dialect::Native);
    conversation.answered(1, native(&[("run", json!({"command": "make"}))]));
    assert_eq!(conversation.interrupted(), None, "it has not begun");
    conversation.started("t1-1");
    assert_eq!(conversation.interrupted().map(|call| call.id.as_str()), Some("t1-1"));
}

#[test]
fn words_after_the_work_end_it_once_a_reminder_was_given() {
    let edit = "{\"action\": \"write_file\", \"path\": \"a.py\"}\n```\nx = 2\n```";
    let closing = "The file is mended. To undo it:\n```bash\ngit checkout . && git clean -fdq\n```";
    let mut conversation = conversation(Dialect::Text);
    conversation.answered(1, text(edit));
    conversation.finished("t1-1", &Finished { exit_code: None, ..succeeded("Wrote 6 bytes to a.py.") });
    conversation.answered(2, text(closing));
    assert_eq!(conversation.next(), Next::Answer { turn: 3 }, "never run");
    let told = conversation.messages(None).last().map(|last| last.content.clone()).unwrap_or_default();
    assert!(told.contains("If the work is done, answer with the action finish"), "{told}");
    conversation.answered(3, text("It is mended."));
    assert_eq!(conversation.next(), Next::Finish { summary: "It is mended.".into() });
}

#[test]
fn words_before_any_change_end_nothing() {
    let mut conversation = conversation(Dialect::Text);
    conversation.answered(1, text("{\"action\": \"run\", \"command\": \"ls\"}"));
    conversation.finished("t1-1", &succeeded("a.py\n"));
    for turn in 2..=3 {
        conversation.answered(turn, text("I would change the sign."));
        assert_eq!(conversation.next(), Next::Answer { turn: turn + 1 });
    }
}

#[test]
fn a_model_with_few_steps_left_is_told_and_one_that_needs_it_gets_a_hint() {
    let mut conversation = with(Manner { gives_hints: true, ..manner(Dialect::Text) });
    conversation.answered(1, text("```sh\npytest\n```"));
    let failed =
        Finished { outcome: ToolOutcome::Failed, exit_code: Some(127), output: "sh: 1: pytest: not found\n".into() };
    conversation.finished("t1-1", &failed);
    let last = |steps| conversation.messages(Some(steps)).pop().map(|last| last.content).unwrap_or_default();
    insta::assert_snapshot!(last(3), @r"
    Exit code 127.
    sh: 1: pytest: not found

    That program is not installed and cannot be: there is no network. Use what is there.

    [3 steps left.]
    ");
    assert!(!last(30).contains("steps left"));
    assert!(last(1).ends_with("[This is your last step: finish, and say how far you got.]"));
}

#[test]
fn a_small_model_that_looks_at_the_same_again_is_told_at_once() {
    let mut conversation = with(Manner { gives_hints: true, ..manner(Dialect::Text) });
    for turn in 1..=2 {
        conversation.answered(turn, text("```sh\ncat a.py\n```"));
        conversation.finished(&tool_call_id(turn, 1), &succeeded("x = 1\n"));
    }
    let shown: Vec<String> = conversation.messages(None).into_iter().map(|message| message.content).collect();
    assert_eq!((shown[3].as_str(), shown[5].as_str()), ("Exit code 0.\nx = 1\n", prompt::SAME_AGAIN));
}

#[test]
fn a_small_model_does_not_end_its_work_with_a_failure_before_it_was_asked() {
    let mut conversation = with(Manner { gives_hints: true, ..manner(Dialect::Text) });
    conversation.answered(1, text("```sh\nmake test\n```"));
    let red = Finished { outcome: ToolOutcome::Failed, exit_code: Some(1), output: "1 failed\n".into() };
    conversation.finished("t1-1", &red);
    let finish = "{\"action\": \"finish\", \"summary\": \"It is mended.\"}";
    conversation.answered(2, text(finish));
    assert_eq!(conversation.next(), Next::Answer { turn: 3 });
    conversation.answered(3, text(finish));
    assert_eq!(conversation.next(), Next::Finish { summary: "It is mended.".into() });
}

/// Six turns with a file written and a long output each.
fn long(manner: Manner) -> Conversation {
    let mut conversation = with(manner);
    for turn in 1..=6 {
        let write = json!({"path": format!("{turn}.txt"), "content": "line\n".repeat(100)});
        conversation
            .answered(turn, native(&[("run", json!({"command": format!("cat {turn}")})), ("write_file", write)]));
        conversation.finished(&tool_call_id(turn, 1), &succeeded(&"long ".repeat(100)));
        conversation.finished(&tool_call_id(turn, 2), &Finished { exit_code: None, ..succeeded("Wrote it.") });
    }
    conversation
}

#[test]
fn what_is_oldest_goes_first_and_as_often_as_needed() {
    let mut conversation = long(manner(Dialect::Native));
    let dropped = |conversation: &Conversation| -> Vec<bool> {
        let results = conversation.messages(None).into_iter().filter(|message| message.role == Role::Tool).step_by(2);
        results.map(|message| message.content == prompt::DROPPED).collect()
    };
    let mut sizes = vec![conversation.estimated_tokens()];
    assert!(conversation.shrink() > 0);
    assert_eq!(dropped(&conversation)[..2], [true, true]);
    assert!(!dropped(&conversation)[5], "the newest stays");
    let mut rounds = 1;
    while conversation.shrink() > 0 {
        rounds += 1;
        sizes.push(conversation.estimated_tokens());
    }
    assert!(rounds > 2 && sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
    let first = &conversation.messages(None)[2];
    assert_eq!(first.tool_calls[1].arguments["content"], "[100 lines, left out here to make room]");
    assert!(!conversation.messages(None)[1].content.contains("a.py"), "files shown with the task go as well");
    assert!(conversation.messages(None)[1].content.contains("Make it work."), "the task never does");
    assert!(conversation.messages(None).last().unwrap().content.len() < 600);
}

#[test]
fn a_known_context_is_never_overrun_and_a_rebuild_drops_the_same() {
    let limited = Manner { prompt_tokens: Some(2_500), ..manner(Dialect::Native) };
    let mut lived = with(limited.clone());
    for turn in 1..=6 {
        lived.make_room();
        assert!(lived.estimated_tokens() <= 2_500, "turn {turn}");
        let write = json!({"path": format!("{turn}.txt"), "content": "line\n".repeat(100)});
        lived.answered(turn, native(&[("run", json!({"command": format!("cat {turn}")})), ("write_file", write)]));
        lived.finished(&tool_call_id(turn, 1), &succeeded(&"long ".repeat(100)));
        lived.finished(&tool_call_id(turn, 2), &Finished { exit_code: None, ..succeeded("Wrote it.") });
    }
    let mut rebuilt = long(limited);
    lived.make_room();
    rebuilt.make_room();
    assert_eq!(lived.messages(None), rebuilt.messages(None));
}
