//! One layer: attention over everything read so far, then a gated feed-forward network, each added to the state.

use super::attention::{Looking, attend};
use super::cache::LayerCache;
use super::config::Config;
use super::math::{add, add_bias, gate, normalize, normalized};
use super::rotary::Angles;
use super::{optional_vector, rows, vector};
use crate::Error;
use crate::gguf::Gguf;
use crate::weights::{Matrix, Rows};
use std::ops::Range;

pub(crate) struct Layer {
    attention_norm: Vec<f32>,
    query: Projection,
    key: Projection,
    value: Projection,
    query_norm: Option<Vec<f32>>,
    key_norm: Option<Vec<f32>>,
    output: Projection,
    attention_post_norm: Option<Vec<f32>>,
    feed_forward_norm: Vec<f32>,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
    feed_forward_post_norm: Option<Vec<f32>>,
    window: Option<usize>,
}

/// Where tokens of one sequence stand, and what it has read before them.
pub(crate) struct Place<'a> {
    pub start: usize,
    pub tokens: usize,
    pub cache: &'a mut LayerCache,
}

struct Projection {
    matrix: Matrix,
    bias: Option<Vec<f32>>,
}

impl Projection {
    fn load(gguf: &mut Gguf, name: &str, rows: usize, columns: usize) -> Result<Projection, Error> {
        let matrix = Matrix::new(super::rows(gguf, &format!("{name}.weight"), Some(rows), Some(columns))?);
        Ok(Projection { matrix, bias: optional_vector(gguf, &format!("{name}.bias"), rows)? })
    }

    fn apply(&self, input: &[f32]) -> Vec<f32> {
        let mut output = self.matrix.multiply(input);
        add_bias(&mut output, self.bias.as_ref());
        output
    }
}

impl Layer {
    pub(crate) fn load(gguf: &mut Gguf, config: &Config, index: usize) -> Result<Layer, Error> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let (width, feed_forward) = (config.width, config.feed_forward);
        let query_width = config.heads * config.head_width;
        let key_width = config.key_value_heads * config.head_width;
        let [query, key, value] = if gguf.has_tensor(&name("attn_qkv.weight")) {
            let height = query_width + 2 * key_width;
            let fused = rows(gguf, &name("attn_qkv.weight"), Some(height), Some(width))?;
            let bias = optional_vector(gguf, &name("attn_qkv.bias"), height)?;
            let part = |rows: Range<usize>| Projection {
                matrix: Matrix::new(fused.view(rows.clone())),
                bias: bias.as_ref().map(|bias| bias[rows].to_vec()),
            };
            let (first, second) = (query_width, query_width + key_width);
            [part(0..first), part(first..second), part(second..second + key_width)]
        } else {
            [
                Projection::load(gguf, &name("attn_q"), query_width, width)?,
                Projection::load(gguf, &name("attn_k"), key_width, width)?,
                Projection::load(gguf, &name("attn_v"), key_width, width)?,
            ]
        };
        let (gate, up): (Rows, Rows) = if gguf.has_tensor(&name("ffn_gate.weight")) {
            (
                rows(gguf, &name("ffn_gate.weight"), Some(feed_forward), Some(width))?,
                rows(gguf, &name("ffn_up.weight"), Some(feed_forward), Some(width))?,
            )
        } else {
            let fused = rows(gguf, &name("ffn_up.weight"), Some(2 * feed_forward), Some(width))?;
            (fused.view(0..feed_forward), fused.view(feed_forward..2 * feed_forward))
        };
        Ok(Layer {
            attention_norm: vector(gguf, &name("attn_norm.weight"), width)?,
            query,
            key,
            value,
            query_norm: optional_vector(gguf, &name("attn_q_norm.weight"), config.head_width)?,
            key_norm: optional_vector(gguf, &name("attn_k_norm.weight"), config.head_width)?,
            output: Projection::load(gguf, &name("attn_output"), width, query_width)?,
            attention_post_norm: optional_vector(gguf, &name("post_attention_norm.weight"), width)?,
            feed_forward_norm: vector(gguf, &name("ffn_norm.weight"), width)?,
            gate: Matrix::new(gate),
            up: Matrix::new(up),
            down: Matrix::new(rows(gguf, &name("ffn_down.weight"), Some(width), Some(feed_forward))?),
            feed_forward_post_norm: optional_vector(gguf, &name("post_ffw_norm.weight"), width)?,
            window: config.window_of(index),
        })
    }

    /// `state` is `tokens × width`, the tokens of each place after those of the one before.
    pub(crate) fn forward(&self, config: &Config, state: &mut [f32], angles: &Angles, places: &mut [Place<'_>]) {
        let epsilon = config.norm_epsilon;
        let input = normalized(state, &self.attention_norm, epsilon);
        let matrices = [&self.query.matrix, &self.key.matrix, &self.value.matrix];
        let [mut query, mut key, mut value] = Matrix::multiply_all(matrices, &input);
        for (rows, projection) in [(&mut query, &self.query), (&mut key, &self.key), (&mut value, &self.value)] {
            add_bias(rows, projection.bias.as_ref());
        }
        for (rows, norm) in [(&mut query, &self.query_norm), (&mut key, &self.key_norm)] {
            if let Some(norm) = norm {
                normalize(rows, norm, epsilon);
            }
        }
        let windowed = self.window.is_some();
        angles.rotate(config, windowed, &mut query, config.heads);
        angles.rotate(config, windowed, &mut key, config.key_value_heads);
        let mut attended = self.output.apply(&self.attend(config, places, &query, &key, &value));
        if let Some(norm) = &self.attention_post_norm {
            normalize(&mut attended, norm, epsilon);
        }
        add(state, &attended);

        let input = normalized(state, &self.feed_forward_norm, epsilon);
        let [mut hidden, up] = Matrix::multiply_all([&self.gate, &self.up], &input);
        gate(config.activation, &mut hidden, &up);
        let mut output = self.down.multiply(&hidden);
        if let Some(norm) = &self.feed_forward_post_norm {
            normalize(&mut output, norm, epsilon);
        }
        add(state, &output);
    }

    fn attend(&self, config: &Config, places: &mut [Place<'_>], query: &[f32], key: &[f32], value: &[f32]) -> Vec<f32> {
        let (query_width, key_width) = (config.heads * config.head_width, config.key_value_heads * config.head_width);
        let mut output = vec![0_f32; query.len()];
        let mut rest = output.as_mut_slice();
        let mut from = 0;
        let mut looking = Vec::with_capacity(places.len());
        for Place { start, tokens, cache } in places {
            let rows = from..from + *tokens;
            let keys = rows.start * key_width..rows.end * key_width;
            cache.append(&key[keys.clone()], &value[keys]);
            let (output, behind) = rest.split_at_mut(*tokens * query_width);
            let query = &query[rows.start * query_width..rows.end * query_width];
            looking.push(Looking { start: *start, cache, query, output });
            (rest, from) = (behind, rows.end);
        }
        attend(config, self.window, looking);
        output
    }
}
