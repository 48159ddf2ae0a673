pub mod live;
pub mod ready;
pub mod root;
pub mod version;
