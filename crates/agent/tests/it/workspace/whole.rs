//! The workspace is the repository: its folders, its submodules, and what a later attempt finds of what was there.

use super::{Desk, git, names, own, tree, try_git, write};
use agent::workspace::{Access, Prepare, Workspace};
use protocol::Folders;
use std::{fs, path::Path};

#[tokio::test]
async fn a_folder_of_a_repository_is_worked_on_in_the_whole_of_it() {
    let desk = Desk::with_repository().await;
    desk.write("README.md", "the same\n");
    desk.write("packages/app/README.md", "the same\n");
    desk.write(".gitignore", ".env\n");
    let base = desk.commit("packages");
    desk.write("packages/app/.env", "SECRET=1\n");
    let workspace = Workspace::prepare(desk.ask(1, &desk.source().join("packages/app"), None)).await.unwrap();
    assert_eq!((workspace.base_commit(), workspace.subfolder()), (base.as_str(), Path::new("packages/app")));
    assert_eq!(workspace.files_at_base(), ["README.md"], "as seen from there");
    let tree = tree(&workspace);
    assert_eq!(names(&tree), [".gitignore", "README.md", "a.txt", "packages/app/README.md", "src/lib.txt"]);
    assert_eq!(git(&tree, &["log", "--format=%s", "-1"]), "packages");

    workspace.write("README.md", "changed\n").await.unwrap().unwrap();
    workspace.write("../../src/lib.txt", "changed too\n").await.unwrap().unwrap();
    assert!(workspace.write("../../../outside", "x").await.unwrap().is_err());
    workspace.checkpoint(1).await.unwrap();
    let changed: Vec<_> = workspace.changed_files().await.unwrap().into_iter().map(|file| file.path).collect();
    assert_eq!(changed, ["packages/app/README.md", "src/lib.txt"], "relative to the top");
}

#[tokio::test]
async fn a_folder_that_is_no_part_of_the_repository_around_it_is_copied() {
    let desk = Desk::with_repository().await;
    desk.write(".gitignore", "own/\n");
    desk.commit("ignore");
    desk.write("own/file", "x");
    desk.write("new/file", "x");
    for (attempt, folder) in (1..).zip(["own", "new"]) {
        let workspace = Workspace::prepare(desk.ask(attempt, &desk.source().join(folder), None)).await.unwrap();
        assert_eq!((workspace.files_at_base(), workspace.subfolder()), (vec!["file".to_owned()], Path::new("")));
        assert!(workspace.take_notes()[0].contains("no part of the repository"));
    }
}

#[tokio::test]
async fn submodules_are_filled_from_the_users_checkout() {
    let desk = Desk::with_repository().await;
    let base = desk.folder.path();
    for (name, file) in [("inner", "i.c"), ("lib", "l.c")] {
        fs::create_dir(base.join(name)).unwrap();
        git(&base.join(name), &["init", "-q", "-b", "main"]);
        write(&base.join(name).join(file), "int x;\n");
        git(&base.join(name), &["add", "-A"]);
        git(&base.join(name), &["commit", "-qm", name]);
    }
    let add = |at: &Path, from: &str, path: &str| {
        let from = base.join(from);
        git(at, &["-c", "protocol.file.allow=always", "submodule", "add", "-q", from.to_str().unwrap(), path]);
        git(at, &["commit", "-qm", "submodule"]);
    };
    add(&base.join("lib"), "inner", "deep/inner");
    add(&desk.source(), "lib", "libs/lib");
    add(&desk.source(), "inner", "libs/gone");
    let update = ["-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init", "--recursive"];
    desk.git(&update);
    desk.git(&["submodule", "deinit", "-q", "-f", "libs/gone"]);
    fs::remove_dir_all(desk.source().join(".git/modules/libs/gone")).unwrap();

    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    assert_eq!(fs::read_to_string(tree.join("libs/lib/l.c")).unwrap(), "int x;\n");
    assert_eq!(fs::read_to_string(tree.join("libs/lib/deep/inner/i.c")).unwrap(), "int x;\n");
    assert_eq!(git(&tree, &["status", "--porcelain"]), "", "nothing looks deleted or new");
    let notes = workspace.take_notes();
    let expected = [
        "the files of the submodule `libs/gone` are not part of the workspace: it is not checked out",
        "submodules are in the workspace as plain files: libs/lib/deep/inner, libs/lib",
    ];
    assert_eq!(notes, expected);

    write(&tree.join("libs/lib/l.c"), "int y;\n");
    write(&tree.join("libs/lib/new.c"), "int z;\n");
    workspace.checkpoint(1).await.unwrap();
    let changed: Vec<_> = workspace.changed_files().await.unwrap().into_iter().map(|file| file.path).collect();
    assert_eq!(changed, ["libs/lib/l.c", "libs/lib/new.c"]);
    let patch = String::from_utf8(workspace.patch().await.unwrap()).unwrap();
    assert!(!patch.contains("160000"), "{patch}");
}

