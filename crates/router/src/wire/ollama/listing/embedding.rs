//! `POST /api/embed`, and the older `POST /api/embeddings` with one text.

use super::super::read;
use crate::{Error, json_object::kind, providers::Embeddings};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbeddingShape {
    /// `embeddings`, one for each text.
    Many,
    /// `embedding`, of one text.
    One,
}

/// A request for embeddings. Without any text it asks for the model to be loaded, and is answered with none.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    pub shape: EmbeddingShape,
    pub model: String,
    pub input: Vec<String>,
    pub dimensions: Option<u32>,
    /// Fields that are not the caller's to choose, by JSON pointer. Texts are never cut: one that does not fit is an error.
    pub lost: Vec<String>,
}

/// # Errors
/// [`Error::Invalid`] with the place and what is wrong there.
pub fn embed(body: &Bytes) -> Result<Embedding, Error> {
    parse(body, EmbeddingShape::Many, |body| match body.get("input") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(texts)) => texts.iter().enumerate().map(|(at, text)| one(text, at)).collect(),
        Some(other) => {
            Err(Error::invalid("/input", format!("{} where a string or an array of them belongs", kind(other))))
        }
    })
}

/// # Errors
/// [`Error::Invalid`] with the place and what is wrong there.
pub fn embeddings(body: &Bytes) -> Result<Embedding, Error> {
    parse(body, EmbeddingShape::One, |body| {
        let prompt = read::text(body, "", "prompt")?;
        Ok(if prompt.is_empty() { Vec::new() } else { vec![prompt] })
    })
}

fn one(text: &Value, at: usize) -> Result<String, Error> {
    match text {
        Value::String(text) => Ok(text.clone()),
        other => Err(Error::invalid(format!("/input/{at}"), format!("{} where a string belongs", kind(other)))),
    }
}

fn parse(
    body: &Bytes,
    shape: EmbeddingShape,
    input: impl Fn(&Map<String, Value>) -> Result<Vec<String>, Error>,
) -> Result<Embedding, Error> {
    let model = read::model(&read::fields(body)?)?;
    let body = read::whole_body(body)?;
    let dimensions = match body.get("dimensions") {
        None | Some(Value::Null) => None,
        Some(number) => {
            let dimensions = number.as_u64().and_then(|number| u32::try_from(number).ok());
            dimensions
                .ok_or_else(|| Error::invalid("/dimensions", format!("{number} where a whole number belongs")))
                .map(Some)?
        }
    };
    let mut lost = Vec::new();
    for (name, value) in &body {
        let kept = matches!(name.as_str(), "model" | "input" | "prompt" | "dimensions")
            || value.is_null()
            || (name == "truncate" && value == false)
            || value.as_object().is_some_and(Map::is_empty);
        if !kept {
            lost.push(format!("/{}", name.replace('~', "~0").replace('/', "~1")));
        }
    }
    let input = input(&body)?;
    Ok(Embedding { shape, model, input, dimensions: dimensions.filter(|&dimensions| dimensions > 0), lost })
}

impl Embedding {
    /// The body of the answer. Numbers are written as short as they are.
    pub fn answer(&self, embeddings: &Embeddings, took: Duration) -> Bytes {
        #[derive(Serialize)]
        struct Many<'a> {
            model: &'a str,
            embeddings: &'a [Vec<f32>],
            total_duration: u64,
            load_duration: u64,
            prompt_eval_count: u64,
        }
        #[derive(Serialize)]
        struct One<'a> {
            embedding: &'a [f32],
        }
        let body = match self.shape {
            EmbeddingShape::Many => serde_json::to_vec(&Many {
                model: &self.model,
                embeddings: &embeddings.vectors,
                total_duration: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
                load_duration: 0,
                prompt_eval_count: embeddings.input_tokens,
            }),
            EmbeddingShape::One => {
                serde_json::to_vec(&One { embedding: embeddings.vectors.first().map_or(&[], Vec::as_slice) })
            }
        };
        // Numbers and a name always make JSON.
        Bytes::from(body.unwrap_or_default())
    }
}
