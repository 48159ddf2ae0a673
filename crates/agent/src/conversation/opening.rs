//! The first message: the task, and what helps with it and can be done without.

/// What a model is told before its first turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opening {
    /// The user's task, where it is done, the names of the files.
    pub(crate) task: String,
    /// What the project says of itself and the files that are shown, dearest first. The last goes first where there is no
    /// room.
    pub(crate) shown: Vec<String>,
}

impl Opening {
    /// The task stands last: small models follow best what they read last.
    pub(super) fn text(&self) -> String {
        self.shown.iter().map(|part| part.trim_end()).chain([self.task.as_str()]).collect::<Vec<_>>().join("\n\n")
    }

    /// Leaves one part away; `false` when there is nothing left to leave away.
    pub(super) fn shorten(&mut self) -> bool {
        self.shown.pop().is_some()
    }
}
