//! Protections somebody insists on.

use super::Bench;
use agent::sandbox::{Error, Options, Sandbox};

async fn probe(change: impl FnOnce(&mut Options)) -> Result<Sandbox, Error> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut options = Options::new(folder.path().join("workspaces"), Vec::new());
    change(&mut options);
    Sandbox::probe(options).await
}

#[tokio::test]
async fn what_is_required_and_there_is_no_hindrance() {
    let bench = Bench::new().await;
    let names = bench.sandbox.protections().iter().filter(|protection| protection.active);
    let names: Vec<_> = names.map(|protection| protection.name.clone()).collect();
    let sandbox = probe(|options| options.require = names).await.unwrap();
    assert_eq!(sandbox.protections(), bench.sandbox.protections());
}

#[tokio::test]
async fn what_is_required_and_missing_is_named_with_the_reason() {
    let require = ["environment", "processes"].map(str::to_owned).to_vec();
    let error = probe(|options| (options.require, options.namespaces) = (require, false)).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Required(_)), "{message}");
    assert!(message.contains("processes (namespaces are switched off in the configuration"), "{message}");
    assert!(!message.contains("environment ("), "{message}");
}

/// As in a data folder of root's that nobody else may enter, in a container that refuses namespaces.
#[tokio::test]
async fn workspaces_that_commands_cannot_reach_are_named_with_what_keeps_them() {
    use std::os::unix::fs::PermissionsExt;
    if !nix::unistd::geteuid().is_root() {
        return super::skipped("commands run as the agent's own user");
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut options = Options::new(closed.join("agent"), Vec::new());
    options.namespaces = false;
    let error = Sandbox::probe(options).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    let expected = format!("cannot pass through {} (mode 700) to workspaces in", closed.display());
    assert!(error.to_string().contains(&expected), "{error}");
}

#[tokio::test]
async fn an_unknown_name_is_refused_with_the_known_ones() {
    let error = probe(|options| options.require = vec!["landlok".to_owned()]).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Invalid(_)), "{message}");
    assert!(message.contains("`landlok`") && message.contains("landlock, seccomp, sockets, network"), "{message}");
}
