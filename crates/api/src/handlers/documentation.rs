pub mod error;
pub mod openapi;
pub mod page;
