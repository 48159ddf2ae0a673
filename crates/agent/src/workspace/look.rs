//! Looking at a workspace without changing anything.

use super::{Error, STEP_TAKES, Workspace};
use crate::helper::{Found, Page, Reach, Read, Search, Sources, Task};
use std::path::Path;

impl Workspace {
    /// The last step that was committed.
    pub(crate) async fn commit(&self) -> String {
        self.state.lock().await.commit.clone()
    }

    /// Shows a file, or a part of it, in at most about `bytes`. The inner error is for the model.
    pub(crate) async fn read_file(
        &self,
        path: &str,
        lines: (Option<u32>, Option<u32>),
        bytes: usize,
    ) -> Result<Page, Error> {
        let (tree, folder) = (self.place.tree.clone(), self.subfolder.clone());
        let task = Read { tree, folder, path: path.to_owned(), from: lines.0, to: lines.1, bytes };
        Ok(self.ask(&Task::Read(task), self.looking()).await?.0)
    }

    /// Shows lines that a pattern matches, in at most about `bytes`. The inner error is for the model.
    pub(crate) async fn search(&self, pattern: &str, path: &str, bytes: usize) -> Result<Found, Error> {
        let (tree, folder) = (self.place.tree.clone(), self.subfolder.clone());
        let task = Search { tree, folder, pattern: pattern.to_owned(), path: path.to_owned(), bytes };
        Ok(self.ask(&Task::Search(task), self.looking()).await?.0)
    }

    /// The tree and nothing else, and nothing of it can be changed.
    fn looking(&self) -> Reach {
        Reach { readable: vec![self.place.tree.clone()], ..Reach::new([], STEP_TAKES) }
    }

    /// The texts of files as the source had them, whatever was changed since; names as [`Workspace::files_at_base`] has them,
    /// the one that is wanted most first. What is too large or no text is left out.
    pub(crate) async fn sources(&self, names: &[String]) -> Result<Vec<(String, String)>, Error> {
        self.sources_at(None, names).await
    }

    /// The same as a step has them.
    pub(crate) async fn sources_at(
        &self,
        commit: Option<&str>,
        names: &[String],
    ) -> Result<Vec<(String, String)>, Error> {
        let whole = |name: &String| Some(self.subfolder.join(name).to_str()?.to_owned());
        let names = names.iter().filter_map(whole).collect();
        let task = Sources { git: self.git.clone(), commit: commit.unwrap_or(&self.start).to_owned(), names };
        let sources: Vec<(String, String)> = self.ask(&Task::Sources(task), self.reach()).await?.0;
        let below = |(name, text): (String, String)| {
            let name = Path::new(&name).strip_prefix(&self.subfolder).ok()?.to_str()?.to_owned();
            Some((name, text))
        };
        Ok(sources.into_iter().filter_map(below).collect())
    }
}
