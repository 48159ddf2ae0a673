//! Which command checks a project, from the names of its files and what a few of them say. The command runs in the job's
//! sandbox like any other; nothing is run to find it.

use super::Check;
use serde_json::Value;
use std::collections::BTreeSet;

/// Test files that are read to tell pytest from unittest.
const TEST_FILES: usize = 4;

/// A project as its sources have it, seen from where the job works.
pub(super) struct Project<'a> {
    names: &'a [String],
    /// Of those that [`wanted`] names.
    texts: &'a [(String, String)],
}

/// One kind of project: what it is known by, in words, and its command.
type Rule = fn(&Project<'_>) -> Option<(String, String)>;

/// The first that fits is taken: those whose output says most come first, `make` after what it would start.
const RULES: &[Rule] = &[cargo, go, node, python, maven, gradle, make];

/// Files whose text decides.
const TELLING: &[&str] = &[
    "package.json",
    "pyproject.toml",
    "setup.cfg",
    "tox.ini",
    "requirements.txt",
    "requirements-dev.txt",
    "dev-requirements.txt",
    "Makefile",
    "makefile",
    "GNUmakefile",
];

/// What has to be read before [`find`] can tell.
pub(super) fn wanted(names: &[String]) -> Vec<String> {
    let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let telling = TELLING.iter().filter(|name| known.contains(*name)).map(|name| (*name).to_owned());
    let tests = names.iter().filter(|name| is_python_test(name)).take(TEST_FILES).cloned();
    telling.chain(tests).collect()
}

/// The check of a project; `None` where it has no tests that are known.
pub(super) fn find(names: &[String], texts: &[(String, String)]) -> Option<Check> {
    let project = Project { names, texts };
    let (command, known_by) = RULES.iter().find_map(|rule| rule(&project))?;
    Some(Check { command, why: format!("found by {known_by}") })
}

impl Project<'_> {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.texts.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    fn says(&self, name: &str, words: &str) -> bool {
        self.text(name).is_some_and(|text| text.contains(words))
    }
}

fn found(command: &str, known_by: impl Into<String>) -> Option<(String, String)> {
    Some((command.to_owned(), known_by.into()))
}

fn cargo(project: &Project<'_>) -> Option<(String, String)> {
    project.has("Cargo.toml").then(|| found("cargo test", "Cargo.toml")).flatten()
}

fn go(project: &Project<'_>) -> Option<(String, String)> {
    project.has("go.mod").then(|| found("go test ./...", "go.mod")).flatten()
}

fn node(project: &Project<'_>) -> Option<(String, String)> {
    let package: Value = serde_json::from_str(project.text("package.json")?).ok()?;
    let script = package["scripts"]["test"].as_str().map(str::trim).unwrap_or_default();
    // What `npm init` writes.
    if !script.is_empty() && !script.contains("no test specified") {
        return match project.has("pnpm-lock.yaml") {
            true => found("pnpm test", "the script `test` in package.json and pnpm-lock.yaml"),
            false if project.has("yarn.lock") => found("yarn test", "the script `test` in package.json and yarn.lock"),
            false => found("npm test", "the script `test` in package.json"),
        };
    }
    let depends_on =
        |name: &str| ["devDependencies", "dependencies"].iter().any(|kind| package[*kind].get(name).is_some());
    match (depends_on("vitest"), depends_on("jest")) {
        (true, _) => found("npx --no-install vitest run", "vitest in package.json"),
        (_, true) => found("npx --no-install jest", "jest in package.json"),
        _ => None,
    }
}

fn python(project: &Project<'_>) -> Option<(String, String)> {
    const PYTEST: &str = "python3 -m pytest -q";
    let tests: Vec<&String> = project.names.iter().filter(|name| is_python_test(name)).collect();
    let first = tests.first()?;
    let configured = [
        ("pytest.ini", ""),
        ("conftest.py", ""),
        ("tests/conftest.py", ""),
        ("pyproject.toml", "[tool.pytest"),
        ("setup.cfg", "[tool:pytest]"),
        ("tox.ini", "[pytest]"),
        ("requirements.txt", "pytest"),
        ("requirements-dev.txt", "pytest"),
        ("dev-requirements.txt", "pytest"),
        ("pyproject.toml", "pytest"),
    ];
    let is_so =
        |(name, words): &&(&str, &str)| if words.is_empty() { project.has(name) } else { project.says(name, words) };
    if let Some((name, _)) = configured.iter().find(is_so) {
        return found(PYTEST, *name);
    }
    let for_pytest =
        |text: &str| text.contains("import pytest") || text.lines().any(|line| line.starts_with("def test_"));
    if tests.iter().filter_map(|name| project.text(name)).any(for_pytest) {
        return found(PYTEST, first.as_str());
    }
    // unittest only looks into folders that are packages, or that it is told of.
    let folders: BTreeSet<&str> =
        tests.iter().map(|name| name.rsplit_once('/').map_or("", |(folder, _)| folder)).collect();
    match folders.into_iter().collect::<Vec<_>>()[..] {
        [folder] if !folder.is_empty() && !project.has(&format!("{folder}/__init__.py")) && is_plain(folder) => {
            found(&format!("python3 -m unittest discover -s {folder}"), first.as_str())
        }
        _ => found("python3 -m unittest", first.as_str()),
    }
}

