//! Which folders and addresses a job may be about: a path is read with the rights of who asked for the job.

use super::Error;
use crate::helper::is_secret;
use protocol::{Folders, may_read};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What the creator of the job may name.
    pub folders: Folders,
    /// Where everybody's jobs may be.
    pub roots: Vec<PathBuf>,
    /// Of devmesh itself: data and configuration. Nobody's jobs may be there.
    pub private: Vec<PathBuf>,
    /// Every user's, which no job may be about as a whole.
    pub homes: Vec<PathBuf>,
    /// Beginnings of addresses that may be cloned.
    pub remotes: Vec<String>,
    /// Whether anything of the job may leave this machine.
    pub may_leave: bool,
}

impl Access {
    /// `path` is real: it leads through no link.
    pub(super) fn check(&self, path: &Path) -> Result<(), Error> {
        let refused = may_read(path, self.folders, &self.roots, &self.private, &self.homes);
        refused.map_err(|refusal| Error::Source(format!("`{}` {refusal}", path.display())))?;
        match is_secret(path) {
            true => Err(Error::Source(format!("`{}` is known to hold secrets and is never copied", path.display()))),
            false => Ok(()),
        }
    }

    /// `address` is of another machine, or of a server on this one.
    pub(super) fn check_address(&self, address: &str) -> Result<(), Error> {
        if !self.remotes.iter().any(|allowed| address.starts_with(allowed.as_str())) {
            return Err(Error::Source(format!(
                "`{address}` may not be cloned: no entry of `agents.remotes` is the beginning of it. The owner of the mesh can \
                 add one, or clone it and name the folder"
            )));
        }
        if !self.may_leave && !is_loopback(address) {
            return Err(Error::Source(format!(
                "`{address}` is not on this machine and the job is local only; let it leave the machine (--allow-cloud), or \
                 clone it and name the folder"
            )));
        }
        Ok(())
    }
}

/// Of this machine, by its name in the address.
fn is_loopback(address: &str) -> bool {
    let host = address.split_once("://").map_or("", |(_, rest)| rest).split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
