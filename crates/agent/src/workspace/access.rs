//! Which folders and addresses a job may be about: a path is read with the rights of who asked for the job.

use super::Error;
use crate::helper::is_secret;
use protocol::{Egress, Folders, Remote, may_read};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What ssh is given, and nothing else of the user's: no agent, no configuration, no other key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ssh {
    pub key: PathBuf,
    /// Hosts that may answer. Others are refused.
    pub known_hosts: PathBuf,
}

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
    /// Who we are to `ssh://` addresses. `None`: none is cloned.
    pub ssh: Option<Ssh>,
    /// Whether anything of the job may leave this machine.
    pub egress: Egress,
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

    /// A repository elsewhere.
    pub(super) fn check_remote(&self, remote: &Remote) -> Result<(), Error> {
        let refused = remote.may_clone(self.egress, &self.remotes);
        refused.map_err(|refusal| Error::Source(format!("`{}` {refusal}", remote.address())))?;
        match remote.address().starts_with("ssh://") && self.ssh.is_none() {
            true => Err(Error::Source(format!(
                "`{}` is reached over ssh, and this agent has no key for it; set `agents.ssh_key` and \
                 `agents.ssh_known_hosts`, or clone it yourself and name the folder",
                remote.address()
            ))),
            false => Ok(()),
        }
    }
}
