//! Every command as a user types it: arguments in, stdout, stderr and an exit code out.

mod approvals;
mod backup;
mod checks;
mod exam;
mod exit_codes;
mod first_run;
mod jobs;
mod launch;
mod lists;
mod mesh;
mod patches;
mod reload;
mod settings;
mod staying_up;
mod telemetry;
mod trust;

pub(crate) use mesh::{Home, Mesh, Up};
