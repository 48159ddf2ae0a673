//! Looking through all content, a stretch at a time.

use crate::{
    ArtifactRow, BLOB_FOLDER, Condition, ContentPlace, DATABASE_FILE, Error, Store, blobs, limits, sqlite::Reader,
    sqlite::connection,
};
use domain::Epoch;
use std::path::Path;

/// How closely content is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// Whether it is there in its full length.
    Glance,
    /// All of it is read and compared with its digest.
    Read,
}

/// One stretch.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Artifacts looked at.
    pub artifacts: u64,
    /// Those whose content is not whole.
    pub lost: Vec<(ArtifactRow, Condition)>,
    /// Where to go on; `None` at the end.
    pub next: Option<ContentPlace>,
}

impl Store {
    /// Looks at what artifacts name after this place: at most [`limits::ROWS_PER_PAGE`] of them, and no further one once
    /// [`limits::READ_PER_CHECK`] bytes were read.
    pub async fn check_content(&self, after: Option<ContentPlace>, how: Thoroughness) -> Result<Checked, Error> {
        let page = self.named_content(after, limits::ROWS_PER_PAGE).await?;
        let mut checked = Checked::default();
        let mut read = 0;
        let mut last: Option<(ArtifactRow, Condition)> = None;
        for row in page {
            if read >= limits::READ_PER_CHECK {
                break;
            }
            let condition = match last {
                Some((before, condition)) if before.sha256 == row.sha256 => condition,
                _ if how == Thoroughness::Glance => self.blobs().glance(&row.sha256, row.bytes).await?,
                _ => {
                    read += row.bytes;
                    self.blobs().check(&row.sha256, row.bytes).await?
                }
            };
            checked.add(&row, &condition);
            last = Some((row, condition));
        }
        checked.next = last.map(|(row, _)| row.place());
        Ok(checked)
    }
}

impl Checked {
    fn add(&mut self, row: &ArtifactRow, condition: &Condition) {
        self.artifacts += 1;
        if !condition.is_whole() {
            self.lost.push((row.clone(), condition.clone()));
        }
    }
}

/// Looks at all content of a folder that no process has, and changes nothing in it. At most `listed` of what is lost is kept.
pub fn look_through(folder: &Path, how: Thoroughness, listed: usize) -> Result<Checked, Error> {
    let connection = connection::open_reader(&folder.join(DATABASE_FILE))?;
    let (reader, blobs) = (Reader::new(&connection, Epoch(0)), folder.join(BLOB_FOLDER));
    let mut checked = Checked::default();
    let (mut after, mut last): (_, Option<(String, Condition)>) = (None, None);
    loop {
        let page = reader.named_content(after.as_ref(), limits::ROWS_PER_PAGE)?;
        for row in &page {
            let condition = match &last {
                Some((sha256, condition)) if *sha256 == row.sha256 => condition.clone(),
                _ => condition_of(&blobs::path_in(&blobs, &row.sha256)?, row, how),
            };
            match checked.lost.len() < listed {
                true => checked.add(row, &condition),
                false => checked.artifacts += 1,
            }
            last = Some((row.sha256.clone(), condition));
        }
        after = page.last().map(ArtifactRow::place);
        if after.is_none() {
            return Ok(checked);
        }
    }
}

fn condition_of(path: &Path, row: &ArtifactRow, how: Thoroughness) -> Condition {
    match how {
        Thoroughness::Glance => Condition::at_a_glance(path, row.bytes),
        Thoroughness::Read => Condition::of(path, &row.sha256, row.bytes),
    }
}
