//! Panels times rounded input: sixteen results for several rows of input at once, so that each quant loaded is used
//! several times.
//!
//! A result is added up block after block in the same order however many rows are worked on together: a row gives the
//! same bits alone as among others.

use super::input::Rounded;
use super::lanes::{Floats, Integers, Quants};
use super::layout::{Line, Panel, Panels, ROWS, STEPS, lines_of};

/// Rows of input worked on together: their sums and the quants fit the registers.
const TILE: usize = 8;

/// `into` has a slice for each row of input, for the results of the panels from `first` on.
pub(in crate::weights) fn multiply(panels: &Panels, first: usize, input: &[Rounded], into: &mut [&mut [f32]]) {
    let multiply = match (panels.shape.bits, panels.shape.halves, panels.shape.offset.is_some()) {
        (4, false, true) => multiply_as::<4, false, true>,
        (4, false, false) => multiply_as::<4, false, false>,
        (5, false, true) => multiply_as::<5, false, true>,
        (5, false, false) => multiply_as::<5, false, false>,
        (6, true, true) => multiply_as::<6, true, true>,
        (8, false, true) => multiply_as::<8, false, true>,
        shape => unreachable!("no format has the shape {shape:?}"),
    };
    multiply(panels, first, input, into);
}

/// Bytes of input that stay in a second-level cache while the panels pass by.
const INPUT_BYTES: usize = 512 * 1024;

fn multiply_as<const BITS: usize, const HALVES: bool, const OFFSET: bool>(
    panels: &Panels,
    first: usize,
    input: &[Rounded],
    into: &mut [&mut [f32]],
) {
    let blocks = panels.blocks;
    let together = (INPUT_BYTES / (blocks * size_of::<Rounded>())).next_multiple_of(TILE);
    let count = into.first().map_or(0, |results| results.len().div_ceil(ROWS));
    for (input, into) in input.chunks(together * blocks).zip(into.chunks_mut(together)) {
        for index in 0..count {
            let panel = panels.panel(first + index);
            let mut at = 0;
            while at < into.len() {
                let (input, into) = (&input[at * blocks..], &mut into[at..]);
                let offset = panels.shape.offset.unwrap_or(0);
                at += match into.len() {
                    TILE.. => tile::<TILE, BITS, HALVES, OFFSET>(panel, offset, input, index, into),
                    4.. => tile::<4, BITS, HALVES, OFFSET>(panel, offset, input, index, into),
                    2.. => tile::<2, BITS, HALVES, OFFSET>(panel, offset, input, index, into),
                    _ => tile::<1, BITS, HALVES, OFFSET>(panel, offset, input, index, into),
                };
            }
        }
    }
}

/// The first `T` rows of input. Returns `T`.
#[expect(unsafe_code, reason = "the CPU's instructions")]
fn tile<const T: usize, const BITS: usize, const HALVES: bool, const OFFSET: bool>(
    panel: Panel<'_>,
    offset: i32,
    input: &[Rounded],
    index: usize,
    into: &mut [&mut [f32]],
) -> usize {
    let width = panel.lines.len() / lines_of(BITS);
    let rows: [&[Rounded]; T] = std::array::from_fn(|row| &input[row * width..(row + 1) * width]);
    let mut results = [[0_f32; ROWS]; T];
    // SAFETY: this module is compiled only for CPUs that have them, and `cpu_check` ends the program on any other.
    unsafe {
        results_of::<T, BITS, HALVES, OFFSET>(panel, offset, &rows, &mut results);
    }
    for (results, into) in results.iter().zip(into) {
        let into = &mut into[index * ROWS..];
        let length = into.len().min(ROWS);
        into[..length].copy_from_slice(&results[..length]);
    }
    T
}

#[cfg_attr(target_feature = "avx512vnni", target_feature(enable = "avx512f,avx512bw,avx512vnni"))]
#[cfg_attr(not(target_feature = "avx512vnni"), target_feature(enable = "avx2,fma,f16c"))]
#[expect(
    clippy::needless_range_loop,
    reason = "the index counts parts and bits, of which the slice is one of several things to look up"
)]
fn results_of<const T: usize, const BITS: usize, const HALVES: bool, const OFFSET: bool>(
    panel: Panel<'_>,
    offset: i32,
    rows: &[&[Rounded]; T],
    results: &mut [[f32; ROWS]; T],
) {
    let numbers_each = 1 + usize::from(HALVES) + usize::from(!OFFSET);
    let blocks = panel.lines.chunks_exact(lines_of(BITS)).zip(panel.numbers.chunks_exact(numbers_each));
    let mut totals = [Floats::splat(0.); T];
    for (block, (lines, numbers)) in blocks.enumerate() {
        let rows: [&Rounded; T] = rows.map(|row| &row[block]);
        let parts = if HALVES { 2 } else { 1 };
        for part in 0..parts {
            let mut sums = [Integers::splat(0); T];
            if OFFSET {
                for (sum, row) in sums.iter_mut().zip(rows) {
                    let values = if HALVES { row.sums[part] } else { row.sums[0] + row.sums[1] };
                    *sum = Integers::splat(-offset * values);
                }
            }
            let length = STEPS / parts;
            for step in part * length..(part + 1) * length {
                let quants = quants::<BITS>(lines, step);
                for (sum, row) in sums.iter_mut().zip(rows) {
                    *sum = sum.add_products(quants, row.steps[step]);
                }
            }
            let scale = Floats::load(&numbers[part]);
            for ((total, sum), row) in totals.iter_mut().zip(sums).zip(rows) {
                *total = total.add_product(sum.floats(), scale.times(row.scale));
            }
        }
        if !OFFSET {
            let minimum = Floats::load(&numbers[1]);
            for (total, row) in totals.iter_mut().zip(rows) {
                *total = total.take_product(minimum, Floats::splat(row.scaled_sum));
            }
        }
    }
    for (total, results) in totals.iter().zip(results) {
        total.store(results);
    }
}

#[inline]
#[cfg_attr(target_feature = "avx512vnni", target_feature(enable = "avx512f,avx512bw,avx512vnni"))]
#[cfg_attr(not(target_feature = "avx512vnni"), target_feature(enable = "avx2,fma,f16c"))]
#[expect(
    clippy::needless_range_loop,
    reason = "the index counts parts and bits, of which the slice is one of several things to look up"
)]
fn quants<const BITS: usize>(lines: &[Line], step: usize) -> Quants {
    if BITS == 8 {
        return Quants::load(&lines[step]);
    }
    let both = Quants::load(&lines[step % 4]);
    let mut quants = if step < 4 { both.low_halves() } else { both.high_halves() };
    for bit in 4..BITS {
        quants = quants.with_bit(&lines[bit], step, bit as u32);
    }
    quants
}
