//! A weight matrix, still quantized, and the one expensive operation on it.
//!
//! ```text
//! file → Rows (blocks as they lie there) → Matrix: panels laid out for our kernels where they take the format and the
//!                                                  CPU, else the blocks and candle's dot products
//! ```
//! The work is cut into pieces for the engine's own bounded pool, which parks when idle. Every value is computed by one
//! thread in one order, so answers depend neither on how many threads there are nor on what is computed together.

mod blocks;
#[cfg(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))]
mod panels;
#[cfg(not(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma", target_feature = "f16c")))]
#[path = "weights/no_panels.rs"]
mod panels;

pub(crate) use blocks::Rows;

use crate::Error;
use blocks::Converted;
use candle_core::quantized::QTensor;
use panels::{Panels, Rounded};
use rayon::prelude::*;
use std::sync::Arc;

/// `rows × columns`, row-major: a linear layer maps `columns` inputs to `rows` outputs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Matrix {
    stored: Stored,
    rows: usize,
    columns: usize,
}

#[derive(Clone)]
enum Stored {
    Blocks(Rows),
    Panels(Arc<Panels>),
}

/// Rows of input as a matrix wants them.
enum Input {
    Converted(Converted),
    Rounded(Arc<Vec<Rounded>>),
}

/// Some of a matrix's results, of all rows of input.
struct Piece<'a> {
    matrix: &'a Matrix,
    input: &'a Input,
    first: usize,
    into: Vec<&'a mut [f32]>,
}

impl Matrix {
    pub(crate) fn new(rows: Rows) -> Matrix {
        let (count, columns) = (rows.rows(), rows.columns());
        let stored = match Panels::new(rows.format(), rows.bytes(), columns) {
            Some(panels) => Stored::Panels(Arc::new(panels)),
            None => Stored::Blocks(rows),
        };
        Matrix { stored, rows: count, columns }
    }

    /// One of which only single rows are read.
    pub(crate) fn looked_up(rows: Rows) -> Matrix {
        Matrix { rows: rows.rows(), columns: rows.columns(), stored: Stored::Blocks(rows) }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// One row as plain numbers (a token's embedding).
    pub(crate) fn row_into(&self, row: usize, into: &mut [f32]) {
        match &self.stored {
            Stored::Blocks(rows) => rows.row_into(row, into),
            Stored::Panels(panels) => panels.row_into(row, into),
        }
    }

    /// `input` is `count × columns`, the result `count × rows`, both row-major.
    pub(crate) fn multiply(&self, input: &[f32]) -> Vec<f32> {
        let [result] = Matrix::multiply_all([self], input);
        result
    }

    /// Several matrices times the same input, shared out among the threads at once.
    pub(crate) fn multiply_all<const N: usize>(matrices: [&Matrix; N], input: &[f32]) -> [Vec<f32>; N] {
        let columns = matrices.first().map_or(1, |matrix| matrix.columns);
        assert!(matrices.iter().all(|matrix| matrix.columns == columns), "matrices of different width");
        assert!(input.len().is_multiple_of(columns), "an input of {} for rows of {columns}", input.len());
        let count = input.len() / columns;
        let mut rounded = None;
        let inputs = matrices.map(|matrix| match &matrix.stored {
            Stored::Blocks(rows) => Input::Converted(rows.convert(input)),
            Stored::Panels(_) => {
                Input::Rounded(rounded.get_or_insert_with(|| Arc::new(panels::rounded(input))).clone())
            }
        });
        let total: usize = matrices.iter().map(|matrix| matrix.rows).sum();
        let threads = if total * columns * count <= SERIAL_WORK { 1 } else { rayon::current_num_threads() };
        let length = match threads {
            1 => total,
            _ => total.div_ceil(threads * PIECES_PER_THREAD),
        };
        let length = length.next_multiple_of(panels::ROWS);
        let mut results = matrices.map(|matrix| vec![0_f32; count * matrix.rows]);
        let mut pieces = Vec::new();
        for ((matrix, input), result) in matrices.into_iter().zip(&inputs).zip(&mut results) {
            let from = pieces.len();
            let piece = |at: usize| Piece { matrix, input, first: at * length, into: Vec::with_capacity(count) };
            pieces.extend((0..matrix.rows.div_ceil(length)).map(piece));
            for row in result.chunks_mut(matrix.rows) {
                for (piece, part) in pieces[from..].iter_mut().zip(row.chunks_mut(length)) {
                    piece.into.push(part);
                }
            }
        }
        match threads {
            1 => pieces.iter_mut().for_each(Piece::compute),
            _ => pieces.par_iter_mut().with_max_len(1).for_each(Piece::compute),
        }
        results
    }
}

/// Multiply-adds below which waking a second thread costs more than it saves.
const SERIAL_WORK: usize = 64 * 1024;
/// Lets a free thread take over from one whose core is busy with something else.
const PIECES_PER_THREAD: usize = 4;

impl Piece<'_> {
    fn compute(&mut self) {
        match (&self.matrix.stored, self.input) {
            (Stored::Blocks(rows), Input::Converted(input)) => rows.multiply(self.first, input, &mut self.into),
            (Stored::Panels(panels), Input::Rounded(input)) => {
                panels::multiply(panels, self.first / panels::ROWS, input, &mut self.into);
            }
            _ => unreachable!("the input was made for the matrix"),
        }
    }
}

/// The numbers of a tensor that is small or used in full (norms, biases).
pub(crate) fn floats(tensor: &QTensor) -> Result<Vec<f32>, Error> {
    Ok(tensor.dequantize(&candle_core::Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::quantized::GgmlDType;
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
        let mut row = vec![0_f32; matrix.columns];
        let mut result = vec![0_f32; input.len() / matrix.columns * matrix.rows()];
        for output in 0..matrix.rows() {
            matrix.row_into(output, &mut row);
            for (at, input) in input.chunks(matrix.columns).enumerate() {
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
            let matrix = Rows::new(QTensor::quantize(&source, dtype).unwrap()).unwrap();
            for matrix in [matrix.view(0..rows), matrix.view(3..64)].map(Matrix::new) {
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
        let matrix = Matrix::new(Rows::new(QTensor::quantize(&source, GgmlDType::Q4_0).unwrap()).unwrap());
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
