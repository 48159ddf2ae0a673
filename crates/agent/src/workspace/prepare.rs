//! Makes a working copy: from a step of an earlier attempt, else from the source.

use super::{
    Error, Notes, Prepare, Resume, SOURCE_BYTES, Step, Workspace, blocking, checkpoint, copy, doing, files,
    git::{Git, is_object_id, zero_separated},
    source::{self, RepositoryAt, Source},
    tidy,
};
use crate::sandbox::Place;
use domain::JobId;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

/// Commits of history the tree's own repository gets: enough to look back, whatever the repository's age. One where the
/// history is larger than a source may be.
const HISTORY: &str = "--depth=1000";
/// Longest part of a branch name made from the task, in bytes.
const SLUG_BYTES: usize = 40;

/// What there is to commit steps on.
struct Beginning {
    start: String,
    head: String,
    base_commit: String,
    branch: String,
    resumed_from: Option<String>,
    /// The start leaves out links to other repositories, so the tree's own index is not ours.
    has_links: bool,
    /// Where the tree's own repository gets its history.
    history: Option<PathBuf>,
}

impl Workspace {
    /// Makes the folder of the attempt and everything in it. Takes as long as copying the source takes. Dropping the
    /// future leaves a folder that [`super::tidy`] removes.
    pub async fn prepare(prepare: Prepare) -> Result<Self, Error> {
        let folder = tidy::attempt_folder(&prepare.folder, prepare.job, prepare.attempt);
        let (root, made) = (prepare.folder.clone(), folder.clone());
        let (git, lock) = blocking(move || make_folders(&root, &made)).await??;
        let tree = folder.join("tree");
        let mut notes = Notes::default();

        let beginning = match &prepare.resume {
            Some(resume) => match resumed(&git, &prepare, resume).await {
                Ok(beginning) => Some(beginning),
                Err(error) => {
                    notes
                        .add(format!("the steps of the attempt before cannot be gone on from, starting over: {error}"));
                    None
                }
            },
            None => None,
        };
        let beginning = match beginning {
            Some(beginning) => beginning,
            None => {
                // Whatever a failed resume left.
                let (emptied, empty) = (git.clone(), tree.clone());
                blocking(move || clear(&emptied, &empty)).await??;
                fresh(&prepare, &git, &tree, &mut notes).await?
            }
        };

        let reference = checkpoint::reference(prepare.attempt);
        git.bare(["update-ref", &reference, &beginning.head]).bytes().await?;
        if let Err(error) = give_repository(&git, &tree, &beginning).await {
            notes.add(format!("git cannot be used inside the workspace: {error}"));
        }
        let (owned, owner) = (tree.clone(), prepare.owner);
        blocking(move || files::hand_over(&owned, owner)).await?.map_err(doing(|| "handing the tree to its user"))?;
        // Owners and times are part of how git knows a file unchanged; without this every step would read all files.
        checkpoint::refresh(&git, &tree).await?;

        let names = git.bare(["ls-tree", "-r", "-z", "--name-only", "--full-tree", &beginning.start]).bytes().await?;
        let mut names: Vec<_> = zero_separated(&names).map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        names.sort_unstable();
        if let Some(resume) = &prepare.resume
            && beginning.resumed_from.is_some()
        {
            tidy::after_resume(&prepare.folder, prepare.job, prepare.attempt, &resume.location).await?;
        }
        let commit = beginning.head.clone();
        let tree_id = git.bare(["rev-parse", &format!("{commit}^{{tree}}")]).line().await?;
        Ok(Self {
            place: Place { tree, scratch: folder.join("scratch") },
            git,
            base_commit: beginning.base_commit,
            branch: beginning.branch,
            resumed_from: beginning.resumed_from,
            start: beginning.start,
            head: beginning.head,
            files: names,
            reference,
            state: tokio::sync::Mutex::new(Step { commit, tree: tree_id }),
            notes: Mutex::new(notes),
            _lock: lock,
        })
    }
}

