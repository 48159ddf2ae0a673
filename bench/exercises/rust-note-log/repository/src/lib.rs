//! A log that keeps the newest notes and counts all of them.

mod log;
mod page;

pub use log::Log;
pub use page::Page;
