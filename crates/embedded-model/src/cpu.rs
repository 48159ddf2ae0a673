//! Inference kernels are chosen when the program is compiled, for the CPU it is compiled on.

use crate::Error;

/// Whether this CPU has everything the program was compiled for. Called first of all by a program: a binary carried to
/// an older CPU then says so, instead of dying on an instruction that CPU lacks.
pub fn cpu_check() -> Result<(), Error> {
    let missing = missing();
    if missing.is_empty() { Ok(()) } else { Err(Error::CpuTooOld { missing }) }
}

/// Names of those features that were compiled in and are not there.
macro_rules! compiled_in_but_absent {
    ($detect:ident: $($feature:tt)*) => {
        [$((cfg!(target_feature = $feature), std::arch::$detect!($feature), $feature)),*]
            .into_iter()
            .filter_map(absent)
            .collect()
    };
}

fn absent((compiled_in, present, feature): (bool, bool, &'static str)) -> Option<&'static str> {
    (compiled_in && !present).then_some(feature)
}

#[cfg(target_arch = "x86_64")]
fn missing() -> Vec<&'static str> {
    compiled_in_but_absent!(is_x86_feature_detected:
        "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "f16c" "bmi1" "bmi2" "lzcnt" "movbe" "adx" "aes"
        "pclmulqdq" "sha" "gfni" "vaes" "vpclmulqdq" "rdrand" "rdseed" "xsave" "avx512f" "avx512bw" "avx512cd"
        "avx512dq" "avx512vl" "avx512vnni" "avx512bf16" "avx512fp16" "avx512ifma" "avx512vbmi" "avx512vbmi2"
        "avx512bitalg" "avx512vpopcntdq" "avxvnni"
    )
}

#[cfg(target_arch = "aarch64")]
fn missing() -> Vec<&'static str> {
    compiled_in_but_absent!(is_aarch64_feature_detected:
        "neon" "fp16" "dotprod" "i8mm" "bf16" "fhm" "fcma" "rdm" "lse" "rcpc" "crc" "aes" "sha2" "sha3" "sve" "sve2"
    )
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn missing() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_that_compiled_it_passes() {
        cpu_check().unwrap();
    }

    #[test]
    fn only_what_is_compiled_in_and_absent_is_missing() {
        assert_eq!(absent((true, false, "avx512f")), Some("avx512f"));
        assert_eq!(absent((true, true, "avx2")), None);
        assert_eq!(absent((false, false, "sve")), None);
        let message = Error::CpuTooOld { missing: vec!["avx512f", "gfni"] }.to_string();
        assert!(message.contains("avx512f, gfni"), "{message}");
    }
}
