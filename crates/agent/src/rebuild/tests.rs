use super::*;
use crate::{
    conversation::{Call, Manner, Next, Opening},
    prompt::Dialect,
    tool::{Action, Tool},
};
use domain::{Cursor, Epoch, EventHash, JobId, Timestamp};
use protocol::{Actor, ToolCall, ToolOutcome};
use serde_json::json;

fn event(seq: u64, attempt: u32, body: EventBody) -> Event {
    let (event_type, payload) = body.into_parts().unwrap();
    Event {
        cursor: Cursor { epoch: Epoch(1), seq },
        job_id: "019a2b3c-0000-7000-8000-000000000001".parse::<JobId>().unwrap(),
        epoch: Epoch(1),
        seq,
        at: Timestamp::from_millis(0),
        actor: Actor::Agent,
        attempt,
        event_type,
        payload,
        previous: EventHash::START,
        hash: EventHash::START,
    }
}

fn past(bodies: &[(u32, EventBody)]) -> Past {
    let mut past = Past::default();
    for (index, (attempt, body)) in bodies.iter().enumerate() {
        past.add(&event(index as u64 + 1, *attempt, body.clone()));
    }
    past
}

fn prepared(resumed_from: Option<&str>) -> EventBody {
    EventBody::WorkspacePrepared {
        base_commit: "b0".into(),
        resumed_from: resumed_from.map(Into::into),
        branch: "devmesh/x".into(),
        files: 3,
        location: "/data/w".into(),
    }
}

fn checkpoint(commit: &str, step: u32) -> EventBody {
    EventBody::WorkspaceCheckpoint { commit: commit.into(), step }
}

fn ran(call_id: &str, command: &str) -> EventBody {
    EventBody::ModelFinished {
        call_id: call_id.into(),
        route: "default".into(),
        provider: "ollama".into(),
        model: "qwen".into(),
        content: String::new(),
        tool_calls: vec![ToolCall { id: "call_9".into(), name: "run".into(), arguments: json!({"command": command}) }],
        finish_reason: "tool_calls".into(),
        input_tokens: 100,
        output_tokens: 10,
        cost_microusd: 0,
        first_token_ms: 5,
        total_ms: 50,
        fallbacks: Vec::new(),
    }
}

fn started(call_id: &str, command: &str) -> EventBody {
    EventBody::ToolStarted { call_id: call_id.into(), tool: "run".into(), arguments: json!({"command": command}) }
}

fn finished(call_id: &str, output: &str) -> EventBody {
    EventBody::ToolFinished {
        call_id: call_id.into(),
        outcome: ToolOutcome::Succeeded,
        exit_code: Some(0),
        duration_ms: 20,
        output: output.into(),
        omitted_bytes: 0,
        artifact: None,
    }
}

fn conversation(past: Past) -> Conversation {
    let manner =
        Manner { dialect: Dialect::Native, offered: Tool::ALL.to_vec(), prompt_tokens: None, gives_hints: false };
    let opening = Opening { task: "Task".into(), shown: Vec::new() };
    let mut conversation = Conversation::new(manner, opening, past.last_turn + 1);
    conversation.replay(past.facts);
    conversation
}

#[test]
fn goes_on_after_the_last_finished_call() {
    let past = past(&[
        (1, prepared(None)),
        (1, checkpoint("c0", 0)),
        (1, ran("a1-t1", "ls")),
        (1, started("t1-1", "ls")),
        (1, finished("t1-1", "a.txt\n")),
        (1, checkpoint("c1", 1)),
    ]);
    assert_eq!(past.checkpoint.as_ref().map(|at| (at.commit.as_str(), at.step)), Some(("c1", 1)));
    assert_eq!(past.models, ["ollama/qwen"]);
    let expected =
        Usage { steps: 1, input_tokens: 100, output_tokens: 10, cost_microusd: 0, model_ms: 50, tool_ms: 20 };
    assert_eq!(past.usage, expected);
    let conversation = conversation(past);
    assert_eq!(conversation.next(), Next::Answer { turn: 2 });
    assert_eq!(conversation.messages(None).last().map(|last| last.content.as_str()), Some("Exit code 0.\na.txt\n"));
}

#[test]
fn a_call_that_was_asked_for_and_not_begun_is_done_without_asking_again() {
    let conversation = conversation(past(&[(1, prepared(None)), (1, checkpoint("c0", 0)), (1, ran("a1-t1", "make"))]));
    assert_eq!(conversation.interrupted(), None);
    let call = Call { id: "t1-1".into(), action: Action::Run { command: "make".into() } };
    assert_eq!(conversation.next(), Next::Call(call));
}

#[test]
fn a_call_that_was_under_way_is_interrupted() {
    let conversation = conversation(past(&[
        (1, prepared(None)),
        (1, checkpoint("c0", 0)),
        (1, ran("a1-t1", "make")),
        (1, started("t1-1", "make")),
    ]));
    assert_eq!(conversation.interrupted().map(|call| call.id.as_str()), Some("t1-1"));
}

