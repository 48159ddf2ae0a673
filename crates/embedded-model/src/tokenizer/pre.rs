//! How byte-level vocabularies cut text into words before merging, by the name a file gives in `tokenizer.ggml.pre`.
//!
//! The patterns are those of the models' published `tokenizer.json`. An unknown name is an error: the wrong cut costs
//! quality that nobody would trace back to it.

use crate::Error;
use crate::gguf::Gguf;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DIGIT: &str = r"\p{N}";

pub(crate) struct Splitting {
    patterns: &'static [&'static str],
    /// A word that is a token as it stands is taken whole, whatever the merges say.
    pub whole_words_first: bool,
    normalize: bool,
}

impl Splitting {
    pub(crate) fn of(gguf: &Gguf) -> Result<Splitting, Error> {
        let name = gguf.text("tokenizer.ggml.pre").unwrap_or("default");
        let patterns: &[&str] = match name {
            "default" | "gpt-2" | "gpt2" | "phi-2" => &[GPT2],
            "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "dbrx" | "smaug-bpe" => &[LLAMA3],
            "qwen2" | "deepseek-r1-qwen" => &[QWEN2],
            "smollm" | "starcoder" | "refact" | "command-r" => &[DIGIT, GPT2],
            "gpt-4o" | "llama4" => &[GPT4O],
            "tekken" => &[TEKKEN],
            other => {
                return Err(gguf.unsupported(format!(
                    "its tokenizer splits text in the way `{other}`, which the embedded engine does not know"
                )));
            }
        };
        Ok(Splitting {
            patterns,
            whole_words_first: matches!(patterns, &[LLAMA3] | &[TEKKEN]) && name != "dbrx" && name != "smaug-bpe",
            normalize: patterns == [QWEN2],
        })
    }

    pub(crate) fn apply(&self, tokenizer: &mut Tokenizer) -> tokenizers::Result<()> {
        let split = |pattern: &&str| {
            Split::new(SplitPattern::Regex((*pattern).to_owned()), SplitDelimiterBehavior::Isolated, false)
        };
        let mut steps = self
            .patterns
            .iter()
            .map(|pattern| split(pattern).map(PreTokenizerWrapper::from))
            .collect::<Result<Vec<_>, _>>()?;
        steps.push(ByteLevel::new(false, false, false).into());
        tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
        if self.normalize {
            tokenizer.with_normalizer(Some(NFC))?;
        }
        Ok(())
    }
}
