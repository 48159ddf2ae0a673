//! The block formats of GGUF files, read group by group: 32 neighbouring values of one row.
//!
//! Every format here means `value = scale × (quant − offset)` or `value = scale × quant − minimum`. Layouts:
//! <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>.

use candle_core::quantized::GgmlDType;
use half::f16;

/// Values in a group.
pub(super) const GROUP: usize = 32;

/// What a format's groups have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Of a quant.
    pub bits: usize,
    /// A scale for each half of the group instead of one for all of it.
    pub halves: bool,
    /// What is taken from every quant; formats with a minimum have none.
    pub offset: Option<i32>,
}

impl Shape {
    /// `None`: the format has no kernel of ours.
    pub(super) fn of(format: GgmlDType) -> Option<Shape> {
        let (bits, halves, offset) = match format {
            GgmlDType::Q4_0 => (4, false, Some(8)),
            GgmlDType::Q4_1 | GgmlDType::Q4K => (4, false, None),
            GgmlDType::Q5_0 => (5, false, Some(16)),
            GgmlDType::Q5_1 | GgmlDType::Q5K => (5, false, None),
            GgmlDType::Q6K => (6, true, Some(32)),
            GgmlDType::Q8_0 => (8, false, Some(128)),
            _ => return None,
        };
        Some(Shape { bits, halves, offset })
    }

    /// Sets of sixteen numbers (one per row) that a block has beside its quants: scales, then minima.
    pub(super) fn numbers(self) -> usize {
        1 + usize::from(self.halves) + usize::from(self.offset.is_none())
    }
}

pub(super) struct Group {
    pub quants: [u8; GROUP],
    /// The second only where halves have their own.
    pub scales: [f16; 2],
    pub minimum: f16,
}

impl Group {
    /// Group `index` of a row that lies in `row`. `format` must have a [`Shape`].
    pub(super) fn read(format: GgmlDType, row: &[u8], index: usize) -> Group {
        let per_block = format.block_size() / GROUP;
        let size = format.type_size();
        let block = &row[index / per_block * size..][..size];
        let part = index % per_block;
        match format {
            GgmlDType::Q4_0 => plain(number(block, 0), f16::ZERO, nibbles(&block[2..])),
            GgmlDType::Q4_1 => plain(number(block, 0), -number(block, 2), nibbles(&block[4..])),
            GgmlDType::Q5_0 => plain(number(block, 0), f16::ZERO, fifth_bit(&block[2..6], nibbles(&block[6..]))),
            GgmlDType::Q5_1 => {
                plain(number(block, 0), -number(block, 2), fifth_bit(&block[4..8], nibbles(&block[8..])))
            }
            GgmlDType::Q8_0 => {
                // As signed bytes; the offset makes them unsigned, as the kernels take them.
                plain(number(block, 0), f16::ZERO, std::array::from_fn(|at| block[2 + at] ^ 0x80))
            }
            GgmlDType::Q4K => sub_block(block, part, |at| half_byte(&block[16..], part, at)),
            GgmlDType::Q5K => {
                sub_block(block, part, |at| half_byte(&block[48..], part, at) | (((block[16 + at] >> part) & 1) << 4))
            }
            GgmlDType::Q6K => sixth(block, part),
            _ => unreachable!("{format:?} has no shape"),
        }
    }
}

fn number(block: &[u8], at: usize) -> f16 {
    f16::from_le_bytes([block[at], block[at + 1]])
}

fn plain(scale: f16, minimum: f16, quants: [u8; GROUP]) -> Group {
    Group { quants, scales: [scale, f16::ZERO], minimum }
}

/// Sixteen bytes: the low halves first, then the high ones.
fn nibbles(bytes: &[u8]) -> [u8; GROUP] {
    std::array::from_fn(|at| if at < 16 { bytes[at] & 15 } else { bytes[at - 16] >> 4 })
}

fn fifth_bit(bits: &[u8], mut quants: [u8; GROUP]) -> [u8; GROUP] {
    for (at, quant) in quants.iter_mut().enumerate() {
        *quant |= ((bits[at / 8] >> (at % 8)) & 1) << 4;
    }
    quants
}

/// 64 values of a super-block share 32 bytes: the first 32 in the low halves.
fn half_byte(bytes: &[u8], part: usize, at: usize) -> u8 {
    let byte = bytes[part / 2 * GROUP + at];
    if part.is_multiple_of(2) { byte & 15 } else { byte >> 4 }
}

/// Super-blocks of eight groups, whose scales and minima have 6 bits each.
fn sub_block(block: &[u8], part: usize, quant: impl Fn(usize) -> u8) -> Group {
    let packed = &block[4..16];
    let (scale, minimum) = if part < 4 {
        (packed[part] & 63, packed[part + 4] & 63)
    } else {
        let low = packed[part + 4];
        ((low & 15) | ((packed[part - 4] >> 6) << 4), (low >> 4) | ((packed[part] >> 6) << 4))
    };
    let times = |factor: f16, count: u8| f16::from_f32(factor.to_f32() * f32::from(count));
    plain(times(number(block, 0), scale), times(number(block, 2), minimum), std::array::from_fn(quant))
}

fn sixth(block: &[u8], part: usize) -> Group {
    let (half, quarter) = (part / 4, part % 4);
    let (low, high) = (&block[half * 64 + quarter % 2 * 32..], &block[128 + half * 32..]);
    let scale = |sixteen: usize| {
        let scale = i8::from_le_bytes([block[192 + half * 8 + quarter * 2 + sixteen]]);
        f16::from_f32(number(block, 208).to_f32() * f32::from(scale))
    };
    Group {
        quants: std::array::from_fn(|at| {
            let nibble = if quarter < 2 { low[at] & 15 } else { low[at] >> 4 };
            nibble | (((high[at] >> (2 * quarter)) & 3) << 4)
        }),
        scales: [scale(0), scale(1)],
        minimum: f16::ZERO,
    }
}