#[test]
fn a_workspace_begun_anew_begins_the_conversation_anew_and_counts_on() {
    let past = past(&[
        (1, prepared(None)),
        (1, checkpoint("c0", 0)),
        (1, ran("a1-t1", "ls")),
        (1, started("t1-1", "ls")),
        (1, finished("t1-1", "a.txt\n")),
        (1, checkpoint("c1", 1)),
        (2, prepared(None)),
        (2, checkpoint("d0", 0)),
    ]);
    assert_eq!(past.usage.steps, 1, "what was used stays used");
    assert_eq!(past.checkpoint.as_ref().map(|at| at.commit.as_str()), Some("d0"));
    assert_eq!(conversation(past).next(), Next::Answer { turn: 2 });
}

#[test]
fn outputs_that_were_dropped_stay_dropped() {
    let failed = EventBody::ModelFailed {
        call_id: "a1-t5".into(),
        code: "context_length_exceeded".into(),
        message: "too long".into(),
        fallbacks: Vec::new(),
    };
    let mut bodies = vec![(1, prepared(None)), (1, checkpoint("c0", 0))];
    for turn in 1..=4 {
        bodies.push((1, ran(&format!("a1-t{turn}"), &format!("cat {turn}"))));
        bodies.push((1, finished(&format!("t{turn}-1"), &"long ".repeat(100))));
    }
    bodies.push((1, failed));
    let conversation = conversation(past(&bodies));
    let dropped =
        conversation.messages(None).iter().filter(|message| message.content == crate::prompt::DROPPED).count();
    assert!((1..4).contains(&dropped), "{dropped}");
}

#[test]
fn of_two_answers_to_one_turn_the_newer_counts() {
    let conversation = conversation(past(&[
        (1, prepared(None)),
        (1, checkpoint("c0", 0)),
        (1, ran("a1-t1", "lost on the way")),
        (1, ran("a1-t1-try2", "make")),
    ]));
    let call = Call { id: "t1-1".into(), action: Action::Run { command: "make".into() } };
    assert_eq!(conversation.next(), Next::Call(call));
    assert_eq!(conversation.messages(None).len(), 4, "rules, task, one answer and the place of its result");
}

fn said(call_id: &str, content: &str) -> EventBody {
    let EventBody::ModelFinished { route, provider, model, .. } = ran(call_id, "") else { unreachable!() };
    EventBody::ModelFinished {
        call_id: call_id.into(),
        route,
        provider,
        model,
        content: content.into(),
        tool_calls: Vec::new(),
        finish_reason: "stop".into(),
        input_tokens: 1,
        output_tokens: 1,
        cost_microusd: 0,
        first_token_ms: 1,
        total_ms: 1,
        fallbacks: Vec::new(),
    }
}

/// Logs from when an action and its body came in two completions.
#[test]
fn turns_of_two_completions_are_read_as_one() {
    let head = |action: &str, path: &str| {
        format!("{{\"thought\":\"next\",\"action\":\"{action}\",\"path\":\"{path}\",\"summary\":\"\"}}")
    };
    for (body, action) in [
        ("```sh\nls\n```", Action::Run { command: "ls".into() }),
        ("ls -la", Action::Run { command: "ls -la".into() }),
        ("```python\nx = 1\n```", Action::WriteFile { path: "a.py".into(), content: "x = 1\n".into() }),
        ("x = 1\ny = 2", Action::WriteFile { path: "a.py".into(), content: "x = 1\ny = 2\n".into() }),
    ] {
        let (tool, path) = (action.tool().as_str(), if action.tool() == Tool::Run { "" } else { "a.py" });
        let two = [
            (1, prepared(None)),
            (1, checkpoint("c0", 0)),
            (1, said("a1-t1", &head(tool, path))),
            (1, said("a1-t1-body", body)),
        ];
        let conversation = conversation(past(&two));
        assert_eq!(conversation.next(), Next::Call(Call { id: "t1-1".into(), action }), "{body}");
        assert_eq!(conversation.messages(None).len(), 4);
    }
}

#[test]
fn a_body_that_never_came_or_came_twice_stops_nothing() {
    let head = r#"{"thought":"","action":"run","path":"","summary":""}"#;
    let open = conversation(past(&[(1, prepared(None)), (1, checkpoint("c0", 0)), (1, said("a1-t1", head))]));
    assert_eq!(open.next(), Next::Answer { turn: 2 });
    let twice = [
        (1, prepared(None)),
        (1, checkpoint("c0", 0)),
        (1, said("a1-t1", head)),
        (1, said("a1-t1-body", "ls")),
        (1, said("a1-t1-body-try2", "make")),
    ];
    let call = Call { id: "t1-1".into(), action: Action::Run { command: "make".into() } };
    assert_eq!(conversation(past(&twice)).next(), Next::Call(call));
    let lost = conversation(past(&[(1, prepared(None)), (1, checkpoint("c0", 0)), (1, said("a1-t3-body", "ls"))]));
    assert_eq!(lost.next(), Next::Answer { turn: 4 });
}

/// What earlier agents ran because it stood there as a command: recorded, and never asked for again.
#[test]
fn an_object_that_once_was_run_as_a_command_is_not_run_again() {
    let envelope = r#"{"thought":"","action":"run","path":"","summary":""}"#;
    let recorded = [
        (1, prepared(None)),
        (1, checkpoint("c0", 0)),
        (1, said("a1-t1", envelope)),
        (1, said("a1-t1-body", envelope)),
        (1, started("t1-1", envelope)),
        (1, finished("t1-1", "sh: 1: {thought:: not found")),
    ];
    assert_eq!(conversation(past(&recorded)).next(), Next::Answer { turn: 2 });
}
