//! One layer: attention over everything read so far, then a gated feed-forward network, each added to the state.

use super::cache::LayerCache;
use super::config::Config;
use super::math::{accumulate, add, add_bias, dot, gate, normalize, normalized, softmax};
use super::rotary::Angles;
use super::{matrix, optional_vector, vector};
use crate::Error;
use crate::gguf::Gguf;
use crate::weights::Matrix;
use rayon::prelude::*;

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

struct Projection {
    matrix: Matrix,
    bias: Option<Vec<f32>>,
}

impl Projection {
    fn load(gguf: &mut Gguf, name: &str, rows: usize, columns: usize) -> Result<Projection, Error> {
        Ok(Projection {
            matrix: matrix(gguf, &format!("{name}.weight"), Some(rows), Some(columns))?,
            bias: optional_vector(gguf, &format!("{name}.bias"), rows)?,
        })
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
            let fused = Projection::load(gguf, &name("attn_qkv"), query_width + 2 * key_width, width)?;
            let part = |rows: std::ops::Range<usize>| Projection {
                matrix: fused.matrix.view(rows.clone()),
                bias: fused.bias.as_ref().map(|bias| bias[rows].to_vec()),
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
        let (gate, up) = if gguf.has_tensor(&name("ffn_gate.weight")) {
            (
                matrix(gguf, &name("ffn_gate.weight"), Some(feed_forward), Some(width))?,
                matrix(gguf, &name("ffn_up.weight"), Some(feed_forward), Some(width))?,
            )
        } else {
            let fused = matrix(gguf, &name("ffn_up.weight"), Some(2 * feed_forward), Some(width))?;
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
            gate,
            up,
            down: matrix(gguf, &name("ffn_down.weight"), Some(width), Some(feed_forward))?,
            feed_forward_post_norm: optional_vector(gguf, &name("post_ffw_norm.weight"), width)?,
            window: config.window_of(index),
        })
    }

    /// `state` is `tokens × width`, the tokens stand at `start` and after.
    pub(crate) fn forward(
        &self,
        config: &Config,
        state: &mut [f32],
        start: usize,
        angles: &Angles,
        cache: &mut LayerCache,
    ) {
        let epsilon = config.norm_epsilon;
        let input = normalized(state, &self.attention_norm, epsilon);
        let mut query = self.query.apply(&input);
        let mut key = self.key.apply(&input);
        let value = self.value.apply(&input);
        for (rows, norm) in [(&mut query, &self.query_norm), (&mut key, &self.key_norm)] {
            if let Some(norm) = norm {
                normalize(rows, norm, epsilon);
            }
        }
        let windowed = self.window.is_some();
        angles.rotate(config, windowed, &mut query, config.heads);
        angles.rotate(config, windowed, &mut key, config.key_value_heads);
        cache.append(&key, &value);
        let mut attended = self.output.apply(&self.attend(config, &query, start, cache));
        if let Some(norm) = &self.attention_post_norm {
            normalize(&mut attended, norm, epsilon);
        }
        add(state, &attended);

        let input = normalized(state, &self.feed_forward_norm, epsilon);
        let mut hidden = self.gate.multiply(&input);
        gate(config.activation, &mut hidden, &self.up.multiply(&input));
        let mut output = self.down.multiply(&hidden);
        if let Some(norm) = &self.feed_forward_post_norm {
            normalize(&mut output, norm, epsilon);
        }
        add(state, &output);
    }

    /// Every token looks at itself and those before it, as far as the layer's window reaches.
    fn attend(&self, config: &Config, query: &[f32], start: usize, cache: &LayerCache) -> Vec<f32> {
        let width = config.head_width;
        let heads_per_key = config.heads / config.key_value_heads;
        let mut output = vec![0_f32; query.len()];
        let one = |index: usize, output: &mut [f32]| {
            let (row, head) = (index / config.heads, index % config.heads);
            let end = start + row + 1;
            let begin = self.window.map_or(0, |window| end.saturating_sub(window));
            let query = &query[index * width..(index + 1) * width];
            let keys = &cache.keys(head / heads_per_key)[begin * width..end * width];
            let values = &cache.values(head / heads_per_key)[begin * width..end * width];
            let mut scores: Vec<f32> =
                keys.chunks_exact(width).map(|key| dot(query, key) * config.attention_scale).collect();
            softmax(&mut scores);
            for (&score, value) in scores.iter().zip(values.chunks_exact(width)) {
                accumulate(output, score, value);
            }
        };
        /// Multiply-adds below which a second thread wakes too late to help.
        const SERIAL_WORK: usize = 128 * 1024;
        let tokens = query.len() / (config.heads * width);
        if query.len() * (start + tokens) <= SERIAL_WORK {
            output.chunks_mut(width).enumerate().for_each(|(index, output)| one(index, output));
        } else {
            output.par_chunks_mut(width).enumerate().for_each(|(index, output)| one(index, output));
        }
        output
    }
}
