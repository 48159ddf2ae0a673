//! Attention: every token looks at itself and those before it, as far as the layer's window reaches.

use super::cache::{HeadCache, LayerCache};
use super::config::Config;
use super::math::{LANES, softmax};
use rayon::prelude::*;

/// Multiply-adds below which a second thread wakes too late to help.
const SERIAL_WORK: usize = 128 * 1024;

/// Tokens that stand at `start` and after in one sequence, whose keys and values are in `cache` already.
pub(super) struct Looking<'a> {
    pub start: usize,
    pub cache: &'a LayerCache,
    /// `tokens × heads × head width`
    pub query: &'a [f32],
    /// As large.
    pub output: &'a mut [f32],
}

/// One token's query heads that share a key head.
struct Group<'a> {
    end: usize,
    head: &'a HeadCache,
    query: &'a [f32],
    output: &'a mut [f32],
}

pub(super) fn attend(config: &Config, window: Option<usize>, looking: Vec<Looking<'_>>) {
    let width = config.head_width;
    let shared = config.heads / config.key_value_heads * width;
    let mut groups = Vec::new();
    let mut work = 0;
    for Looking { start, cache, query, output } in looking {
        let pieces = query.chunks(shared).zip(output.chunks_mut(shared));
        groups.extend(pieces.enumerate().map(|(index, (query, output))| {
            let (row, head) = (index / config.key_value_heads, index % config.key_value_heads);
            Group { end: start + row + 1, head: cache.head(head), query, output }
        }));
        work += query.len() * (start + query.len() / (config.heads * width));
    }
    let one = |group: &mut Group<'_>| group.look(width, window, config.attention_scale);
    if work <= SERIAL_WORK { groups.iter_mut().for_each(one) } else { groups.par_iter_mut().for_each(one) }
}

impl Group<'_> {
    fn look(&mut self, width: usize, window: Option<usize>, scale: f32) {
        let begin = window.map_or(0, |window| self.end.saturating_sub(window));
        let seen = Seen { begin, end: self.end, width, scale, head: self.head };
        // As many heads at once as keep the registers full: what is loaded of a key or value serves all of them.
        for (query, output) in self.query.chunks(4 * width).zip(self.output.chunks_mut(4 * width)) {
            match query.len() / width {
                4 => seen.by::<4>(query, output),
                3 => seen.by::<3>(query, output),
                2 => seen.by::<2>(query, output),
                _ => seen.by::<1>(query, output),
            }
        }
    }
}

/// The positions from `begin` to before `end` of one key head.
struct Seen<'a> {
    begin: usize,
    end: usize,
    width: usize,
    scale: f32,
    head: &'a HeadCache,
}

impl Seen<'_> {
    fn by<const N: usize>(&self, query: &[f32], output: &mut [f32]) {
        let &Seen { begin, end, width, scale, head } = self;
        // Whole blocks of positions are scored; what lies before and after is cut off.
        let skipped = begin % LANES;
        let mut scores = vec![0_f32; N * (end - (begin - skipped)).next_multiple_of(LANES)];
        let length = scores.len() / N;
        score::<N>(query, head.key_blocks(begin, end, width), width, &mut scores);
        for scores in scores.chunks_mut(length) {
            let scores = &mut scores[skipped..][..end - begin];
            scores.iter_mut().for_each(|score| *score *= scale);
            softmax(scores);
        }
        let weights: [&[f32]; N] = std::array::from_fn(|head| &scores[head * length + skipped..][..end - begin]);
        for (index, strip) in head.strips().iter().enumerate() {
            let sums = weigh(weights, &strip[begin * LANES..end * LANES]);
            for (sums, output) in sums.iter().zip(output.chunks_mut(width)) {
                let output = &mut output[index * LANES..];
                let length = output.len().min(LANES);
                output[..length].copy_from_slice(&sums[..length]);
            }
        }
    }
}

/// The products of `N` queries with every key: `N × positions`.
fn score<const N: usize>(query: &[f32], keys: &[f32], width: usize, scores: &mut [f32]) {
    let length = scores.len() / N;
    let queries: [&[f32]; N] = std::array::from_fn(|head| &query[head * width..(head + 1) * width]);
    for (block, keys) in keys.chunks_exact(LANES * width).enumerate() {
        let mut sums = [[0_f32; LANES]; N];
        for (at, keys) in keys.chunks_exact(LANES).enumerate() {
            for (sums, query) in sums.iter_mut().zip(queries) {
                let query = query[at];
                for (sum, key) in sums.iter_mut().zip(keys) {
                    *sum = key.mul_add(query, *sum);
                }
            }
        }
        for (head, sums) in sums.iter().enumerate() {
            scores[head * length + block * LANES..][..LANES].copy_from_slice(sums);
        }
    }
}

/// The sums of a strip's values, weighted for each of `N` heads.
fn weigh<const N: usize>(weights: [&[f32]; N], strip: &[f32]) -> [[f32; LANES]; N] {
    let mut sums = [[0_f32; LANES]; N];
    for (position, values) in strip.chunks_exact(LANES).enumerate() {
        for (sums, weights) in sums.iter_mut().zip(weights) {
            let weight = weights[position];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = value.mul_add(weight, *sum);
            }
        }
    }
    sums
}
