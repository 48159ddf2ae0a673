//! The disk fills up, and later has room again.

use super::stage::{Backend, all_events, all_jobs, command};
use anyhow::{Context, Result, ensure};
use domain::{ErrorCode, JobKind};
use protocol::CreateJob;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// Big enough for an empty data folder, small enough to fill at once.
const DISK_MIB: u32 = 24;
/// Service must resume by itself within this.
const RECOVERY: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_keeps_reads_and_heals_by_itself() -> Result<()> {
    let home = tempfile::tempdir()?;
    let disk = match Disk::mount(home.path()) {
        Ok(disk) => disk,
        Err(error) => {
            eprintln!("skipped: a_full_disk_refuses_writes_keeps_reads_and_heals_by_itself: {error:#}");
            return Ok(());
        }
    };
    let backend = Backend::start(&disk.0.join("data")).await?;
    let client = backend.client()?;
    let mut acknowledged = vec![client.create_job(&job(0), None).await?.id];

    let filler = disk.0.join("filler");
    fill(&filler)?;
    // What SQLite has preallocated may still take a few; each must then be there afterwards.
    let refused = loop {
        match client.create_job(&job(acknowledged.len()), None).await {
            Ok(job) => acknowledged.push(job.id),
            Err(error) => break error,
        }
        ensure!(acknowledged.len() < 10_000, "a full disk took 10,000 jobs");
    };
    ensure!(refused.code() == Some(ErrorCode::StorageFull), "expected storage_full, got {refused}");
    let events = all_events(&client, acknowledged[0]).await.context("reading while the disk is full")?;
    ensure!(!events.is_empty(), "the log cannot be read while the disk is full");

    std::fs::remove_file(&filler)?;
    let freed = Instant::now();
    loop {
        match client.create_job(&job(acknowledged.len()), None).await {
            Ok(job) => break acknowledged.push(job.id),
            Err(error) if error.is_retryable() && freed.elapsed() < RECOVERY => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => {
                return Err(error).context(format!("still refused {:?} after space returned", freed.elapsed()));
            }
        }
    }
    let stored: Vec<_> = all_jobs(&client).await?.into_iter().map(|job| job.id).collect();
    ensure!(stored == acknowledged, "{} jobs were acknowledged and {} are there", acknowledged.len(), stored.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backend_on_the_same_folder_refuses_to_start() -> Result<()> {
    let home = tempfile::tempdir()?;
    let folder = home.path().join("data");
    let backend = Backend::start(&folder).await?;
    let second = command(&folder, 0).stderr(std::process::Stdio::piped()).output()?;
    let said = String::from_utf8_lossy(&second.stderr);
    ensure!(!second.status.success(), "a second backend started on the same folder");
    ensure!(said.contains(&backend.pid().to_string()), "the message does not name the process that holds it: {said}");
    backend.client()?.version().await.context("the first backend still answers")?;
    Ok(())
}

/// A small file system of its own, unmounted at the end.
struct Disk(PathBuf);

impl Disk {
    fn mount(home: &Path) -> Result<Self> {
        let target = home.join("disk");
        std::fs::create_dir(&target)?;
        let options = format!("size={DISK_MIB}m,mode=0755");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&target)
            .output()
            .context("there is no `mount` here")?;
        ensure!(output.status.success(), "cannot mount: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(Self(target))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn fill(file: &Path) -> Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::File::create(file)?;
    for block in [vec![0; 64 * 1024], vec![0; 512]] {
        while file.write_all(&block).is_ok() {}
    }
    Ok(())
}

fn job(number: usize) -> CreateJob {
    CreateJob::new(JobKind::Ask, format!("{number} {}", "x".repeat(2_000)))
}
