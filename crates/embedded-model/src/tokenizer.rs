//! Text to token ids and back, built from the vocabulary inside a GGUF file.
//!
//! Two families: byte-level BPE (`gpt2`: Llama 3, Qwen, SmolLM, Phi 4) and SentencePiece BPE (`llama`: Gemma, Llama 2,
//! Phi 3). The merging is the `tokenizers` crate's; what a file says about its tokens is ours.
//!
//! Control tokens (`<|im_end|>`, `<end_of_turn>`, …) are deliberately unknown to [`Tokenizer::encode`]: text that spells
//! one is ordinary text. Only [`Tokenizer::encode_prompt`] turns them into ids, and only outside the parts its caller
//! marks as foreign.

mod bytes;
mod pre;
mod sentencepiece;

use crate::Error;
use crate::gguf::{Gguf, integer};
use aho_corasick::{AhoCorasick, MatchKind};
use candle_core::quantized::gguf_file::Value;
use std::collections::BTreeSet;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{AddedToken, Tokenizer as Inner};

/// What `tokenizer.ggml.token_type` says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    /// Steers the model and is never text: unknown, control and unused tokens.
    Control,
    /// Added to the vocabulary as literal text.
    Literal,
    /// One byte, written `<0x0A>`.
    Byte,
}

pub(crate) struct Tokenizer {
    inner: Inner,
    /// What each token contributes to the text; for control tokens their name.
    texts: Vec<Box<[u8]>>,
    control: Vec<bool>,
    control_names: AhoCorasick,
    control_ids: Vec<u32>,
    begin: Option<u32>,
    end: Option<u32>,
    add_begin: bool,
    add_end: bool,
    /// Every token that ends an answer.
    stops: BTreeSet<u32>,
    leading_space: bool,
    /// Phi 3's control tokens swallow the white space after them.
    swallow_space: bool,
}

impl Tokenizer {
    pub(crate) fn load(gguf: &Gguf) -> Result<Tokenizer, Error> {
        let tokens = texts(gguf, "tokenizer.ggml.tokens")?;
        let kinds = kinds(gguf, tokens.len())?;
        let model = gguf.require_text("tokenizer.ggml.model")?;
        let unknown = id(gguf, "tokenizer.ggml.unknown_token_id", tokens.len());
        let byte_level = match model {
            "gpt2" => true,
            "llama" => false,
            other => {
                return Err(gguf.unsupported(format!("its tokenizer is a `{other}`, known are `gpt2` and `llama`")));
            }
        };
        let leading_space = !byte_level && gguf.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true);
        let mut inner = if byte_level {
            byte_level_bpe(gguf, &tokens)?
        } else {
            sentencepiece::build(gguf, &tokens, unknown, leading_space)?
        };
        let literal = tokens.iter().zip(&kinds).filter(|(_, kind)| **kind == Kind::Literal);
        let literal = literal.map(|(text, _)| AddedToken::from(text.as_str(), false).normalized(false));
        inner.add_tokens(literal.collect::<Vec<_>>()).map_err(|error| gguf.corrupt(error.to_string()))?;

