//! Settings in files that people write by hand: a few values set, comments, order and everything else left as they are.
//!
//! Each takes the text as it is, empty where there is no file, and gives the text as it should be. What cannot be read is
//! left alone and said.

pub mod json;
pub mod toml;
pub mod yaml;
