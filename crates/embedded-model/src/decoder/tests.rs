//! Small models made here, compared with what llama.cpp computes from the same files.

use super::*;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use std::io::BufWriter;
use std::path::Path;

const WIDTH: usize = 64;
const FEED_FORWARD: usize = 96;
const HEADS: usize = 4;
const KEY_HEADS: usize = 2;
const VOCABULARY: usize = 64;
const PROMPT: [u32; 12] = [3, 17, 42, 8, 8, 61, 0, 29, 33, 5, 12, 50];

/// Writes a model of random numbers, the same ones every time.
struct Maker {
    state: u64,
    metadata: Vec<(String, Value)>,
    tensors: Vec<(String, QTensor)>,
}

impl Maker {
    fn new(architecture: &str, layers: usize, head_width: usize) -> Maker {
        let mut maker = Maker { state: 1, metadata: Vec::new(), tensors: Vec::new() };
        maker.set("general.architecture", Value::String(architecture.into()));
        maker.set("tokenizer.ggml.model", Value::String("none".into()));
        for (key, value) in [
            ("vocab_size", VOCABULARY),
            ("block_count", layers),
            ("context_length", 1024),
            ("embedding_length", WIDTH),
            ("feed_forward_length", FEED_FORWARD),
            ("attention.head_count", HEADS),
            ("attention.head_count_kv", KEY_HEADS),
            ("attention.key_length", head_width),
            ("attention.value_length", head_width),
        ] {
            maker.set(&format!("{architecture}.{key}"), Value::U32(value as u32));
        }
        maker.set(&format!("{architecture}.attention.layer_norm_rms_epsilon"), Value::F32(1e-5));
        maker
    }

    fn set(&mut self, key: &str, value: Value) {
        self.metadata.push((key.to_owned(), value));
    }

    /// From -0.5 to 0.5.
    fn next(&mut self) -> f32 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 40) as f32 / (1 << 24) as f32 - 0.5
    }

    fn tensor(&mut self, name: &str, values: Vec<f32>, shape: &[usize]) {
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
        self.tensors.push((name.to_owned(), QTensor::quantize(&tensor, GgmlDType::F32).unwrap()));
    }

    fn matrix(&mut self, name: &str, rows: usize, columns: usize) {
        let scale = 4. / (columns as f32).sqrt();
        let values = (0..rows * columns).map(|_| self.next() * scale).collect();
        self.tensor(&format!("{name}.weight"), values, &[rows, columns]);
    }

    /// Around `middle`.
    fn vector(&mut self, name: &str, length: usize, middle: f32) {
        let values = (0..length).map(|_| middle + self.next()).collect();
        self.tensor(name, values, &[length]);
    }

    fn ends(&mut self) {
        self.matrix("token_embd", VOCABULARY, WIDTH);
        self.vector("output_norm.weight", WIDTH, 1.);
    }

    fn separate_projections(&mut self, layer: usize, head_width: usize) {
        self.matrix(&format!("blk.{layer}.attn_q"), HEADS * head_width, WIDTH);
        self.matrix(&format!("blk.{layer}.attn_k"), KEY_HEADS * head_width, WIDTH);
        self.matrix(&format!("blk.{layer}.attn_v"), KEY_HEADS * head_width, WIDTH);
    }

    /// Everything all architectures have, but for the projections.
    fn common(&mut self, layer: usize, head_width: usize) {
        self.vector(&format!("blk.{layer}.attn_norm.weight"), WIDTH, 1.);
        self.matrix(&format!("blk.{layer}.attn_output"), WIDTH, HEADS * head_width);
        self.vector(&format!("blk.{layer}.ffn_norm.weight"), WIDTH, 1.);
        self.matrix(&format!("blk.{layer}.ffn_down"), WIDTH, FEED_FORWARD);
    }

    fn separate_gate(&mut self, layer: usize) {
        self.matrix(&format!("blk.{layer}.ffn_gate"), FEED_FORWARD, WIDTH);
        self.matrix(&format!("blk.{layer}.ffn_up"), FEED_FORWARD, WIDTH);
    }

    fn write(&self, path: &Path) {
        let metadata: Vec<(&str, &Value)> = self.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut file = BufWriter::new(std::fs::File::create(path).unwrap());
        gguf_file::write(&mut file, &metadata, &tensors).unwrap();
    }
}

/// Llama with the frequency factors of 3.1 and later, and an output matrix of its own.
fn llama() -> Maker {
    let mut maker = Maker::new("llama", 2, 16);
    maker.set("llama.rope.freq_base", Value::F32(5000.));
    maker.set("llama.rope.dimension_count", Value::U32(16));
    maker.ends();
    maker.matrix("output", VOCABULARY, WIDTH);
    maker.tensor("rope_freqs.weight", vec![1., 1., 1., 1.5, 2., 4., 8., 8.], &[8]);
    for layer in 0..2 {
        maker.common(layer, 16);
        maker.separate_projections(layer, 16);
        maker.separate_gate(layer);
    }
    maker
}

