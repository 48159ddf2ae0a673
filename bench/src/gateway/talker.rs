//! An upstream that streams, in the dialect of chat completions.
//!
//! ```text
//!   steady   joins the choir: once all streams are there, one thread sends each its chunk in turn, evenly in time
//!   endless  a chunk every few milliseconds until the connection closes
//!   silent   not even a head; only the close of the connection is looked for
//! ```
//! A chunk's text is the time it was sent at, so that whoever reads it can tell how long it was under way.

use super::http::{MODELS, is_whole};
use anyhow::{Context, Result};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        LazyLock, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

pub const CHUNKS_PER_SECOND: u32 = 50;
pub const SECONDS: u32 = 4;
const ENDLESS_PAUSE: Duration = Duration::from_millis(5);
/// Everybody who reads times takes them from here.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const LAST: &str = r#"{"id":"chatcmpl-talk","object":"chat.completion.chunk","created":1700000000,"model":"talk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
/// Before the time in a chunk, and around it so that it is found.
pub const MARK: &[u8] = b"\"content\":\"t";

pub struct Talker {
    pub port: u16,
    /// A request for `endless` or `silent` has arrived.
    arrived: Mutex<Receiver<()>>,
    /// When the connection of such a request closed.
    closed: Mutex<Receiver<Instant>>,
    choir: Mutex<Receiver<TcpStream>>,
}

impl Talker {
    pub fn start() -> Result<Self> {
        LazyLock::force(&EPOCH);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let ((arrived_to, arrived), (closed_to, closed), (choir_to, choir)) = (channel(), channel(), channel());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let senders =
                    Senders { arrived: arrived_to.clone(), closed: closed_to.clone(), choir: choir_to.clone() };
                std::thread::Builder::new().stack_size(128 * 1024).spawn(move || senders.serve(stream)).ok();
            }
        });
        Ok(Self { port, arrived: Mutex::new(arrived), closed: Mutex::new(closed), choir: Mutex::new(choir) })
    }

    pub fn wait_arrived(&self, patience: Duration) -> Result<()> {
        let arrived = self.arrived.lock().map_err(|_| anyhow::anyhow!("the talker panicked"))?;
        arrived.recv_timeout(patience).context("the request does not reach the upstream")
    }

    pub fn wait_closed(&self, patience: Duration) -> Result<Instant> {
        let closed = self.closed.lock().map_err(|_| anyhow::anyhow!("the talker panicked"))?;
        closed.recv_timeout(patience).context("the upstream never sees its connection close")
    }

    /// Waits for all streams and then sends each its chunks, evenly: one stream after the other.
    pub fn conduct(&self, streams: u32, patience: Duration) -> Result<()> {
        let choir = self.choir.lock().map_err(|_| anyhow::anyhow!("the talker panicked"))?;
        let mut voices = Vec::new();
        for _ in 0..streams {
            voices.push(choir.recv_timeout(patience).context("not all streams reach the upstream")?);
        }
        let beat = Duration::from_secs(1) / CHUNKS_PER_SECOND;
        let start = Instant::now() + beat;
        for round in 0..CHUNKS_PER_SECOND * SECONDS {
            for (number, voice) in (0u32..).zip(&mut voices) {
                let due = start + beat * round + beat * number / streams;
                if let Some(early) = due.checked_duration_since(Instant::now()) {
                    std::thread::sleep(early);
                }
                voice.write_all(&chunk())?;
            }
        }
        for voice in &mut voices {
            voice.write_all(&framed(LAST))?;
            voice.write_all(&framed("[DONE]"))?;
            voice.write_all(b"0\r\n\r\n")?;
        }
        Ok(())
    }
}

struct Senders {
    arrived: Sender<()>,
    closed: Sender<Instant>,
    choir: Sender<TcpStream>,
}

impl Senders {
    /// One connection. It is kept for further requests only where those are listings.
    fn serve(self, mut stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        loop {
            let request = read_request(&mut stream)?;
            if request.starts_with(b"GET") {
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    MODELS.len()
                );
                stream.write_all(format!("{head}{}", *MODELS).as_bytes()).ok()?;
                continue;
            }
            let asks = |word: &[u8]| request.windows(word.len()).any(|window| window == word);
            if asks(b"steady") {
                stream.write_all(HEAD.as_bytes()).ok()?;
                stream.write_all(&chunk()).ok()?;
                return self.choir.send(stream).ok();
            }
            self.arrived.send(()).ok()?;
            if asks(b"endless") {
                stream.write_all(HEAD.as_bytes()).ok()?;
                let mut voice = stream.try_clone().ok()?;
                std::thread::spawn(move || {
                    while voice.write_all(&chunk()).is_ok() {
                        std::thread::sleep(ENDLESS_PAUSE);
                    }
                });
            }
            // Ends at the close, however it comes.
            let _ = stream.read(&mut [0; 16]);
            return self.closed.send(Instant::now()).ok();
        }
    }
}

fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&piece[..count]);
        if is_whole(&request).ok()? {
            return Some(request);
        }
    }
}

/// Microseconds on the clock that chunks are stamped by.
pub fn micros(at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(*EPOCH).as_micros()).unwrap_or(u64::MAX)
}

fn chunk() -> Vec<u8> {
    let sent = micros(Instant::now());
    framed(&format!(
        r#"{{"id":"chatcmpl-talk","object":"chat.completion.chunk","created":1700000000,"model":"talk","choices":[{{"index":0,"delta":{{"content":"t{sent} "}},"finish_reason":null}}]}}"#
    ))
}

fn framed(data: &str) -> Vec<u8> {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}
