//! Step commits, the way back to one, and what all of them add up to.

use super::{Error, Ignored, PATCH_BYTES, STEP_TAKES, Workspace, patch};
use crate::helper::{Difference, Edit, Edited, Failure, Over, Reach, Step, Stepped, Task, Write, Written};
use std::{path::PathBuf, time::Duration};
use tokio_util::sync::CancellationToken;

/// What is kept after a cancel must be kept quickly.
const GRACE: Duration = Duration::from_secs(10);
/// One file of at most a mebibyte.
const WRITING_TAKES: Duration = Duration::from_secs(30);

impl Workspace {
    /// Commits the tree as it is, but for what its rules say, and returns the commit: the last one again when nothing
    /// changed. Nothing may run in the tree meanwhile.
    pub async fn checkpoint(&self, step: u32) -> Result<String, Error> {
        let mut last = self.state.lock().await;
        let task = Step {
            git: self.git.clone(),
            tree: self.place.tree.clone(),
            parent: last.commit.clone(),
            reference: self.reference.clone(),
            message: format!("step {step}"),
            written: last.written.iter().cloned().collect(),
        };
        let mut reach = self.reach();
        // Folders that were closed are opened, to see what is in them.
        reach.writable.push(self.place.tree.clone());
        let stepped: Stepped = self.ask(&Task::Step(task), reach).await?.0;
        stepped.notes.into_iter().for_each(|note| self.note(note));
        *self.ignored.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Ignored { names: stepped.ignored, count: stepped.ignored_count };
        // They are part of the commit now.
        last.written.clear();
        last.commit.clone_from(&stepped.commit);
        Ok(stepped.commit)
    }

    /// What its files take on the disk, as far as that can be told.
    pub async fn disk_bytes(&self) -> u64 {
        let folders = vec![self.place.tree.clone(), self.place.scratch.clone(), self.git.clone()];
        super::files::measured(&self.helper, folders).await.map_or(0, |measured| measured.bytes)
    }

    /// Writes one file, also over one that is there; returns its path in the tree. The inner error is for the model.
    pub async fn write(&self, path: &str, content: &str) -> Result<Result<String, String>, Error> {
        Ok(self.write_over(path, content, Over::Anything).await?.map_err(|refused| refused.why))
    }

    /// The same, over no more than is said.
    pub(crate) async fn write_over(&self, path: &str, content: &str, over: Over) -> Result<Written, Error> {
        let mut last = self.state.lock().await;
        let task = Write {
            tree: self.place.tree.clone(),
            folder: self.subfolder.clone(),
            path: path.to_owned(),
            content: content.to_owned(),
            over,
        };
        let reach = Reach::new([self.place.tree.clone()], WRITING_TAKES);
        let written: Written = self.ask(&Task::Write(task), reach).await?.0;
        if let Ok(path) = &written {
            last.written.insert(path.clone());
        }
        Ok(written)
    }

    /// Replaces one place of a file as a model asked for it. The inner error is for the model.
    pub(crate) async fn edit(&self, path: &str, old: &str, new: &str) -> Result<Edited, Error> {
        let mut last = self.state.lock().await;
        let task = Edit {
            tree: self.place.tree.clone(),
            folder: self.subfolder.clone(),
            path: path.to_owned(),
            old: old.to_owned(),
            new: new.to_owned(),
        };
        let reach = Reach::new([self.place.tree.clone()], WRITING_TAKES);
        let edited: Edited = self.ask(&Task::Edit(task), reach).await?.0;
        if let Ok((path, _)) = &edited {
            last.written.insert(path.clone());
        }
        Ok(edited)
    }

    /// Everything between the source and the last step, for `git apply`. Empty when nothing changed.
    pub async fn patch(&self) -> Result<Vec<u8>, Error> {
        self.patch_of(PATCH_BYTES).await
    }

    /// The same with another limit in bytes.
    pub async fn patch_of(&self, limit: u64) -> Result<Vec<u8>, Error> {
        let task = Task::Patch(self.difference().await);
        let bytes = usize::try_from(limit).unwrap_or(usize::MAX);
        match self.helped::<()>(&task, Reach { payload_bytes: bytes, ..self.reach() }).await {
            Err(Failure::TooLong { .. }) => Err(Error::PatchTooLarge { limit }),
            answer => Ok(answer?.1),
        }
    }

    /// What [`Workspace::patch`] touches, by name.
    pub async fn changed_files(&self) -> Result<Vec<patch::ChangedFile>, Error> {
        let task = Task::Changed(self.difference().await);
        let bytes = usize::try_from(PATCH_BYTES).unwrap_or(usize::MAX);
        let (_, listed) = self.ask::<()>(&task, Reach { payload_bytes: bytes, ..self.reach() }).await?;
        Ok(patch::parse(&listed))
    }

    async fn difference(&self) -> Difference {
        let to = self.state.lock().await.commit.clone();
        Difference { git: self.git.clone(), from: self.start.clone(), to, renames: !self.has_submodules }
    }

    /// The agent's repository and what it borrows from.
    pub(super) fn reach(&self) -> Reach {
        Reach { readable: self.borrowed(), ..Reach::new([self.git.clone()], STEP_TAKES) }
    }

    pub(super) async fn ask<A: serde::de::DeserializeOwned>(
        &self,
        task: &Task,
        reach: Reach,
    ) -> Result<(A, Vec<u8>), Error> {
        Ok(self.helped(task, reach).await?)
    }

    /// After a cancel it gets a little more time: what was done until then is worth keeping.
    async fn helped<A: serde::de::DeserializeOwned>(&self, task: &Task, reach: Reach) -> Result<(A, Vec<u8>), Failure> {
        let over = CancellationToken::new();
        let mut answer = std::pin::pin!(self.helper.ask(task, reach, over.clone()));
        let late = async {
            self.cancel.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            answer = &mut answer => return answer,
            () = late => over.cancel(),
        }
        answer.await
    }

    /// Whole repositories, not only their objects: git reads what stands in them.
    fn borrowed(&self) -> Vec<PathBuf> {
        let lenders = self.place.readable.iter().filter_map(|objects| objects.parent());
        lenders.filter(|lender| *lender != self.git).map(PathBuf::from).collect()
    }
}
