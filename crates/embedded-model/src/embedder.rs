//! Sentence embeddings with all-MiniLM-L6-v2: a small BERT encoder, mean pooling, unit length.
//!
//! Published as sentence-transformers/all-MiniLM-L6-v2; the layout follows Devlin et al. 2018 and Reimers & Gurevych
//! 2019.

use crate::memory::ReturnedOnDrop;
use crate::{Error, threads};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::softmax_last_dim;
use candle_nn::{LayerNorm, Linear, Module};
use std::collections::HashMap;
use std::path::Path;
use tokenizers::Tokenizer;

/// What the model was trained on; more of a text is cut, and said so.
const MAX_TOKENS: usize = 256;
const HEADS: usize = 12;
const EPSILON: f64 = 1e-12;
/// Texts computed together: enough to fill the cores, little enough that padding to the longest stays cheap.
const BATCH: usize = 16;

#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Of length 1, so that the dot product of two is their cosine similarity.
    pub values: Vec<f32>,
    /// Tokens of the whole text.
    pub tokens: usize,
    /// The text was longer than the model reads: only its first 256 tokens count.
    pub truncated: bool,
}

pub struct Embedder {
    tokenizer: Tokenizer,
    words: Tensor,
    positions: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    pool: rayon::ThreadPool,
    _memory: ReturnedOnDrop,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

impl Embedder {
    /// From `model.safetensors` and `tokenizer.json`. `threads` as in [`Options`](crate::Options).
    pub fn load(weights: &Path, tokenizer: &Path, threads: Option<usize>) -> Result<Embedder, Error> {
        let corrupt = |path: &Path, reason: String| Error::Corrupt { path: path.to_owned(), reason };
        let mut tokenizer = Tokenizer::from_file(tokenizer).map_err(|error| corrupt(tokenizer, error.to_string()))?;
        // The file asks for fixed lengths; here every text keeps its own, and control tokens in it are plain text.
        tokenizer.with_truncation(None).map_err(|error| Error::Inference(error.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer.set_encode_special_tokens(true);
        let bytes = std::fs::read(weights).map_err(Error::io(weights))?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|error| corrupt(weights, error.to_string()))?;
        let mut parts = Parts { tensors };
        let mut load = || -> candle_core::Result<_> {
            let types = parts.take("embeddings.token_type_embeddings.weight")?.narrow(0, 0, 1)?;
            // Every token here is of the first type: its vector is added to the positions once and for all.
            let positions = parts.take("embeddings.position_embeddings.weight")?.broadcast_add(&types)?;
            let words = parts.take("embeddings.word_embeddings.weight")?;
            let norm = parts.norm("embeddings.LayerNorm")?;
            let mut layers = Vec::new();
            while parts.tensors.contains_key(&format!("encoder.layer.{}.output.dense.weight", layers.len())) {
                layers.push(parts.layer(layers.len())?);
            }
            Ok((words, positions, norm, layers))
        };
        let (words, positions, norm, layers) = load().map_err(|error| corrupt(weights, error.to_string()))?;
        if layers.is_empty() || words.rank() != 2 || !words.dim(1)?.is_multiple_of(HEADS) {
            return Err(corrupt(weights, "it is not a MiniLM model".into()));
        }
        let pool = threads::pool("embedding", threads)?;
        Ok(Embedder { tokenizer, words, positions, norm, layers, pool, _memory: ReturnedOnDrop })
    }

    /// Values per embedding.
    pub fn dimensions(&self) -> usize {
        self.words.dims()[1]
    }

    /// One embedding per text, in order.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, Error> {
        self.pool.install(|| self.embed_here(texts))
    }

