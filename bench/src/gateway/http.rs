//! The least of HTTP/1.1 that a load generator needs. A library between would be measured too.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::LazyLock,
    time::Duration,
};

pub const MODEL: &str = "bench";
const BODY_BYTES: usize = 1024;
/// Longer than any single answer here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A chat completion of 1 KB.
pub static ANSWER: LazyLock<String> = LazyLock::new(|| {
    padded(BODY_BYTES, |filler| {
        json!({
            "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_700_000_000, "model": MODEL,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": filler}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 200, "completion_tokens": 180, "total_tokens": 380},
        })
    })
});

pub static MODELS: LazyLock<String> = LazyLock::new(|| {
    let model = |name: &str| json!({"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "bench"});
    let data = [MODEL, "steady", "endless", "silent"].map(model);
    json!({"object": "list", "data": data}).to_string()
});

fn padded(bytes: usize, value: impl Fn(&str) -> serde_json::Value) -> String {
    let bare = value("").to_string().len();
    value(&"tea and ".repeat(bytes / 8 + 1)[..bytes - bare]).to_string()
}

/// Somebody who answers chat completions.
pub struct Site {
    pub name: &'static str,
    pub port: u16,
    /// What it calls the model; before the names of the talker's models, a prefix.
    pub model: String,
    /// With them it lets us in.
    pub headers: Vec<(String, String)>,
    /// Of a request's body.
    body_bytes: usize,
}

impl Site {
    /// Anybody is let in without a token.
    pub fn new(name: &'static str, port: u16, model: &str, token: &str) -> Self {
        let bearer = ("authorization".to_owned(), format!("Bearer {token}"));
        let headers = Some(bearer).filter(|_| !token.is_empty()).into_iter().collect();
        Self { name, port, model: model.to_owned(), headers, body_bytes: BODY_BYTES }
    }

    /// With further headers.
    pub fn with(mut self, headers: impl IntoIterator<Item = (String, String)>) -> Self {
        self.headers.extend(headers);
        self
    }

    /// With requests of another size.
    pub fn asking(self, body_bytes: usize) -> Self {
        Self { body_bytes, ..self }
    }

    /// A request, of 1 KB unless it was said otherwise.
    pub fn body(&self) -> String {
        padded(
            self.body_bytes,
            |filler| json!({"model": self.model, "messages": [{"role": "user", "content": filler}]}),
        )
    }

    /// A request for one of the talker's models.
    pub fn talk(&self, model: &str, stream: bool) -> Vec<u8> {
        let model = format!("{}{model}", self.model);
        let messages = json!([{"role": "user", "content": "Talk."}]);
        self.request(&json!({"model": model, "messages": messages, "stream": stream}).to_string())
    }

    pub fn request(&self, body: &str) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        )
        .into_bytes()
    }

    pub fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Whether it gives the answer that everybody has to give.
    pub fn check(&self) -> Result<()> {
        let mut stream = self.connect()?;
        stream.write_all(&self.request(&self.body()))?;
        let mut buffer = Vec::new();
        answer(&mut stream, &mut buffer)?;
        let text = String::from_utf8_lossy(&buffer);
        ensure!(
            status(&buffer) == Some(200) && text.contains("tea and tea and"),
            "it does not give the upstream's answer but {}",
            text.chars().take(300).collect::<String>()
        );
        Ok(())
    }
}

/// Reads one whole answer into `buffer`, which is emptied first.
pub fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    buffer.clear();
    let mut piece = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut piece)?;
        ensure!(count > 0, "the connection closed in the middle of an answer");
        buffer.extend_from_slice(&piece[..count]);
        if is_whole(buffer)? {
            return Ok(());
        }
    }
}

pub fn status(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

/// Where the head ends.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Whether all of a message with a length or in chunks is there.
pub fn is_whole(bytes: &[u8]) -> Result<bool> {
    let Some(end) = head_end(bytes) else { return Ok(false) };
    let head = std::str::from_utf8(&bytes[..end]).context("a head that is not text")?;
    for line in head.split("\r\n") {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            return Ok(bytes.len() >= end + value.trim().parse::<usize>()?);
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(bytes.ends_with(b"\r\n0\r\n\r\n"));
        }
    }
    // A request without a body.
    Ok(true)
}
