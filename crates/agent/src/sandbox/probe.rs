//! Finds out what holds on this machine, by confining a child and letting it try to break out.

use super::{
    Command, Error, Options, Place, Sandbox, platform,
    policy::{Layer, Layers, Namespaces, Verify},
    run, toolchain,
};
use protocol::Protection;
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{fs::MetadataExt, net::UnixListener},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// Starting a confined `true` takes milliseconds; on a machine under heavy load still far less than this.
const PATIENCE: Duration = Duration::from_secs(20);
/// Every try gives up at least one layer, so there are few.
const TRIES: usize = 16;

/// Beginning of the names of the folders used for trying.
pub(crate) const FOLDER: &str = ".probe-";
/// So many may be left over from probes that were killed before it is taken for a fault.
const FOLDERS: u32 = 10_000;

/// Every name a protection can have, in the order they are reported.
const NAMES: &[&str] =
    &["landlock", "seccomp", "sockets", "network", "user", "rlimits", "memory", "processes", "environment"];

/// Why a layer is not there.
type Missing = Vec<(Layer, String)>;

impl Sandbox {
    /// Confines a child with everything there is, gives up what this machine does not allow, one by one, and remembers
    /// what was left. Fails only where no command can be run at all, or not with all that [`Options::require`] names.
    pub async fn probe(options: Options) -> Result<Self, Error> {
        let failed = |what| move |source| Error::Guard { what, source };
        if let Some(name) = options.require.iter().find(|name| !NAMES.contains(&name.as_str())) {
            let known = NAMES.join(", ");
            return Err(Error::Invalid(format!("`{name}` is no protection of the sandbox; there are {known}")));
        }
        let folder = prepare(&options.workspaces).map_err(failed("could not get a folder to try in"))?;
        let _remove = Remove(&folder);
        let secret = folder.join("secret");
        fs::write(&secret, "not for commands").map_err(failed("could not get a folder to try in"))?;
        // A command must not reach it, so nothing ever accepts.
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed("could not listen for a try"))?;
        let socket = folder.join("s");
        let abstract_socket = abstract_name();
        let _open_to_all = local_sockets(&socket, &abstract_socket).map_err(failed("could not listen for a try"))?;
        let verify = Verify {
            socket: socket.display().to_string(),
            abstract_socket,
            secret_file: secret.display().to_string(),
            agent_process: std::process::id().cast_signed(),
            port: listener.local_addr().map_err(failed("could not listen for a try"))?.port(),
        };

        let is_root = nix::unistd::geteuid().is_root();
        let mut layers = Layers { identity: is_root, ..platform::LAYERS };
        if !is_root && layers.namespaces == Namespaces::Privileged {
            layers.namespaces = Namespaces::Unprivileged;
            // The user namespace that the others need counts already.
            layers.accounting = false;
        }
        let mut missing = Missing::new();
        if !options.namespaces {
            layers = layers.without_namespaces();
            missing.push((Layer::Namespaces, "namespaces are switched off in the configuration".to_owned()));
        }
        let mut control_groups = None;
        if layers.control_group {
            match platform::prepare_control_groups() {
                Ok(parent) => control_groups = Some(parent),
                Err(why) => {
                    layers.control_group = false;
                    missing.push((Layer::Memory, why));
                }
            }
        }
        let toolchain = toolchain::find(&options);
        let mut sandbox = Self { options, layers, protections: Vec::new(), control_groups, toolchain };
        let place = Place { tree: folder.join("tree"), scratch: folder.join("scratch"), readable: Vec::new() };
        for _ in 0..TRIES {
            let owner = sandbox.owner();
            let ready = run::prepare(&place, owner).and_then(|()| hand_over(&place.tree, owner));
            match (ready, owner) {
                // Root of a container that has no other users.
                (Err(error), Some(owner)) => {
                    let why = format!("handing a folder to user {} instead of root: {error}", owner.user);
                    missing.push((Layer::Identity, why));
                    sandbox.layers.identity = false;
                    continue;
                }
                (ready, _) => ready.map_err(failed("could not get a folder to try in"))?,
            }
            let command = Command::new("exit 0", PATIENCE);
            let policy = sandbox.policy(sandbox.layers, &place, &command, Some(verify.clone()))?;
            let (nowhere, _) = mpsc::channel(1);
            let (answer, version) =
                run::start(&sandbox.options.executable, &policy, nowhere, CancellationToken::new()).await?;
            match answer {
                Ok(finished) if finished.ending == super::Ending::Exited(0) => {
                    sandbox.protections = describe(&sandbox, version, &missing);
                    return satisfied(sandbox);
                }
                Ok(finished) => {
                    let message = format!("a trial command ended with {:?} instead of 0", finished.ending);
                    return Err(Error::Setup { message });
                }
                Err(failure) => {
                    let Some(layer) = failure.layer else {
                        return Err(sandbox.unreachable().unwrap_or(Error::Setup { message: failure.message }));
                    };
                    let Some(fewer) = without(sandbox.layers, layer) else {
                        return Err(Error::Setup { message: failure.message });
                    };
                    sandbox.layers = fewer;
                    missing.push((layer, failure.message));
                }
            }
        }
        Err(Error::Setup { message: "no combination of protections worked".to_owned() })
    }
}

