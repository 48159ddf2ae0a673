//! A repository inside the tree, so that tools can look back and compare. It becomes theirs, and from then on the agent
//! leaves it alone. It borrows objects and shares nothing that can be written.

use super::{Error, git::Git};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

pub(super) struct Give<'a> {
    pub tree: &'a Path,
    pub branch: &'a str,
    /// What the branch is at.
    pub commit: &'a str,
    pub object_format: &'a str,
    /// Repositories that have the commit and its history.
    pub objects: &'a [PathBuf],
    /// An index of the files as they lie there, with everything git knows about them. `None`: they are read.
    pub index: Option<&'a Path>,
    /// Paths whose files lie there and that are links to other repositories in the commit.
    pub links: &'a [(Vec<u8>, String)],
    /// The repository whose history may end early.
    pub shallow: Option<&'a Path>,
}

const CONFIGURATION: &str =
    "[user]\n\tname = devmesh\n\temail = devmesh@localhost\n[gc]\n\tauto = 0\n[core]\n\tfileMode = true\n";

pub(super) fn give(give: &Give<'_>) -> Result<(), Error> {
    let folder = give.tree.join(".git");
    let git = Git::at(&folder);
    let format = format!("--object-format={}", give.object_format);
    let branch = format!("--initial-branch={}", give.branch);
    git.with_tree(give.tree, ["init", "--quiet", "--template=", &format, &branch]).done()?;
    let writing = Error::doing::<std::io::Error>("setting up the tools' repository");
    let appended = fs::File::options().append(true).open(folder.join("config"));
    appended.and_then(|mut file| file.write_all(CONFIGURATION.as_bytes())).map_err(writing)?;
    git.borrow_objects(give.objects)?;
    if let Some(shallow) = give.shallow.map(|folder| folder.join("shallow")).filter(|file| file.exists()) {
        fs::copy(shallow, folder.join("shallow")).map_err(Error::doing("marking where history ends"))?;
    }
    git.run(["update-ref", &format!("refs/heads/{}", give.branch), give.commit]).done()?;
    match give.index {
        None => {
            git.run(["read-tree", give.commit]).done()?;
            // Ends with 1 when something differs, which is no failure.
            git.with_tree(give.tree, ["update-index", "-q", "--refresh"]).ran().map(drop)
        }
        Some(index) => {
            fs::copy(index, folder.join("index")).map_err(Error::doing("giving the tree its index"))?;
            link(&git, give.links)
        }
    }
}

/// In the commit there is a link where the files lie.
fn link(git: &Git, links: &[(Vec<u8>, String)]) -> Result<(), Error> {
    if links.is_empty() {
        return Ok(());
    }
    let listed = git.run(["ls-files", "-z", "--cached"]).bytes()?;
    let is_below = |name: &[u8]| {
        links.iter().any(|(link, _)| name.strip_prefix(link.as_slice()).is_some_and(|rest| rest.starts_with(b"/")))
    };
    let mut gone = Vec::new();
    for name in super::git::zero_separated(&listed).filter(|name| is_below(name)) {
        gone.extend_from_slice(name);
        gone.push(0);
    }
    git.with_index(["update-index", "-z", "--force-remove", "--stdin"]).input(gone).done()?;
    let mut added = Vec::new();
    for (path, commit) in links {
        added.extend_from_slice(format!("160000 {commit}\t").as_bytes());
        added.extend_from_slice(path);
        added.push(0);
    }
    git.run(["update-index", "-z", "--index-info"]).input(added).done()
}
