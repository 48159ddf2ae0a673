//! Kernels of our own for x86-64: the formats models come in, at the speed of the CPU's integer instructions.
//!
//! ```text
//! groups (read a file's blocks) → layout (panels of sixteen rows) ┐
//!                                      input (rounded to 8 bits)  ├→ kernel (tiles of results) → lanes (instructions)
//! ```

mod groups;
mod input;
mod kernel;
mod lanes;
mod layout;

pub(super) use input::{Rounded, rounded};
pub(super) use kernel::multiply;
pub(super) use layout::{Panels, ROWS};
