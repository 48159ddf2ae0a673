//! The power goes: what was acknowledged is there, however little of the rest is.
//!
//! The store works on a disk that keeps what was synced and nothing else, file and folder each by itself. At random
//! moments of a mixed load a copy is taken of what would be left, and opened as a restarted machine would. On disks that
//! do not obey a sync the same must lose something: otherwise this proves nothing.

mod image;
mod load;

use image::losses;
use load::{Load, Moment};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use testkit::{Kept, Syncs, VolatileDisk};

/// Fresh folders, and cuts of each: a folder is most vulnerable while its parts are made.
const FOLDERS: u64 = 10;
const CUTS_PER_FOLDER: usize = 6;
/// A disk that ignores syncs loses something in the first cut or two.
const CONTROL_FOLDERS: u64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_power_cuts_lose_nothing_that_was_acknowledged() {
    let Some(found) = cut_again_and_again(Syncs::Obeyed, FOLDERS).await else { return };
    assert!(found.acknowledged > 1_000, "the load hardly ran: {found:?}");
    let lost: Vec<_> = found.lost.iter().take(20).collect();
    assert!(lost.is_empty(), "{} losses in {} cuts: {lost:#?}", found.lost.len(), found.cuts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_ignores_the_syncs_of_files_loses_rows() {
    let Some(found) = cut_again_and_again(Syncs::IgnoredForFiles, CONTROL_FOLDERS).await else { return };
    assert!(found.lost.iter().any(|lost| lost.contains("job ")), "no cut shows that syncs matter: {found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_ignores_the_syncs_of_folders_loses_content() {
    let Some(found) = cut_again_and_again(Syncs::IgnoredForFolders, CONTROL_FOLDERS).await else { return };
    assert!(found.lost.iter().any(|lost| lost.contains("content ")), "no cut shows that syncs matter: {found:?}");
}

#[derive(Debug, Default)]
struct Found {
    cuts: usize,
    acknowledged: usize,
    lost: Vec<String>,
}

/// `None`: this machine has no such disk, which was said.
async fn cut_again_and_again(syncs: Syncs, folders: u64) -> Option<Found> {
    let mut found = Found::default();
    for seed in 0..folders {
        let mut disk = VolatileDisk::mount(syncs)?;
        let mut chance = StdRng::seed_from_u64(seed);
        let mut load = Load::start(&disk.path().join("data")).await;
        for number in 0..CUTS_PER_FOLDER {
            let moments = [Moment::FirstUpload, Moment::FirstUpload, Moment::Artifacts, Moment::Rows(40)];
            let moment = *moments.choose(&mut chance).unwrap();
            let kept = *[Kept::Nothing, Kept::Nothing, Kept::UpToAMoment, Kept::Any].choose(&mut chance).unwrap();
            let (folder, acknowledged) = (tempfile::tempdir().unwrap(), load.until(moment).await);
            let survived = folder.path().join("disk");
            disk.cut(kept, chance.random(), &survived);
            found.cuts += 1;
            found.acknowledged += acknowledged.len();
            for lost in losses(&survived.join("data"), &acknowledged).await {
                found.lost.push(format!("folder {seed}, cut {number}, {moment:?}, {kept:?}: {lost}"));
            }
        }
        load.stop().await;
    }
    Some(found)
}
