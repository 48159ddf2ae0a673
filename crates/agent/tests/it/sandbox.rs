//! Real commands in the real sandbox: what they can do, what they cannot, and that nothing of them is left.
//!
//! A test that needs a layer of the sandbox fails where it is missing. A run on a machine that cannot have it names it in
//! `DEVMESH_TEST_ABSENT`, protections separated by commas; the tests that need them then say that they were skipped.

#[cfg(target_os = "linux")]
mod bounds;
#[cfg(target_os = "linux")]
mod escapes;
mod guard;
#[cfg(target_os = "linux")]
mod lifetimes;
#[cfg(target_os = "linux")]
mod refused;
mod required;
mod running;
#[cfg(target_os = "linux")]
mod toolchains;

use agent::sandbox::{Command, Ending, Finished, Options, Output, Place, Sandbox};
use protocol::OutputStream;
use std::{path::Path, time::Duration};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A workspace with an empty tree, and a sandbox around it.
pub struct Bench {
    /// Holds `secret` beside the workspaces, as a data folder would.
    pub folder: TempDir,
    pub sandbox: Sandbox,
    pub place: Place,
}

/// What a command did, with all it printed.
#[derive(Debug)]
pub struct Ran {
    pub finished: Finished,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    /// In the build's own folder rather than under `/tmp`, so that commands get a `/tmp` of their own.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::within(Path::new(env!("CARGO_TARGET_TMPDIR")), change).await
    }

    pub async fn within(parent: &Path, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::Builder::new().prefix("sandbox-").tempdir_in(parent).unwrap();
        std::fs::write(folder.path().join("secret"), "the data folder's secret").unwrap();
        let workspaces = folder.path().join("workspaces");
        let attempt = workspaces.join("job/1");
        let place = Place { tree: attempt.join("tree"), scratch: attempt.join("scratch"), readable: Vec::new() };
        std::fs::create_dir_all(&place.tree).unwrap();
        let path = "/usr/local/bin:/usr/bin:/bin";
        use std::os::unix::fs::PermissionsExt;
        // Without a private root folder, commands reach the tree by its path from outside, as another user.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let environment = [("PATH", path), ("HOME", "/home/person"), ("OPENAI_API_KEY", "canary")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut options = Options::new(workspaces, environment.to_vec());
        change(&mut options);
        let sandbox = Sandbox::probe(options).await.unwrap();
        if let Some(owner) = sandbox.owner() {
            std::os::unix::fs::chown(&place.tree, Some(owner.user), Some(owner.group)).unwrap();
        }
        Self { folder, sandbox, place }
    }

    pub fn tree(&self) -> &Path {
        &self.place.tree
    }

    pub async fn sh(&self, script: &str) -> Ran {
        self.run(Command::new(script, Duration::from_secs(30)), CancellationToken::new()).await
    }

    pub async fn run(&self, command: Command, cancel: CancellationToken) -> Ran {
        let (sender, mut receiver) = mpsc::channel::<Output>(16);
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let collect = async {
            while let Some(output) = receiver.recv().await {
                match output.stream {
                    OutputStream::Stdout => stdout.extend(output.bytes),
                    OutputStream::Stderr => stderr.extend(output.bytes),
                }
            }
        };
        let (finished, ()) = tokio::join!(self.sandbox.run(&self.place, &command, sender, cancel), collect);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ran { finished: finished.unwrap(), stdout: text(&stdout), stderr: text(&stderr) }
    }

    /// As on a machine that allows no namespaces.
    #[cfg(target_os = "linux")]
    pub async fn without_namespaces() -> Self {
        Self::with(|options| options.namespaces = false).await
    }

    /// Whether a layer is active here, as the sandbox itself says.
    pub fn has(&self, name: &str) -> bool {
        self.sandbox.protections().iter().any(|protection| protection.name == name && protection.active)
    }

    /// Whether the test can go on. Without the layer it fails, unless this run is one of a machine that has none.
    #[track_caller]
    pub fn needs(&self, layer: &str) -> bool {
        if self.has(layer) {
            return true;
        }
        #[expect(clippy::disallowed_methods, reason = "a setting of this test run alone")]
        let absent = std::env::var("DEVMESH_TEST_ABSENT").unwrap_or_default();
        let protections = self.sandbox.protections();
        assert!(absent.split(',').any(|name| name == layer), "no layer `{layer}` here: {protections:#?}");
        skipped(format_args!("layer {layer} is absent"));
        false
    }
}

/// Says so by the name of the test.
pub fn skipped(why: impl std::fmt::Display) {
    testkit::skipped(&why.to_string());
}

impl Ran {
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.finished.ending, Ending::Exited(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// It ended by itself with another code than 0.
    #[track_caller]
    pub fn refused(self) -> String {
        assert!(matches!(self.finished.ending, Ending::Exited(1..)), "{self:?}");
        self.stderr
    }
}
