use crate::Page;
use std::collections::VecDeque;

/// The newest `room` notes. Notes are numbered from 1 in the order in which they came, also those that are gone.
#[derive(Debug)]
pub struct Log {
    notes: VecDeque<String>,
    room: usize,
    /// Of the newest note; 0 while there was none.
    last: u64,
}

impl Log {
    /// # Panics
    /// When there is room for none.
    pub fn new(room: usize) -> Self {
        assert!(room > 0, "a log needs room for a note");
        Self { notes: VecDeque::new(), room, last: 0 }
    }

    /// Writes a note and gives its number.
    pub fn write(&mut self, note: &str) -> u64 {
        if self.notes.len() == self.room {
            self.notes.pop_front();
        }
        self.notes.push_back(note.to_owned());
        self.last += 1;
        self.last
    }

    /// Of the newest note; 0 while there was none.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Everything that is still there.
    pub fn all(&self) -> Page {
        Page { notes: self.notes.iter().cloned().collect(), lost: 0 }
    }
}
