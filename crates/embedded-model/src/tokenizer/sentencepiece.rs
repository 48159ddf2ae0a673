//! SentencePiece vocabularies: no merges in the file, only a score per piece. The best-scored pair merges first, so the
//! merge list is every way to make a piece of two others, ordered by the score of what it makes.

use super::texts;
use crate::Error;
use crate::gguf::Gguf;
use candle_core::quantized::gguf_file::Value;
use std::collections::HashMap;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Prepend, Replace, Sequence};
use tokenizers::{NormalizerWrapper, Tokenizer};

/// How these vocabularies write a space.
const SPACE: &str = "\u{2581}";

pub(crate) fn build(
    gguf: &Gguf,
    tokens: &[String],
    unknown: Option<u32>,
    leading_space: bool,
) -> Result<Tokenizer, Error> {
    let scores = gguf.require_array("tokenizer.ggml.scores")?;
    if scores.len() != tokens.len() {
        return Err(gguf.corrupt(format!("{} tokens have {} scores", tokens.len(), scores.len())));
    }
    let scores: Vec<f32> = scores.iter().map(|score| if let Value::F32(score) = score { *score } else { 0. }).collect();
    // A file converted with merges has the original list, which settles ties as the model's maker did.
    let merges = match gguf.array("tokenizer.ggml.merges") {
        Some(_) => texts(gguf, "tokenizer.ggml.merges")?
            .iter()
            .filter_map(|merge| merge.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())))
            .collect(),
        None => merges(tokens, &scores),
    };
    let vocabulary: Vocab = tokens.iter().zip(0_u32..).map(|(token, id)| (token.clone(), id)).collect();
    let mut model = BPE::builder().vocab_and_merges(vocabulary, merges).byte_fallback(true).fuse_unk(true);
    if let Some(unknown) = unknown {
        model = model.unk_token(tokens[unknown as usize].clone());
    }
    let model = model.build().map_err(|error| gguf.corrupt(format!("its tokenizer: {error}")))?;
    let mut tokenizer = Tokenizer::new(model);
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if leading_space {
        steps.push(Prepend::new(SPACE.to_owned()).into());
    }
    let failed = |error: tokenizers::Error| Error::Inference(error.to_string());
    steps.push(Replace::new(" ", SPACE).map_err(failed)?.into());
    tokenizer.with_normalizer(Some(Sequence::new(steps))).map_err(failed)?;
    Ok(tokenizer)
}

fn merges(tokens: &[String], scores: &[f32]) -> Vec<(String, String)> {
    let ids: HashMap<&str, u32> = tokens.iter().zip(0_u32..).map(|(token, id)| (token.as_str(), id)).collect();
    let mut pairs = Vec::with_capacity(tokens.len() * 2);
    for (token, &score) in tokens.iter().zip(scores) {
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(&left_id), Some(&right_id)) = (ids.get(left), ids.get(right)) {
                pairs.push((score, left_id, right_id, left, right));
            }
        }
    }
    // Stable, so pairs that make the same piece stay in order of their ids.
    pairs.sort_by_key(|&(_, left, right, ..)| (left, right));
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    pairs.into_iter().map(|(.., left, right)| (left.to_owned(), right.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_follow_the_scores() {
        let tokens: Vec<String> = ["a", "b", "c", "ab", "bc", "abc"].map(String::from).to_vec();
        let merges = merges(&tokens, &[0., 0., 0., -2., -1., -3.]);
        let expected = [("b", "c"), ("a", "b"), ("a", "bc"), ("ab", "c")];
        assert_eq!(merges, expected.map(|(left, right)| (left.to_owned(), right.to_owned())));
    }
}
