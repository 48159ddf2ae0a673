//! `POST /v1/embeddings`.

use crate::{
    Error,
    providers::Embeddings,
    wire::openai::place::{self, Place},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// OpenAI's own limit. More is better sent in several requests, each of which can be tried again.
const INPUTS: usize = 2048;

/// How vectors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Float,
    /// Of the 32-bit floats' bytes, the least significant first: a quarter of the size, and what OpenAI's own client asks for.
    Base64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) model: String,
    /// What another API may be asked to embed; else why it may not be asked.
    pub(crate) texts: Result<Vec<String>, Error>,
    /// Of everything that is to be embedded.
    pub(crate) input_bytes: usize,
    pub(crate) dimensions: Option<u32>,
    /// `None` for one that only the vendor knows.
    pub(crate) encoding: Option<Encoding>,
    /// Fields that have no place here, by JSON pointer.
    pub(crate) lost: Vec<String>,
}

/// # Errors
/// [`Error::Invalid`] with the place and what is wrong there.
pub(crate) fn parse(body: &[u8]) -> Result<Request, Error> {
    let at = Place::Root;
    let mut fields = place::body(body)?;
    let model = at.field("model").string(at.required(&mut fields, "model")?)?;
    if model.trim().is_empty() {
        return Err(at.field("model").invalid("is empty. Name a route or a model; GET /v1/models lists them"));
    }
    let input = at.required(&mut fields, "input")?;
    let input_bytes = bytes_of(&input);
    let texts = texts(input, &at.field("input"));
    // Tokens are the vendor's own business; what is neither text nor token is nobody's.
    if let Err(error @ Error::Invalid { .. }) = &texts {
        return Err(error.clone());
    }
    let dimensions = match fields.remove("dimensions") {
        None | Some(Value::Null) => None,
        Some(value) => match at.field("dimensions").count(&value)? {
            0 => return Err(at.field("dimensions").invalid("is 0 and must be at least 1")),
            dimensions => Some(dimensions),
        },
    };
    let encoding = match at.optional_string(&mut fields, "encoding_format")?.as_deref() {
        None | Some("float") => Some(Encoding::Float),
        Some("base64") => Some(Encoding::Base64),
        Some(_) => None,
    };
    let mut lost = Vec::new();
    at.leftovers(&fields, &mut lost);
    Ok(Request { model, texts, input_bytes, dimensions, encoding, lost })
}

/// A token counts for the four letters that it stands for.
fn bytes_of(input: &Value) -> usize {
    match input {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(bytes_of).sum(),
        _ => 4,
    }
}

/// # Errors
/// [`Error::Refused`] for tokens, [`Error::Invalid`] for what cannot be embedded anywhere.
fn texts(value: Value, at: &Place<'_>) -> Result<Vec<String>, Error> {
    let items = match value {
        Value::String(text) => vec![Value::String(text)],
        other => at.array(other)?,
    };
    if items.is_empty() {
        return Err(at.invalid("is an empty array: there is nothing to embed"));
    }
    if items.len() > INPUTS {
        return Err(at.invalid(format!(
            "holds {} texts and at most {INPUTS} are taken at once. Send several requests",
            items.len()
        )));
    }
    let mut texts = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Value::String(text) if text.is_empty() => return Err(at.index(index).invalid("is empty")),
            Value::String(text) => texts.push(text),
            Value::Number(_) | Value::Array(_) => {
                let message = "`/input` holds tokens, which mean nothing to another model. Send the text";
                return Err(Error::Refused { provider: "this model".to_owned(), message: message.into() });
            }
            _ => return Err(at.index(index).invalid("must be a text")),
        }
    }
    Ok(texts)
}

/// The answer's body.
pub(crate) fn whole(model: &str, embeddings: &Embeddings, encoding: Encoding) -> Value {
    let data = embeddings.vectors.iter().enumerate().map(|(index, vector)| {
        let embedding = match encoding {
            Encoding::Float => json!(vector),
            Encoding::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                json!(STANDARD.encode(bytes))
            }
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    json!({
        "object": "list",
        "data": data.collect::<Value>(),
        "model": model,
        "usage": {"prompt_tokens": embeddings.input_tokens, "total_tokens": embeddings.input_tokens},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_or_several() {
        let one = parse(br#"{"model":"m","input":"a"}"#).unwrap();
        assert_eq!((one.texts, one.encoding, one.dimensions), (Ok(vec!["a".to_owned()]), Some(Encoding::Float), None));
        let several =
            parse(br#"{"model":"m","input":["a","b"],"encoding_format":"base64","dimensions":8,"user":"u","x":1}"#)
                .unwrap();
        assert_eq!(several.texts, Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!((several.encoding, several.dimensions), (Some(Encoding::Base64), Some(8)));
        let mut lost = several.lost;
        lost.sort();
        assert_eq!(lost, ["/user", "/x"]);
    }

    #[test]
    fn what_cannot_be_embedded_is_refused_with_its_place() {
        let many = json!({"model": "m", "input": vec!["a"; 2049]}).to_string();
        for (body, pointer) in [
            (r#"{"model":"m","input":[]}"#, "/input"),
            (r#"{"model":"m","input":["a",""]}"#, "/input/1"),
            (r#"{"model":"m","input":["a",null]}"#, "/input/1"),
            (r#"{"model":"m"}"#, "/input"),
            (r#"{"model":" ","input":"a"}"#, "/model"),
            (r#"{"model":"m","input":"a","dimensions":0}"#, "/dimensions"),
            (&many, "/input"),
        ] {
            let Err(Error::Invalid { pointer: at, .. }) = parse(body.as_bytes()) else { panic!("{body} was taken") };
            assert_eq!(at, pointer, "{}", &body[..body.len().min(80)]);
        }
    }

    #[test]
    fn what_only_the_vendor_understands_is_for_the_vendor_alone() {
        for (body, bytes) in [(r#"{"model":"m","input":[1,2,3]}"#, 12), (r#"{"model":"m","input":[[1,2],[3]]}"#, 12)] {
            let request = parse(body.as_bytes()).unwrap();
            assert!(matches!(request.texts, Err(Error::Refused { .. })), "{body}");
            assert_eq!(request.input_bytes, bytes, "{body}");
        }
        let packed = parse(br#"{"model":"m","input":"a","encoding_format":"int8"}"#).unwrap();
        assert_eq!(packed.encoding, None);
    }

    #[test]
    fn both_encodings_say_the_same_numbers() {
        let embeddings = Embeddings { vectors: vec![vec![0.25, -1.5], vec![1e-7, 3.0]], input_tokens: 5 };
        let plain = whole("m", &embeddings, Encoding::Float);
        assert_eq!(plain["data"][0], json!({"object": "embedding", "index": 0, "embedding": [0.25, -1.5]}));
        assert_eq!(plain["usage"], json!({"prompt_tokens": 5, "total_tokens": 5}));
        let packed = whole("m", &embeddings, Encoding::Base64);
        for (index, vector) in embeddings.vectors.iter().enumerate() {
            let bytes = STANDARD.decode(packed["data"][index]["embedding"].as_str().unwrap()).unwrap();
            let numbers: Vec<f32> = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
            assert_eq!(&numbers, vector);
        }
    }
}
