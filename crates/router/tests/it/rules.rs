//! What routes and keys promise, rule by rule, as the caller sees it and as the provider does.

mod bounds;
mod breaker;
mod kept_answers;
mod money;
mod needs;
mod passing_on;
mod pinned;
mod redacted;
mod spreading;
mod staying_local;
mod vectors;
