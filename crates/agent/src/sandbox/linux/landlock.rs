//! Landlock: which files can be opened, and for what. Holds even where there is no private root folder.

use super::DEVICES;
use crate::sandbox::policy::{Failure, Layer, Policy};
use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};

/// The newest the library knows; on an older kernel what that kernel has is used.
const NEWEST: ABI = ABI::V10;

/// Returns the ABI version in effect.
pub(super) fn restrict(policy: &Policy) -> Result<u32, Failure> {
    let status = build(policy).map_err(|error| Failure::of(Layer::Landlock, "restricting file access", error))?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => Err("Landlock is switched off in this kernel"),
        (RulesetStatus::NotEnforced, _) => Err("this kernel has no Landlock"),
        (_, LandlockStatus::Available { effective_abi, .. }) => Ok(effective_abi as u32),
        (_, _) => Ok(1),
    }
    .map_err(|why| Failure { layer: Some(Layer::Landlock), message: why.to_owned() })
}

fn build(policy: &Policy) -> Result<landlock::RestrictionStatus, RulesetError> {
    let (files, layers) = (&policy.files, &policy.layers);
    let all = AccessFs::from_all(NEWEST);
    let read = AccessFs::from_read(NEWEST);
    let look = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut ruleset = Ruleset::default()
        .handle_access(all)?
        // Signals and abstract sockets stay within the sandbox, PID and network namespaces or not.
        .scope(Scope::from_all(NEWEST))?;
    if !layers.network && !policy.program.uses_network() {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let mut rules = ruleset
        .create()?
        .add_rules(path_beneath_rules(&files.readable, read))?
        .add_rules(path_beneath_rules(&files.writable, all))?
        .add_rules(path_beneath_rules(DEVICES, AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev))?;
    if layers.files {
        // Everything there is in the private root was put there for the command.
        rules = rules
            .add_rules(path_beneath_rules(["/proc"], look))?
            .add_rules(path_beneath_rules(["/"], AccessFs::ReadDir))?
            .add_rules(path_beneath_rules(["/dev/pts"], look | AccessFs::WriteFile | AccessFs::IoctlDev))?
            .add_rules(path_beneath_rules(["/tmp", "/var/tmp", "/dev/shm"], all))?;
    } else {
        // Of the machine's own /proc only what says nothing about other processes.
        let harmless = ["cpuinfo", "meminfo", "stat", "uptime", "loadavg", "version", "filesystems", "sys/kernel"];
        rules = rules.add_rules(path_beneath_rules(harmless.map(|name| format!("/proc/{name}")), look))?;
    }
    rules.restrict_self()
}
