//! The data folder: disk, permissions, room.

use super::Finding;
use crate::{context::Context, output::bytes};
use nix::sys::statvfs::statvfs;
use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Below this, a model and a few workspaces no longer fit.
const LITTLE_ROOM: u64 = 2 * 1024 * 1024 * 1024;
/// Below this, the database itself is about to stop.
const NO_ROOM: u64 = 100 * 1024 * 1024;

pub fn check(context: &Context) -> Vec<Finding> {
    let data = &context.config.settings.data;
    let existing = nearest(data);
    let mut findings = vec![permissions(data, &existing)];
    findings.extend(restore(data));
    findings.extend(file_system(&existing));
    findings.extend(room(&existing));
    findings.extend(token(&context.config.settings.admin_token_file()));
    findings
}

/// The folder itself or the closest one above it that exists.
fn nearest(data: &Path) -> PathBuf {
    data.ancestors().find(|path| path.is_dir()).map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

fn permissions(data: &Path, existing: &Path) -> Finding {
    const CHECK: &str = "data folder";
    let shown = data.display();
    if let Err(error) = tempfile::tempfile_in(existing) {
        return Finding::bad(
            CHECK,
            format!("{} cannot be written: {error}", existing.display()),
            "choose another one with --data FOLDER",
        );
    }
    if existing != data {
        return Finding::good(CHECK, format!("{shown} will be made at the first start"));
    }
    match data.metadata() {
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            let mode = metadata.permissions().mode() & 0o777;
            Finding::careful(
                CHECK,
                format!("{shown} is open to others (mode {mode:o}, owner {})", metadata.uid()),
                format!("chmod 700 {shown}"),
            )
        }
        Ok(_) => Finding::good(CHECK, format!("{shown}, for its owner alone")),
        Err(error) => Finding::bad(CHECK, format!("{shown}: {error}"), "choose another one with --data FOLDER"),
    }
}

fn restore(data: &Path) -> Option<Finding> {
    store::is_half_restored(data).then(|| {
        Finding::bad(
            "restore",
            format!("a restore into {} was interrupted, and nothing can start there", data.display()),
            format!("devmesh restore FILE --data {}", data.display()),
        )
    })
}

fn file_system(existing: &Path) -> Option<Finding> {
    const CHECK: &str = "file system";
    // Only Linux tells; elsewhere the store checks by itself when it opens the folder.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = store::mount_of(&mounts, &existing.canonicalize().ok()?)?;
    let evidence = format!("{} mounted at {}", mount.filesystem, mount.point.display());
    Some(if mount.is_safe() {
        Finding::good(CHECK, evidence)
    } else {
        Finding::bad(
            CHECK,
            format!("{evidence} can lose data without a word"),
            "choose a folder on a local disk with --data FOLDER",
        )
    })
}

fn room(existing: &Path) -> Option<Finding> {
    const CHECK: &str = "disk space";
    let status = statvfs(existing).ok()?;
    let free = (status.blocks_available() as u64).saturating_mul(status.fragment_size() as u64);
    let evidence = format!("{} free at {}", bytes(free), existing.display());
    Some(match free {
        0..NO_ROOM => Finding::bad(CHECK, evidence, "free some space, or choose another disk with --data FOLDER"),
        NO_ROOM..LITTLE_ROOM => {
            Finding::careful(CHECK, evidence, "free some space: models and workspaces take gigabytes")
        }
        _ => Finding::good(CHECK, evidence),
    })
}

fn token(file: &Path) -> Option<Finding> {
    const CHECK: &str = "admin token";
    let Ok(metadata) = file.metadata() else {
        let has_a_mesh = file.with_file_name(store::DATABASE_FILE).exists();
        return has_a_mesh.then(|| {
            let evidence = format!("{} is not there", file.display());
            Finding::careful(CHECK, evidence, "if it is lost: stop the mesh and run devmesh token reset")
        });
    };
    let mode = metadata.permissions().mode() & 0o777;
    let shown = file.display();
    Some(if mode & 0o077 == 0 {
        Finding::good(CHECK, format!("{shown}, mode {mode:o}"))
    } else {
        Finding::bad(
            CHECK,
            format!("{shown} can be read by others (mode {mode:o})"),
            format!("chmod 600 {shown}; devmesh token create again --scope admin, if somebody may have read it"),
        )
    })
}
