//! A small real git repository whose test fails until one line is mended.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

const README: &str = "# Prices\n\nAdds up a shopping basket. `sh test.sh` runs the tests.\n";
const IGNORE: &str = "__pycache__/\n";
const TEST_SCRIPT: &str = "#!/bin/sh\n# -B: no byte code, which a quick edit of the same length would leave stale.\nexec python3 -B -m unittest -q test_prices\n";
const BROKEN: &str = r#""""Prices of a shopping basket, in cents."""


def total(prices, discount_percent=0):
    """The sum of `prices` less the discount, rounded down to whole cents."""
    return sum(prices) * (100 + discount_percent) // 100
"#;
const TEST: &str = r#"import unittest

from prices import total


class TotalTest(unittest.TestCase):
    def test_without_discount(self):
        self.assertEqual(total([250, 199]), 449)

    def test_with_discount(self):
        self.assertEqual(total([1000, 500], discount_percent=10), 1350)


if __name__ == "__main__":
    unittest.main()
"#;

/// A repository on branch `main` with one commit: `prices.py` adds the discount where it should take it off, and
/// `test_prices.py` says so. Needs git, sh and python3. Gone when dropped.
#[derive(Debug)]
pub struct SampleRepository {
    folder: TempDir,
}

/// Makes a [`SampleRepository`] in a temporary folder.
///
/// # Panics
/// When git is missing or the folder cannot be written.
pub fn sample_repository() -> SampleRepository {
    let folder = tempfile::Builder::new().prefix("sample-repository-").tempdir().expect("a temporary folder");
    let repository = SampleRepository { folder };
    for (name, text) in [
        ("README.md", README),
        (".gitignore", IGNORE),
        ("test.sh", TEST_SCRIPT),
        (SampleRepository::BROKEN_FILE, BROKEN),
        ("test_prices.py", TEST),
    ] {
        fs::write(repository.file(name), text).expect("a file of the sample repository");
    }
    repository.git(&["init", "--quiet"]);
    // Not `init -b`, which git before 2.28 does not know.
    repository.git(&["symbolic-ref", "HEAD", "refs/heads/main"]);
    for (key, value) in [
        ("user.name", "Sample Author"),
        ("user.email", "author@example.invalid"),
        ("commit.gpgsign", "false"),
        ("core.autocrlf", "false"),
    ] {
        repository.git(&["config", key, value]);
    }
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--message", "Add up a basket"]);
    repository
}

impl SampleRepository {
    /// The file with the mistake.
    pub const BROKEN_FILE: &str = "prices.py";
    /// What runs the tests, from the repository's folder.
    pub const TEST_COMMAND: &str = "sh test.sh";

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The whole text of [`Self::BROKEN_FILE`] once mended.
    pub fn fixed_text() -> String {
        BROKEN.replace("100 + discount_percent", "100 - discount_percent")
    }

    /// A shell command that mends the mistake in place.
    pub fn fix_command() -> String {
        let file = Self::BROKEN_FILE;
        format!("sed 's/100 + discount/100 - discount/' {file} > {file}.new && mv {file}.new {file}")
    }

    /// Whether the tests pass on what is in the folder now.
    pub fn test_passes(&self) -> bool {
        self.test().status.success()
    }

    /// Runs the tests.
    pub fn test(&self) -> Output {
        Command::new("sh")
            .args(["-c", Self::TEST_COMMAND])
            .current_dir(self.path())
            .output()
            .expect("sh and python3 can be run")
    }

    /// Runs git in the repository, away from the user's own configuration, and gives what it printed.
    ///
    /// # Panics
    /// When git fails.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .output()
            .expect("git can be run");
        assert!(
            output.status.success(),
            "git {arguments:?} failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_fails_until_the_fix() {
        let repository = sample_repository();
        assert_eq!(repository.git(&["status", "--porcelain"]), "");
        assert_eq!(repository.git(&["rev-parse", "--abbrev-ref", "HEAD"]).trim(), "main");
        let before = repository.test();
        assert!(!before.status.success());
        assert!(String::from_utf8_lossy(&before.stderr).contains("1650 != 1350"), "{before:?}");

        let fixed =
            Command::new("sh").args(["-c", &SampleRepository::fix_command()]).current_dir(repository.path()).status();
        assert!(fixed.unwrap().success());
        assert_eq!(fs::read_to_string(repository.file("prices.py")).unwrap(), SampleRepository::fixed_text());
        assert!(repository.test_passes());
        assert_eq!(repository.git(&["status", "--porcelain"]), " M prices.py\n", "the tests leave nothing behind");
    }
}