    fn embed_here(&self, texts: &[&str]) -> Result<Vec<Embedding>, Error> {
        let encoded: Vec<Vec<u32>> = texts.iter().map(|text| self.encode(text)).collect::<Result<_, _>>()?;
        // Texts of like length stand together, so that little is spent on padding.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&index| encoded[index].len());
        let mut embeddings: Vec<Option<Embedding>> = vec![None; texts.len()];
        for batch in order.chunks(BATCH) {
            let ids: Vec<Vec<u32>> = batch.iter().map(|&index| cut(&encoded[index])).collect();
            for (&index, values) in batch.iter().zip(self.forward(&ids)?) {
                let tokens = encoded[index].len();
                embeddings[index] = Some(Embedding { values, tokens, truncated: tokens > MAX_TOKENS });
            }
        }
        Ok(embeddings.into_iter().flatten().collect())
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let encoding = self.tokenizer.encode_fast(text, true).map_err(|error| Error::Inference(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    fn forward(&self, batch: &[Vec<u32>]) -> candle_core::Result<Vec<Vec<f32>>> {
        let longest = batch.iter().map(Vec::len).max().unwrap_or(0);
        let (count, width) = (batch.len(), self.words.dim(1)?);
        let padded = |ids: &Vec<u32>| ids.iter().copied().chain(std::iter::repeat(0)).take(longest).collect::<Vec<_>>();
        let present =
            |ids: &Vec<u32>| (0..longest).map(|at| if at < ids.len() { 1_f32 } else { 0. }).collect::<Vec<_>>();
        let ids = Tensor::from_vec(batch.iter().flat_map(padded).collect(), count * longest, &Device::Cpu)?;
        let present = Tensor::from_vec(batch.iter().flat_map(present).collect(), (count, longest), &Device::Cpu)?;
        // Far below every score: padding gets no attention.
        let mask = ((&present - 1.)? * 1e9)?.reshape((count, 1, 1, longest))?;

        let words = self.words.index_select(&ids, 0)?.reshape((count, longest, width))?;
        let mut state = self.norm.forward(&words.broadcast_add(&self.positions.narrow(0, 0, longest)?)?)?;
        for layer in &self.layers {
            state = layer.forward(&state, &mask)?;
        }
        let present = present.unsqueeze(2)?;
        let mean = state.broadcast_mul(&present)?.sum(1)?.broadcast_div(&present.sum(1)?)?;
        let length = mean.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
        mean.broadcast_div(&length)?.to_vec2()
    }
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedder").field("dimensions", &self.dimensions()).finish_non_exhaustive()
    }
}

impl Layer {
    /// `state` is `batch × tokens × width`.
    fn forward(&self, state: &Tensor, mask: &Tensor) -> candle_core::Result<Tensor> {
        let (count, tokens, width) = state.dims3()?;
        let head_width = width / HEADS;
        let heads = |linear: &Linear| {
            linear.forward(state)?.reshape((count, tokens, HEADS, head_width))?.transpose(1, 2)?.contiguous()
        };
        let (query, key, value) = (heads(&self.query)?, heads(&self.key)?, heads(&self.value)?);
        let scores = (query.matmul(&key.t()?)? / (head_width as f64).sqrt())?.broadcast_add(mask)?;
        let attended = softmax_last_dim(&scores)?.matmul(&value)?;
        let attended = attended.transpose(1, 2)?.reshape((count, tokens, width))?;
        let state = self.attention_norm.forward(&(self.attention_output.forward(&attended)? + state)?)?;
        let hidden = self.intermediate.forward(&state)?.gelu_erf()?;
        self.output_norm.forward(&(self.output.forward(&hidden)? + state)?)
    }
}

struct Parts {
    tensors: HashMap<String, Tensor>,
}

impl Parts {
    fn take(&mut self, name: &str) -> candle_core::Result<Tensor> {
        let tensor = self.tensors.remove(name);
        tensor.ok_or_else(|| candle_core::Error::Msg(format!("tensor {name} is missing")))?.to_dtype(DType::F32)
    }

    fn linear(&mut self, name: &str) -> candle_core::Result<Linear> {
        Ok(Linear::new(self.take(&format!("{name}.weight"))?, Some(self.take(&format!("{name}.bias"))?)))
    }

    fn norm(&mut self, name: &str) -> candle_core::Result<LayerNorm> {
        Ok(LayerNorm::new(self.take(&format!("{name}.weight"))?, self.take(&format!("{name}.bias"))?, EPSILON))
    }

    fn layer(&mut self, index: usize) -> candle_core::Result<Layer> {
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        Ok(Layer {
            query: self.linear(&name("attention.self.query"))?,
            key: self.linear(&name("attention.self.key"))?,
            value: self.linear(&name("attention.self.value"))?,
            attention_output: self.linear(&name("attention.output.dense"))?,
            attention_norm: self.norm(&name("attention.output.LayerNorm"))?,
            intermediate: self.linear(&name("intermediate.dense"))?,
            output: self.linear(&name("output.dense"))?,
            output_norm: self.norm(&name("output.LayerNorm"))?,
        })
    }
}

/// As many tokens as the model reads, the closing one among them.
fn cut(ids: &[u32]) -> Vec<u32> {
    match ids {
        [beginning @ .., closing] if ids.len() > MAX_TOKENS => [&beginning[..MAX_TOKENS - 1], &[*closing]].concat(),
        _ => ids.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_closing_token() {
        let ids: Vec<u32> = (0..300).collect();
        let cut_ids = cut(&ids);
        assert_eq!(cut_ids.len(), MAX_TOKENS);
        assert_eq!(cut_ids[MAX_TOKENS - 2..], [254, 299]);
        assert_eq!(cut(&ids[..MAX_TOKENS]), ids[..MAX_TOKENS]);
    }
}
