//! The whole way with a stand-in for Python that hands out small archives made here.

use super::*;
use crate::bill::{Client as Source, Role};
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

    fn downloads(&self) -> Vec<String> {
        let noted = fs::read_to_string(self.path("downloads")).unwrap_or_default();
        noted.lines().map(str::to_owned).collect()
    }

    fn fetch(&self, entry: &Entry) -> Result<PathBuf, Error> {
        self.fetch_seen(entry, &mut |_| {})
    }

    fn fetch_seen(&self, entry: &Entry, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, Error> {
        let client = Client::with_python(self.path("python"), Duration::from_secs(60));
        // A freshly written script is busy for as long as another test's fork still holds it open.
        loop {
            match fetch_with(&client, entry, &self.cache(), progress) {
                Err(Error::ClientMissing { reason, .. }) if reason.contains("busy") => std::thread::yield_now(),
                result => return result,
            }
        }
    }
}

fn entry() -> Entry {
    let whole = [FIRST, SECOND].concat();
    let part = |package: &str, member: &str| Part {
        client: Source::Pip,
        package: package.into(),
        version: "1.0".into(),
        package_bytes: 500,
        member: member.into(),
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
            parts: vec![part("one", "data/a.part00"), part("two", "data/a.part01")],
        }],
    }
}

#[test]
fn parts_become_one_verified_file_and_a_second_fetch_needs_nothing() {
    let (shop, entry) = (Shop::open(), entry());
    let mut seen = Vec::new();
    let path = shop.fetch_seen(&entry, &mut |progress| seen.push(progress)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), [FIRST, SECOND].concat());
    assert_eq!(path, shop.cache().join("models").join(format!("{}.gguf", entry.files[0].sha256)));
    assert_eq!(shop.downloads(), ["one==1.0", "two==1.0"]);
    assert!(seen.contains(&Progress { stage: Stage::Downloading, done_bytes: 1000, total_bytes: 1000 }), "{seen:?}");
    assert_eq!(seen.last().map(|last| (last.stage, last.done_bytes)), Some((Stage::Unpacking, 41)));
    assert!(seen.windows(2).all(|two| two[0].stage != two[1].stage || two[0].done_bytes <= two[1].done_bytes));

    shop.fetch(&entry).unwrap();
    assert_eq!(shop.downloads().len(), 2, "nothing is downloaded twice");
    verify(&entry, &shop.cache()).unwrap();
    let left = fs::read_dir(shop.cache().join("staging/half-and-half")).unwrap();
    assert_eq!(left.filter_map(Result::ok).map(|entry| entry.file_name()).collect::<Vec<_>>(), ["lock"]);
}

#[test]
fn an_interrupted_fetch_keeps_what_came_down_whole() {
    let (shop, entry) = (Shop::open(), entry());
    shop.python(
        "[ $name = two ] && { echo 'connection lost' >&2; exit 1; }\ncp \"$shop/$name.whl\" \"$destination/$name-1.0.whl\"",
    );
    let error = shop.fetch(&entry).unwrap_err().to_string();
    assert!(error.contains("two==1.0") && error.contains("connection lost"), "{error}");
    shop.python("cp \"$shop/$name.whl\" \"$destination/$name-1.0.whl\"");
    shop.fetch(&entry).unwrap();
    assert_eq!(shop.downloads(), ["one==1.0", "two==1.0", "two==1.0"]);
}

#[test]
fn a_wrong_digest_names_both_and_leaves_nothing_behind() {
    let (shop, entry) = (Shop::open(), entry());
    shop.stock("two", "data/a.part01", b"something else");
    let Error::WrongDigest { path, expected, found, .. } = shop.fetch(&entry).unwrap_err() else {
        panic!("a wrong digest must be told as one");
    };
    assert_eq!(expected, entry.files[0].sha256);
    assert_eq!(found, hex::encode(Sha256::digest([FIRST, b"something else"].concat())));
    assert!(!path.exists() && !entry.is_cached(&shop.cache()));
    // the right package heals it
    shop.stock("two", "data/a.part01", SECOND);
    shop.fetch(&entry).unwrap();
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
}

#[test]
fn without_python_or_pip_the_error_says_what_to_install() {
    let (shop, entry) = (Shop::open(), entry());
    let client = Client::with_python("/nonexistent/python3", Duration::from_secs(60));
    let error = fetch_with(&client, &entry, &shop.cache(), &mut |_| {}).unwrap_err().to_string();
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
        match fetch_with(&client, &entry, &shop.cache(), &mut |_| {}) {
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
