//! What devmesh must survive. The same tests run longer as `cargo xtask torture`.

mod full_disk;
mod kill_backend;
mod ledger;
mod lost_agent;
mod reconnect;
pub(crate) mod stage;
