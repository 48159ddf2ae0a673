//! Programs of others that `cargo xtask test` makes once for all tests of this user.

use std::path::PathBuf;

/// A tool's folder, or why the test that wants it is skipped.
///
/// # Errors
/// When it is not there.
pub fn tool(name: &str) -> Result<PathBuf, String> {
    let tools = users_cache().join("tools");
    let folder = tools.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let note = std::fs::read_to_string(tools.join(format!("{name}.missing")));
    Err(note.unwrap_or_else(|_| format!("{} is not there: `cargo xtask test` makes it", folder.display())))
}

/// What `devmesh` itself uses too: models are fetched once for all tests of this user.
pub fn users_cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("devmesh")
}