impl Sandbox {
    /// What keeps the user of commands from the workspaces, if that is it.
    fn unreachable(&self) -> Option<Error> {
        let owner = self.owner().filter(|_| !self.layers.files)?;
        let workspaces = self.options.workspaces.canonicalize().ok()?;
        let (closed, mode) = workspaces.ancestors().find_map(|folder| {
            let metadata = fs::metadata(folder).ok()?;
            let is_closed = metadata.uid() != owner.user && metadata.mode() & 0o001 == 0;
            is_closed.then(|| (folder.to_owned(), metadata.mode() & 0o777))
        })?;
        Some(Error::Unreachable { user: owner.user, closed, mode, workspaces })
    }
}

/// The next thing to try when `layer` failed; `None` when there is nothing left to give up.
fn without(layers: Layers, layer: Layer) -> Option<Layers> {
    let mut fewer = layers;
    match layer {
        Layer::Identity => {
            // Root in a namespace of the agent's own making would be no loss, but there is none here.
            fewer.identity = false;
            fewer.accounting = false;
        }
        Layer::Namespaces => {
            fewer.accounting = false;
            fewer.namespaces = Namespaces::Unprivileged;
            if layers.namespaces != Namespaces::Privileged {
                fewer = fewer.without_namespaces();
            }
        }
        // A /proc of one's own needs processes of one's own.
        Layer::Processes => (fewer.processes, fewer.files) = (false, false),
        Layer::Files => fewer.files = false,
        Layer::Network => fewer.network = false,
        Layer::Ipc => fewer.ipc = false,
        Layer::Accounting => fewer.accounting = false,
        Layer::Landlock => fewer.landlock = false,
        Layer::Seccomp => fewer.seccomp = false,
        Layer::Sockets => fewer.sockets = false,
        Layer::Memory => fewer.control_group = false,
        Layer::Limits => {}
    }
    (fewer != layers).then_some(fewer)
}

