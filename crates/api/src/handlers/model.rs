pub mod explain;
pub mod list;
pub mod route;
pub mod targets;
