pub mod live;
pub mod ready;
pub mod version;