/// Qwen 2: biases on the projections.
fn qwen2() -> Maker {
    let mut maker = Maker::new("qwen2", 2, 16);
    maker.set("qwen2.rope.freq_base", Value::F32(1_000_000.));
    maker.ends();
    for layer in 0..2 {
        maker.common(layer, 16);
        maker.separate_projections(layer, 16);
        maker.separate_gate(layer);
        for (name, length) in [("attn_q", HEADS * 16), ("attn_k", KEY_HEADS * 16), ("attn_v", KEY_HEADS * 16)] {
            maker.vector(&format!("blk.{layer}.{name}.bias"), length, 0.);
        }
    }
    maker
}

/// Qwen 3: norms on queries and keys, heads wider than their share.
fn qwen3() -> Maker {
    let mut maker = Maker::new("qwen3", 2, 32);
    maker.set("qwen3.rope.freq_base", Value::F32(1_000_000.));
    maker.ends();
    for layer in 0..2 {
        maker.common(layer, 32);
        maker.separate_projections(layer, 32);
        maker.separate_gate(layer);
        maker.vector(&format!("blk.{layer}.attn_q_norm.weight"), 32, 1.);
        maker.vector(&format!("blk.{layer}.attn_k_norm.weight"), 32, 1.);
    }
    maker
}

/// Gemma 3: windowed layers with another rotation, norms on both sides, stretched positions.
fn gemma3() -> Maker {
    let mut maker = Maker::new("gemma3", 7, 32);
    maker.set("gemma3.rope.freq_base", Value::F32(1_000_000.));
    maker.set("gemma3.rope.scaling.type", Value::String("linear".into()));
    maker.set("gemma3.rope.scaling.factor", Value::F32(8.));
    maker.set("gemma3.attention.sliding_window", Value::U32(4));
    maker.ends();
    for layer in 0..7 {
        maker.common(layer, 32);
        maker.separate_projections(layer, 32);
        maker.separate_gate(layer);
        maker.vector(&format!("blk.{layer}.attn_q_norm.weight"), 32, 1.);
        maker.vector(&format!("blk.{layer}.attn_k_norm.weight"), 32, 1.);
        maker.vector(&format!("blk.{layer}.post_attention_norm.weight"), WIDTH, 1.);
        maker.vector(&format!("blk.{layer}.post_ffw_norm.weight"), WIDTH, 1.);
    }
    maker
}

/// Phi 3: fused projections, rotation of half of each head, factors and a magnitude for long contexts.
fn phi3() -> Maker {
    let mut maker = Maker::new("phi3", 2, 16);
    maker.set("phi3.rope.freq_base", Value::F32(10_000.));
    maker.set("phi3.rope.dimension_count", Value::U32(8));
    maker.set("phi3.rope.scaling.original_context_length", Value::U32(1024));
    maker.set("phi3.rope.scaling.attn_factor", Value::F32(1.2));
    maker.ends();
    maker.matrix("output", VOCABULARY, WIDTH);
    maker.tensor("rope_factors_short.weight", vec![1., 1.1, 1.5, 2.], &[4]);
    maker.tensor("rope_factors_long.weight", vec![2., 4., 8., 16.], &[4]);
    for layer in 0..2 {
        maker.common(layer, 16);
        maker.matrix(&format!("blk.{layer}.attn_qkv"), (HEADS + 2 * KEY_HEADS) * 16, WIDTH);
        maker.matrix(&format!("blk.{layer}.ffn_up"), 2 * FEED_FORWARD, WIDTH);
    }
    maker
}

