//! Weights laid out for the kernels: panels of sixteen rows, so that one wide instruction works on all of them.
//!
//! ```text
//! panel = 16 rows = blocks of 32 columns, one after the other
//! block = quants: 8 steps of 4 columns × 16 rows, a byte each; numbers: scales and minima, 16 rows each
//! fewer than 8 bits: the low halves of 4 lines hold steps 0–3, the high halves 4–7; a line per further bit,
//!                    8 bytes a step, a bit per byte of the step
//! ```

use super::groups::{GROUP, Group, Shape};
use super::lanes::TAKES_BYTES;
use candle_core::quantized::GgmlDType;
use half::f16;
use rayon::prelude::*;

/// Rows in a panel.
pub(in crate::weights) const ROWS: usize = 16;
/// Steps of four columns in a block.
pub(super) const STEPS: usize = GROUP / 4;

/// As much as one instruction loads, aligned for it.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub [u8; 64]);

pub(in crate::weights) struct Panels {
    pub(super) shape: Shape,
    /// Blocks in a panel.
    pub(super) blocks: usize,
    lines: Vec<Line>,
    numbers: Vec<[f16; ROWS]>,
}

/// One panel.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    pub lines: &'a [Line],
    pub numbers: &'a [[f16; ROWS]],
}

impl Panels {
    /// Lays out rows of `columns` values each. `None` for formats without a kernel here.
    pub(in crate::weights) fn new(format: GgmlDType, bytes: &[u8], columns: usize) -> Option<Panels> {
        let shape = Shape::of(format).filter(|shape| shape.bits < 8 || TAKES_BYTES)?;
        let stride = columns / format.block_size() * format.type_size();
        let blocks = columns / GROUP;
        let panels = (bytes.len() / stride).div_ceil(ROWS);
        let (lines_each, numbers_each) = (lines(shape) * blocks, shape.numbers() * blocks);
        let mut all_lines = vec![Line([0; 64]); panels * lines_each];
        let mut all_numbers = vec![[f16::ZERO; ROWS]; panels * numbers_each];
        let places = all_lines.par_chunks_mut(lines_each).zip(all_numbers.par_chunks_mut(numbers_each));
        places.zip(bytes.par_chunks(stride * ROWS)).for_each(|((lines, numbers), rows)| {
            // Rows that the last panel lacks stay zero.
            for (row, bytes) in rows.chunks(stride).enumerate() {
                let places = lines.chunks_mut(lines_each / blocks).zip(numbers.chunks_mut(shape.numbers()));
                for (index, (lines, numbers)) in places.enumerate() {
                    write(shape, &Group::read(format, bytes, index), row, lines, numbers);
                }
            }
        });
        Some(Panels { shape, blocks, lines: all_lines, numbers: all_numbers })
    }

    pub(super) fn panel(&self, index: usize) -> Panel<'_> {
        let (lines, numbers) = (lines(self.shape) * self.blocks, self.shape.numbers() * self.blocks);
        Panel {
            lines: &self.lines[index * lines..(index + 1) * lines],
            numbers: &self.numbers[index * numbers..(index + 1) * numbers],
        }
    }

    /// One row as plain numbers.
    pub(in crate::weights) fn row_into(&self, row: usize, into: &mut [f32]) {
        let panel = self.panel(row / ROWS);
        let row = row % ROWS;
        let blocks = panel.lines.chunks(lines(self.shape)).zip(panel.numbers.chunks(self.shape.numbers()));
        for ((lines, numbers), into) in blocks.zip(into.chunks_mut(GROUP)) {
            for (column, value) in into.iter_mut().enumerate() {
                let scale = numbers[if self.shape.halves { column / (GROUP / 2) } else { 0 }][row].to_f32();
                let quant = i32::from(quant(self.shape, lines, row, column));
                *value = match self.shape.offset {
                    Some(offset) => scale * (quant - offset) as f32,
                    None => scale * quant as f32 - numbers[1][row].to_f32(),
                };
            }
        }
    }
}

/// Lines of quants in a block.
pub(super) const fn lines_of(bits: usize) -> usize {
    if bits == 8 { STEPS } else { STEPS / 2 + (bits - 4) }
}

fn lines(shape: Shape) -> usize {
    lines_of(shape.bits)
}

fn write(shape: Shape, group: &Group, row: usize, lines: &mut [Line], numbers: &mut [[f16; ROWS]]) {
    numbers[0][row] = group.scales[0];
    if shape.halves {
        numbers[1][row] = group.scales[1];
    }
    if shape.offset.is_none() {
        numbers[1][row] = group.minimum;
    }
    for (column, &quant) in group.quants.iter().enumerate() {
        let (step, byte) = (column / 4, row * 4 + column % 4);
        if shape.bits == 8 {
            lines[step].0[byte] = quant;
            continue;
        }
        lines[step % 4].0[byte] |= (quant & 15) << (step / 4 * 4);
        for (bit, line) in lines.iter_mut().enumerate().take(shape.bits).skip(4) {
            line.0[step * 8 + byte / 8] |= ((quant >> bit) & 1) << (byte % 8);
        }
    }
}

fn quant(shape: Shape, lines: &[Line], row: usize, column: usize) -> u8 {
    let (step, byte) = (column / 4, row * 4 + column % 4);
    if shape.bits == 8 {
        return lines[step].0[byte];
    }
    let low = (lines[step % 4].0[byte] >> (step / 4 * 4)) & 15;
    let further = (4..shape.bits).map(|bit| ((lines[bit].0[step * 8 + byte / 8] >> (byte % 8)) & 1) << bit);
    further.fold(low, |quant, bit| quant | bit)
}
