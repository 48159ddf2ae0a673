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

    async fn put_back(&self, extent: Extent) -> Result<Restored, Error> {
        let commit = self.state.lock().await.commit.clone();
        let (git, tree) = (self.git.clone(), self.place.tree.clone());
        let mut reach = self.reach();
        reach.writable.push(tree.clone());
        Ok(self.ask(&Task::Restore(Restore { git, tree, commit, extent }), reach).await?.0)
    }
}
