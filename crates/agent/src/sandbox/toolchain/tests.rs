use super::*;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

/// A machine with one person's home on it.
struct Machine {
    _folder: tempfile::TempDir,
    base: PathBuf,
}

const HOME: &str = "people/person";

impl Machine {
    /// Names that end in `/` are folders; those that end in `*` are programs.
    fn with(names: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("machine").tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let machine = Self { _folder: folder, base };
        for name in names {
            let path = machine.at(name.trim_end_matches('*'));
            if name.ends_with('/') {
                fs::create_dir_all(path).unwrap();
                continue;
            }
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            if name.ends_with('*') {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        machine
    }

    fn at(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    fn link(&self, name: &str, target: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        symlink(target, self.at(name)).unwrap();
    }

    /// What commands see of it, with these folders in `PATH`, for somebody whose `HOME` says nothing.
    fn shown(&self, path: &[&str]) -> Vec<String> {
        self.find(path, &[]).readable.iter().filter_map(|path| self.own(path)).collect()
    }

    fn own(&self, path: &str) -> Option<String> {
        Path::new(path).strip_prefix(&self.base).ok().map(|path| path.display().to_string())
    }

    fn find(&self, path: &[&str], environment: &[(&str, &str)]) -> Toolchain {
        let path: Vec<_> = path.iter().map(|name| self.at(name).display().to_string()).collect();
        let mut all = vec![("PATH".to_owned(), path.join(":"))];
        all.extend(environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let users = format!("person:x:1000:1000::{}:/bin/sh\nbin:x:2:2::/bin:/x\n", self.at(HOME).display());
        find_with(&Options::new(self.at("data/workspaces"), all), &users)
    }
}

#[test]
fn credentials_beside_programs_are_not_shown() {
    let machine = Machine::with(&[
        "people/person/.fly/bin/fly*",
        "people/person/.fly/config.yml",
        "people/person/.fly/state/token",
        "people/person/.pulumi/bin/pulumi*",
        "people/person/.pulumi/credentials.json",
        "people/person/.cargo/bin/cargo*",
        "people/person/.cargo/credentials.toml",
        "people/person/.cargo/config.toml",
        "people/person/.docker/bin/docker*",
        "people/person/.docker/config.json",
        "people/person/.composer/vendor/bin/tool*",
        "people/person/.composer/vendor/maker/tool/main.php",
        "people/person/.composer/auth.json",
    ]);
    let path = [".fly/bin", ".pulumi/bin", ".cargo/bin", ".docker/bin", ".composer/vendor/bin"];
    let path = path.map(|folder| format!("{HOME}/{folder}"));
    let shown = machine.shown(&path.each_ref().map(String::as_str));
    let expected = [".cargo/bin", ".composer/vendor", ".docker/bin", ".fly/bin", ".pulumi/bin"];
    assert_eq!(shown, expected.map(|folder| format!("{HOME}/{folder}")));
}

/// `PATH` may name the very folder the credentials lie in.
#[test]
fn of_a_mixed_folder_only_the_programs_are_shown() {
    let machine = Machine::with(&[
        "people/person/.tool/run*",
        "people/person/.tool/config.yml",
        "people/person/.tool/credentials*",
        "people/person/.tool/notes",
        "people/person/.tool/lib/part",
        "people/person/.tool/cache/part",
        "people/person/bin/mine*",
        "people/person/bin/.netrc",
        "people/person/src/work.rs",
        "people/person/lib/private",
    ]);
    let shown = machine.shown(&["people/person/.tool", "people/person/bin", "people/person", "people"]);
    assert_eq!(shown, ["people/person/.tool/lib", "people/person/.tool/run", "people/person/bin/mine"]);
}

#[test]
fn a_tool_outside_homes_brings_all_of_its_folder() {
    let machine = Machine::with(&["opt/tool-1/bin/tool*", "opt/tool-1/etc/tool.conf", "data/workspaces/", "data/x"]);
    machine.link("opt/tool", "tool-1");
    let found = machine.find(&["opt/tool/bin", "data"], &[]);
    let shown: Vec<_> = found.readable.iter().filter_map(|path| machine.own(path)).collect();
    // What is the agent's own user's is not taken for a tool's alone; a superuser owns everything.
    let expected = if nix::unistd::geteuid().is_root() { "opt/tool-1" } else { "opt/tool-1/bin" };
    assert_eq!(shown, [expected], "and not the data folder");
    assert!(found.links.contains(&machine.at("opt/tool").display().to_string()));
}

#[test]
fn rustup_brings_its_toolchains_whatever_home_says() {
    let machine = Machine::with(&[
        "people/person/.cargo/bin/cargo*",
        "people/person/.cargo/registry/src/",
        "people/person/.rustup/toolchains/stable/bin/cargo*",
        "people/person/.rustup/settings.toml",
        "people/person/.rustup/downloads/x",
        "people/other/",
    ]);
    let other = machine.at("people/other").display().to_string();
    for environment in [&[][..], &[("HOME", other.as_str())], &[("HOME", "/")]] {
        let found = machine.find(&["people/person/.cargo/bin"], environment);
        let shown: Vec<_> = found.readable.iter().filter_map(|path| machine.own(path)).collect();
        let expected = [".cargo/bin", ".rustup/settings.toml", ".rustup/toolchains"];
        assert_eq!(shown, expected.map(|name| format!("{HOME}/{name}")));
        let rustup = machine.at("people/person/.rustup").display().to_string();
        assert_eq!(found.environment, [("RUSTUP_HOME".to_owned(), rustup)]);
    }
}

/// Laid out as the real ones are.
#[test]
fn toolchains_in_a_home_keep_their_parts() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "go/bin",
            &["go/bin/go*", "go/pkg/tool/x", "go/src/fmt/x", "go/lib/time/x", "go/VERSION", "go/go.env", "go/.netrc"],
            &["go/VERSION", "go/bin", "go/go.env", "go/lib", "go/pkg", "go/src"],
        ),
        ("gopath/bin", &["gopath/bin/x*", "gopath/src/private/x", "gopath/pkg/mod/x"], &["gopath/bin"]),
        (
            ".nvm/versions/node/v22/bin",
            &[".nvm/versions/node/v22/bin/node*", ".nvm/versions/node/v22/lib/x", ".nvm/alias/x", ".npmrc"],
            &[".nvm/versions/node/v22/bin", ".nvm/versions/node/v22/lib"],
        ),
        (
            ".pyenv/shims",
            &[
                ".pyenv/shims/python*",
                ".pyenv/version",
                ".pyenv/versions/3.12/bin/python*",
                ".pyenv/libexec/pyenv*",
                ".pyenv/bin/pyenv*",
                ".pyenv/.git/config",
                ".pyenv/sources/x",
            ],
            &[".pyenv/bin", ".pyenv/libexec", ".pyenv/shims", ".pyenv/version", ".pyenv/versions"],
        ),
        (
            ".sdkman/candidates/java/21/bin",
            &[
                ".sdkman/candidates/java/21/bin/java*",
                ".sdkman/candidates/java/21/lib/modules",
                ".sdkman/candidates/java/21/conf/security/java.security",
                ".sdkman/candidates/java/21/conf/management/password",
                ".sdkman/etc/config",
            ],
            &[
                ".sdkman/candidates/java/21/bin",
                ".sdkman/candidates/java/21/conf/security",
                ".sdkman/candidates/java/21/lib",
            ],
        ),
        (
            ".local/bin",
            &[".local/bin/x*", ".local/lib/python3/x", ".local/share/uv/tools/x", ".local/share/keyrings/x"],
            &[".local/bin", ".local/lib", ".local/share/uv/tools"],
        ),
        (
            "erlang/27/bin",
            &["erlang/27/bin/erl*", "erlang/27/erts-15.0/bin/beam*", "erlang/27/lib/x", "erlang/27/activate"],
            &["erlang/27/bin", "erlang/27/erts-15.0", "erlang/27/lib"],
        ),
        (
            ".dotnet",
            &[".dotnet/dotnet*", ".dotnet/shared/Microsoft.NETCore.App/x", ".dotnet/sdk/x", ".dotnet/corefx/crypt/x"],
            &[".dotnet/dotnet", ".dotnet/sdk", ".dotnet/shared"],
        ),
    ];
    for (path, files, expected) in cases {
        let files: Vec<_> = files.iter().map(|name| format!("{HOME}/{name}")).collect();
        let machine = Machine::with(&files.iter().map(String::as_str).collect::<Vec<_>>());
        let expected: Vec<_> = expected.iter().map(|name| format!("{HOME}/{name}")).collect();
        assert_eq!(machine.shown(&[&format!("{HOME}/{path}")]), expected, "{path}");
    }
}

#[test]
fn a_virtual_environment_brings_the_interpreter_it_was_made_from() {
    let machine = Machine::with(&[
        "people/person/source/.venv/pyvenv.cfg",
        "people/person/source/.venv/lib/x",
        "people/person/source/secret",
        "people/person/pythons/cpython-3.12/bin/python3.12*",
        "people/person/pythons/cpython-3.12/lib/x",
        "people/person/pythons/cpython-3.11/lib/x",
    ]);
    machine.link("people/person/source/.venv/bin/python", "../../../pythons/3.12/bin/python3.12");
    machine.link("people/person/pythons/3.12", "cpython-3.12");
    let found = machine.find(&["people/person/source/.venv/bin"], &[]);
    let shown: Vec<_> = found.readable.iter().filter_map(|path| machine.own(path)).collect();
    let expected = [
        "pythons/cpython-3.12/bin",
        "pythons/cpython-3.12/lib",
        "source/.venv/bin",
        "source/.venv/lib",
        "source/.venv/pyvenv.cfg",
    ];
    assert_eq!(shown, expected.map(|name| format!("{HOME}/{name}")));
    assert!(found.links.contains(&machine.at("people/person/pythons/3.12").display().to_string()));
}