fn describe(sandbox: &Sandbox, landlock: u32, missing: &Missing) -> Vec<Protection> {
    let layers = &sandbox.layers;
    // The last reason is the one that decided.
    let reasons: BTreeMap<_, _> = missing.iter().map(|(layer, why)| (*layer as u8, why.as_str())).collect();
    let because = |layers: &[Layer]| {
        let why = layers.iter().find_map(|layer| reasons.get(&(*layer as u8)).copied());
        why.unwrap_or(platform::NOT_HERE).to_owned()
    };
    let protection = |name: &str, active: bool, yes: String, no: String| Protection {
        name: name.to_owned(),
        active,
        detail: if active { yes } else { no },
    };
    let limits = &sandbox.options.limits;
    let user = nix::unistd::geteuid();
    let only_own = "only the workspace, the system's programs and the toolchains in PATH";
    let files = if layers.files { "; nothing else is even visible" } else { "; names of other files can be seen" };
    vec![
        protection(
            "landlock",
            layers.landlock,
            format!("Landlock ABI {landlock}: {only_own} can be opened, only the workspace can be changed{files}"),
            if layers.files {
                format!("{}. A private root folder shows commands {only_own}", because(&[Layer::Landlock]))
            } else {
                format!("{}. Commands can read and change what their user can", because(&[Layer::Landlock]))
            },
        ),
        protection(
            "seccomp",
            layers.seccomp,
            "mounts, tracing, namespaces, kernel modules, keys, BPF, raw sockets and the like are refused".to_owned(),
            format!("{}. Every system call of the kernel can be reached", because(&[Layer::Seccomp])),
        ),
        protection(
            "sockets",
            layers.sockets,
            if layers.separates_sockets(landlock) {
                "local sockets of other programs are out of reach: no message bus, no container runtime".to_owned()
            } else {
                format!(
                    "making local sockets is refused, pairs excepted, because other programs' could be reached: {}",
                    because(&[Layer::Files, Layer::Processes, Layer::Network, Layer::Namespaces])
                )
            },
            format!(
                "{}. Commands can speak to local services of their user, a message bus or a container runtime for one, and \
                 have those run programs outside the sandbox",
                because(&[Layer::Sockets])
            ),
        ),
        if layers.network || !layers.seccomp {
            protection(
                "network",
                layers.network,
                "a network of its own with loopback alone: no route out, no way to this machine's ports".to_owned(),
                format!("{}. Commands can reach the network", because(&[Layer::Network, Layer::Namespaces])),
            )
        } else {
            protection(
                "network",
                true,
                format!(
                    "internet sockets are refused, loopback too, because there is no network namespace: {}",
                    because(&[Layer::Network, Layer::Namespaces])
                ),
                String::new(),
            )
        },
        protection(
            "user",
            layers.identity || !user.is_root(),
            if layers.identity {
                format!("user {} instead of root, without capabilities or a way to gain any", super::Owner::NOBODY.user)
            } else {
                format!("the agent's own user {user}, without a way to gain rights")
            },
            format!("{}. Commands run as root", because(&[Layer::Identity])),
        ),
        protection(
            "rlimits",
            true,
            format!(
                "{} processes, {} MiB per file, {} open files, no core files; lower priority. Address space is not \
                 limited, memory is: see there{}",
                limits.processes,
                limits.file_bytes >> 20,
                limits.open_files,
                platform::LIMITS_NOTE,
            ),
            String::new(),
        ),
        protection(
            "memory",
            platform::COUNTS_MEMORY,
            if layers.control_group {
                format!(
                    "cgroup: the kernel bounds a command and all it started to {} MiB together",
                    limits.memory_bytes >> 20
                )
            } else {
                format!(
                    "watched: a command and all it started are ended when they have more than {} MiB together, a moment \
                     late and without what no process has mapped, because there is no control group: {}",
                    limits.memory_bytes >> 20,
                    because(&[Layer::Memory])
                )
            },
            format!("{}. A command can take all memory of the machine", because(&[Layer::Memory])),
        ),
        protection(
            "processes",
            layers.processes,
            "a PID namespace: no other process is visible, and nothing outlives the command".to_owned(),
            format!(
                "{}. {}",
                because(&[Layer::Processes, Layer::Namespaces]),
                platform::WITHOUT_PROCESS_NAMESPACE
            ),
        ),
        protection(
            "environment",
            true,
            "built from nothing: no key, token or devmesh variable reaches a command; home and temporary folder are its own"
                .to_owned(),
            String::new(),
        ),
    ]
}

/// Fails when something is missing that must not be.
fn satisfied(sandbox: Sandbox) -> Result<Sandbox, Error> {
    let is_required = |name: &String| sandbox.options.require.contains(name);
    let missing = sandbox.protections.iter().filter(|protection| !protection.active && is_required(&protection.name));
    let missing: Vec<_> = missing.map(|protection| format!("{} ({})", protection.name, protection.detail)).collect();
    if missing.is_empty() {
        return Ok(sandbox);
    }
    let missing = missing.join("; ");
    Err(Error::Required(format!(
        "protections that `agents.require` names are not in force on this machine: {missing}. Run the agent on one that \
         has them, or take them off the list"
    )))
}

/// Free, whoever else is trying.
fn abstract_name() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    format!("devmesh-probe-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}

/// Two that take connections from whoever can reach them, which must be no command.
fn local_sockets(path: &Path, name: &str) -> io::Result<Vec<UnixListener>> {
    use std::os::unix::fs::PermissionsExt;
    // The path of a socket may have no more than 107 bytes. In a folder that lies deeper the other try has to do.
    let mut listeners: Vec<_> = UnixListener::bind(path).into_iter().collect();
    if !listeners.is_empty() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    }
    listeners.extend(platform::abstract_listener(name)?);
    Ok(listeners)
}

/// A folder of its own, whoever else is trying beside us.
fn prepare(workspaces: &Path) -> io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(workspaces)?;
    let mut number = 0;
    let folder = loop {
        let folder = workspaces.join(format!("{FOLDER}{number}"));
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < FOLDERS => number += 1,
            made => break made.map(|()| folder)?,
        }
    };
    for made in [folder.clone(), folder.join("tree"), folder.join("scratch")] {
        fs::create_dir_all(&made)?;
        fs::set_permissions(&made, fs::Permissions::from_mode(0o711))?;
    }
    Ok(folder)
}

fn hand_over(tree: &Path, owner: Option<super::Owner>) -> io::Result<()> {
    match owner {
        Some(owner) => std::os::unix::fs::lchown(tree, Some(owner.user), Some(owner.group)),
        None => std::os::unix::fs::lchown(
            tree,
            Some(nix::unistd::geteuid().as_raw()),
            Some(nix::unistd::getegid().as_raw()),
        ),
    }
}

struct Remove<'a>(&'a Path);

impl Drop for Remove<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0);
    }
}
