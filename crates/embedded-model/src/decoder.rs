//! The transformer: token ids in, scores for the next token out.
//!
//! One decoder runs every supported architecture; [`Config`] says where they differ. It is written over candle's
//! quantized kernels and not over `candle_transformers`' ready models, because those (0.11) cut Llama at 4,096
//! positions, forget the earlier chunks of a Gemma prompt, use Gemma with the wrong activation, rotate Qwen 3 in half
//! precision, and keep no cache that could be cut back to a shared prefix.

mod attention;
mod cache;
mod config;
mod layer;
mod math;
mod rotary;

pub(crate) use cache::Cache;
pub(crate) use config::Config;

use crate::Error;
use crate::gguf::Gguf;
use crate::weights::{Matrix, Rows, floats};
use layer::{Layer, Place};
use rotary::Rotary;

pub(crate) struct Decoder {
    config: Config,
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    output: Matrix,
    rotary: Rotary,
}

/// What a sequence reads next, after what its cache holds.
pub(crate) struct Part<'a> {
    pub cache: &'a mut Cache,
    /// At least one. Ids must be below [`Decoder::vocabulary`].
    pub tokens: &'a [u32],
    /// Whether what may follow the last token is asked for.
    pub scored: bool,
}

/// A caller's wish to stop, asked between layers so that a long part does not delay it.
pub(crate) struct Interrupted;

impl Decoder {
    pub(crate) fn load(gguf: &mut Gguf, config: Config) -> Result<Decoder, Error> {
        let embedding = rows(gguf, "token_embd.weight", None, Some(config.width))?;
        let (embedding, output) = if gguf.has_tensor("output.weight") {
            let output = rows(gguf, "output.weight", Some(embedding.rows()), Some(config.width))?;
            (Matrix::looked_up(embedding), Matrix::new(output))
        } else {
            let tied = Matrix::new(embedding);
            (tied.clone(), tied)
        };
        let layers = (0..config.layers).map(|index| Layer::load(gguf, &config, index)).collect::<Result<_, _>>()?;
        let norm = vector(gguf, "output_norm.weight", config.width)?;
        let rotary = Rotary::load(gguf, &config)?;
        Ok(Decoder { config, embedding, layers, norm, output, rotary })
    }

    pub(crate) fn vocabulary(&self) -> usize {
        self.embedding.rows()
    }

    /// A cache for a new sequence.
    pub(crate) fn cache(&self) -> Cache {
        Cache::new(&self.config)
    }

    /// Reads the parts, of a sequence each, together. Returns the scores (one per vocabulary entry) for what follows
    /// each part that asks for them, in order. An interrupted call leaves the caches as they were.
    ///
    /// Runs on the current rayon pool. What a part gives does not depend on what is read beside it.
    pub(crate) fn read(
        &self,
        parts: &mut [Part<'_>],
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Vec<Vec<f32>>, Interrupted> {
        let width = self.config.width;
        for part in parts.iter_mut() {
            // A reading that ended in a panic may have left layers of different length.
            part.cache.rewind(part.cache.position());
        }
        let run = |part: &Part<'_>| part.cache.position()..part.cache.position() + part.tokens.len();
        let runs: Vec<_> = parts.iter().map(run).collect();
        let angles = self.rotary.angles(runs.iter().flat_map(Clone::clone));
        let tokens = parts.iter().flat_map(|part| part.tokens);
        let mut state = vec![0_f32; angles.positions() * width];
        for (&token, row) in tokens.zip(state.chunks_mut(width)) {
            self.embedding.row_into(token as usize, row);
        }
        if let Some(scale) = self.config.embedding_scale {
            state.iter_mut().for_each(|value| *value *= scale);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            if interrupted() {
                parts.iter_mut().for_each(|part| part.cache.rewind(part.cache.position()));
                return Err(Interrupted);
            }
            let places = parts.iter_mut().map(|part| Place {
                start: part.cache.position(),
                tokens: part.tokens.len(),
                cache: part.cache.layer(index),
            });
            layer.forward(&self.config, &mut state, &angles, &mut places.collect::<Vec<_>>());
        }
        let mut last = Vec::new();
        let mut row = 0;
        for part in parts.iter_mut() {
            row += part.tokens.len();
            part.cache.advance(part.tokens.len());
            if part.scored {
                last.extend_from_slice(&state[(row - 1) * width..row * width]);
            }
        }
        // Only the scores after the last tokens: the output matrix is the largest of all.
        let scores = self.output.multiply(&math::normalized(&last, &self.norm, self.config.norm_epsilon));
        Ok(scores.chunks(self.output.rows()).map(<[f32]>::to_vec).collect())
    }
}

/// A two-dimensional tensor, checked against the sizes the architecture calls for.
fn rows(gguf: &mut Gguf, name: &str, height: Option<usize>, columns: Option<usize>) -> Result<Rows, Error> {
    let tensor = gguf.tensor(name)?;
    let shape = tensor.shape().dims().to_vec();
    Rows::new(tensor)
        .filter(|rows| height.is_none_or(|height| height == rows.rows()))
        .filter(|rows| columns.is_none_or(|columns| columns == rows.columns()))
        .ok_or_else(|| {
            gguf.corrupt(format!("tensor {name} has the shape {shape:?}, expected {height:?} × {columns:?}"))
        })
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
