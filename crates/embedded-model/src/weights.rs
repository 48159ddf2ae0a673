//! A weight matrix as it lies in the file, still quantized, and the one expensive operation on it.
//!
//! The block formats and their SIMD dot products are candle's (`candle_core::quantized::k_quants`). The loop around them
//! is ours because candle runs it on a process-wide pool of spinning threads whose size only an environment variable
//! can set; here it runs on the engine's own bounded pool, which parks, and every value is computed by one thread in
//! one order, so answers do not depend on how many threads there are.

use crate::Error;
use candle_core::quantized::k_quants::{
    BlockQ2K, BlockQ3K, BlockQ4_0, BlockQ4_1, BlockQ4K, BlockQ5_0, BlockQ5_1, BlockQ5K, BlockQ6K, BlockQ8_0, BlockQ8_1,
    BlockQ8K, GgmlType,
};
use candle_core::quantized::{GgmlDType, QTensor};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Prompt rows worked through against one weight row before the next is read: 16 quantized rows of a common width stay
/// in a 32 KiB first-level cache beside the weights.
const ROW_TILE: usize = 16;
/// Multiply-adds below which waking a second thread costs more than it saves.
const SERIAL_WORK: usize = 64 * 1024;

/// Calls `$body` with `$block` bound to the Rust type that stores `$dtype`.
macro_rules! with_block_type {
    ($dtype:expr, $block:ident => $body:expr) => {
        match $dtype {
            GgmlDType::F32 => {
                type $block = f32;
                $body
            }
            GgmlDType::F16 => {
                type $block = half::f16;
                $body
            }
            GgmlDType::BF16 => {
                type $block = half::bf16;
                $body
            }
            GgmlDType::Q4_0 => {
                type $block = BlockQ4_0;
                $body
            }
            GgmlDType::Q4_1 => {
                type $block = BlockQ4_1;
                $body
            }
            GgmlDType::Q5_0 => {
                type $block = BlockQ5_0;
                $body
            }
            GgmlDType::Q5_1 => {
                type $block = BlockQ5_1;
                $body
            }
            GgmlDType::Q8_0 => {
                type $block = BlockQ8_0;
                $body
            }
            GgmlDType::Q8_1 => {
                type $block = BlockQ8_1;
                $body
            }
            GgmlDType::Q2K => {
                type $block = BlockQ2K;
                $body
            }
            GgmlDType::Q3K => {
                type $block = BlockQ3K;
                $body
            }
            GgmlDType::Q4K => {
                type $block = BlockQ4K;
                $body
            }
            GgmlDType::Q5K => {
                type $block = BlockQ5K;
                $body
            }
            GgmlDType::Q6K => {
                type $block = BlockQ6K;
                $body
            }
            GgmlDType::Q8K => {
                type $block = BlockQ8K;
                $body
            }
        }
    };
}

/// `rows × columns`, row-major: a linear layer maps `columns` inputs to `rows` outputs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Matrix {
    tensor: Arc<QTensor>,
    rows: Range<usize>,
    columns: usize,
}

