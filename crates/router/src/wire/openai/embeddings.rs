//! `POST /embeddings`: texts in, vectors out, in the order of the texts whatever the order of the answer.

use crate::{
    Error,
    json_object::Fields,
    providers::{EmbedRequest, Embeddings, PassedEmbeddings},
    wire::lenient::Object,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) fn body(request: &EmbedRequest) -> Value {
    let mut body = json!({"model": request.model, "input": request.input, "encoding_format": "float"});
    if let Some(dimensions) = request.dimensions {
        body["dimensions"] = json!(dimensions);
    }
    body
}

/// The caller's body for this model.
///
/// # Errors
/// [`Error::Invalid`] when it is no JSON object.
pub(crate) fn original(body: &[u8], model: &str) -> Result<Bytes, Error> {
    Ok(Fields::of(body)?.with(&[("model", &Value::from(model).to_string())]))
}

/// An answer that passes as it is, and what it says of its tokens; else what is wrong. `count` is of the texts, 0 where that is
/// not known.
pub(crate) fn passed(body: Bytes, count: usize) -> Result<PassedEmbeddings, String> {
    let input_tokens = {
        let object = Object::of(&body)?;
        let fields = object.fields();
        match fields.list("data").len() {
            0 => return Err("no `data` in its vectors".to_owned()),
            got if count > 0 && got != count => return Err(format!("{got} vectors for {count} texts")),
            _ => {}
        }
        let usage = fields.object("usage");
        usage.count("prompt_tokens").or_else(|| usage.count("total_tokens")).unwrap_or(0)
    };
    Ok(PassedEmbeddings { body, input_tokens })
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<usize>,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Counts {
    prompt_tokens: Option<u64>,
}

/// One vector for each of `count` texts, all of one length, or what is wrong.
pub(crate) fn read(body: &[u8], count: usize) -> Result<Embeddings, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| format!("{error} in its vectors"))?;
    if answer.data.len() != count {
        return Err(format!("{} vectors for {count} texts", answer.data.len()));
    }
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; count];
    for (position, item) in answer.data.into_iter().enumerate() {
        let index = item.index.unwrap_or(position);
        let place = vectors.get_mut(index).ok_or_else(|| format!("a vector with index {index} for {count} texts"))?;
        if place.replace(item.embedding).is_some() {
            return Err(format!("two vectors with index {index}"));
        }
    }
    let vectors: Vec<Vec<f32>> = vectors.into_iter().flatten().collect();
    let length = vectors.first().map_or(0, Vec::len);
    if vectors.iter().any(|vector| vector.len() != length || vector.is_empty()) {
        return Err("vectors of different lengths or of none".to_owned());
    }
    let input_tokens = answer.usage.and_then(|counts| counts.prompt_tokens).unwrap_or(0);
    Ok(Embeddings { vectors, input_tokens })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn vectors_come_in_the_order_of_the_texts() {
        let body =
            br#"{"data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":[1,2]}],"usage":{"prompt_tokens":7}}"#;
        let expected = Embeddings { vectors: vec![vec![1.0, 2.0], vec![3.0, 4.0]], input_tokens: 7 };
        assert_eq!(read(body, 2), Ok(expected));
        let no_index = br#"{"data":[{"embedding":[1]},{"embedding":[2]}]}"#;
        assert_eq!(read(no_index, 2).unwrap().vectors, [[1.0], [2.0]]);
    }

    #[test]
    fn vectors_that_cannot_be_told_apart_are_refused() {
        for (body, says) in [
            (r#"{"data":[{"index":0,"embedding":[1]}]}"#, "1 vectors for 2"),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[2]}]}"#, "two vectors"),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":2,"embedding":[2]}]}"#, "index 2"),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}]}"#, "different lengths"),
            (r#"{"data":[{"index":0,"embedding":[]},{"index":1,"embedding":[]}]}"#, "none"),
            (r#"{"data":[{"index":0,"embedding":[1e99]},{"index":1,"embedding":[1]}]}"#, "out of range"),
            (r#"{"data":[{"index":0,"embedding":"AAA="}]}"#, "invalid type"),
        ] {
            let error = read(body.as_bytes(), 2).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200), count in 0..4usize) {
            let _ = read(&body, count);
        }
    }
}
