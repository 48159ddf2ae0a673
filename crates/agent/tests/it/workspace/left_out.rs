//! What is part of the work, what is not, and that the difference is told.

use super::{Desk, git, tree, write};
use std::fs;

async fn changed(workspace: &agent::workspace::Workspace) -> Vec<String> {
    workspace.changed_files().await.unwrap().into_iter().map(|file| file.path).collect()
}

#[tokio::test]
async fn what_write_file_made_is_always_part_of_it() {
    let desk = Desk::with_repository().await;
    desk.write(".gitignore", ".env\nbuild/\n*.log\n");
    desk.commit("ignore");
    let workspace = desk.prepare(None).await.unwrap();
    for path in [".env", "build/report.html", "node_modules/own.js"] {
        workspace.write(path, "written\n").await.unwrap().unwrap();
    }
    write(&tree(&workspace).join("build/output.bin"), "by a command\n");
    write(&tree(&workspace).join("run.log"), "by a command\n");
    workspace.checkpoint(1).await.unwrap();
    assert_eq!(changed(&workspace).await, [".env", "build/report.html", "node_modules/own.js"]);
    assert_eq!(
        workspace.left_out().as_deref(),
        Some("not in the patch, because a .gitignore names it or builds and installs leave it behind: `run.log`")
    );
    // From then on it is followed like any other file.
    write(&tree(&workspace).join(".env"), "changed by a command\n");
    workspace.checkpoint(2).await.unwrap();
    let patch = String::from_utf8(workspace.patch().await.unwrap()).unwrap();
    assert!(patch.contains("+changed by a command"), "{patch}");
}

#[tokio::test]
async fn what_was_added_by_force_is_part_of_it() {
    let desk = Desk::with_repository().await;
    desk.write(".gitignore", "generated/\n");
    desk.commit("ignore");
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    write(&tree.join("generated/api.ts"), "export {}\n");
    write(&tree.join("generated/other.ts"), "export {}\n");
    git(&tree, &["add", "-f", "generated/api.ts"]);
    workspace.checkpoint(1).await.unwrap();
    assert_eq!(changed(&workspace).await, ["generated/api.ts"]);
    fs::write(tree.join(".git/index"), "garbage").unwrap();
    write(&tree.join("a.txt"), "two\n");
    workspace.checkpoint(2).await.unwrap();
    assert_eq!(changed(&workspace).await, ["a.txt", "generated/api.ts"]);
}

#[tokio::test]
async fn litter_is_no_work_even_without_a_gitignore() {
    let desk = Desk::with_repository().await;
    desk.write("Cargo.toml", "[package]\n");
    desk.write("web/package.json", "{}\n");
    desk.write("dist/kept.js", "tracked\n");
    desk.commit("manifests");
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    for path in [
        "pkg/__pycache__/m.cpython-311.pyc",
        "m.pyc",
        "node_modules/left-pad/index.js",
        "target/debug/build.txt",
        "web/dist/bundle.js",
        ".venv/bin/activate",
        "cache/CACHEDIR.TAG",
        "cache/data",
    ] {
        write(&tree.join(path), "litter\n");
    }
    let mut program = b"\x7fELF\x02\x01\x01\0".to_vec();
    program.resize(100, 0);
    fs::write(tree.join("a.out"), &program).unwrap();
    fs::write(tree.join("large.bin"), vec![0; 9 << 20]).unwrap();
    for path in ["src/target/model.rs", "build/notes.md", "dist/new.js", "picture.png"] {
        write(&tree.join(path), "work\n");
    }
    fs::write(tree.join("picture.png"), b"\x89PNG\r\n\x1a\n\0\0").unwrap();
    workspace.checkpoint(1).await.unwrap();
    assert_eq!(changed(&workspace).await, ["build/notes.md", "dist/new.js", "picture.png", "src/target/model.rs"]);
    let told = workspace.left_out().unwrap();
    for name in ["`a.out`", "`node_modules/`", "`target/`", "`web/dist/`", "`.venv/`", "`cache/`", "`m.pyc`"] {
        assert!(told.contains(name), "{name}: {told}");
    }
    let notes = workspace.take_notes();
    assert!(matches!(&notes[..], [note] if note.starts_with("`large.bin` is binary, has 9 MiB")), "{notes:?}");
}

/// The same as git says, for the rules that people write.
#[tokio::test]
async fn rules_of_a_tree_mean_what_git_says_they_mean() {
    let desk = Desk::with_repository().await;
    desk.write(
        ".gitignore",
        "*.tmp\n!keep.tmp\n/root-only\ndocs/**/gen\na/*\n!a/b/\nspace\\ \n#comment\n\\#hash\n*.[ab]\n",
    );
    desk.write("sub/.gitignore", "!*.tmp\nlocal\n");
    desk.write("sub/deep/.gitignore", "*.md\n");
    desk.commit("rules");
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    for path in [
        "x.tmp",
        "keep.tmp",
        "root-only",
        "sub/root-only",
        "docs/gen",
        "docs/1/2/gen/file",
        "a/file",
        "a/b/file",
        "space ",
        "#hash",
        "x.a",
        "x.c",
        "sub/y.tmp",
        "sub/local",
        "sub/deep/r.md",
        "sub/deep/r.txt",
        "sub/deep/local",
        "local",
        "naïve.tmp",
        "ünïcode.txt",
    ] {
        write(&tree.join(path), "x\n");
    }
    let mut expected: Vec<String> = git(&tree, &["ls-files", "-z", "--others", "--exclude-standard"])
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    expected.sort();
    workspace.checkpoint(1).await.unwrap();
    let mut found = changed(&workspace).await;
    found.sort();
    assert_eq!(found, expected);
    assert!(found.len() >= 8, "{found:?}");
}
