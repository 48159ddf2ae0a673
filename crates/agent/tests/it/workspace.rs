//! Real repositories and folders, kind and hostile, through the real git.

mod hostile;
mod hostile_trees;
mod left_out;
mod resuming;
mod sources;
mod steps;
mod tidying;
mod whole;

use agent::{
    sandbox::Sandbox,
    workspace::{Access, Error, Prepare, Resume, Workspace},
};
use domain::{Clock, JobId, SystemClock};
use protocol::{Folders, Repository};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, lchown},
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// A user's folder and an agent's.
pub struct Desk {
    pub folder: TempDir,
    pub job: JobId,
    pub sandbox: Arc<Sandbox>,
}

/// What this machine can do is found out once for all tests.
async fn sandbox() -> Arc<Sandbox> {
    static PROBED: OnceCell<(Arc<Sandbox>, TempDir)> = OnceCell::const_new();
    let probe = async || {
        let folder = tempfile::Builder::new().prefix("probe-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let options = agent::sandbox::Options::new(folder.path().join("workspaces"), Vec::new());
        (Arc::new(Sandbox::probe(options).await.unwrap()), folder)
    };
    PROBED.get_or_init(probe).await.0.clone()
}

impl Desk {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Without a private root folder helpers reach their folders by their path from outside, as another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::create_dir(folder.path().join("source")).unwrap();
        Self { folder, job: JobId::new(SystemClock.now()), sandbox: sandbox().await }
    }

    /// With a repository of two commits: `main` has `a.txt` and `src/lib.txt`, tag `first` only `a.txt`.
    pub async fn with_repository() -> Self {
        let desk = Self::new().await;
        desk.git(&["init", "-q", "-b", "main"]);
        desk.write("a.txt", "one\n");
        desk.commit("first");
        desk.git(&["tag", "first"]);
        desk.write("src/lib.txt", "line 1\nline 2\nline 3\n");
        desk.commit("second");
        desk
    }

    pub fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    pub fn workspaces(&self) -> PathBuf {
        self.folder.path().join("workspaces")
    }

    pub fn write(&self, name: &str, content: &str) {
        write(&self.source().join(name), content);
    }

    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.source(), arguments)
    }

    pub fn ask(&self, attempt: u32, path: &Path, reference: Option<&str>) -> Prepare {
        let repository = Repository { path: path.display().to_string(), reference: reference.map(str::to_owned) };
        Prepare {
            folder: self.workspaces(),
            job: self.job,
            attempt,
            task: "Mend it".to_owned(),
            repository: Some(repository),
            resume: None,
            mesh: "test".to_owned(),
            sandbox: self.sandbox.clone(),
            access: Access { folders: Folders::Any, ..Access::default() },
            disk: agent::disk::Bounds::default(),
            cancel: CancellationToken::new(),
        }
    }

    pub async fn prepare(&self, reference: Option<&str>) -> Result<Workspace, Error> {
        Workspace::prepare(self.ask(1, &self.source(), reference)).await
    }

    /// As a later attempt would be told of `commit` of `workspace`.
    pub async fn resume(&self, attempt: u32, workspace: &Workspace, commit: &str) -> Workspace {
        let resume = Resume {
            location: workspace.location().to_owned(),
            commit: commit.to_owned(),
            base_commit: workspace.base_commit().to_owned(),
            branch: workspace.branch().to_owned(),
        };
        let ask = Prepare { resume: Some(resume), ..self.ask(attempt, &self.source(), None) };
        Workspace::prepare(ask).await.unwrap()
    }
}

/// As who owns the folder it lies in, as a command would in a tree.
pub fn write(path: &Path, content: &str) {
    let parent = path.parent().unwrap();
    let missing: Vec<_> = parent.ancestors().take_while(|folder| !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        fs::create_dir(folder).unwrap();
        own(folder);
    }
    fs::write(path, content).unwrap();
    own(path);
}

/// Gives `path` to whoever owns the folder it lies in.
pub fn own(path: &Path) {
    let folder = fs::metadata(path.parent().unwrap()).unwrap();
    lchown(path, Some(folder.uid()), Some(folder.gid())).unwrap();
}

pub fn tree(workspace: &Workspace) -> PathBuf {
    workspace.place().tree
}

/// Gives all of a tree to whoever owns its top, as if a command had made it.
pub fn hand_over(tree: &Path) {
    let owner = fs::metadata(tree).unwrap();
    let owner = format!("{}:{}", owner.uid(), owner.gid());
    let done = Command::new("chown").args(["-Rh", &owner]).arg(tree).status().unwrap();
    assert!(done.success());
}

/// A server of one repository, `/repo.git`, as plain files over HTTP: what git calls the dumb protocol.
pub struct GitServer {
    pub url: String,
    requests: Arc<AtomicUsize>,
}

impl GitServer {
    pub fn start(repository: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::Relaxed);
                let _ = answer(stream, &repository);
            }
        });
        Self { url, requests }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn answer(mut stream: TcpStream, repository: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).and_then(|path| path.split('?').next()).unwrap_or_default();
    let file = path.strip_prefix("/repo.git/").and_then(|path| fs::read(repository.join(path)).ok());
    let (status, body) = file.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

/// Git as a user with no configuration runs it.
pub fn try_git(at: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("git");
    command.current_dir(at).args(arguments).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin");
    command.env("HOME", "/nonexistent").env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_ALLOW_PROTOCOL", "file");
    // Workspaces belong to who runs commands, which git has to be told is fine.
    if at.components().any(|part| part.as_os_str() == "workspaces") {
        command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
    }
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "user").env(format!("GIT_{role}_EMAIL"), "user@localhost");
    }
    command.output().unwrap()
}

#[track_caller]
pub fn git(at: &Path, arguments: &[&str]) -> String {
    let output = try_git(at, arguments);
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Everything in a folder: kind, rights, size, time of change and content, links as links. Two equal ones mean nobody
/// wrote in between.
pub fn fingerprint(folder: &Path) -> BTreeMap<PathBuf, (u32, u64, i64, i64, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = match metadata.file_type() {
            kind if kind.is_file() => fs::read(&path).unwrap(),
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec(),
            _ => Vec::new(),
        };
        if metadata.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        seen.insert(path, (metadata.mode(), metadata.size(), metadata.mtime(), metadata.mtime_nsec(), content));
    }
    seen
}

/// Files and links of a tree by name, without its own repository.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for path in fingerprint(folder).into_keys() {
        let name = path.strip_prefix(folder).unwrap();
        let is_folder = fs::symlink_metadata(&path).unwrap().is_dir();
        if !is_folder && !name.starts_with(".git") {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names
}

/// Brings the patch into a fresh clone of the source and returns the clone.
pub async fn applied(desk: &Desk, workspace: &Workspace) -> PathBuf {
    let patch = desk.folder.path().join("the.patch");
    fs::write(&patch, workspace.patch().await.unwrap()).unwrap();
    let clone = desk.folder.path().join("clone");
    git(desk.folder.path(), &["clone", "-q", "source", "clone"]);
    git(&clone, &["checkout", "-q", workspace.base_commit()]);
    git(&clone, &["apply", "--index", "--whitespace=nowarn", patch.to_str().unwrap()]);
    clone
}
