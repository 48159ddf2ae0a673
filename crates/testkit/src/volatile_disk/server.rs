//! The process that serves the disk, and its test's end of it.
//!
//! ```text
//!   test ── starts itself again ──▶ server: mounts, says `disk: mounted` or why not
//!        ── cut KEPT SEED FOLDER ──▶ writes what survived, says `disk: cut`
//!        ── closes the pipe, or dies ──▶ ends, and the mount with it
//! ```

use super::{Kept, Syncs, point, serve::Files, tree::Tree};
use fuser::{Config, Session, SessionACL};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Lines, Write as _},
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

/// The longest a sync takes: about what a laptop's disk needs, and long enough for other requests to come in between.
const LONGEST_SYNC: Duration = Duration::from_millis(4);

/// What the loop device lies on. Nothing is ever stored there.
const BACKING_BYTES: u64 = 1 << 20;

/// Set for the process that serves: the folder, and which syncs are obeyed.
const FOLDER: &str = "DEVMESH_TEST_VOLATILE_DISK";
const SYNCS: &str = "DEVMESH_TEST_VOLATILE_DISK_SYNCS";

/// Before what the server says, which libtest's own lines do not begin with.
const SAID: &str = "disk: ";
const MOUNTED: &str = "mounted";
const CUT: &str = "cut";

/// The test's end.
pub(super) struct Server {
    child: Child,
    /// `None` when it was told to end.
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Server {
    pub(super) fn start(folder: &Path, syncs: Syncs) -> io::Result<Self> {
        let thread = std::thread::current();
        let test = thread.name().ok_or_else(|| io::Error::other("only a test can mount one"))?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", test, "--nocapture"])
            .env(FOLDER, folder)
            .env(SYNCS, format!("{syncs:?}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.ok_or_else(|| io::Error::other("no pipe to the server"))?;
        let mut server = Self { child, orders, answers: BufReader::new(answers).lines() };
        server.expect(MOUNTED)?;
        Ok(server)
    }

    pub(super) fn cut(&mut self, kept: Kept, seed: u64, folder: &Path) -> io::Result<()> {
        if let Some(orders) = &mut self.orders {
            writeln!(orders, "{kept:?} {seed} {}", folder.display())?;
        }
        self.expect(CUT)
    }

    fn expect(&mut self, wanted: &str) -> io::Result<()> {
        for line in self.answers.by_ref() {
            // What libtest says may stand before it in the same line.
            match line?.split_once(SAID) {
                Some((_, said)) if said == wanted => return Ok(()),
                Some((_, said)) => return Err(io::Error::other(said.to_owned())),
                None => {}
            }
        }
        Err(io::Error::other("the process that serves it is gone"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.orders = None;
        // It unmounts and ends.
        let _ = self.child.wait();
    }
}

/// In the process that serves, until its test is gone.
pub(super) fn serve_if_asked() {
    let (Some(folder), Some(syncs)) = (std::env::var_os(FOLDER), std::env::var_os(SYNCS)) else { return };
    let (folder, syncs) = (PathBuf::from(folder), syncs.to_string_lossy().into_owned());
    let tree = Arc::new(Mutex::new(Tree::new()));
    match serve(&folder, &syncs, Arc::clone(&tree)) {
        Ok(()) => {
            answer(MOUNTED);
            obey(&tree);
            // At once for whoever still uses it, so that nobody waits for an answer that never comes.
            let _ = umount2(&point(&folder), MntFlags::MNT_FORCE | MntFlags::MNT_DETACH);
        }
        Err(error) => answer(&error.to_string()),
    }
    std::process::exit(0);
}

fn answer(text: &str) {
    let mut out = io::stdout().lock();
    // A test that is gone asks nothing more either.
    let _ = writeln!(out, "{SAID}{text}").and_then(|()| out.flush());
}

fn serve(folder: &Path, syncs: &str, tree: Arc<Mutex<Tree>>) -> io::Result<()> {
    let all = [Syncs::Obeyed, Syncs::IgnoredForFiles, Syncs::IgnoredForFolders];
    let syncs = all.into_iter().find(|known| format!("{known:?}") == syncs).ok_or(io::ErrorKind::InvalidInput)?;
    let fuse = File::options().read(true).write(true).open("/dev/fuse").map_err(named("/dev/fuse"))?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,default_permissions", fuse.as_raw_fd());
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME;
    // Given back when it is dropped, which the kernel does when nothing is mounted on it any more.
    let device = LoopDevice::attach(folder)?;
    mount(Some(&device.path), &point(folder), Some("fuseblk"), flags, Some(options.as_str()))
        .map_err(|error| named("mount")(error.into()))?;
    let files = Files::new(tree, syncs, LONGEST_SYNC);
    // Its thread ends with the process.
    Session::from_fd(files, OwnedFd::from(fuse), SessionACL::All, Config::default())?.spawn()?;
    Ok(())
}

/// Until the pipe is closed.
fn obey(tree: &Mutex<Tree>) {
    for order in io::stdin().lock().lines().map_while(Result::ok) {
        let mut words = order.splitn(3, ' ');
        let kept = words.next().and_then(|word| Kept::ALL.into_iter().find(|kept| format!("{kept:?}") == word));
        let (Some(kept), Some(Ok(seed)), Some(folder)) = (kept, words.next().map(str::parse), words.next()) else {
            return answer(&format!("not understood: {order}"));
        };
        let image = super::serve::locked(tree).image(kept, &mut StdRng::seed_from_u64(seed));
        match image.write(Path::new(folder)) {
            Ok(()) => answer(CUT),
            Err(error) => answer(&error.to_string()),
        }
    }
}

fn named(what: &'static str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// A block device to name in the mount.
struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    fn attach(folder: &Path) -> io::Result<Self> {
        let backing = folder.join("backing");
        File::create(&backing)?.set_len(BACKING_BYTES)?;
        let output = Command::new("losetup").args(["--find", "--show"]).arg(&backing).output();
        let output = output.map_err(named("losetup"))?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Ok(Self { path: PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()) })
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.path).output();
    }
}