fn maven(project: &Project<'_>) -> Option<(String, String)> {
    let command = if project.has("mvnw") { "sh ./mvnw -B -o test" } else { "mvn -B -o test" };
    project.has("pom.xml").then(|| found(command, "pom.xml")).flatten()
}

fn gradle(project: &Project<'_>) -> Option<(String, String)> {
    let build = ["build.gradle", "build.gradle.kts"].into_iter().find(|name| project.has(name))?;
    let command = if project.has("gradlew") { "sh ./gradlew --offline test" } else { "gradle --offline test" };
    found(command, build)
}

fn make(project: &Project<'_>) -> Option<(String, String)> {
    let file = ["GNUmakefile", "makefile", "Makefile"].into_iter().find(|name| project.has(name))?;
    let has = |target: &str| {
        let rule = |line: &str| {
            line.strip_prefix(target).is_some_and(|rest| rest.trim_start().starts_with(':') && !rest.contains(":="))
        };
        project.text(file).is_some_and(|text| text.lines().any(rule))
    };
    let target = ["test", "check"].into_iter().find(|target| has(target))?;
    found(&format!("make {target}"), format!("the target `{target}` in {file}"))
}

fn is_python_test(name: &str) -> bool {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let is_installed =
        folder.split('/').any(|part| matches!(part, "node_modules" | "site-packages" | ".venv" | "venv"));
    let stem = file.strip_suffix(".py");
    !is_installed && stem.is_some_and(|stem| stem.starts_with("test_") || stem.ends_with("_test"))
}

/// Whether a shell takes it as one word.
fn is_plain(folder: &str) -> bool {
    folder.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'.'))
        && !folder.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)]) -> String {
        let names: Vec<String> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
        let wanted = wanted(&names);
        let texts: Vec<(String, String)> = files
            .iter()
            .filter(|(name, _)| wanted.iter().any(|wanted| wanted == name))
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        match find(&names, &texts) {
            Some(Check { command, why }) => format!("{command} -- {why}"),
            None => "none".into(),
        }
    }

    #[test]
    fn each_kind_of_project_is_known_by_its_files() {
        let unittest = "import unittest\nclass Test(unittest.TestCase):\n    def test_it(self): pass\n";
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("Cargo.toml", ""), ("src/lib.rs", "")], "cargo test -- found by Cargo.toml"),
            (&[("go.mod", ""), ("a.go", "")], "go test ./... -- found by go.mod"),
            (
                &[("package.json", r#"{"scripts": {"test": "vitest"}}"#)],
                "npm test -- found by the script `test` in package.json",
            ),
            (
                &[("package.json", r#"{"scripts": {"test": "jest"}}"#), ("pnpm-lock.yaml", "")],
                "pnpm test -- found by the script `test` in package.json and pnpm-lock.yaml",
            ),
            (
                &[("package.json", r#"{"devDependencies": {"vitest": "4"}}"#)],
                "npx --no-install vitest run -- found by vitest in package.json",
            ),
            (&[("package.json", r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#)], "none"),
            (
                &[("package.json", "{"), ("Makefile", "test: all\n\ttrue\n")],
                "make test -- found by the target `test` in Makefile",
            ),
            (&[("a.py", ""), ("test_a.py", unittest)], "python3 -m unittest -- found by test_a.py"),
            (&[("tests/test_a.py", unittest)], "python3 -m unittest discover -s tests -- found by tests/test_a.py"),
            (
                &[("tests/__init__.py", ""), ("tests/test_a.py", unittest)],
                "python3 -m unittest -- found by tests/test_a.py",
            ),
            (&[("test_a.py", "def test_a():\n    assert True\n")], "python3 -m pytest -q -- found by test_a.py"),
            (&[("conftest.py", ""), ("a_test.py", unittest)], "python3 -m pytest -q -- found by conftest.py"),
            (
                &[("pyproject.toml", "[tool.pytest.ini_options]\n"), ("t/test_a.py", "")],
                "python3 -m pytest -q -- found by pyproject.toml",
            ),
            (&[("pyproject.toml", "[project]\n"), ("a.py", "")], "none"),
            (&[("pom.xml", "")], "mvn -B -o test -- found by pom.xml"),
            (&[("build.gradle.kts", ""), ("gradlew", "")], "sh ./gradlew --offline test -- found by build.gradle.kts"),
            (&[("Makefile", "all:\n"), ("a.c", "")], "none"),
            (&[("Makefile", "test := 1\ncheck:\n")], "make check -- found by the target `check` in Makefile"),
            (&[("README.md", "pytest")], "none"),
            (&[(".venv/lib/site-packages/test_x.py", "")], "none"),
            (&[("sub/Cargo.toml", "")], "none"),
        ];
        for (files, expected) in cases {
            assert_eq!(check(files), *expected, "{files:?}");
        }
    }

    #[test]
    fn a_folder_with_an_odd_name_reaches_no_shell() {
        let found = check(&[("a; rm -rf x/test_a.py", "import unittest")]);
        assert_eq!(found, "python3 -m unittest -- found by a; rm -rf x/test_a.py");
    }
}
