//! Rotary position embeddings (Su et al. 2021): every pair of a head's values is turned by an angle that grows with the
//! token's position, at a speed that falls from pair to pair.

use super::config::{Config, Pairing};
use super::optional_vector;
use crate::Error;
use crate::gguf::Gguf;

pub(crate) struct Rotary {
    /// Radians per position, one for each pair.
    speeds: Vec<f64>,
    speeds_windowed: Option<Vec<f64>>,
    magnitude: f32,
}

/// Cosine and sine for some positions, `positions × pairs`.
pub(crate) struct Angles {
    positions: usize,
    full: Vec<(f32, f32)>,
    windowed: Option<Vec<(f32, f32)>>,
}

impl Rotary {
    pub(crate) fn load(gguf: &mut Gguf, config: &Config) -> Result<Rotary, Error> {
        let pairs = config.rotated / 2;
        let speeds = |base: f64| -> Vec<f64> {
            (0..pairs).map(|pair| base.powf(-2. * pair as f64 / config.rotated as f64)).collect()
        };
        // Llama 3.1 and later slow some pairs down by factors stored as a tensor; so does Phi.
        let factors = match optional_vector(gguf, "rope_freqs.weight", pairs)? {
            None => optional_vector(gguf, "rope_factors_short.weight", pairs)?,
            factors => factors,
        };
        let mut full = speeds(config.rotary_base);
        for (pair, speed) in full.iter_mut().enumerate() {
            *speed /= config.rotary_divisor * factors.as_ref().map_or(1., |factors| f64::from(factors[pair]));
        }
        Ok(Rotary {
            speeds: full,
            speeds_windowed: config.rotary_base_windowed.map(speeds),
            magnitude: config.rotary_magnitude,
        })
    }

    pub(crate) fn angles(&self, positions: impl Iterator<Item = usize> + Clone) -> Angles {
        let table = |speeds: &Vec<f64>| {
            let turn = |position: usize, speed: f64| {
                let (sine, cosine) = (position as f64 * speed).sin_cos();
                (cosine as f32 * self.magnitude, sine as f32 * self.magnitude)
            };
            let turns = |position| speeds.iter().map(move |&speed| turn(position, speed));
            positions.clone().flat_map(turns).collect()
        };
        Angles {
            positions: positions.clone().count(),
            full: table(&self.speeds),
            windowed: self.speeds_windowed.as_ref().map(table),
        }
    }
}

impl Angles {
    pub(crate) fn positions(&self) -> usize {
        self.positions
    }

    /// Turns `values`, `positions × heads × head width`, in place.
    pub(crate) fn rotate(&self, config: &Config, windowed: bool, values: &mut [f32], heads: usize) {
        let table = self.windowed.as_ref().filter(|_| windowed).unwrap_or(&self.full);
        let pairs = config.rotated / 2;
        for (row, turns) in values.chunks_mut(heads * config.head_width).zip(table.chunks(pairs)) {
            for head in row.chunks_mut(config.head_width) {
                for (pair, &(cosine, sine)) in turns.iter().enumerate() {
                    let (first, second) = match config.pairing {
                        Pairing::Neighbours => (2 * pair, 2 * pair + 1),
                        Pairing::Halves => (pair, pair + pairs),
                    };
                    let (a, b) = (head[first], head[second]);
                    head[first] = a * cosine - b * sine;
                    head[second] = a * sine + b * cosine;
                }
            }
        }
    }
}
