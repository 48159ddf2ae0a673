use crate::server::{Server, Then, event_stream, options, problem};
use axum::{
    Router,
    extract::{Query, State},
    response::Response,
    routing::get,
};
use client::{Client, Connection, Error};
use domain::{Cursor, Epoch, EventHash, JobId, Timestamp};
use futures_util::StreamExt;
use protocol::{Actor, Event};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;

const EPOCH: Epoch = Epoch(0x5f0c_21ab);

fn job() -> JobId {
    "019a2b3c-0000-7000-8000-000000000001".parse().unwrap()
}

fn cursor(seq: u64) -> Cursor {
    Cursor { epoch: EPOCH, seq }
}

fn frame(seq: u64, event_type: &str) -> String {
    let event = Event {
        cursor: cursor(seq),
        job_id: job(),
        epoch: EPOCH,
        seq,
        at: Timestamp::from_millis(1_000),
        actor: Actor::System,
        attempt: 1,
        event_type: event_type.into(),
        payload: serde_json::json!({"message": format!("number {seq}\nsecond line")}),
        previous: EventHash::START,
        hash: EventHash::START,
    };
    format!("id: {}\nevent: {event_type}\ndata: {}\n\n", cursor(seq), serde_json::to_string(&event).unwrap())
}

/// A log of `last` events, read from a cursor.
fn log(after: u64, last: u64) -> Vec<String> {
    (after + 1..=last).map(|seq| frame(seq, if seq == last { "closed" } else { "agent.note" })).collect()
}

fn after(query: &HashMap<String, String>) -> u64 {
    query.get("after").map_or(0, |text| text.parse::<Cursor>().unwrap().seq)
}

type Asked = Query<HashMap<String, String>>;

async fn serve(answer: impl Fn(u32, u64) -> Response + Clone + Send + Sync + 'static) -> Server {
    let connections = Arc::new(AtomicU32::new(0));
    let route = get(move |State(connections): State<Arc<AtomicU32>>, Query(query): Asked| async move {
        answer(connections.fetch_add(1, Ordering::SeqCst), after(&query))
    });
    Server::start(Router::new().route("/api/v1/jobs/{id}/events", route).with_state(connections)).await
}

async fn read(client: &Client) -> (Vec<u64>, Option<Error>) {
    let mut stream = client.events(job(), None);
    let (mut seqs, mut failure) = (Vec::new(), None);
    while let Some(item) = stream.next().await {
        assert!(failure.is_none(), "nothing follows an error");
        match item {
            Ok(event) => seqs.push(event.seq),
            Err(error) => failure = Some(error),
        }
    }
    (seqs, failure)
}

