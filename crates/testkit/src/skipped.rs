//! A test that cannot prove anything on this machine says so.

use std::{fs::File, io::Write as _};

/// Where `cargo xtask test` collects what was skipped, to name it once more at the end.
pub const SKIPPED_LIST: &str = "TESTKIT_SKIPPED";

/// Says, past whatever captures the output of tests that pass, that this test proves nothing on this machine, and why.
///
/// # Panics
/// When it cannot be noted where `cargo xtask test` looks: then nobody would learn of it.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    skipped_part(thread.name().unwrap_or("a test"), why);
}

/// The same of a part that has a name of its own.
///
/// # Panics
/// As [`skipped`].
pub fn skipped_part(part: &str, why: &str) {
    let line = format!("skipped: {part}: {}\n", why.split_whitespace().collect::<Vec<_>>().join(" "));
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(list) = std::env::var_os(SKIPPED_LIST) {
        let list = File::options().append(true).create(true).open(list);
        // One write: many tests add to it at once.
        list.and_then(|mut list| list.write_all(line.as_bytes())).expect("the list of skipped tests can be written");
    }
}