#[tokio::test]
async fn a_partial_clone_is_named_and_a_whole_one_made_of_it_works() {
    let desk = Desk::with_repository().await;
    desk.git(&["config", "uploadpack.allowFilter", "true"]);
    let (base, url) = (desk.folder.path(), format!("file://{}", desk.source().display()));
    git(base, &["clone", "-q", "--filter=blob:none", "--sparse", &url, "part"]);
    let part = base.join("part");
    let error = Workspace::prepare(desk.ask(1, &part, None)).await.unwrap_err();
    let words = error.to_string();
    assert!(error.is_callers() && words.contains("is a partial clone: 1 of the objects"), "{words}");
    // What the message says to do.
    git(&part, &["fetch", "-q", "--refetch", "--no-filter"]);
    let workspace = Workspace::prepare(desk.ask(2, &part, None)).await.unwrap();
    assert_eq!(workspace.files(), 2);
}

#[tokio::test]
async fn pointers_of_large_files_are_told() {
    let desk = Desk::with_repository().await;
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 1234567\n", "a".repeat(64));
    desk.write("model.bin", &pointer);
    desk.write(
        "words.txt",
        "version https://git-lfs.github.com/spec/v1 is what pointers begin with, as this does not\n",
    );
    desk.commit("large");
    let notes = desk.prepare(None).await.unwrap().take_notes();
    let expected = "1 files are pointers of Git LFS, and their content is not part of the workspace: model.bin";
    assert_eq!(notes, [expected]);
}

/// After an approval or a restart: everything is there, in no step or not.
#[tokio::test]
async fn the_next_attempt_takes_the_workspace_over_with_all_that_is_in_no_step() {
    let desk = Desk::with_repository().await;
    desk.write(".gitignore", "node_modules/\n");
    desk.commit("ignore");
    let first = desk.prepare(None).await.unwrap();
    let at = tree(&first);
    write(&at.join("a.txt"), "step\n");
    write(&at.join("node_modules/x/index.js"), "installed\n");
    write(&first.place().scratch.join("home/.cache/tool"), "cached\n");
    git(&at, &["commit", "-qam", "the model's own"]);
    let step = first.checkpoint(1).await.unwrap();
    let location = first.location().to_owned();
    drop(first);

    let desk_again = async |attempt: u32, step: &str| {
        let resume = agent::workspace::Resume {
            location: location.clone(),
            commit: step.to_owned(),
            base_commit: desk.git(&["rev-parse", "HEAD"]),
            branch: "devmesh/branch".to_owned(),
        };
        Workspace::prepare(Prepare { resume: Some(resume), ..desk.ask(attempt, &desk.source(), None) }).await.unwrap()
    };
    let second = desk_again(2, &step).await;
    assert_eq!((tree(&second), second.resumed_from()), (at.clone(), Some(step.as_str())));
    assert_eq!(second.take_notes(), Vec::<String>::new());
    assert_eq!(fs::read_to_string(at.join("node_modules/x/index.js")).unwrap(), "installed\n");
    assert_eq!(fs::read_to_string(second.place().scratch.join("home/.cache/tool")).unwrap(), "cached\n");
    assert_eq!(git(&at, &["log", "--format=%s", "-1"]), "the model's own");
    assert_eq!(second.checkpoint(1).await.unwrap(), step, "nothing changed");

    // A command was interrupted half way: its files are undone, what is ignored stays.
    write(&at.join("a.txt"), "half\n");
    write(&at.join("half/new.txt"), "half\n");
    fs::remove_file(at.join("src/lib.txt")).unwrap();
    write(&at.join("node_modules/y"), "installed too\n");
    drop(second);
    let third = desk_again(3, &step).await;
    assert_eq!(fs::read_to_string(at.join("a.txt")).unwrap(), "step\n");
    assert!(at.join("src/lib.txt").exists() && !at.join("half/new.txt").exists());
    assert!(at.join("node_modules/y").exists() && at.join("node_modules/x/index.js").exists());
    assert_eq!(third.take_notes(), ["3 files were put back to how the last step left them"]);
    assert_eq!(third.checkpoint(1).await.unwrap(), step);
}

