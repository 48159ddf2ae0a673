//! A small shop's stock: goods on a shelf, and orders that reserve some of them.

mod order;
mod shelf;

pub use order::{reserve, Order};
pub use shelf::{Missing, Shelf};
