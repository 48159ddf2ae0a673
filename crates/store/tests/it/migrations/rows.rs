//! What the program of each version wrote into its database: one row of every kind at least, with every field set in one.
//!
//! Nothing here may ever change: the databases under `tests/fixtures` were written from it. What a later version brings is
//! added.

use crate::support::{at, principal};
use domain::{
    ApprovalId, CanonicalJson, Epoch, EventHash, FailureReason, JobId, JobKind, JobState, ModelCallId, RequestId,
    Scope, TokenId, WorkerId,
};
use store::{
    ApprovalRow, ArtifactRow, AuditRow, BatchNumber, IdempotencyRow, JobRow, KeyPolicyRow, LedgerRow, ModelCallRow,
    ModelProfileRow, NewEvent, SpendCount, SpendKey, TokenRow,
};
use uuid::Uuid;

/// `printf 'kept since the first version\n' | sha256sum`
pub const CONTENT: &[u8] = b"kept since the first version\n";
pub const CONTENT_SHA256: &str = "ae05e94f119cccd28d02e065ba27eee18c1a5b0b4e24f29a436114890a6367cb";

pub const OWNER: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0001;
pub const OTHER: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0002;

pub fn job_id(number: u128) -> JobId {
    JobId(Uuid::from_u128(0x0191_0000_0000_7000_8000_0000_0000_0000 + number))
}

pub fn approval_id(number: u128) -> ApprovalId {
    ApprovalId(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0000 + number))
}

pub fn call_id(number: u128) -> ModelCallId {
    ModelCallId(Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 + number))
}

