//! The router over real HTTP providers that do what a test tells them.

#[cfg(test)]
mod after_content;
#[cfg(test)]
mod anthropic;
#[cfg(test)]
mod books;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod health;
#[cfg(test)]
mod ollama_provider;
#[cfg(test)]
mod openai_provider;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod telemetry;
