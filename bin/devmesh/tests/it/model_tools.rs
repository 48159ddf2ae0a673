//! Programs of others that tests run against. `cargo xtask test` makes them; see xtask/src/tools.rs for the places.

use std::path::PathBuf;

/// A tool's folder, or why the test that wants it is skipped.
pub(crate) fn tool(name: &str) -> Result<PathBuf, String> {
    let tools = users_cache().join("tools");
    let folder = tools.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let note = std::fs::read_to_string(tools.join(format!("{name}.missing")));
    Err(note.unwrap_or_else(|_| format!("{} is not there: `cargo xtask test` makes it", folder.display())))
}

/// What `devmesh` itself uses: models are fetched and tools are made once for all tests of this user.
pub(crate) fn users_cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("devmesh")
}
