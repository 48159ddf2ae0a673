pub mod open;
pub mod ticket;
