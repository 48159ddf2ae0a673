pub mod list;
pub mod route;
