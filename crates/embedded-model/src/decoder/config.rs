//! What distinguishes one architecture from another, read from a file's metadata.

use crate::Error;
use crate::gguf::Gguf;

/// `general.architecture` values the decoder runs.
pub(crate) const ARCHITECTURES: [&str; 5] = ["llama", "qwen2", "qwen3", "gemma3", "phi3"];

/// How a head's values are paired for rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pairing {
    /// 0 with 1, 2 with 3, … (Llama as GGUF stores it)
    Neighbours,
    /// 0 with half, 1 with half + 1, …
    Halves,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Silu,
    Gelu,
}

/// Attention that sees only the last `tokens`, in all layers but every `full_every`-th.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub tokens: usize,
    pub full_every: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub layers: usize,
    pub width: usize,
    pub feed_forward: usize,
    pub heads: usize,
    pub key_value_heads: usize,
    pub head_width: usize,
    pub norm_epsilon: f32,
    pub attention_scale: f32,
    pub activation: Activation,
    pub embedding_scale: Option<f32>,
    pub window: Option<Window>,
    pub pairing: Pairing,
    /// How many of a head's values are rotated; the rest pass.
    pub rotated: usize,
    pub rotary_base: f64,
    /// The base in windowed layers where it differs.
    pub rotary_base_windowed: Option<f64>,
    /// Positions are divided by this (linear context extension), but not in windowed layers.
    pub rotary_divisor: f64,
    /// Cosine and sine are multiplied by this (Phi's long-context variants).
    pub rotary_magnitude: f32,
    /// Positions the model was made for, as far as this decoder does them right.
    pub context: usize,
}

impl Config {
    pub(crate) fn read(gguf: &Gguf) -> Result<Config, Error> {
        let architecture = gguf.require_text("general.architecture")?.to_owned();
        if !ARCHITECTURES.contains(&architecture.as_str()) {
            let (path, supported) = (gguf.path().to_owned(), ARCHITECTURES.to_vec());
            return Err(Error::UnsupportedArchitecture { path, architecture, supported });
        }
        let key = |name: &str| format!("{architecture}.{name}");
        let size = |name: &str| -> Result<usize, Error> {
            // No real model is near this; it keeps products of two sizes far from overflow.
            const LARGEST: u64 = 1 << 28;
            match gguf.require_number(&key(name))? {
                value @ 1..LARGEST => Ok(value as usize),
                value => Err(gguf.corrupt(format!("metadata {} is {value}", key(name)))),
            }
        };
        if gguf.number(&key("expert_count")).unwrap_or(0) > 0 {
            return Err(gguf.unsupported("it is a mixture of experts, which the embedded engine does not run"));
        }
        let (width, heads) = (size("embedding_length")?, size("attention.head_count")?);
        let key_value_heads = if gguf.number(&key("attention.head_count_kv")).is_some() {
            size("attention.head_count_kv")?
        } else {
            heads
        };
        let head_width = match gguf.number(&key("attention.key_length")) {
            Some(_) => size("attention.key_length")?,
            None => width / heads,
        };
        let rotated = match gguf.number(&key("rope.dimension_count")) {
            Some(_) => size("rope.dimension_count")?,
            None => head_width,
        };
        if !heads.is_multiple_of(key_value_heads) || !rotated.is_multiple_of(2) || rotated > head_width {
            return Err(gguf.corrupt(format!(
                "{heads} heads over {key_value_heads} key-value heads with {rotated} of {head_width} values rotated"
            )));
        }
        if gguf.number(&key("attention.value_length")).is_some_and(|length| length != head_width as u64) {
            return Err(gguf.unsupported("its keys and values differ in length"));
        }
        let layers = size("block_count")?;
        let gemma = architecture == "gemma3";
        let attention_scale = match layers {
            // Gemma 3 27B alone scales by the width of its queries per head.
            62 if gemma => (width as f32 / heads as f32).sqrt().recip(),
            _ => (head_width as f32).sqrt().recip(),
        };
        let scaling = Scaling::read(gguf, &architecture)?;
        let trained = size("context_length")?;
        Ok(Config {
            layers,
            width,
            feed_forward: size("feed_forward_length")?,
            heads,
            key_value_heads,
            head_width,
            norm_epsilon: gguf.require_float(&key("attention.layer_norm_rms_epsilon"))? as f32,
            attention_scale,
            activation: if gemma { Activation::Gelu } else { Activation::Silu },
            embedding_scale: gemma.then(|| (width as f32).sqrt()),
            window: window(gguf, &architecture),
            pairing: if architecture == "llama" { Pairing::Neighbours } else { Pairing::Halves },
            rotated,
            rotary_base: gguf.float(&key("rope.freq_base")).unwrap_or(if gemma { 1_000_000. } else { 10_000. }),
            rotary_base_windowed: gemma.then_some(10_000.),
            rotary_divisor: scaling.divisor,
            rotary_magnitude: scaling.magnitude,
            context: trained.min(scaling.context.unwrap_or(trained)),
        })
    }

    pub(crate) fn window_of(&self, layer: usize) -> Option<usize> {
        let window = self.window?;
        let full = window.full_every.is_some_and(|every| (layer + 1).is_multiple_of(every));
        (!full).then_some(window.tokens)
    }

    /// Bytes of key-value cache one token takes (keys and values, 32-bit, every layer).
    pub(crate) fn cache_bytes_per_token(&self) -> u64 {
        (self.layers * self.key_value_heads * self.head_width * 2 * size_of::<f32>()) as u64
    }
}

fn window(gguf: &Gguf, architecture: &str) -> Option<Window> {
    let tokens = gguf.number(&format!("{architecture}.attention.sliding_window")).filter(|&tokens| tokens > 0)?;
    let full_every = match architecture {
        "gemma3" => Some(6),
        "phi3" => None,
        _ => return None, // Qwen files name a window their models do not use
    };
    Some(Window { tokens: tokens as usize, full_every })
}

/// How a model stretches its positions past those it was first trained for.
struct Scaling {
    divisor: f64,
    magnitude: f32,
    /// Set where only the first positions are right here.
    context: Option<usize>,
}

impl Scaling {
    fn read(gguf: &Gguf, architecture: &str) -> Result<Scaling, Error> {
        let key = |name: &str| format!("{architecture}.rope.scaling.{name}");
        let original = gguf.number(&key("original_context_length")).map(|tokens| tokens as usize);
        let mut scaling = Scaling { divisor: 1., magnitude: 1., context: None };
        if gguf.has_tensor("rope_factors_short.weight") {
            // Phi has one set of factors up to the original length and another above; only the first is used here.
            scaling.magnitude = gguf.float(&key("attn_factor")).unwrap_or(1.) as f32;
            scaling.context = original;
        }
        match gguf.text(&key("type")) {
            Some("linear") => {
                let factor = gguf.float(&key("factor")).unwrap_or(1.);
                if !(1. ..=1024.).contains(&factor) {
                    return Err(gguf.corrupt(format!("metadata {} is {factor}", key("factor"))));
                }
                scaling.divisor = factor;
            }
            // Needed only past the original length, so the context ends there.
            Some("yarn") => scaling.context = original,
            _ => {}
        }
        Ok(scaling)
    }
}
