//! The other factor: rows of plain numbers, rounded to 8 bits in groups of 32 with a scale each.

use super::groups::GROUP;
use super::layout::STEPS;
use rayon::prelude::*;

/// 32 rounded values and what the kernels need of them. A group's scale is exact, so only the rounding loses anything.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in crate::weights) struct Rounded {
    /// Four signed bytes a step.
    pub steps: [i32; STEPS],
    pub scale: f32,
    /// Of the rounded values of each half.
    pub sums: [i32; 2],
    /// Of all of them, times the scale.
    pub scaled_sum: f32,
}

/// Values below which a second thread costs more than it saves.
const SERIAL_VALUES: usize = 64 * 1024;

pub(in crate::weights) fn rounded(values: &[f32]) -> Vec<Rounded> {
    if values.len() <= SERIAL_VALUES {
        values.chunks_exact(GROUP).map(round).collect()
    } else {
        values.par_chunks_exact(GROUP).with_min_len(256).map(round).collect()
    }
}

fn round(values: &[f32]) -> Rounded {
    let largest = values.iter().fold(0_f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.;
    let factor = if largest > 0. { 127. / largest } else { 0. };
    let mut bytes = [0_i8; GROUP];
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = (value * factor).round_ties_even() as i8;
    }
    let sum = |half: &[i8]| half.iter().map(|&byte| i32::from(byte)).sum::<i32>();
    let sums = [sum(&bytes[..GROUP / 2]), sum(&bytes[GROUP / 2..])];
    let step = |at: usize| i32::from_le_bytes(std::array::from_fn(|byte| bytes[at * 4 + byte].to_le_bytes()[0]));
    Rounded { steps: std::array::from_fn(step), scale, sums, scaled_sum: scale * (sums[0] + sums[1]) as f32 }
}
