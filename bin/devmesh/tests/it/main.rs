//! The program as its users run it: real processes, real disks, real kills.

mod container;
mod readme;
mod survive;
