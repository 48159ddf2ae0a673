mod faults;
mod observation;
mod sound;

use serde_json::Value;
use testkit::{FaultyModel, Reply, Wire};

fn http() -> reqwest::Client {
    // The first to come installs it; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap()
}

async fn server(wire: Wire, reply: Reply) -> FaultyModel {
    FaultyModel::start(wire).await.then(reply)
}

async fn ask(model: &FaultyModel, stream: bool) -> reqwest::Response {
    let mut question = model.wire().question(FaultyModel::MODEL, "hi", stream);
    if model.wire() == Wire::OpenAiChat && stream {
        question["stream_options"] = serde_json::json!({"include_usage": true});
    }
    http().post(model.url()).json(&question).send().await.unwrap()
}

/// A stream as its client gets it.
struct Got {
    frames: Vec<Value>,
    /// Frames that are not JSON, `[DONE]` among them.
    others: Vec<String>,
    /// The body came to the end HTTP gave it.
    ended: bool,
}

async fn streamed(model: &FaultyModel) -> Got {
    let mut response = ask(model, true).await;
    assert_eq!(response.status(), 200);
    let mut body = Vec::new();
    let ended = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    let body = String::from_utf8(body).unwrap();
    let frames: Vec<&str> = match model.wire() {
        Wire::Ollama => body.lines().collect(),
        _ => body.lines().filter_map(|line| line.strip_prefix("data: ")).collect(),
    };
    let (mut json, mut others) = (Vec::new(), Vec::new());
    for frame in frames {
        match serde_json::from_str(frame) {
            Ok(frame) => json.push(frame),
            Err(_) => others.push(frame.to_owned()),
        }
    }
    Got { frames: json, others, ended }
}

impl Got {
    fn text(&self, wire: Wire) -> String {
        self.gather(match wire {
            Wire::OpenAiChat => "/choices/0/delta/content",
            Wire::OpenAiResponses => "/delta",
            Wire::Anthropic => "/delta/text",
            Wire::Ollama => "/message/content",
        })
    }

    fn gather(&self, pointer: &str) -> String {
        self.frames.iter().filter_map(|frame| frame.pointer(pointer)?.as_str()).collect()
    }

    fn types(&self) -> Vec<&str> {
        self.frames.iter().filter_map(|frame| frame["type"].as_str()).collect()
    }

    /// The dialect's last word came.
    fn done(&self, wire: Wire) -> bool {
        match wire {
            Wire::OpenAiChat => self.others.iter().any(|frame| frame == "[DONE]"),
            Wire::OpenAiResponses => self.types().last() == Some(&"response.completed"),
            Wire::Anthropic => self.types().last() == Some(&"message_stop"),
            Wire::Ollama => self.frames.last().is_some_and(|frame| frame["done"] == true),
        }
    }

    /// Something says why the answer ended.
    fn finish(&self, wire: Wire) -> Option<&str> {
        let pointer = match wire {
            Wire::OpenAiChat => "/choices/0/finish_reason",
            Wire::OpenAiResponses => "/response/incomplete_details/reason",
            Wire::Anthropic => "/delta/stop_reason",
            Wire::Ollama => "/done_reason",
        };
        self.frames.iter().find_map(|frame| frame.pointer(pointer)?.as_str())
    }
}
