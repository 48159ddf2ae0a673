//! embedded-model