fn make_folders(root: &Path, folder: &Path) -> Result<(Git, tidy::Lock), Error> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        doing(move || format!("making the folder {path}"))
    };
    fs::create_dir_all(root).map_err(failed(root))?;
    if let Some(job) = folder.parent() {
        files::make_passage(job).map_err(failed(job))?;
    }
    // An attempt has its number once; what is here was begun by a call that did not finish.
    files::remove(folder).map_err(doing(|| format!("removing what was left in {}", folder.display())))?;
    files::make_passage(folder).map_err(failed(folder))?;
    for below in ["tree", "scratch"] {
        files::make_passage(&folder.join(below)).map_err(failed(folder))?;
    }
    files::make_private(&folder.join("git")).map_err(failed(folder))?;
    let lock = tidy::lock(folder)?.ok_or_else(|| Error::Io {
        what: format!("locking {}", folder.display()),
        source: std::io::ErrorKind::WouldBlock.into(),
    })?;
    Ok((git_of(folder)?, lock))
}

fn git_of(folder: &Path) -> Result<Git, Error> {
    Git::new(folder.join("git")).map_err(doing(|| "writing git's configuration"))
}

fn clear(git: &Git, tree: &Path) -> Result<(), Error> {
    for folder in [git.folder(), tree] {
        files::remove_all(folder).map_err(doing(|| format!("emptying {}", folder.display())))?;
    }
    files::make_private(git.folder()).map_err(doing(|| "making the git folder"))?;
    files::make_passage(tree).map_err(doing(|| "making the tree"))
}

/// Stronger than any `.gitattributes` of the tree: files are bytes, in and out. Line ends and encodings are not touched,
/// and a file of attributes that makes no sense stops nothing.
const ATTRIBUTES: &str = "* -text !eol -ident !filter !working-tree-encoding !diff !merge\n";

async fn init(git: &Git, object_format: &str) -> Result<(), Error> {
    let format = format!("--object-format={object_format}");
    let folder = git.folder().as_os_str();
    let options = ["init", "--quiet", "--bare", "--template=", &format, "--initial-branch=main", "--"];
    git.anywhere(git.folder(), options.iter().map(std::ffi::OsStr::new).chain([folder])).bytes().await?;
    let info = git.folder().join("info");
    fs::create_dir_all(&info)
        .and_then(|()| fs::write(info.join("attributes"), ATTRIBUTES))
        .map_err(doing(|| "setting git's attributes"))
}

/// Fetches exactly one commit, with nothing it is based on.
async fn fetch(git: &Git, from: &Path, commit: &str, depth: Option<&str>) -> Result<(), Error> {
    let wanted = format!("{commit}:refs/devmesh/fetched");
    let fixed = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--update-shallow"];
    let fixed = fixed.into_iter().chain(depth).chain(["--"]).map(std::ffi::OsStr::new);
    git.bare(fixed.chain([from.as_os_str(), wanted.as_ref()])).bytes().await.map(drop)
}

/// Goes on from a step. Only the recorded commit is looked at, never what a ref of the old attempt says now.
async fn resumed(git: &Git, prepare: &Prepare, resume: &Resume) -> Result<Beginning, Error> {
    let wrong = |what: &str| Err(Error::Source(what.to_owned()));
    let job = tidy::job_folder(&prepare.folder, prepare.job);
    if resume.location.parent().and_then(Path::parent) != Some(&job) || !resume.location.ends_with("git") {
        return wrong("they are not in this agent's folder");
    }
    if !resume.location.is_dir() {
        return wrong("they are not on this machine any more");
    }
    if ![&resume.commit, &resume.base_commit].into_iter().all(|commit| is_object_id(commit)) {
        return wrong("the log names something that is not a commit id");
    }
    // Keeps tidying away from it meanwhile; an attempt that still runs does so by itself.
    let _keep = resume.location.parent().map(tidy::lock).transpose()?;
    let format = git.anywhere(&resume.location, ["rev-parse", "--show-object-format"]).line().await?;
    init(git, &format).await?;
    fetch(git, &resume.location, &resume.commit, None).await?;
    let start = git.bare(["rev-list", "--max-parents=0", &resume.commit]).line().await?;
    git.bare(["update-ref", "-d", "refs/devmesh/fetched"]).bytes().await?;
    check_out(git, &tree_beside(git), &resume.commit).await?;
    let repository = prepare.repository.as_ref().map(|repository| PathBuf::from(&repository.path));
    Ok(Beginning {
        // Without the source's own history the start is as good as a base.
        has_links: false,
        history: repository.filter(|_| start != resume.base_commit),
        start,
        head: resume.commit.clone(),
        base_commit: resume.base_commit.clone(),
        branch: resume.branch.clone(),
        resumed_from: Some(resume.commit.clone()),
    })
}

