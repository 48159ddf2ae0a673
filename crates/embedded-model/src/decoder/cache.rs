//! Keys and values of the tokens read so far, so that each token is computed once.
//!
//! Memory grows with use, a step at a time, and is given back when the decoder is dropped.

use super::config::Config;

/// Positions a head's memory grows by: a few dozen growths over a whole context, and little held in vain.
const GROWTH: usize = 256;

pub(crate) struct Cache {
    layers: Vec<LayerCache>,
    position: usize,
}

pub(crate) struct LayerCache {
    /// One per key-value head: `positions × head width`.
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    head_width: usize,
}

impl Cache {
    pub(crate) fn new(config: &Config) -> Cache {
        let layer = || LayerCache {
            keys: vec![Vec::new(); config.key_value_heads],
            values: vec![Vec::new(); config.key_value_heads],
            head_width: config.head_width,
        };
        Cache { layers: (0..config.layers).map(|_| layer()).collect(), position: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn layer(&mut self, index: usize) -> &mut LayerCache {
        &mut self.layers[index]
    }

    pub(crate) fn advance(&mut self, count: usize) {
        self.position += count;
    }

    pub(crate) fn rewind(&mut self, position: usize) {
        self.position = self.position.min(position);
        for layer in &mut self.layers {
            let length = position * layer.head_width;
            layer.keys.iter_mut().chain(&mut layer.values).for_each(|head| head.truncate(length));
        }
    }
}

impl LayerCache {
    /// `keys` and `values` are `tokens × heads × head width`.
    pub(crate) fn append(&mut self, keys: &[f32], values: &[f32]) {
        let (width, heads) = (self.head_width, self.keys.len());
        for (source, store) in [(keys, &mut self.keys), (values, &mut self.values)] {
            for row in source.chunks(heads * width) {
                for (piece, head) in row.chunks(width).zip(store.iter_mut()) {
                    if head.capacity() < head.len() + width {
                        head.reserve_exact(GROWTH * width);
                    }
                    head.extend_from_slice(piece);
                }
            }
        }
    }

    pub(crate) fn keys(&self, head: usize) -> &[f32] {
        &self.keys[head]
    }

    pub(crate) fn values(&self, head: usize) -> &[f32] {
        &self.values[head]
    }
}
