//! What a GGUF file says of itself, whether or not the engine runs it.

use crate::Error;
use crate::gguf::Gguf;
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub architecture: Option<String>,
    pub parameters: u64,
    pub quantization: String,
    pub licence: Option<String>,
    /// Tokens it was made for.
    pub trained_context_tokens: Option<u64>,
    /// Its own; where there is none, the engine takes it for a base model.
    pub has_chat_template: bool,
    pub size_bytes: u64,
}

/// From the header alone.
pub fn about(path: &Path) -> Result<About, Error> {
    let gguf = Gguf::open(path)?;
    let architecture = gguf.text("general.architecture").map(str::to_owned);
    let context = architecture.as_ref().and_then(|name| gguf.number(&format!("{name}.context_length")));
    Ok(About {
        parameters: gguf.parameters(),
        quantization: gguf.quantization(),
        licence: gguf.text("general.license").map(str::to_owned),
        trained_context_tokens: context,
        has_chat_template: gguf.text("tokenizer.chat_template").is_some(),
        size_bytes: gguf.size_bytes(),
        architecture,
    })
}