async fn fresh(prepare: &Prepare, git: &Git, tree: &Path, notes: &mut Notes) -> Result<Beginning, Error> {
    let (found, note) = source::find(git, prepare.repository.as_ref()).await?;
    note.into_iter().for_each(|note| notes.add(note));
    let branch = branch_name(prepare.job, &prepare.task);
    match found {
        Source::Repository(at) => {
            let (start, has_links) = from_repository(git, tree, &at).await?;
            source::uncommitted(git, &at).await.into_iter().for_each(|note| notes.add(note));
            let (base_commit, history) = (at.commit, Some(at.path));
            Ok(Beginning { head: start.clone(), start, base_commit, branch, resumed_from: None, has_links, history })
        }
        Source::Folder(folder) => {
            init(git, "sha1").await?;
            let (to, without) = (tree.to_path_buf(), prepare.folder.clone());
            let left_out = blocking(move || copy::copy(&folder, &to, &without)).await??;
            left_out.into_iter().for_each(|note| notes.add(note));
            checkpoint::stage(git, tree).await?.into_iter().for_each(|note| notes.add(note));
            from_index(git, branch).await
        }
        Source::Empty => {
            init(git, "sha1").await?;
            from_index(git, branch).await
        }
    }
}

async fn from_index(git: &Git, branch: String) -> Result<Beginning, Error> {
    let start = start_commit(git).await?;
    let (head, base_commit) = (start.clone(), start.clone());
    Ok(Beginning { start, head, base_commit, branch, resumed_from: None, has_links: false, history: None })
}

/// Fetches one commit and checks its files out. Returns the start made of them, and whether that leaves out links to
/// other repositories.
async fn from_repository(git: &Git, tree: &Path, at: &RepositoryAt) -> Result<(String, bool), Error> {
    init(git, &at.object_format).await?;
    fetch(git, &at.path, &at.commit, Some("--depth=1")).await?;
    let listing = git.bare(["ls-tree", "-r", "-z", "--long", "--full-tree", &at.commit]).bytes().await?;
    let (mut count, mut bytes) = (0, 0_u64);
    let mut links = Vec::new();
    for entry in zero_separated(&listing) {
        // mode, type, id, size, then a tab and the name
        let tab = entry.iter().position(|byte| *byte == b'\t').unwrap_or(entry.len());
        let about = String::from_utf8_lossy(&entry[..tab]);
        let mut about = about.split_ascii_whitespace();
        if about.next() == Some("160000") {
            links.extend_from_slice(&entry[(tab + 1).min(entry.len())..]);
            links.push(0);
            continue;
        }
        count += 1;
        bytes = bytes.saturating_add(about.nth(2).and_then(|size| size.parse().ok()).unwrap_or(0));
    }
    copy::within_limits(count, bytes, &at.path.display().to_string())?;
    git.bare(["read-tree", &at.commit]).bytes().await?;
    let has_links = !links.is_empty();
    if has_links {
        git.with_tree(tree, ["update-index", "-z", "--force-remove", "--stdin"]).input(links).bytes().await?;
    }
    let start = start_commit(git).await?;
    // The base commit served its purpose. Without it there is no history to be shallow about.
    git.bare(["update-ref", "-d", "refs/devmesh/fetched"]).bytes().await?;
    let shallow = git.folder().join("shallow");
    if shallow.exists() {
        fs::remove_file(&shallow).map_err(doing(|| "removing the shallow mark"))?;
    }
    check_out(git, tree, &start).await?;
    Ok((start, has_links))
}