#[tokio::test]
async fn a_connection_that_breaks_all_the_time_loses_and_repeats_nothing() {
    // Each connection brings a few events, the second half of them cut in the middle of a frame; some repeat old ones.
    let server = serve(|connection, after| {
        let from = after.saturating_sub(u64::from(connection % 3));
        let mut chunks: Vec<_> = log(from, 100).into_iter().take(4 + connection as usize % 5).collect();
        if !chunks.iter().any(|chunk| chunk.contains("event: closed")) {
            let half = chunks.pop().unwrap();
            chunks.push(half[..half.len() / 2].to_owned());
        }
        event_stream(chunks, if connection % 2 == 0 { Then::Break } else { Then::End })
    })
    .await;
    let (seqs, failure) = read(&server.client()).await;
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(seqs, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_that_says_why_it_ends_is_read_on_later_or_ends_with_the_reason() {
    let last_words = |code: &str, status: u16| {
        let problem = serde_json::json!({
            "type": "", "title": "", "status": status, "detail": "What happened.", "code": code, "request_id": "x",
        });
        format!("event: error\ndata: {problem}\n\n")
    };
    let server = serve(move |_, after| {
        let mut chunks: Vec<_> = log(after, 10).into_iter().take(4).collect();
        if after < 8 {
            chunks.push(last_words("unavailable", 503));
        }
        event_stream(chunks, Then::End)
    })
    .await;
    let (seqs, failure) = read(&server.client()).await;
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(seqs, (1..=10).collect::<Vec<_>>());

    let server =
        serve(move |_, _| event_stream(vec![frame(1, "agent.note"), last_words("not_found", 404)], Then::Silence))
            .await;
    let (seqs, failure) = read(&server.client()).await;
    assert_eq!(seqs, [1]);
    assert_eq!(failure.unwrap().code(), Some(domain::ErrorCode::NotFound));
}

#[tokio::test]
async fn events_cut_at_any_byte_arrive_whole() {
    let server = serve(|_, after| {
        let text = log(after, 5).concat();
        let chunks = text.as_bytes().chunks(3).map(|chunk| String::from_utf8(chunk.to_vec()).unwrap()).collect();
        event_stream(chunks, Then::End)
    })
    .await;
    assert_eq!(read(&server.client()).await.0, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_silent_connection_is_replaced_and_a_heartbeat_is_not_silence() {
    let server = serve(|connection, after| match connection {
        0 => event_stream(log(after, 9).into_iter().take(2).collect(), Then::Silence),
        _ => {
            let mut chunks = vec![format!("event: heartbeat\ndata: {{\"head\":\"{}\"}}\n\n", cursor(9))];
            chunks.extend(log(after, 9));
            event_stream(chunks, Then::End)
        }
    })
    .await;
    let mut options = options(server.address);
    options.silence = Duration::from_millis(100);
    let (seqs, failure) = read(&Client::new(options).unwrap()).await;
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(seqs, (1..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reset_is_told_and_ends_the_stream() {
    let server = serve(|connection, after| match connection {
        0 => event_stream(log(after, 9).into_iter().take(3).collect(), Then::Break),
        _ => {
            let reset =
                serde_json::json!({"reason": "epoch_changed", "resume_from": "00000002.0", "head": "00000002.7"});
            event_stream(vec![format!("event: reset\ndata: {reset}\n\n")], Then::End)
        }
    })
    .await;
    let (seqs, failure) = read(&server.client()).await;
    assert_eq!(seqs, [1, 2, 3]);
    let Some(Error::Reset(reset)) = failure else { panic!("{failure:?}") };
    assert_eq!(reset.resume_from.to_string(), "00000002.0");
}

#[tokio::test]
async fn a_refusal_that_time_does_not_mend_ends_the_stream_at_once() {
    let server = serve(|connection, _| {
        assert_eq!(connection, 0, "asked again although the answer was final");
        problem(404, "not_found")
    })
    .await;
    let (seqs, failure) = read(&server.client()).await;
    assert!(seqs.is_empty());
    assert_eq!(failure.unwrap().code(), Some(domain::ErrorCode::NotFound));
}

#[tokio::test]
async fn a_server_that_skips_events_is_asked_again_and_then_named() {
    let server = serve(|_, after| {
        let mut chunks = log(after, 9);
        chunks.truncate(4);
        chunks.retain(|chunk| !chunk.starts_with(&format!("id: {}\n", cursor(3))));
        event_stream(chunks, Then::End)
    })
    .await;
    let (seqs, failure) = read(&server.client()).await;
    assert_eq!(seqs, [1, 2]);
    let text = failure.unwrap().to_string();
    assert!(text.contains("event 4 came where 3 was due"), "{text}");
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_and_people_can_see_the_gap() {
    let first = serve(|_, after| event_stream(log(after, 9).into_iter().take(3).collect(), Then::Break)).await;
    let address = first.address;
    let client = first.client();
    let mut stream = client.events(job(), None);
    for seq in 1..=3 {
        assert_eq!(stream.next().await.unwrap().unwrap().seq, seq);
    }
    drop(first);
    let mut connection = stream.connection();
    let rest = tokio::spawn(async move { stream.map(|item| item.unwrap().seq).collect::<Vec<_>>().await });
    connection.wait_for(|state| matches!(state, Connection::Waiting { .. })).await.unwrap();
    let listener = listen_again(address).await;
    let route = get(|Query(query): Asked| async move { event_stream(log(after(&query), 9), Then::End) });
    let _second = Server::on(listener, Router::new().route("/api/v1/jobs/{id}/events", route));
    assert_eq!(rest.await.unwrap(), (4..=9).collect::<Vec<_>>());
}

/// The old listener's task ends a moment after it was told to.
async fn listen_again(address: std::net::SocketAddr) -> TcpListener {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_any_contact_it_gives_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = options(listener.local_addr().unwrap());
    drop(listener);
    options.stream_give_up_after = Duration::from_millis(200);
    let began = std::time::Instant::now();
    let (seqs, failure) = read(&Client::new(options).unwrap()).await;
    assert!(seqs.is_empty());
    assert!(matches!(failure, Some(Error::Unreachable { .. })), "{failure:?}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
