//! AVX2, with two registers for sixteen numbers.

use crate::weights::panels::layout::{Line, ROWS};
use half::f16;
use std::arch::x86_64::*;

/// Products of bytes above 127 would overflow the 16 bits in which this CPU adds two of them.
pub(in crate::weights::panels) const TAKES_BYTES: bool = false;

/// Sixteen times four unsigned bytes, each below 128.
#[derive(Clone, Copy)]
pub(in crate::weights::panels) struct Quants([__m256i; 2]);

/// Sixteen 32-bit integers.
#[derive(Clone, Copy)]
pub(in crate::weights::panels) struct Integers([__m256i; 2]);

/// Sixteen 32-bit floating-point numbers.
#[derive(Clone, Copy)]
pub(in crate::weights::panels) struct Floats([__m256; 2]);

impl Quants {
    #[expect(unsafe_code, reason = "a load takes a pointer")]
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in crate::weights::panels) fn load(line: &Line) -> Quants {
        let (first, second) = line.0.split_at(32);
        // SAFETY: a line is twice 32 bytes, aligned to 64.
        Quants(unsafe { [_mm256_load_si256(first.as_ptr().cast()), _mm256_load_si256(second.as_ptr().cast())] })
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in crate::weights::panels) fn low_halves(self) -> Quants {
        let mask = _mm256_set1_epi8(15);
        Quants([_mm256_and_si256(self.0[0], mask), _mm256_and_si256(self.0[1], mask)])
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in crate::weights::panels) fn high_halves(self) -> Quants {
        Quants([_mm256_srli_epi16::<4>(self.0[0]), _mm256_srli_epi16::<4>(self.0[1])]).low_halves()
    }

    /// Adds `1 << bit` where `line` has a bit set for `step`.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in crate::weights::panels) fn with_bit(self, line: &Line, step: usize, bit: u32) -> Quants {
        // Byte 8i + j of a register asks for bit j of byte i.
        let spread = _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
        let place = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
        let add = |quants: __m256i, at: usize| {
            let bits = i32::from_le_bytes(std::array::from_fn(|byte| line.0[step * 8 + at + byte]));
            let bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), spread);
            let set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, place), place);
            _mm256_add_epi8(quants, _mm256_and_si256(set, _mm256_set1_epi8(1 << bit)))
        };
        Quants([add(self.0[0], 0), add(self.0[1], 4)])
    }
}

impl Integers {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in crate::weights::panels) fn splat(value: i32) -> Integers {
        Integers([_mm256_set1_epi32(value); 2])
    }

    /// Adds, to each, the products of its four quants with the four signed bytes in `factor`.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in crate::weights::panels) fn add_products(self, quants: Quants, factor: i32) -> Integers {
        let factor = _mm256_set1_epi32(factor);
        let add = |sum: __m256i, quants: __m256i| {
            let pairs = _mm256_maddubs_epi16(quants, factor);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        };
        Integers([add(self.0[0], quants.0[0]), add(self.0[1], quants.0[1])])
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in crate::weights::panels) fn floats(self) -> Floats {
        Floats([_mm256_cvtepi32_ps(self.0[0]), _mm256_cvtepi32_ps(self.0[1])])
    }
}

impl Floats {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in crate::weights::panels) fn splat(value: f32) -> Floats {
        Floats([_mm256_set1_ps(value); 2])
    }

    #[expect(unsafe_code, reason = "a load takes a pointer")]
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in crate::weights::panels) fn load(numbers: &[f16; ROWS]) -> Floats {
        let (first, second) = numbers.split_at(ROWS / 2);
        // SAFETY: eight halves are 16 bytes, and the load asks for no alignment.
        let [first, second] = unsafe { [first, second].map(|half| _mm_loadu_si128(half.as_ptr().cast())) };
        Floats([_mm256_cvtph_ps(first), _mm256_cvtph_ps(second)])
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in crate::weights::panels) fn times(self, factor: f32) -> Floats {
        let factor = _mm256_set1_ps(factor);
        Floats([_mm256_mul_ps(self.0[0], factor), _mm256_mul_ps(self.0[1], factor)])
    }

    /// `self + a × b`
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in crate::weights::panels) fn add_product(self, a: Floats, b: Floats) -> Floats {
        Floats([_mm256_fmadd_ps(a.0[0], b.0[0], self.0[0]), _mm256_fmadd_ps(a.0[1], b.0[1], self.0[1])])
    }

    /// `self − a × b`
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in crate::weights::panels) fn take_product(self, a: Floats, b: Floats) -> Floats {
        Floats([_mm256_fnmadd_ps(a.0[0], b.0[0], self.0[0]), _mm256_fnmadd_ps(a.0[1], b.0[1], self.0[1])])
    }

    #[expect(unsafe_code, reason = "a store takes a pointer")]
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in crate::weights::panels) fn store(self, into: &mut [f32; ROWS]) {
        let (first, second) = into.split_at_mut(ROWS / 2);
        // SAFETY: eight numbers are 32 bytes, and the store asks for no alignment.
        unsafe {
            _mm256_storeu_ps(first.as_mut_ptr(), self.0[0]);
            _mm256_storeu_ps(second.as_mut_ptr(), self.0[1]);
        }
    }
}
