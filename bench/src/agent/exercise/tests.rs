//! Every exercise can be done: its tests fail before, and pass with the solution that lies beside it.

use super::*;
use crate::agent::score::{self, Score};
use std::collections::BTreeSet;

fn of_a_language(language: Language) {
    for exercise in Exercise::named(&[]).unwrap().iter().filter(|exercise| exercise.about.language == language) {
        if let Some(program) = exercise.missing_program() {
            testkit::skipped_part(&exercise.name, &format!("`{program}` is not in PATH"));
            continue;
        }
        let worked = tempfile::tempdir().unwrap();
        files::copy(&exercise.repository(), worked.path()).unwrap();
        assert_eq!(score::score(exercise, worked.path()).unwrap(), Score::default(), "{} before", exercise.name);
        files::copy(&exercise.folder.join("solution"), worked.path()).unwrap();
        let all = Score { visible: true, hidden: true };
        assert_eq!(score::score(exercise, worked.path()).unwrap(), all, "{} with its solution", exercise.name);
    }
}

#[test]
fn exercises_in_c_can_be_done() {
    of_a_language(Language::C);
}

#[test]
fn exercises_in_go_can_be_done() {
    of_a_language(Language::Go);
}

#[test]
fn exercises_in_javascript_can_be_done() {
    of_a_language(Language::Javascript);
}

#[test]
fn exercises_in_python_can_be_done() {
    of_a_language(Language::Python);
}

#[test]
fn exercises_in_rust_can_be_done() {
    of_a_language(Language::Rust);
}

#[test]
fn exercises_in_shell_can_be_done() {
    of_a_language(Language::Shell);
}

#[test]
fn descriptions_are_about_files_that_are_there() {
    let exercises = Exercise::named(&[]).unwrap();
    assert_eq!(exercises.len(), 24);
    for exercise in &exercises {
        let Description { level, editable, .. } = &exercise.about;
        assert!((1..=3).contains(level), "{}: level {level}", exercise.name);
        let there: BTreeSet<_> = files::all(&exercise.repository()).unwrap().into_iter().collect();
        for file in editable {
            assert!(there.contains(Path::new(file)), "{}: {file} is not in its repository", exercise.name);
        }
        for file in files::all(&exercise.folder.join("solution")).unwrap() {
            let may = !there.contains(&file) || editable.iter().any(|editable| Path::new(editable) == file);
            assert!(may, "{}: the solution changes {}, which would be put back", exercise.name, file.display());
        }
    }
}

#[test]
fn a_name_that_is_no_exercise_is_refused() {
    assert_eq!(Exercise::named(&["rust-dice".to_owned(), "go-".to_owned()]).unwrap().len(), 4);
    let error = Exercise::named(&["cobol".to_owned()]).err().unwrap();
    assert!(error.to_string().contains("no exercise `cobol`; there are c-fields,"), "{error}");
}
