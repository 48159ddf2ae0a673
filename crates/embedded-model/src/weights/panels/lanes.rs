//! Sixteen numbers side by side, as wide as the CPU this is built for works: the only place that knows its instructions.

#[cfg(not(target_feature = "avx512vnni"))]
mod avx2;
#[cfg(target_feature = "avx512vnni")]
mod avx512;

#[cfg(not(target_feature = "avx512vnni"))]
pub(super) use avx2::*;
#[cfg(target_feature = "avx512vnni")]
pub(super) use avx512::*;
