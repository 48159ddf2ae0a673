//! [`Content`] on SQLite, and what [`crate::Blobs`] asks of it.

use super::{
    Sqlite,
    queue::Queue,
    send,
    writer::request::{Class, Pending, Request},
};
use crate::{
    ArtifactRow, ContentPlace, Error,
    blobs::Register,
    operations::{Answer, Content},
};

impl Content for Sqlite {
    fn register_blobs(&self, files: Vec<(String, u64)>) -> Answer<usize> {
        let mut files = Some(files);
        self.write(move |transaction| transaction.register_blobs(&files.take().unwrap_or_default()))
    }

    fn named_content(&self, after: Option<ContentPlace>, limit: usize) -> Answer<Vec<ArtifactRow>> {
        self.read(move |reader| reader.named_content(after.as_ref(), limit))
    }
}

/// As long as the database is open.
pub(crate) struct BlobRegister(pub(super) Queue<Box<dyn Request>>);

impl Register for BlobRegister {
    fn register(&self, sha256: String, bytes: u64) -> Answer<()> {
        send(&self.0, Class::Ordinary, move |transaction| {
            transaction.register_blobs(&[(sha256.clone(), bytes)]).map(drop)
        })
    }

    fn sweep(&self) {
        let sweep = |transaction: &mut super::Transaction<'_>| -> Result<(), Error> {
            transaction.sweep_blobs();
            Ok(())
        };
        // Nobody waits for it. A full line is left alone: whoever stands in it is followed by a sweep of their own.
        let (request, _) = Pending::new(Class::Relief, sweep);
        self.0.send_if_there_is_a_place(Box::new(request));
    }
}