impl Matrix {
    /// Takes a two-dimensional tensor whose rows are whole blocks. `None` for any other.
    pub(crate) fn new(tensor: QTensor) -> Option<Matrix> {
        let &[rows, columns] = tensor.shape().dims() else { return None };
        if rows == 0 || columns == 0 || !columns.is_multiple_of(tensor.dtype().block_size()) {
            return None;
        }
        Some(Matrix { tensor: Arc::new(tensor), rows: 0..rows, columns })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// A view of some of the rows (fused projections are stored one below the other).
    pub(crate) fn view(&self, rows: Range<usize>) -> Matrix {
        assert!(rows.end <= self.rows(), "rows {rows:?} of a matrix that has {}", self.rows());
        let rows = self.rows.start + rows.start..self.rows.start + rows.end;
        Matrix { tensor: self.tensor.clone(), rows, columns: self.columns }
    }

    /// One row as plain numbers (a token's embedding).
    pub(crate) fn row_into(&self, row: usize, into: &mut [f32]) {
        with_block_type!(self.tensor.dtype(), Block => {
            let blocks = self.blocks::<Block>();
            let width = self.columns / Block::BLCK_SIZE;
            Block::to_float(&blocks[row * width..(row + 1) * width], into);
        });
    }

    /// `input` is `count × columns`, the result `count × rows`, both row-major.
    pub(crate) fn multiply(&self, input: &[f32]) -> Vec<f32> {
        assert!(input.len().is_multiple_of(self.columns), "an input of {} for rows of {}", input.len(), self.columns);
        with_block_type!(self.tensor.dtype(), Block => {
            multiply(self.blocks::<Block>(), self.rows(), self.columns, input)
        })
    }

    #[expect(unsafe_code, reason = "candle hands out the bytes of its blocks, and its kernels take the blocks")]
    fn blocks<T: GgmlType>(&self) -> &[T] {
        assert_eq!(self.tensor.dtype(), T::DTYPE);
        let Ok(Cow::Borrowed(bytes)) = self.tensor.data() else {
            unreachable!("a tensor on the CPU lends its memory");
        };
        let stride = self.columns / T::BLCK_SIZE * size_of::<T>();
        let bytes = &bytes[self.rows.start * stride..self.rows.end * stride];
        assert!(bytes.as_ptr().cast::<T>().is_aligned());
        // SAFETY: a CPU tensor of type `T::DTYPE` is a `Vec<T>` and `data` is its memory, borrowed from `self`; the
        // range was checked by slicing, begins on a block and holds whole blocks, and the alignment was asserted.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<T>(), bytes.len() / size_of::<T>()) }
    }
}

/// The numbers of a tensor that is small or used in full (norms, biases).
pub(crate) fn floats(tensor: &QTensor) -> Result<Vec<f32>, Error> {
    Ok(tensor.dequantize(&candle_core::Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?)
}

fn multiply<T: GgmlType>(weights: &[T], rows: usize, columns: usize, input: &[f32]) -> Vec<f32> {
    let count = input.len() / columns;
    let width = columns / T::BLCK_SIZE;
    let input = convert_input::<T>(input, columns);
    let input_width = columns / T::VecDotType::BLCK_SIZE;
    let input_row = |row: usize| &input[row * input_width..(row + 1) * input_width];
    let weight = |row: usize| &weights[row * width..(row + 1) * width];

    // Column by column of the result, so that each task owns one contiguous piece of it.
    let threads = if rows * columns * count <= SERIAL_WORK { 1 } else { rayon::current_num_threads() };
    // Several pieces per thread let a free thread take over from one whose core is busy with something else.
    let rows_per_task = if threads == 1 { rows } else { rows.div_ceil(threads * 4).next_multiple_of(4) };
    let mut by_weight = vec![0_f32; rows * count];
    let task = |index: usize, piece: &mut [f32]| {
        let first = index * rows_per_task;
        for tile in (0..count).step_by(ROW_TILE) {
            let tile = tile..(tile + ROW_TILE).min(count);
            for (quad, output) in piece.chunks_mut(4 * count).enumerate() {
                let row = first + quad * 4;
                if output.len() == 4 * count {
                    for at in tile.clone() {
                        let input = input_row(at);
                        let (a, b, c, d) = T::vec_dot_4(
                            columns,
                            weight(row),
                            weight(row + 1),
                            weight(row + 2),
                            weight(row + 3),
                            input,
                        );
                        output[at] = a;
                        output[count + at] = b;
                        output[2 * count + at] = c;
                        output[3 * count + at] = d;
                    }
                } else {
                    for (rest, output) in output.chunks_mut(count).enumerate() {
                        for at in tile.clone() {
                            output[at] = T::vec_dot(columns, weight(row + rest), input_row(at));
                        }
                    }
                }
            }
        }
    };
    if threads == 1 {
        task(0, &mut by_weight);
    } else {
        by_weight.par_chunks_mut(rows_per_task * count).enumerate().for_each(|(index, piece)| task(index, piece));
    }
    if count == 1 { by_weight } else { transpose(&by_weight, rows, count) }
}

/// The input in the format the weights' dot product wants: 8-bit blocks, or the weights' own floating-point type.
fn convert_input<T: GgmlType>(input: &[f32], columns: usize) -> Vec<T::VecDotType> {
    let blocks = columns / T::VecDotType::BLCK_SIZE;
    let mut converted = vec![T::VecDotType::zeros(); input.len() / T::VecDotType::BLCK_SIZE];
    let convert = |(row, into): (&[f32], &mut [T::VecDotType])| {
        if T::DIRECT_COPY { T::VecDotType::direct_copy(row, into) } else { T::VecDotType::from_float(row, into) }
    };
    if input.len() <= SERIAL_WORK {
        input.chunks(columns).zip(converted.chunks_mut(blocks)).for_each(convert);
    } else {
        input.par_chunks(columns).zip(converted.par_chunks_mut(blocks)).for_each(convert);
    }
    converted
}

fn transpose(source: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut result = vec![0_f32; source.len()];
    for (row, values) in source.chunks(columns).enumerate() {
        for (column, &value) in values.iter().enumerate() {
            result[column * rows + row] = value;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    fn values(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    /// Plain double-precision multiplication of the dequantized weights.
    fn reference(matrix: &Matrix, input: &[f32]) -> Vec<f32> {
        let mut row = vec![0_f32; matrix.columns()];
        let mut result = vec![0_f32; input.len() / matrix.columns() * matrix.rows()];
        for output in 0..matrix.rows() {
            matrix.row_into(output, &mut row);
            for (at, input) in input.chunks(matrix.columns()).enumerate() {
                let sum: f64 = row.iter().zip(input).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                result[at * matrix.rows() + output] = sum as f32;
            }
        }
        result
    }

    #[test]
    fn multiplies_in_every_format_as_plain_arithmetic_does() {
        let (rows, columns) = (70, 512);
        let source = Tensor::from_vec(values(rows * columns, 1), (rows, columns), &Device::Cpu).unwrap();
        let input = values(columns * 19, 2);
        use GgmlDType::*;
        for dtype in [F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2K, Q3K, Q4K, Q5K, Q6K] {
            let matrix = Matrix::new(QTensor::quantize(&source, dtype).unwrap()).unwrap();
            for matrix in [matrix.view(0..rows), matrix.view(3..64)] {
                let expected = reference(&matrix, &input);
                let found = matrix.multiply(&input);
                let worst = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0., f32::max);
                // The input is rounded to 8 bits for quantized weights: about 512 × 0.5² × 1/256 spread at random.
                assert!(worst < 0.08, "{dtype:?}: off by {worst}");
            }
        }
    }

    #[test]
    fn gives_the_same_bits_whatever_the_number_of_threads_or_rows() {
        let source = Tensor::from_vec(values(768 * 256, 3), (768, 256), &Device::Cpu).unwrap();
        let matrix = Matrix::new(QTensor::quantize(&source, GgmlDType::Q4_0).unwrap()).unwrap();
        let input = values(256 * 40, 4);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| matrix.multiply(&input))
        };
        let one = with(1);
        assert_eq!(one, with(3));
        let last = matrix.multiply(&input[39 * 256..]);
        assert_eq!(one[39 * 768..], last, "a row alone must give what it gives among others");
    }
}
