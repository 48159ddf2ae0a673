pub mod decide;
pub mod list;
