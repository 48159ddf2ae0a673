//! The toolchains of this machine, as whoever runs the tests has them in `PATH`.

use super::{Bench, skipped};
use agent::sandbox::Ending;

#[tokio::test]
async fn the_toolchains_in_path_run() {
    let own = |name: &str| {
        #[expect(clippy::disallowed_methods, reason = "it is about what this machine has")]
        let value = std::env::var(name).unwrap_or_default();
        (name.to_owned(), value)
    };
    let environment = [own("PATH"), own("HOME")];
    // With the right home, with none, and with somebody else's.
    for home in [environment[1].1.clone(), String::new(), "/home/person".to_owned()] {
        let mut environment = environment.clone();
        environment[1].1 = home.clone();
        let bench = Bench::with(|options| options.environment = environment.to_vec()).await;
        // Without a private root folder another user's home cannot be entered at all.
        if !bench.needs("processes") {
            return;
        }
        for command in [
            "python3 -c 'import json, ssl, sqlite3'",
            "cargo --version",
            "rustc --version",
            "node -e 1",
            "npm --version",
            "go version",
            "go env GOROOT",
            "java -version",
            "gcc --version",
            "git --version",
        ] {
            let program = command.split(' ').next().unwrap();
            let is_here = std::process::Command::new("sh").args(["-c", command]).output().unwrap().status.success();
            if !is_here {
                skipped(format_args!("`{command}` does not run on this machine"));
                continue;
            }
            let ran = bench.sh(command).await;
            assert_eq!(ran.finished.ending, Ending::Exited(0), "{program} with home `{home}`: {ran:?}");
        }
        for file in [
            ".cargo/credentials.toml",
            ".cargo/registry/src",
            ".rustup/downloads",
            ".npmrc",
            ".npm/_logs",
            ".config",
            ".gitconfig",
        ] {
            let ran = bench.sh(&format!("ls -d '{}/{file}'", environment[1].1)).await;
            assert_eq!(ran.stdout, "");
        }
    }
}
