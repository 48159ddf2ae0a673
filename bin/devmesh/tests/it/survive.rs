//! What devmesh must survive. The same tests run longer as `cargo xtask torture`.

mod full_disk;
mod kill_backend;
mod ledger;
mod lost_agent;
#[cfg(target_os = "linux")]
mod power_loss;
mod reconnect;
pub(crate) mod stage;
