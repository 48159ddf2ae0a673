//! The router over real HTTP providers that do what a test tells them.

#[cfg(test)]
mod after_content;
#[cfg(test)]
mod anthropic;
#[cfg(test)]
mod books;
#[cfg(test)]
mod buffered;
#[cfg(test)]
mod cost;
#[cfg(test)]
mod either_way;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod health;
#[cfg(test)]
mod judged;
#[cfg(test)]
mod leaving;
mod left_out;
#[cfg(test)]
mod markers;
#[cfg(test)]
mod ollama_provider;
#[cfg(test)]
mod openai_provider;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod seals;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod truncation;
#[cfg(test)]
mod trying_again;
mod uncounted;
#[cfg(test)]
mod waiting;
