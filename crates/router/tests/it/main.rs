//! The router over real HTTP providers and over providers made for one test.

#[cfg(test)]
mod cancel;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod fallback;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod ollama;
#[cfg(test)]
mod ollama_provider;
#[cfg(test)]
mod openai;
#[cfg(test)]
mod timeouts;
