//! Keys and values of the tokens a sequence has read, so that each token is computed once.
//!
//! Both lie as attention goes through them, sixteen numbers at a time: keys as blocks of sixteen positions (value by
//! value, the sixteen positions side by side), values as strips sixteen wide (position by position).
//!
//! Memory grows with use, a step at a time, and is given back when the cache is dropped.

use super::config::Config;
use super::math::LANES;

/// Positions a head's memory grows by: a few dozen growths over a whole context, and little held in vain.
const GROWTH: usize = 256;

pub(crate) struct Cache {
    layers: Vec<LayerCache>,
    position: usize,
}

pub(crate) struct LayerCache {
    heads: Vec<HeadCache>,
    width: usize,
    /// Positions held. Further than the cache's own while a reading is under way.
    length: usize,
}

#[derive(Clone)]
pub(crate) struct HeadCache {
    /// `block × width × 16 positions`
    keys: Vec<f32>,
    /// A strip for each sixteen values of the width: `positions × 16`.
    strips: Vec<Vec<f32>>,
}

impl Cache {
    pub(crate) fn new(config: &Config) -> Cache {
        let (heads, width) = (config.key_value_heads, config.head_width);
        let head = HeadCache { keys: Vec::new(), strips: vec![Vec::new(); width.div_ceil(LANES)] };
        let layer = || LayerCache { heads: vec![head.clone(); heads], width, length: 0 };
        Cache { layers: (0..config.layers).map(|_| layer()).collect(), position: 0 }
    }

    /// How many tokens it holds.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn layer(&mut self, index: usize) -> &mut LayerCache {
        &mut self.layers[index]
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.position += count;
    }

    /// Forgets everything after the first `position` tokens.
    pub(crate) fn rewind(&mut self, position: usize) {
        self.position = self.position.min(position);
        for layer in &mut self.layers {
            layer.rewind(self.position);
        }
    }

    /// A cache of its own that holds the first `position` tokens.
    pub(crate) fn beginning(&self, position: usize) -> Cache {
        let position = position.min(self.position);
        Cache { layers: self.layers.iter().map(|layer| layer.beginning(position)).collect(), position }
    }
}

impl LayerCache {
    /// `keys` and `values` are `tokens × heads × head width`.
    pub(super) fn append(&mut self, keys: &[f32], values: &[f32]) {
        let row = self.heads.len() * self.width;
        for (keys, values) in keys.chunks(row).zip(values.chunks(row)) {
            let pieces = keys.chunks(self.width).zip(values.chunks(self.width));
            for ((keys, values), head) in pieces.zip(&mut self.heads) {
                head.append(self.length, keys, values);
            }
            self.length += 1;
        }
    }

    pub(super) fn head(&self, index: usize) -> &HeadCache {
        &self.heads[index]
    }

    fn rewind(&mut self, length: usize) {
        self.length = self.length.min(length);
        for head in &mut self.heads {
            head.keys.truncate(self.length.next_multiple_of(LANES) * self.width);
            head.strips.iter_mut().for_each(|strip| strip.truncate(self.length * LANES));
        }
    }

    fn beginning(&self, length: usize) -> LayerCache {
        let head = |head: &HeadCache| HeadCache {
            keys: head.keys[..length.next_multiple_of(LANES) * self.width].to_vec(),
            strips: head.strips.iter().map(|strip| strip[..length * LANES].to_vec()).collect(),
        };
        LayerCache { heads: self.heads.iter().map(head).collect(), width: self.width, length }
    }
}

impl HeadCache {
    fn append(&mut self, position: usize, keys: &[f32], values: &[f32]) {
        let (block, lane) = (position / LANES, position % LANES);
        let size = keys.len() * LANES;
        if lane == 0 {
            grow(&mut self.keys, size, GROWTH * keys.len());
            self.keys.resize((block + 1) * size, 0.);
        }
        for (value, key) in self.keys[block * size..].chunks_mut(LANES).zip(keys) {
            value[lane] = *key;
        }
        for (strip, values) in self.strips.iter_mut().zip(values.chunks(LANES)) {
            grow(strip, LANES, GROWTH * LANES);
            strip.extend_from_slice(values);
            // A width that is no multiple of sixteen leaves the last strip's end empty.
            strip.resize(strip.len().next_multiple_of(LANES), 0.);
        }
    }

    /// Blocks of `width × 16`, up to the one that holds the position before `end`.
    pub(super) fn key_blocks(&self, begin: usize, end: usize, width: usize) -> &[f32] {
        &self.keys[begin / LANES * LANES * width..end.next_multiple_of(LANES) * width]
    }

    pub(super) fn strips(&self) -> &[Vec<f32>] {
        &self.strips
    }
}

fn grow(numbers: &mut Vec<f32>, needed: usize, by: usize) {
    if numbers.capacity() < numbers.len() + needed {
        numbers.reserve_exact(by.max(needed));
    }
}