/// The second job on a repository fetches nothing again, and neither sees the other's.
#[tokio::test]
async fn workspaces_of_one_repository_share_its_objects() {
    let desk = Desk::with_repository().await;
    let noise: String = (0..40_000_u64).map(|n| format!("{:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    desk.write("large.txt", &noise);
    desk.commit("large");
    let first = desk.prepare(None).await.unwrap();
    let other = Prepare {
        job: domain::JobId::new(domain::Clock::now(&domain::SystemClock)),
        ..desk.ask(1, &desk.source(), None)
    };
    let second = Workspace::prepare(other).await.unwrap();
    for workspace in [&first, &second] {
        let objects = |at: &Path| git(at, &["count-objects", "-v"]);
        let bytes = |text: String| -> u64 {
            let kibibytes =
                text.lines().filter_map(|line| line.strip_prefix("size-pack: ").or(line.strip_prefix("size: ")));
            kibibytes.map(|count| count.parse::<u64>().unwrap()).sum()
        };
        assert!(bytes(objects(workspace.location())) < 100, "{}", objects(workspace.location()));
        assert!(bytes(objects(&tree(workspace).join(".git"))) < 100);
        assert_eq!(git(&tree(workspace), &["log", "--format=%s"]), "large\nsecond\nfirst");
    }
    // The user's clone may go away meanwhile.
    fs::rename(desk.source(), desk.folder.path().join("moved")).unwrap();
    write(&tree(&first).join("large.txt"), "small\n");
    first.checkpoint(1).await.unwrap();
    assert!(first.patch().await.unwrap().len() > 100_000, "the patch has every line that went");
}

#[tokio::test]
async fn what_a_job_may_be_about_is_decided_on_real_paths() {
    let desk = Desk::with_repository().await;
    let (base, source) = (desk.folder.path().to_owned(), desk.source());
    write(&base.join("private/devmesh/admin-token"), "secret");
    write(&base.join("home/.ssh/id"), "key");
    write(&base.join("home/projects/file"), "x");
    std::os::unix::fs::symlink(base.join("private"), base.join("innocent")).unwrap();
    // A folder that says its repository is somewhere else.
    write(&base.join("pointer/.git"), &format!("gitdir: {}\n", base.join("private/repo/.git").display()));
    fs::create_dir_all(base.join("private/repo")).unwrap();
    git(&base.join("private/repo"), &["init", "-q"]);
    // One that borrows objects from there.
    git(&base, &["clone", "-q", "-s", source.to_str().unwrap(), "borrower"]);
    fs::write(
        base.join("borrower/.git/objects/info/alternates"),
        format!("{}\n", base.join("private/repo/.git/objects").display()),
    )
    .unwrap();
    let owner = Access {
        folders: Folders::Any,
        private: vec![base.join("private")],
        homes: vec![base.join("home")],
        ..Access::default()
    };
    let user = Access { folders: Folders::Roots, roots: vec![source.clone()], ..owner.clone() };
    let nobody = Access { roots: Vec::new(), ..user.clone() };
    let mut attempt = 0;
    let mut asked = async |access: &Access, path: &str| {
        attempt += 1;
        let ask = Prepare { access: access.clone(), ..desk.ask(attempt, &base.join(path), None) };
        Workspace::prepare(ask).await.map(drop).map_err(|error| (error.is_callers(), error.to_string()))
    };
    for path in
        ["private", "private/devmesh", "innocent/devmesh", "source/../private", "pointer", "borrower", "home", "."]
    {
        let (is_callers, words) = asked(&owner, path).await.unwrap_err();
        assert!(is_callers && !words.contains("secret"), "{path}: {words}");
    }
    let (_, words) = asked(&owner, "home/.ssh").await.unwrap_err();
    assert!(words.contains("known to hold secrets"), "{words}");
    for path in ["home/projects", "source"] {
        assert_eq!(asked(&owner, path).await, Ok(()), "{path}");
    }
    assert_eq!(asked(&user, "source").await, Ok(()));
    assert_eq!(asked(&user, "source/src").await, Ok(()));
    for path in ["home/projects", "innocent/devmesh", "."] {
        assert!(asked(&user, path).await.unwrap_err().1.contains("agents.roots"), "{path}");
    }
    assert!(asked(&nobody, "source").await.unwrap_err().1.contains("`agents.roots` is empty"));
}

/// An agent that may read everything is not sent to somebody else's repository by a file.
#[tokio::test]
async fn a_folder_leads_to_no_repository_of_another_user() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let desk = Desk::with_repository().await;
    let base = desk.folder.path();
    for path in super::fingerprint(&desk.source()).into_keys() {
        std::os::unix::fs::lchown(&path, Some(1234), Some(1234)).unwrap();
    }
    write(&base.join("pointer/.git"), &format!("gitdir: {}\n", desk.source().join(".git").display()));
    fs::create_dir(base.join("borrower")).unwrap();
    git(&base.join("borrower"), &["init", "-q"]);
    write(
        &base.join("borrower/.git/objects/info/alternates"),
        &format!("{}\n", desk.source().join(".git/objects").display()),
    );
    for (attempt, name) in (1..).zip(["pointer", "borrower"]) {
        let error = Workspace::prepare(desk.ask(attempt, &base.join(name), None)).await.unwrap_err();
        assert!(error.is_callers() && error.to_string().contains("belongs to another user"), "{name}: {error}");
    }
    assert_eq!(desk.prepare(None).await.unwrap().files(), 2, "named itself, it is worked on");
}

/// A root that is a folder of a repository does not open the rest of it.
#[tokio::test]
async fn a_root_below_a_repository_opens_nothing_above_it() {
    let desk = Desk::with_repository().await;
    let access = Access { roots: vec![desk.source().join("src")], ..Access::default() };
    let ask = Prepare { access, ..desk.ask(1, &desk.source().join("src"), None) };
    let workspace = Workspace::prepare(ask).await.unwrap();
    assert_eq!(workspace.files_at_base(), ["lib.txt"]);
    assert!(!try_git(&tree(&workspace), &["cat-file", "-e", "HEAD:a.txt"]).status.success());
}

#[tokio::test]
async fn addresses_are_cloned_where_the_configuration_says_so() {
    let desk = Desk::with_repository().await;
    desk.git(&["update-server-info"]);
    let server = super::GitServer::start(desk.source().join(".git"));
    let address = format!("{}/repo.git", server.url);
    let access = Access { remotes: vec![server.url.clone()], ..Access::default() };
    let asked = |attempt: u32, access: Access, address: &str| Prepare {
        access,
        repository: Some(protocol::Repository { path: address.to_owned(), reference: None }),
        ..desk.ask(attempt, &desk.source(), None)
    };
    let refused = Workspace::prepare(asked(1, Access::default(), &address)).await.unwrap_err();
    assert!(refused.is_callers() && refused.to_string().contains("agents.remotes"), "{refused}");
    assert_eq!(server.requests(), 0, "nobody was asked");
    let workspace = Workspace::prepare(asked(2, access.clone(), &address)).await.unwrap();
    assert_eq!(names(&tree(&workspace)), ["a.txt", "src/lib.txt"]);
    assert_eq!(workspace.base_commit(), desk.git(&["rev-parse", "HEAD"]));
    assert!(server.requests() > 0);
    let elsewhere = Access { remotes: vec!["https://devmesh.invalid/".to_owned()], ..Access::default() };
    let refused = Workspace::prepare(asked(3, elsewhere, "https://devmesh.invalid/x")).await.unwrap_err();
    assert!(refused.to_string().contains("`egress`"), "{refused}");
    let missing = Workspace::prepare(asked(4, access, &format!("{}/nothing.git", server.url))).await.unwrap_err();
    assert!(missing.is_callers() && missing.to_string().contains("cannot be cloned"), "{missing}");
    own(&tree(&workspace).join("a.txt"));
}
