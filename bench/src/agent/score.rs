//! Whether an exercise is done: by the repository's own test and by the hidden one, on a copy that only the work went into.

use super::{
    exercise::Exercise,
    files,
    process::{self, End},
};
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command, time::Duration};

/// Compilers are slow on a busy machine; a test that never ends has failed.
const TEST_LIMIT: Duration = Duration::from_secs(300);
/// Go compiles its library anew for each home. For the verdict, which is on nobody's clock, once is enough.
const GO_CACHE: &str = "devmesh-bench-go-build";
/// A file of an exercise has some thousand bytes. What is larger is not part of an answer.
const LARGEST_FILE: u64 = 1024 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// The test that the tools could see.
    pub visible: bool,
    pub hidden: bool,
}

impl Score {
    pub fn is_solved(self) -> bool {
        self.visible && self.hidden
    }
}

/// Looks at what a tool left in `worked`. Tests and everything else the work is not about count as they were.
pub fn score(exercise: &Exercise, worked: &Path) -> Result<Score> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let (copy, home) = (folder.path().join("copy"), folder.path().join("home"));
    fs::create_dir_all(&home)?;
    files::copy(&exercise.repository(), &copy)?;
    bring_over(exercise, worked, &copy)?;
    let test = |command: &str| -> Result<bool> {
        let mut shell = Command::new("sh");
        shell.env("GOCACHE", std::env::temp_dir().join(GO_CACHE));
        let (end, _) =
            process::run(shell.args(["-c", command]).current_dir(&copy), &home, &home.join("said"), TEST_LIMIT)?;
        Ok(end == End::ByItself(Some(0)))
    };
    let visible = test(&exercise.about.test)?;
    files::copy(&exercise.hidden(), &copy)?;
    Ok(Score { visible, hidden: test(&exercise.about.hidden_test)? })
}

/// Files that the work is about as they are now, and new ones that are no tests.
fn bring_over(exercise: &Exercise, worked: &Path, copy: &Path) -> Result<()> {
    let repository = exercise.repository();
    for file in exercise.about.editable.iter().filter(|file| !worked.join(file).exists()) {
        fs::remove_file(copy.join(file))?;
    }
    for file in files::all(worked).with_context(|| format!("cannot read {}", worked.display()))? {
        let is_editable = exercise.about.editable.iter().any(|editable| Path::new(editable) == file);
        let is_new = !repository.join(&file).exists() && !is_test(&file);
        let is_small = worked.join(&file).metadata().is_ok_and(|metadata| metadata.len() <= LARGEST_FILE);
        if (is_editable || is_new) && is_small {
            files::copy_one(&worked.join(&file), &copy.join(&file))?;
        }
    }
    Ok(())
}

/// Tests of a tool's own are neither asked for nor counted, and would be found by the exercise's test command.
fn is_test(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let in_tests = file.components().any(|part| part.as_os_str() == "tests");
    let stem = name.split('.').next().unwrap_or_default();
    in_tests || stem.starts_with("test") || stem.ends_with("_test") || name.contains(".test.")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change<'a> = &'a dyn Fn(&Path);

    fn seats(change: impl Fn(&Path)) -> Score {
        let exercise = Exercise::named(&["python-seat-map".to_owned()]).unwrap().remove(0);
        let worked = tempfile::tempdir().unwrap();
        files::copy(&exercise.repository(), worked.path()).unwrap();
        change(worked.path());
        score(&exercise, worked.path()).unwrap()
    }

    fn replace(folder: &Path, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(folder.join(file), text.replace(from, to)).unwrap();
    }

    #[test]
    fn only_work_on_the_program_counts() {
        if files::in_path("python3").is_none() {
            return testkit::skipped("`python3` is not in PATH");
        }
        let right = |folder: &Path| replace(folder, "seats.py", "% self.width\n", "% self.width + 1\n");
        let cases: [(&str, Change<'_>, Score); 5] = [
            ("right", &right, Score { visible: true, hidden: true }),
            ("the test was changed", &|folder| replace(folder, "test_seats.py", "\"A1\"", "\"A0\""), Score::default()),
            ("the tests are gone", &|folder| fs::remove_file(folder.join("test_seats.py")).unwrap(), Score::default()),
            (
                "it knows the test's cases",
                &|folder| {
                    let known = "number = 1 if seat in (0, 10) else seat % self.width\n";
                    replace(folder, "seats.py", "number = seat % self.width\n", known);
                },
                Score { visible: true, hidden: false },
            ),
            (
                "right, with a test of its own that fails",
                &|folder| {
                    right(folder);
                    fs::write(folder.join("test_more.py"), "import nothing\n").unwrap();
                },
                Score { visible: true, hidden: true },
            ),
        ];
        for (what, change, expected) in cases {
            assert_eq!(seats(change), expected, "{what}");
        }
        assert_eq!(seats(|folder| fs::remove_file(folder.join("seats.py")).unwrap()), Score::default());
    }
}
