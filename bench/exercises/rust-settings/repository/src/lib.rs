//! Settings of a small server, from its defaults and two files.

mod file;
mod layers;
mod value;

use std::time::Duration;

#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    pub name: String,
    pub timeout: Duration,
    pub workers: u32,
}

/// The user's file wins over the system's, and that over the defaults.
pub fn load(system: &str, user: &str) -> Result<Settings, String> {
    let layers = layers::Layers::new(&["name = server\ntimeout = 1500ms\nworkers = 2", system, user])?;
    Ok(Settings {
        name: layers.text("name")?,
        timeout: layers.duration("timeout")?,
        workers: layers.number("workers")?,
    })
}
