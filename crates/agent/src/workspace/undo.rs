//! The way back to the last step.

use super::{Error, STEP_TAKES, Workspace, doing, files};
use crate::helper::{Extent, Restore, Restored, Task};

impl Workspace {
    /// Puts the files back to the last step. `ignored_too`: removes also what no step holds, for want of room.
    pub async fn restore(&self, ignored_too: bool) -> Result<u64, Error> {
        let extent = if ignored_too { Extent::Everything } else { Extent::New };
        let restored = self.put_back(extent).await?;
        if ignored_too {
            let folders = ["tmp", "home"].map(|name| self.place.scratch.join(name)).to_vec();
            let emptied = files::empty(&self.helper, folders, STEP_TAKES).await;
            emptied.map_err(doing(|| "emptying the folders for temporary files and for the home"))?;
        }
        Ok(restored.files)
    }

    /// Undoes what a step would take. Returns what that was.
    pub(crate) async fn undo(&self) -> Result<Restored, Error> {
        self.put_back(Extent::Work).await
    }

    /// Makes the files those of an earlier step. The next step holds that they are so again.
    pub(crate) async fn go_to(&self, commit: &str) -> Result<(), Error> {
        self.files_of(commit.to_owned(), Extent::Work).await.map(drop)
    }

    async fn put_back(&self, extent: Extent) -> Result<Restored, Error> {
        let commit = self.state.lock().await.commit.clone();
        self.files_of(commit, extent).await
    }

    async fn files_of(&self, commit: String, extent: Extent) -> Result<Restored, Error> {
        let (git, tree) = (self.git.clone(), self.place.tree.clone());
        let mut reach = self.reach();
        reach.writable.push(tree.clone());
        Ok(self.ask(&Task::Restore(Restore { git, tree, commit, extent }), reach).await?.0)
    }
}