        let text_of = |(token, kind): (&String, &Kind)| match kind {
            Kind::Control | Kind::Literal => token.as_bytes().into(),
            Kind::Byte => bytes::of_byte_token(token).map_or_else(|| token.as_bytes().into(), |byte| [byte].into()),
            Kind::Normal if byte_level => bytes::of_byte_level(token),
            Kind::Normal => token.replace('\u{2581}', " ").into_bytes().into(),
        };
        let control_ids: Vec<u32> = (0..tokens.len() as u32)
            .filter(|&id| kinds[id as usize] == Kind::Control && !tokens[id as usize].is_empty())
            .collect();
        let control_names = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(control_ids.iter().map(|&id| &tokens[id as usize]))
            .map_err(|error| gguf.corrupt(format!("its control tokens: {error}")))?;
        Ok(Tokenizer {
            texts: tokens.iter().zip(&kinds).map(text_of).collect(),
            control: kinds.iter().map(|&kind| kind == Kind::Control).collect(),
            control_names,
            control_ids,
            begin: id(gguf, "tokenizer.ggml.bos_token_id", tokens.len()),
            end: id(gguf, "tokenizer.ggml.eos_token_id", tokens.len()),
            add_begin: gguf.flag("tokenizer.ggml.add_bos_token").unwrap_or(!byte_level),
            add_end: gguf.flag("tokenizer.ggml.add_eos_token").unwrap_or(false),
            stops: stops(gguf, &tokens, &kinds),
            leading_space,
            swallow_space: !byte_level && gguf.text("general.architecture") == Some("phi3"),
            inner,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Plain text, whatever it spells. Adds nothing in front or behind.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let encoding = self.inner.encode_fast(text, false).map_err(|error| Error::Inference(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// A rendered chat template: control tokens become ids, unless `guard` stands inside their name; `guard` itself
    /// vanishes. Begin-of-text is added where the model wants it and the template did not write it.
    pub(crate) fn encode_prompt(&self, prompt: &str, guard: char) -> Result<Vec<u32>, Error> {
        let mut ids = Vec::new();
        let mut text_from = 0;
        let text = |ids: &mut Vec<u32>, piece: &str| -> Result<(), Error> {
            let after_control = ids.last().is_some_and(|&id| self.control[id as usize]);
            let piece = if self.swallow_space && after_control { piece.trim_start() } else { piece };
            if !piece.is_empty() {
                ids.extend(self.encode(&piece.replace(guard, ""))?);
            }
            Ok(())
        };
        for found in self.control_names.find_iter(prompt) {
            text(&mut ids, &prompt[text_from..found.start()])?;
            ids.push(self.control_ids[found.pattern().as_usize()]);
            text_from = found.end();
        }
        text(&mut ids, &prompt[text_from..])?;
        if let Some(begin) = self.begin.filter(|begin| self.add_begin && ids.first() != Some(begin)) {
            ids.insert(0, begin);
        }
        if let Some(end) = self.end.filter(|_| self.add_end) {
            ids.push(end);
        }
        Ok(ids)
    }

    /// The bytes a token adds to the text; none for control tokens. Pieces of one character may be spread over tokens.
    pub(crate) fn text(&self, id: u32) -> &[u8] {
        match self.texts.get(id as usize) {
            Some(text) if !self.control[id as usize] => text,
            _ => &[],
        }
    }

    /// A token's bytes, or its name where it is a control token.
    pub(crate) fn name(&self, id: u32) -> &[u8] {
        &self.texts[id as usize]
    }

    pub(crate) fn is_control(&self, id: u32) -> bool {
        self.control[id as usize]
    }

    /// Names of all control tokens.
    pub(crate) fn control_names(&self) -> impl Iterator<Item = &str> {
        self.control_ids.iter().filter_map(|&id| str::from_utf8(&self.texts[id as usize]).ok())
    }

    pub(crate) fn stops(&self) -> &BTreeSet<u32> {
        &self.stops
    }

    pub(crate) fn begin_text(&self) -> &str {
        self.begin.and_then(|id| str::from_utf8(self.name(id)).ok()).unwrap_or_default()
    }

    pub(crate) fn end_text(&self) -> &str {
        self.end.and_then(|id| str::from_utf8(self.name(id)).ok()).unwrap_or_default()
    }

    /// The first piece of an answer begins with a space the model always writes and nobody meant.
    pub(crate) fn has_leading_space(&self) -> bool {
        self.leading_space
    }
}

fn byte_level_bpe(gguf: &Gguf, tokens: &[String]) -> Result<Inner, Error> {
    let pre = pre::Splitting::of(gguf)?;
    let vocabulary: Vocab = tokens.iter().zip(0_u32..).map(|(token, id)| (token.clone(), id)).collect();
    let merges = texts(gguf, "tokenizer.ggml.merges")?
        .iter()
        .map(|merge| merge.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| gguf.corrupt("a merge of its tokenizer is not a pair"))?;
    let model = BPE::builder().vocab_and_merges(vocabulary, merges);
    let model = model.ignore_merges(pre.whole_words_first).build();
    let mut inner = Inner::new(model.map_err(|error| gguf.corrupt(format!("its tokenizer: {error}")))?);
    pre.apply(&mut inner).map_err(|error| Error::Inference(error.to_string()))?;
    Ok(inner)
}

/// Tokens that end an answer: those the file names, and control tokens known for it by their text, because many files
/// name only one of several.
fn stops(gguf: &Gguf, tokens: &[String], kinds: &[Kind]) -> BTreeSet<u32> {
    const KEYS: [&str; 3] = ["eos_token_id", "eot_token_id", "eom_token_id"];
    const NAMES: [&str; 13] = [
        "<|eot_id|>",
        "<|im_end|>",
        "<|end|>",
        "<end_of_turn>",
        "<|endoftext|>",
        "<|eom_id|>",
        "<|end_of_text|>",
        "<end_of_utterance>",
        "<|return|>",
        "<|fim_pad|>",
        "<|repo_name|>",
        "<|file_sep|>",
        "< EOT >",
    ];
    let named = KEYS.iter().filter_map(|key| id(gguf, &format!("tokenizer.ggml.{key}"), tokens.len()));
    let known = tokens
        .iter()
        .zip(0_u32..)
        .filter(|(token, id)| kinds[*id as usize] == Kind::Control && NAMES.contains(&token.as_str()));
    named.chain(known.map(|(_, id)| id)).collect()
}

fn id(gguf: &Gguf, key: &str, vocabulary: usize) -> Option<u32> {
    gguf.number(key).filter(|&id| id < vocabulary as u64).map(|id| id as u32)
}

fn texts(gguf: &Gguf, key: &str) -> Result<Vec<String>, Error> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    let values = gguf.require_array(key)?;
    values.iter().map(text).collect::<Option<_>>().ok_or_else(|| gguf.corrupt(format!("metadata {key} holds no texts")))
}

fn kinds(gguf: &Gguf, count: usize) -> Result<Vec<Kind>, Error> {
    let Some(values) = gguf.array("tokenizer.ggml.token_type") else {
        return Ok(vec![Kind::Normal; count]);
    };
    if values.len() != count {
        return Err(gguf.corrupt(format!("{count} tokens have {} types", values.len())));
    }
    let kind = |value: &Value| match integer(value) {
        Some(2 | 3 | 5) => Kind::Control,
        Some(4) => Kind::Literal,
        Some(6) => Kind::Byte,
        _ => Kind::Normal,
    };
    Ok(values.iter().map(kind).collect())
}
