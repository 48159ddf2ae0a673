//! The transformer: token ids in, scores for the next token out.
//!
//! One decoder runs every supported architecture; [`Config`] says where they differ. It is written over candle's
//! quantized kernels and not over `candle_transformers`' ready models, because those (0.11) cut Llama at 4,096
//! positions, forget the earlier chunks of a Gemma prompt, use Gemma with the wrong activation, rotate Qwen 3 in half
//! precision, and keep no cache that could be cut back to a shared prefix.

mod cache;
mod config;
mod layer;
mod math;
mod rotary;

pub(crate) use config::Config;

use crate::Error;
use crate::gguf::Gguf;
use crate::weights::{Matrix, floats};
use cache::Cache;
use layer::Layer;
use rotary::Rotary;

pub(crate) struct Decoder {
    config: Config,
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    output: Matrix,
    rotary: Rotary,
    cache: Cache,
}

/// A caller's wish to stop, asked between layers so that one long prompt chunk does not delay it.
pub(crate) struct Interrupted;

impl Decoder {
    pub(crate) fn load(gguf: &mut Gguf, config: Config) -> Result<Decoder, Error> {
        let embedding = matrix(gguf, "token_embd.weight", None, Some(config.width))?;
        let layers = (0..config.layers).map(|index| Layer::load(gguf, &config, index)).collect::<Result<_, _>>()?;
        let norm = vector(gguf, "output_norm.weight", config.width)?;
        let output = if gguf.has_tensor("output.weight") {
            matrix(gguf, "output.weight", Some(embedding.rows()), Some(config.width))?
        } else {
            embedding.clone() // tied to the embedding
        };
        let rotary = Rotary::load(gguf, &config)?;
        let cache = Cache::new(&config);
        Ok(Decoder { config, embedding, layers, norm, output, rotary, cache })
    }

    pub(crate) fn vocabulary(&self) -> usize {
        self.embedding.rows()
    }

    /// How many tokens the cache holds.
    pub(crate) fn position(&self) -> usize {
        self.cache.position()
    }

    /// Forgets everything after the first `position` tokens.
    pub(crate) fn rewind(&mut self, position: usize) {
        self.cache.rewind(position);
    }

    /// Reads `tokens` after what was read before and returns the scores (one per vocabulary entry) for what comes
    /// next. An interrupted call leaves the cache as it was.
    ///
    /// Runs on the current rayon pool. Token ids must be below [`Decoder::vocabulary`], `tokens` must not be empty.
    pub(crate) fn read(&mut self, tokens: &[u32], interrupted: &dyn Fn() -> bool) -> Result<Vec<f32>, Interrupted> {
        let width = self.config.width;
        let start = self.cache.position();
        // A reading that ended in a panic may have left layers of different length.
        self.cache.rewind(start);
        let angles = self.rotary.angles(start, tokens.len());
        let mut state = vec![0_f32; tokens.len() * width];
        for (&token, row) in tokens.iter().zip(state.chunks_mut(width)) {
            self.embedding.row_into(token as usize, row);
        }
        if let Some(scale) = self.config.embedding_scale {
            state.iter_mut().for_each(|value| *value *= scale);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            if interrupted() {
                self.cache.rewind(start);
                return Err(Interrupted);
            }
            layer.forward(&self.config, &mut state, start, &angles, self.cache.layer(index));
        }
        self.cache.advance(tokens.len());
        // Only the last token's scores are asked for; the output matrix is the largest of all.
        let last = &state[state.len() - width..];
        Ok(self.output.multiply(&math::normalized(last, &self.norm, self.config.norm_epsilon)))
    }
}

/// A two-dimensional tensor, checked against the sizes the architecture calls for.
fn matrix(gguf: &mut Gguf, name: &str, rows: Option<usize>, columns: Option<usize>) -> Result<Matrix, Error> {
    let tensor = gguf.tensor(name)?;
    let shape = tensor.shape().dims().to_vec();
    Matrix::new(tensor)
        .filter(|matrix| rows.is_none_or(|rows| rows == matrix.rows()))
        .filter(|matrix| columns.is_none_or(|columns| columns == matrix.columns()))
        .ok_or_else(|| gguf.corrupt(format!("tensor {name} has the shape {shape:?}, expected {rows:?} × {columns:?}")))
}

fn vector(gguf: &mut Gguf, name: &str, length: usize) -> Result<Vec<f32>, Error> {
    let values = floats(&gguf.tensor(name)?)?;
    if values.len() == length {
        Ok(values)
    } else {
        Err(gguf.corrupt(format!("tensor {name} has {} values, expected {length}", values.len())))
    }
}

fn optional_vector(gguf: &mut Gguf, name: &str, length: usize) -> Result<Option<Vec<f32>>, Error> {
    gguf.has_tensor(name).then(|| vector(gguf, name, length)).transpose()
}

#[cfg(test)]
mod tests;
