//! Weights as they lie in the file, for the formats and CPUs that have no kernel of ours.
//!
//! The block formats and their SIMD dot products are candle's (`candle_core::quantized::k_quants`). The loop around them
//! is ours because candle runs it on a process-wide pool of spinning threads whose size only an environment variable
//! can set.

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
/// Input values below which a second thread costs more than it saves.
const SERIAL_VALUES: usize = 64 * 1024;

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

/// Rows of a tensor as it lies in the file. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rows {
    tensor: Arc<QTensor>,
    rows: Range<usize>,
    columns: usize,
}

/// Rows of input in the format that a tensor's dot product wants.
pub(super) struct Converted(Box<dyn std::any::Any + Send + Sync>);

impl Rows {
    /// Takes a two-dimensional tensor whose rows are whole blocks. `None` for any other.
    pub(crate) fn new(tensor: QTensor) -> Option<Rows> {
        let &[rows, columns] = tensor.shape().dims() else { return None };
        if rows == 0 || columns == 0 || !columns.is_multiple_of(tensor.dtype().block_size()) {
            return None;
        }
        Some(Rows { tensor: Arc::new(tensor), rows: 0..rows, columns })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Some of the rows (fused projections are stored one below the other).
    pub(crate) fn view(&self, rows: Range<usize>) -> Rows {
        assert!(rows.end <= self.rows(), "rows {rows:?} of a matrix that has {}", self.rows());
        let rows = self.rows.start + rows.start..self.rows.start + rows.end;
        Rows { tensor: self.tensor.clone(), rows, columns: self.columns }
    }

    pub(super) fn format(&self) -> GgmlDType {
        self.tensor.dtype()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        let Ok(Cow::Borrowed(bytes)) = self.tensor.data() else {
            unreachable!("a tensor on the CPU lends its memory");
        };
        let format = self.tensor.dtype();
        let stride = self.columns / format.block_size() * format.type_size();
        &bytes[self.rows.start * stride..self.rows.end * stride]
    }

    pub(super) fn row_into(&self, row: usize, into: &mut [f32]) {
        with_block_type!(self.tensor.dtype(), Block => {
            let width = self.columns / Block::BLCK_SIZE;
            Block::to_float(&self.blocks::<Block>()[row * width..(row + 1) * width], into);
        });
    }

    pub(super) fn convert(&self, input: &[f32]) -> Converted {
        with_block_type!(self.tensor.dtype(), Block => Converted(Box::new(convert_input::<Block>(input, self.columns))))
    }

    /// `into` has a slice for each row of input, for the results of the weights' rows from `first` on.
    pub(super) fn multiply(&self, first: usize, input: &Converted, into: &mut [&mut [f32]]) {
        with_block_type!(self.tensor.dtype(), Block => {
            let Some(input) = input.0.downcast_ref::<Vec<<Block as GgmlType>::VecDotType>>() else {
                unreachable!("the input was converted for this tensor");
            };
            multiply(self.blocks::<Block>(), first, self.columns, input, into);
        });
    }

    #[expect(unsafe_code, reason = "candle hands out the bytes of its blocks, and its kernels take the blocks")]
    fn blocks<T: GgmlType>(&self) -> &[T] {
        assert_eq!(self.tensor.dtype(), T::DTYPE);
        let bytes = self.bytes();
        assert!(bytes.as_ptr().cast::<T>().is_aligned());
        // SAFETY: a CPU tensor of type `T::DTYPE` is a `Vec<T>` and `bytes` is its memory, borrowed from `self`; the
        // range was checked by slicing, begins on a block and holds whole blocks, and the alignment was asserted.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<T>(), bytes.len() / size_of::<T>()) }
    }
}

fn multiply<T: GgmlType>(
    weights: &[T],
    first: usize,
    columns: usize,
    input: &[T::VecDotType],
    into: &mut [&mut [f32]],
) {
    let width = columns / T::BLCK_SIZE;
    let input_width = columns / T::VecDotType::BLCK_SIZE;
    let weight = |row: usize| &weights[row * width..(row + 1) * width];
    let rows = into.first().map_or(0, |results| results.len());
    for (input, into) in input.chunks(ROW_TILE * input_width).zip(into.chunks_mut(ROW_TILE)) {
        for quad in (0..rows).step_by(4) {
            let row = first + quad;
            for (input, into) in input.chunks(input_width).zip(into.iter_mut()) {
                let into = &mut into[quad..];
                if let [a, b, c, d, ..] = into {
                    (*a, *b, *c, *d) =
                        T::vec_dot_4(columns, weight(row), weight(row + 1), weight(row + 2), weight(row + 3), input);
                } else {
                    for (rest, result) in into.iter_mut().enumerate() {
                        *result = T::vec_dot(columns, weight(row + rest), input);
                    }
                }
            }
        }
    }
}

/// 8-bit blocks, or the weights' own floating-point type.
fn convert_input<T: GgmlType>(input: &[f32], columns: usize) -> Vec<T::VecDotType> {
    let blocks = columns / T::VecDotType::BLCK_SIZE;
    let mut converted = vec![T::VecDotType::zeros(); input.len() / T::VecDotType::BLCK_SIZE];
    let convert = |(row, into): (&[f32], &mut [T::VecDotType])| {
        if T::DIRECT_COPY { T::VecDotType::direct_copy(row, into) } else { T::VecDotType::from_float(row, into) }
    };
    if input.len() <= SERIAL_VALUES {
        input.chunks(columns).zip(converted.chunks_mut(blocks)).for_each(convert);
    } else {
        input.par_chunks(columns).zip(converted.par_chunks_mut(blocks)).for_each(convert);
    }
    converted
}
