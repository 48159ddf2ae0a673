//! A small repository to try things on.

use crate::{
    git::Git,
    output::{Failure, Result},
    wiring::make_folder,
};
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

const FILES: &[(&str, &str)] = &[
    (
        "README.md",
        "# Tea timer\n\nCounts down the minutes a tea has to brew and rings when it is ready.\n\n    python3 tea.py green\n",
    ),
    (
        "tea.py",
        r#""""Brewing times of a few teas, and a timer."""

import sys
import time

MINUTES = {"green": 2, "black": 4, "herbal": 8}


def seconds(kind):
    """How long this kind of tea has to brew."""
    return MINUTES[kind] * 60


if __name__ == "__main__":
    time.sleep(seconds(sys.argv[1]))
    print("\a Your tea is ready.")
"#,
    ),
    (
        "test_tea.py",
        r#"import unittest

import tea


class Seconds(unittest.TestCase):
    def test_minutes_become_seconds(self):
        self.assertEqual(tea.seconds("green"), 120)


if __name__ == "__main__":
    unittest.main()
"#,
    ),
];

/// The sample beside the data folder, made at the first call. Not inside: no job is about a folder of devmesh's own.
pub async fn repository(data: &Path) -> Result<PathBuf> {
    let folder = data.with_file_name("devmesh-sample");
    if git(&folder, &["rev-parse", "--verify", "--quiet", "HEAD"]).await.is_ok() {
        return Ok(folder);
    }
    let making = |error: std::io::Error| {
        Failure::from(error).context(format_args!("making the sample repository in {}", folder.display()))
    };
    let folder = match make_folder(&folder) {
        // In a container the data folder is often the only one that can be written.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            tempfile::Builder::new().prefix("devmesh-sample-").tempdir().map_err(making)?.keep()
        }
        made => made.map(|()| folder.clone()).map_err(making)?,
    };
    for (name, text) in FILES {
        std::fs::write(folder.join(name), text).map_err(making)?;
    }
    git(&folder, &["init", "--quiet", "--initial-branch=main", "."]).await?;
    git(&folder, &["add", "--", "README.md", "tea.py", "test_tea.py"]).await?;
    let author = ["-c", "user.name=devmesh", "-c", "user.email=devmesh@localhost", "-c", "commit.gpgsign=false"];
    git(&folder, &[&author[..], &["commit", "--quiet", "-m", "A tea timer"]].concat()).await?;
    Ok(folder)
}

/// In `folder` and no repository around it, with nothing of the user's templates.
async fn git(folder: &Path, arguments: &[&str]) -> Result<()> {
    let git =
        Git::at(folder).with("GIT_CEILING_DIRECTORIES", folder.parent().unwrap_or(folder)).with("GIT_TEMPLATE_DIR", "");
    git.bytes(arguments).await.map(drop)
}