fn makers() -> [(&'static str, Maker); 5] {
    [("llama", llama()), ("qwen2", qwen2()), ("qwen3", qwen3()), ("gemma3", gemma3()), ("phi3", phi3())]
}

fn load(maker: &Maker) -> Decoder {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    maker.write(&path);
    let mut gguf = Gguf::open(&path).unwrap();
    let config = Config::read(&gguf).unwrap();
    Decoder::load(&mut gguf, config).unwrap()
}

fn read(decoder: &Decoder, cache: &mut Cache, tokens: &[u32]) -> Vec<f32> {
    let mut parts = [Part { cache, tokens, scored: true }];
    let read = decoder.read(&mut parts, &|| false);
    read.unwrap_or_else(|Interrupted| panic!("nobody asked to stop")).remove(0)
}

/// The first scores llama.cpp (with a 32-bit cache and without flash attention) gives after the prompt.
const REFERENCE: [(&str, [f32; 8]); 5] = [
    ("llama", [1.43676, -1.66163, 4.03455, -1.60055, -0.33467, -0.33194, -0.65853, 1.74531]),
    ("qwen2", [-0.14363, -1.67488, -0.44866, -0.77085, 2.03060, -1.33655, -2.36674, 0.66535]),
    ("qwen3", [0.66183, -0.14737, -0.33027, 1.53032, 0.06906, 1.50357, 1.00014, -0.63254]),
    ("gemma3", [0.01309, 0.78869, -1.07129, 1.09763, -1.08392, 3.32120, -0.60172, -0.96567]),
    ("phi3", [-0.71889, -1.48044, 1.69834, -0.38494, 0.14080, 0.23050, -0.89186, -1.23907]),
];

#[test]
fn every_architecture_scores_as_llama_cpp_does() {
    for ((name, maker), (reference_name, reference)) in makers().iter().zip(REFERENCE) {
        assert_eq!(*name, reference_name);
        let decoder = load(maker);
        let scores = read(&decoder, &mut decoder.cache(), &PROMPT);
        // The reference looks Gemma's activation up in a table of half-precision values.
        let tolerance = if *name == "gemma3" { 2e-3 } else { 2e-5 };
        for (found, expected) in scores.iter().zip(reference) {
            assert!((found - expected).abs() < tolerance, "{name}: {:?} instead of {reference:?}", &scores[..8]);
        }
    }
}

#[test]
fn reading_in_pieces_or_again_from_a_shared_beginning_changes_nothing() {
    for (name, maker) in makers() {
        let decoder = load(&maker);
        let mut cache = decoder.cache();
        let whole = read(&decoder, &mut cache, &PROMPT);
        let mut copy = cache.beginning(7);
        for cache in [&mut copy, &mut cache] {
            cache.rewind(7);
            assert_eq!(cache.position(), 7);
            assert_eq!(read(&decoder, cache, &PROMPT[7..]), whole, "{name}, again from the middle");
        }
        cache.rewind(0);
        for piece in [0..5, 5..6, 6..11] {
            read(&decoder, &mut cache, &PROMPT[piece]);
        }
        assert_eq!(read(&decoder, &mut cache, &PROMPT[11..]), whole, "{name}, in pieces");
    }
}

#[test]
fn reading_long_past_a_block_of_positions_in_any_pieces_changes_nothing() {
    let tokens: Vec<u32> = (0..61).map(|at| at * 7 % VOCABULARY as u32).collect();
    for (name, maker) in makers() {
        let decoder = load(&maker);
        let whole = read(&decoder, &mut decoder.cache(), &tokens);
        let mut cache = decoder.cache();
        tokens[..60].chunks(13).for_each(|piece| _ = read(&decoder, &mut cache, piece));
        assert_eq!(read(&decoder, &mut cache, &tokens[60..]), whole, "{name}");
    }
}

#[test]
fn sequences_read_together_give_what_each_gives_alone() {
    for (name, maker) in makers() {
        let decoder = load(&maker);
        let texts: [&[u32]; 3] = [&PROMPT, &PROMPT[3..9], &PROMPT[5..]];
        let alone = texts.map(|tokens| read(&decoder, &mut decoder.cache(), tokens));
        let mut caches = texts.map(|_| decoder.cache());
        // The second has read something before, and the third is asked for no scores.
        read(&decoder, &mut caches[1], &texts[1][..2]);
        let [first, second, third] = &mut caches;
        let mut parts = [
            Part { cache: first, tokens: texts[0], scored: true },
            Part { cache: third, tokens: &texts[2][..4], scored: false },
            Part { cache: second, tokens: &texts[1][2..], scored: true },
        ];
        let Ok(scores) = decoder.read(&mut parts, &|| false) else { panic!("nobody asked to stop") };
        assert_eq!(scores, alone[..2], "{name}");
        assert_eq!(read(&decoder, &mut caches[2], &texts[2][4..]), alone[2], "{name}, the rest");
    }
}

#[test]
fn an_interrupted_reading_leaves_no_trace() {
    let decoder = load(&qwen3());
    let mut cache = decoder.cache();
    let whole = read(&decoder, &mut cache, &PROMPT);
    cache.rewind(4);
    let asked = std::cell::Cell::new(0);
    let second_layer = || asked.replace(asked.get() + 1) == 1;
    let mut parts = [Part { cache: &mut cache, tokens: &PROMPT[4..], scored: true }];
    assert!(decoder.read(&mut parts, &second_layer).is_err());
    assert_eq!(cache.position(), 4);
    assert_eq!(read(&decoder, &mut cache, &PROMPT[4..]), whole);
}
