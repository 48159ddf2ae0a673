//! The small arithmetic between matrix multiplications.

use super::config::Activation;

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
    let apply = |function: fn(f32) -> f32, gate: &mut [f32]| {
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate = function(*gate) * up;
        }
    };
    match activation {
        Activation::Silu => apply(|x| x / (1. + (-x).exp()), gate),
        // the tanh form of GELU, as Gemma was trained with
        Activation::Gelu => apply(
            |x| {
                let inner = std::f32::consts::FRAC_2_PI.sqrt() * x * (1. + 0.044_715 * x * x);
                0.5 * x * (1. + inner.tanh())
            },
            gate,
        ),
    }
}

/// Sixteen running sums, so that the compiler may use wide registers without changing the result from run to run.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
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

/// `sum += factor × row`
pub(crate) fn accumulate(sum: &mut [f32], factor: f32, row: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(row) {
        *sum = value.mul_add(factor, *sum);
    }
}

pub(crate) fn softmax(scores: &mut [f32]) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.;
    for score in scores.iter_mut() {
        *score = (*score - highest).exp();
        sum += *score;
    }
    let scale = 1. / sum;
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
    fn activations_match_published_values() {
        let mut silu = [1.0];
        gate(Activation::Silu, &mut silu, &[2.0]);
        assert!((silu[0] - 2. * 0.731_058_6).abs() < 1e-6);
        let mut gelu = [1.0];
        gate(Activation::Gelu, &mut gelu, &[1.0]);
        assert!((gelu[0] - 0.841_192).abs() < 1e-5, "{gelu:?}");
    }
}