/// A commit of the index without a past. It has no date either, so the same source gives the same start.
async fn start_commit(git: &Git) -> Result<String, Error> {
    const EPOCH: &str = "@0 +0000";
    let tree = git.bare(["write-tree"]).line().await?;
    let commit = git.bare(["commit-tree", &tree, "-m", "start"]);
    commit.environment("GIT_AUTHOR_DATE", EPOCH).environment("GIT_COMMITTER_DATE", EPOCH).line().await
}

/// Writes the files of a commit into the empty tree.
async fn check_out(git: &Git, tree: &Path, commit: &str) -> Result<(), Error> {
    git.bare(["read-tree", commit]).bytes().await?;
    git.with_tree(tree, ["checkout-index", "--all", "--force", "--quiet", "-u"]).bytes().await.map(drop)
}

/// A repository inside the tree, so that tools can look back and compare. It becomes theirs, and from then on the agent
/// leaves it alone. Nothing in it is shared with another repository, so nothing they do to it reaches further.
async fn give_repository(git: &Git, tree: &Path, beginning: &Beginning) -> Result<(), Error> {
    let format = git.bare(["rev-parse", "--show-object-format"]).line().await?;
    let format = format!("--object-format={format}");
    let branch = format!("--initial-branch={}", beginning.branch);
    git.anywhere(tree, ["init", "--quiet", "--template=", &format, &branch]).bytes().await?;
    for (name, value) in [("user.name", "devmesh"), ("user.email", "devmesh@localhost"), ("gc.auto", "0")] {
        git.anywhere(tree, ["config", name, value]).bytes().await?;
    }
    let fetch = async |from: &Path, commit: &str, depth: Option<&str>| {
        let wanted = format!("{commit}:refs/heads/{}", beginning.branch);
        let fixed = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"];
        let more = ["--update-shallow", "--update-head-ok"].into_iter().chain(depth).chain(["--"]);
        let fixed = fixed.into_iter().chain(more).map(std::ffi::OsStr::new);
        git.anywhere(tree, fixed.chain([from.as_os_str(), wanted.as_ref()])).bytes().await
    };
    let from_source = match &beginning.history {
        Some(source) => {
            let is_large = source::history_bytes(git, source).await > SOURCE_BYTES;
            let depth = if is_large { "--depth=1" } else { HISTORY };
            fetch(source, &beginning.base_commit, Some(depth)).await.is_ok()
        }
        None => false,
    };
    if !from_source {
        fetch(git.folder(), &beginning.start, None).await?;
    }
    match beginning.has_links {
        true => git.anywhere(tree, ["reset", "--quiet"]).bytes().await.map(drop),
        // The same files: their index is ours, with everything git knows about them.
        false => {
            let (from, to) = (git.folder().join("index"), tree.join(".git/index"));
            fs::copy(from, to).map(drop).map_err(doing(|| "giving the tree its index"))
        }
    }
}

fn tree_beside(git: &Git) -> PathBuf {
    git.folder().with_file_name("tree")
}

/// `devmesh/`, the beginning of the job's id, and the beginning of the task in characters every forge takes.
fn branch_name(job: JobId, task: &str) -> String {
    let mut slug = String::new();
    for character in task.chars() {
        let is_plain = character.is_ascii_alphanumeric();
        match is_plain {
            true => slug.push(character.to_ascii_lowercase()),
            false if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            false => {}
        }
        if slug.len() >= SLUG_BYTES {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    let id = job.to_string();
    let id = id.get(..8).unwrap_or(&id);
    if slug.is_empty() { format!("devmesh/{id}") } else { format!("devmesh/{id}-{slug}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_named_after_job_and_task() {
        let job: JobId = "0195f0a2-7d3c-7000-8000-000000000000".parse().unwrap();
        let name = |task: &str| branch_name(job, task);
        assert_eq!(
            name("Fix the off-by-one in `range()`!\n\nIt breaks."),
            "devmesh/0195f0a2-fix-the-off-by-one-in-range-it-breaks"
        );
        assert_eq!(name("…"), "devmesh/0195f0a2");
        assert_eq!(name("ÄÖÜ --force ../../x"), "devmesh/0195f0a2-force-x");
        assert!(name(&"long words ".repeat(1000)).len() <= "devmesh/0195f0a2-".len() + SLUG_BYTES);
    }
}
