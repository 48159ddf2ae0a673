//! The small arithmetic between matrix multiplications.

use super::config::Activation;
use rayon::prelude::*;

/// Numbers that the widest registers hold.
pub(crate) const LANES: usize = 16;

/// Root-mean-square normalisation of each row of `weight.len()` values.
pub(crate) fn normalized(rows: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let mut result = rows.to_vec();
    normalize(&mut result, weight, epsilon);
    result
}

pub(crate) fn normalize(rows: &mut [f32], weight: &[f32], epsilon: f32) {
    for row in rows.chunks_mut(weight.len()) {
        let scale = (dot(row, row) / row.len() as f32 + epsilon).sqrt().recip();
        for (value, weight) in row.iter_mut().zip(weight) {
            *value *= scale * weight;
        }
    }
}

pub(crate) fn add(rows: &mut [f32], other: &[f32]) {
    for (value, other) in rows.iter_mut().zip(other) {
        *value += other;
    }
}

/// Adds `bias` to every row.
pub(crate) fn add_bias(rows: &mut [f32], bias: Option<&Vec<f32>>) {
    if let Some(bias) = bias {
        rows.chunks_mut(bias.len()).for_each(|row| add(row, bias));
    }
}

/// `gate` becomes activation(gate) × up.
pub(crate) fn gate(activation: Activation, gate: &mut [f32], up: &[f32]) {
    let apply = |function: fn(&mut f32, f32), gate: &mut [f32]| {
        if gate.len() <= SERIAL_VALUES {
            gate.iter_mut().zip(up).for_each(|(gate, up)| function(gate, *up));
        } else {
            let pieces = gate.par_chunks_mut(PIECE).zip(up.par_chunks(PIECE));
            pieces.for_each(|(gate, up)| gate.iter_mut().zip(up).for_each(|(gate, up)| function(gate, *up)));
        }
    };
    match activation {
        Activation::Silu => apply(|gate, up| *gate = *gate / (1. + exp(-*gate)) * up, gate),
        // the tanh form of GELU, as Gemma was trained with
        Activation::Gelu => apply(
            |gate, up| {
                let x = *gate;
                let inner = std::f32::consts::FRAC_2_PI.sqrt() * x * (1. + 0.044_715 * x * x);
                let tanh = 1. - 2. / (exp(2. * inner) + 1.);
                *gate = 0.5 * x * (1. + tanh) * up;
            },
            gate,
        ),
    }
}

/// Values below which a second thread costs more than it saves.
const SERIAL_VALUES: usize = 64 * 1024;
const PIECE: usize = 16 * 1024;

/// `e` to the power of `x`, to the last bit or two, from -87 to 88 and as if there outside: without a branch or a call, so
/// that the compiler works on many at once. The power of two goes into the exponent, a polynomial does the rest.
#[inline]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding it leaves a whole number in the lowest bits.
    const ROUNDING: f32 = 12_582_912.;
    /// ln 2 in two parts, so that no digit is lost.
    const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
    let x = x.clamp(-87., 88.);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUNDING);
    let whole = shifted - ROUNDING;
    let rest = whole.mul_add(-LN_2[1], whole.mul_add(-LN_2[0], x));
    let mut sum = 1. / 720.;
    for factor in [1. / 120., 1. / 24., 1. / 6., 0.5, 1., 1.] {
        sum = rest.mul_add(sum, factor);
    }
    f32::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// Sixteen running sums, so that the compiler may use wide registers without changing the result from run to run.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0_f32; LANES];
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] = a[lane].mul_add(b[lane], sums[lane]);
        }
    }
    sums.iter().sum::<f32>() + rest
}

pub(crate) fn softmax(scores: &mut [f32]) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0_f32; LANES];
    for scores in scores.chunks_mut(LANES) {
        for (sum, score) in sums.iter_mut().zip(scores) {
            *score = exp(*score - highest);
            *sum += *score;
        }
    }
    let scale = 1. / sums.iter().sum::<f32>();
    scores.iter_mut().for_each(|score| *score *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wide_dot_product_is_the_plain_one() {
        let a: Vec<f32> = (0..37).map(|i| i as f32).collect();
        let b: Vec<f32> = (0..37).map(|i| (i % 3) as f32).collect();
        let plain: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
        assert_eq!(dot(&a, &b), plain);
    }

    #[test]
    fn softmax_keeps_order_sums_to_one_and_survives_large_scores() {
        let mut scores = [1000., 1001., 999.];
        softmax(&mut scores);
        assert!((scores.iter().sum::<f32>() - 1.).abs() < 1e-6, "{scores:?}");
        assert!(scores[1] > scores[0] && scores[0] > scores[2]);
    }

    #[test]
    fn the_exponential_is_right_to_the_last_bits_and_ends_at_its_limits() {
        for at in -870..=880 {
            let x = at as f32 / 10.;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.).abs() < 4e-7, "{x}: {} instead of {exact}", exp(x));
        }
        assert_eq!((exp(0.), exp(f32::NEG_INFINITY), exp(1000.)), (1., exp(-87.), exp(88.)));
    }

    #[test]
    fn activations_match_published_values() {
        let mut silu = [1.0];
        gate(Activation::Silu, &mut silu, &[2.0]);
        assert!((silu[0] - 2. * 0.731_058_6).abs() < 1e-6);
        let mut gelu = [1.0];
        gate(Activation::Gelu, &mut gelu, &[1.0]);
        assert!((gelu[0] - 0.841_192).abs() < 1e-5, "{gelu:?}");
    }
}
