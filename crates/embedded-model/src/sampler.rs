//! The choice of the next token from the model's scores.

use crate::Error;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 always takes the best-scored token. From 0 to 2.
    pub temperature: f32,
    /// Only the best tokens that together have this probability. Above 0, up to 1.
    pub top_p: f32,
    /// Only this many of the best tokens; 0 for all.
    pub top_k: u32,
    /// Scores of recent tokens are divided by this; 1 changes nothing. From 1 to 2.
    pub repeat_penalty: f32,
    /// The same request with the same seed gives the same answer.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling { temperature: 0.7, top_p: 0.95, top_k: 40, repeat_penalty: 1.1, seed: 0 }
    }
}

/// How far back the repeat penalty looks, in tokens; a paragraph.
const REPEAT_WINDOW: usize = 64;

pub(crate) struct Sampler {
    options: Sampling,
    random: StdRng,
}

impl Sampler {
    pub(crate) fn new(options: &Sampling) -> Result<Sampler, Error> {
        let check = |field, value: f32, good: bool, rule| match good {
            true => Ok(()),
            false => Err(Error::InvalidOption { field, value: value.to_string(), rule }),
        };
        let Sampling { temperature, top_p, repeat_penalty, seed, .. } = *options;
        check("temperature", temperature, (0. ..=2.).contains(&temperature), "it must be from 0 to 2")?;
        check("top_p", top_p, top_p > 0. && top_p <= 1., "it must be above 0 and at most 1")?;
        check("repeat_penalty", repeat_penalty, (1. ..=2.).contains(&repeat_penalty), "it must be from 1 to 2")?;
        Ok(Sampler { options: options.clone(), random: StdRng::seed_from_u64(seed) })
    }

    /// `scores` may hold negative infinity for tokens that must not come; at least one must be finite.
    pub(crate) fn choose(&mut self, scores: &mut [f32], recent: &[u32]) -> u32 {
        let penalty = self.options.repeat_penalty;
        if penalty != 1. {
            let mut recent = recent[recent.len().saturating_sub(REPEAT_WINDOW)..].to_vec();
            recent.sort_unstable();
            recent.dedup();
            for token in recent {
                if let Some(score) = scores.get_mut(token as usize) {
                    *score = if *score > 0. { *score / penalty } else { *score * penalty };
                }
            }
        }
        if self.options.temperature == 0. {
            return best(scores);
        }
        let mut candidates: Vec<(u32, f32)> =
            (0_u32..).zip(scores.iter().copied()).filter(|(_, score)| score.is_finite()).collect();
        // Ties are broken by id, so that the order, and with it the answer, is always the same.
        let by_score = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        let keep = match self.options.top_k as usize {
            0 => candidates.len(),
            top_k => top_k.min(candidates.len()),
        };
        if keep < candidates.len() {
            candidates.select_nth_unstable_by(keep, by_score);
            candidates.truncate(keep);
        }
        candidates.sort_unstable_by(by_score);
        let Some(&(first, highest)) = candidates.first() else { return best(scores) };
        let mut sum = 0.;
        for (_, score) in &mut candidates {
            *score = ((*score - highest) / self.options.temperature).exp();
            sum += *score;
        }
        let nucleus = self.options.top_p * sum;
        let mut kept = 0.;
        let end = candidates.iter().position(|(_, weight)| {
            kept += weight;
            kept >= nucleus
        });
        candidates.truncate(end.map_or(candidates.len(), |end| end + 1));
        let mut draw = self.random.random::<f32>() * candidates.iter().map(|(_, weight)| weight).sum::<f32>();
        let chosen = candidates.iter().find(|(_, weight)| {
            draw -= weight;
            draw < 0.
        });
        chosen.map_or(first, |(token, _)| *token)
    }
}

fn best(scores: &[f32]) -> u32 {
    let better = |best: (u32, f32), next: (u32, f32)| if next.1 > best.1 { next } else { best };
    (0_u32..).zip(scores.iter().copied()).fold((0, f32::NEG_INFINITY), better).0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(options: Sampling, scores: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(&options).unwrap();
        (0..count).map(|_| sampler.choose(&mut scores.to_vec(), &[])).collect()
    }

    fn plain() -> Sampling {
        Sampling { temperature: 1., top_p: 1., top_k: 0, repeat_penalty: 1., seed: 7 }
    }

    #[test]
    fn zero_temperature_takes_the_best_and_never_a_forbidden_token() {
        let scores = [1., 5., f32::NEG_INFINITY, 4.];
        assert_eq!(drawn(Sampling { temperature: 0., ..plain() }, &scores, 3), [1, 1, 1]);
        assert!(drawn(plain(), &scores, 500).iter().all(|&token| token != 2));
    }

    #[test]
    fn draws_in_proportion_and_alike_for_one_seed() {
        let scores = [0., 3_f32.ln()];
        let first = drawn(plain(), &scores, 4_000);
        assert_eq!(first, drawn(plain(), &scores, 4_000));
        assert_ne!(first, drawn(Sampling { seed: 8, ..plain() }, &scores, 4_000));
        let ones = first.iter().filter(|&&token| token == 1).count();
        assert!((2_850..3_150).contains(&ones), "token 1 has probability 3/4, drawn {ones} of 4000");
    }

    #[test]
    fn the_tail_is_cut_by_count_and_by_probability() {
        let scores = [0., 1., 2., 3.];
        assert!(drawn(Sampling { top_k: 2, ..plain() }, &scores, 300).iter().all(|&token| token >= 2));
        assert!(drawn(Sampling { top_p: 0.6, ..plain() }, &scores, 300).iter().all(|&token| token == 3));
    }

    #[test]
    fn repeated_tokens_lose_to_fresh_ones() {
        let mut sampler = Sampler::new(&Sampling { temperature: 0., repeat_penalty: 1.5, ..plain() }).unwrap();
        assert_eq!(sampler.choose(&mut [3., 2.9], &[0]), 1);
        assert_eq!(sampler.choose(&mut [-1., -1.2], &[0]), 1);
    }

    #[test]
    fn impossible_options_are_named() {
        for (options, name) in [
            (Sampling { temperature: f32::NAN, ..plain() }, "temperature"),
            (Sampling { top_p: 0., ..plain() }, "top_p"),
            (Sampling { repeat_penalty: 0.5, ..plain() }, "repeat_penalty"),
        ] {
            assert!(matches!(Sampler::new(&options), Err(Error::InvalidOption { field, .. }) if field == name));
        }
    }
}
