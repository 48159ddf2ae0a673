//! One folder per noun, one file per verb: extract, authorise, call, map. What a handler decides, it decides elsewhere.

pub mod approval;
pub mod artifact;
pub mod audit;
pub mod backup;
pub mod content;
pub mod documentation;
pub mod egress;
pub mod gateway;
pub mod health;
pub mod job;
pub mod key;
pub mod lease;
pub mod model;
pub mod model_call;
pub mod profile;
pub mod token;
pub mod websocket;