/// One with everything, one that waits, one that runs; since the ninth version the last says since when.
pub fn jobs() -> [JobRow; 3] {
    let waiting = JobRow {
        id: job_id(2),
        principal: principal(OTHER),
        kind: JobKind::Ask,
        state: JobState::Queued,
        reason: None,
        message: None,
        spec: r#"{"kind":"ask","task":"wait"}"#.to_owned(),
        result: None,
        usage: "{}".to_owned(),
        priority: 5,
        rank: -7,
        not_before: None,
        attempt: 0,
        attempts_failed: 0,
        worker: None,
        worker_principal: None,
        producer_seq: 0,
        cancel_requested: false,
        retry_of: None,
        folders: "roots".to_owned(),
        running_ms: 0,
        head_seq: 0,
        head_hash: EventHash::START,
        lease_epoch: None,
        revision: 0,
        created_at: at(2),
        updated_at: at(2),
        started_at: None,
        finished_at: None,
    };
    let whole = JobRow {
        id: job_id(1),
        principal: principal(OWNER),
        kind: JobKind::Code,
        state: JobState::Failed,
        reason: Some(FailureReason::Stuck),
        message: Some("no further 'quoted' é\nsecond line".to_owned()),
        spec: r#"{"kind":"code","task":"mend it"}"#.to_owned(),
        result: Some(r#"{"answer":"half of it"}"#.to_owned()),
        usage: r#"{"input_tokens":12}"#.to_owned(),
        priority: 9,
        rank: i64::MIN,
        not_before: Some(at(5)),
        attempt: 4_000_000_000,
        attempts_failed: 7,
        worker: Some(WorkerId(Uuid::from_u128(OWNER + 100))),
        worker_principal: Some(principal(OTHER)),
        producer_seq: 8,
        cancel_requested: true,
        retry_of: Some(job_id(2)),
        folders: "any".to_owned(),
        running_ms: 9,
        started_at: Some(at(3)),
        finished_at: Some(at(4)),
        created_at: at(1),
        updated_at: at(4),
        ..waiting.clone()
    };
    let running = JobRow {
        id: job_id(3),
        rank: 3,
        state: JobState::Running,
        attempt: 1,
        lease_epoch: Some(Epoch(4_000_000_001)),
        ..waiting.clone()
    };
    [whole, waiting, running]
}

/// In order, for each job its own.
pub fn events(job: u128) -> Vec<NewEvent> {
    let event = |number: u64| NewEvent {
        event_type: ["agent.note", "tool.started", "message.delta"][(number % 3) as usize].to_owned(),
        actor: ["user", "agent", "system"][(number % 3) as usize],
        attempt: number as u32,
        at: at(10 + number as i64),
        payload: CanonicalJson::of(&serde_json::json!({"number": number, "text": "é \u{1F980} \"quoted\"\n"})).unwrap(),
    };
    let count = match job {
        1 => 4,
        2 => 1,
        _ => 6,
    };
    (1..=count).map(event).collect()
}

/// One that waits for a decision, one that has it, and since the eighth version one that was used.
pub fn approvals() -> [ApprovalRow; 3] {
    let pending = ApprovalRow {
        id: approval_id(1),
        job_id: job_id(1),
        call_id: "call-1".to_owned(),
        tool: "run".to_owned(),
        arguments: r#"{"command":"make 'all'"}"#.to_owned(),
        arguments_sha256: "ab".repeat(32),
        requested_at: at(20),
        decision: None,
        message: None,
        decided_by: None,
        decided_at: None,
        used_by: None,
        used_in: None,
        spent: false,
    };
    let decided = ApprovalRow {
        id: approval_id(2),
        call_id: "call-2".to_owned(),
        decision: Some("approved".to_owned()),
        message: Some("go on".to_owned()),
        decided_by: Some(principal(OWNER)),
        decided_at: Some(at(21)),
        ..pending.clone()
    };
    let used = ApprovalRow {
        id: approval_id(3),
        used_by: Some("call-9".to_owned()),
        used_in: Some(3),
        spent: true,
        ..decided.clone()
    };
    [pending, decided, used]
}

pub fn artifact() -> ArtifactRow {
    ArtifactRow {
        job_id: job_id(1),
        name: "patch é".to_owned(),
        media_type: "text/x-diff".to_owned(),
        bytes: CONTENT.len() as u64,
        sha256: CONTENT_SHA256.to_owned(),
        attempt: 2,
        created_at: at(30),
    }
}

pub fn tokens() -> [TokenRow; 2] {
    let admin = TokenRow {
        id: TokenId(Uuid::from_u128(OWNER + 10)),
        principal: principal(OWNER),
        name: "admin".to_owned(),
        scope: Scope::Admin,
        secret_sha256: [0xfe; 32],
        created_at: at(40),
    };
    let agent = TokenRow {
        id: TokenId(Uuid::from_u128(OWNER + 11)),
        principal: principal(OTHER),
        name: "agent 'é'".to_owned(),
        scope: Scope::Agent,
        secret_sha256: [1; 32],
        created_at: at(41),
    };
    [admin, agent]
}

pub fn idempotency() -> IdempotencyRow {
    IdempotencyRow {
        principal: principal(OWNER),
        key: "once, and only once".to_owned(),
        request_sha256: [7; 32],
        answer: r#"{"id":"x"}"#.to_owned(),
        created_at: at(50),
    }
}

pub fn audit() -> [AuditRow; 2] {
    let entry = |number: u128, action: &str| AuditRow {
        at: at(60 + number as i64),
        principal: principal(OWNER),
        action: action.to_owned(),
        object: "job/1".to_owned(),
        request_id: RequestId(Uuid::from_u128(OWNER + 20 + number)),
    };
    [entry(0, "job.create"), entry(1, "token.create")]
}

// since 5

pub fn key_policy() -> KeyPolicyRow {
    let policy = r#"{"budget_tokens":5}"#.to_owned();
    KeyPolicyRow { principal: principal(OTHER), policy, updated_at: at(70) }
}

pub fn spend() -> [(SpendKey, SpendCount); 2] {
    let account = Uuid::from_u128(OTHER);
    let key = |period, begins_at| SpendKey { account_kind: "key", account, period, begins_at };
    let count = |tokens| SpendCount { tokens, microusd: 34, requests: 2 };
    [(key("day", at(0)), count(1_200)), (key("month", at(0)), count(u64::from(u32::MAX) + 5))]
}

pub fn batch() -> BatchNumber {
    BatchNumber { run: Uuid::from_u128(OWNER + 30), batch: 17 }
}

/// The second, whose tokens nobody counted, since the sixth version.
pub fn model_calls() -> [ModelCallRow; 2] {
    let counted = ModelCallRow {
        id: call_id(1),
        at: at(80),
        principal: principal(OTHER),
        job: Some(job_id(1)),
        route: "fast".to_owned(),
        provider: Some("ollama".to_owned()),
        model: Some("small".to_owned()),
        digest: Some("sha256:ab".to_owned()),
        state: "succeeded",
        input_tokens: Some(10),
        output_tokens: Some(5),
        cost_microusd: Some(3),
        first_token_ms: Some(20),
        total_ms: Some(90),
        detail: r#"{"number":1,"text":"é"}"#.to_owned(),
    };
    let uncounted = ModelCallRow {
        id: call_id(2),
        input_tokens: None,
        output_tokens: None,
        detail: r#"{"number":2}"#.to_owned(),
        ..counted.clone()
    };
    [counted, uncounted]
}

pub fn ledger() -> [LedgerRow; 2] {
    let entry = |seq: u64| LedgerRow {
        seq,
        at: at(90 + seq as i64),
        call_id: call_id(1),
        principal: principal(OTHER),
        job: Some(job_id(1)),
        provider: "openai".to_owned(),
        model: "large".to_owned(),
        body_sha256: "cd".repeat(32),
        body_bytes: 1_234,
        redactions: 2,
        reason: "the route allows it".to_owned(),
        prev_hash: if seq == 1 { EventHash::START } else { EventHash([seq as u8 - 1; 32]) },
        hash: EventHash([seq as u8; 32]),
    };
    [entry(1), entry(2)]
}

/// Since the thirteenth version.
pub fn model_profile() -> ModelProfileRow {
    ModelProfileRow {
        key: "digest:sha256:ab".to_owned(),
        found_at: at(100),
        detail: r#"{"profile":{"source":"exam","calls":"text"},"text":"é"}"#.to_owned(),
    }
}
