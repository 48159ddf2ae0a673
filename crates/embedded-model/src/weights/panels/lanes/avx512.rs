//! AVX-512 with VNNI: every operation is one instruction.

use crate::weights::panels::layout::{Line, ROWS};
use half::f16;
use std::arch::x86_64::*;

/// Quants of 8 bits are multiplied without overflow.
pub(in crate::weights::panels) const TAKES_BYTES: bool = true;

/// Sixteen times four unsigned bytes.
#[derive(Clone, Copy)]
pub(in crate::weights::panels) struct Quants(__m512i);

/// Sixteen 32-bit integers.
#[derive(Clone, Copy)]
pub(in crate::weights::panels) struct Integers(__m512i);

/// Sixteen 32-bit floating-point numbers.
#[derive(Clone, Copy)]
pub(in crate::weights::panels) struct Floats(__m512);

impl Quants {
    #[expect(unsafe_code, reason = "a load takes a pointer")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in crate::weights::panels) fn load(line: &Line) -> Quants {
        // SAFETY: a line is 64 bytes, aligned to 64.
        Quants(unsafe { _mm512_load_si512(line.0.as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in crate::weights::panels) fn low_halves(self) -> Quants {
        Quants(_mm512_and_si512(self.0, _mm512_set1_epi8(15)))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in crate::weights::panels) fn high_halves(self) -> Quants {
        Quants(_mm512_srli_epi16::<4>(self.0)).low_halves()
    }

    /// Adds `1 << bit` where `line` has a bit set for `step`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in crate::weights::panels) fn with_bit(self, line: &Line, step: usize, bit: u32) -> Quants {
        let bits = u64::from_le_bytes(std::array::from_fn(|at| line.0[step * 8 + at]));
        Quants(_mm512_mask_add_epi8(self.0, bits, self.0, _mm512_set1_epi8(1 << bit)))
    }
}

impl Integers {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in crate::weights::panels) fn splat(value: i32) -> Integers {
        Integers(_mm512_set1_epi32(value))
    }

    /// Adds, to each, the products of its four quants with the four signed bytes in `factor`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in crate::weights::panels) fn add_products(self, quants: Quants, factor: i32) -> Integers {
        Integers(_mm512_dpbusd_epi32(self.0, quants.0, _mm512_set1_epi32(factor)))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in crate::weights::panels) fn floats(self) -> Floats {
        Floats(_mm512_cvtepi32_ps(self.0))
    }
}

impl Floats {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in crate::weights::panels) fn splat(value: f32) -> Floats {
        Floats(_mm512_set1_ps(value))
    }

    #[expect(unsafe_code, reason = "a load takes a pointer")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in crate::weights::panels) fn load(numbers: &[f16; ROWS]) -> Floats {
        // SAFETY: sixteen halves are 32 bytes, and the load asks for no alignment.
        let halves = unsafe { _mm256_loadu_si256(numbers.as_ptr().cast()) };
        Floats(_mm512_cvtph_ps(halves))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in crate::weights::panels) fn times(self, factor: f32) -> Floats {
        Floats(_mm512_mul_ps(self.0, _mm512_set1_ps(factor)))
    }

    /// `self + a × b`
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in crate::weights::panels) fn add_product(self, a: Floats, b: Floats) -> Floats {
        Floats(_mm512_fmadd_ps(a.0, b.0, self.0))
    }

    /// `self − a × b`
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in crate::weights::panels) fn take_product(self, a: Floats, b: Floats) -> Floats {
        Floats(_mm512_fnmadd_ps(a.0, b.0, self.0))
    }

    #[expect(unsafe_code, reason = "a store takes a pointer")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in crate::weights::panels) fn store(self, into: &mut [f32; ROWS]) {
        // SAFETY: sixteen numbers are 64 bytes, and the store asks for no alignment.
        unsafe {
            _mm512_storeu_ps(into.as_mut_ptr(), self.0);
        }
    }
}
