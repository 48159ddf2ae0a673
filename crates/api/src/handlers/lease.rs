pub mod append;
pub mod call_model;
pub mod create;
pub mod finish;
pub mod heartbeat;
pub mod put_artifact;
pub mod release;
pub mod request_approval;
