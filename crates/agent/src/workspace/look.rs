//! Looking at a workspace without changing anything.

use super::{Error, Workspace};
use crate::helper::{Sources, Task};
use std::path::Path;

impl Workspace {
    /// The last step that was committed.
    pub(crate) async fn commit(&self) -> String {
        self.state.lock().await.commit.clone()
    }

    /// The texts of files as the source had them, whatever was changed since; names as [`Workspace::files_at_base`] has them,
    /// the one that is wanted most first. What is too large or no text is left out.
    pub(crate) async fn sources(&self, names: &[String]) -> Result<Vec<(String, String)>, Error> {
        let whole = |name: &String| Some(self.subfolder.join(name).to_str()?.to_owned());
        let names = names.iter().filter_map(whole).collect();
        let task = Sources { git: self.git.clone(), commit: self.start.clone(), names };
        let sources: Vec<(String, String)> = self.ask(&Task::Sources(task), self.reach()).await?.0;
        let below = |(name, text): (String, String)| {
            let name = Path::new(&name).strip_prefix(&self.subfolder).ok()?.to_str()?.to_owned();
            Some((name, text))
        };
        Ok(sources.into_iter().filter_map(below).collect())
    }
}
