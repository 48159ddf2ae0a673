//! The architecture as a check: a crate imports only rows below its own.

use crate::shell::{cargo, output};
use anyhow::{Result, bail, ensure};
use serde_json::Value;

/// Lowest first. A crate may use any row below its own.
const ROWS: &[(&str, &[&str])] = &[
    ("vocabulary", &["domain", "protocol"]),
    ("platform", &["store", "jobs", "client"]),
    ("features", &["agent", "context", "router", "mesh", "vm", "embedded-model"]),
    ("edges", &["api", "mcp"]),
    ("programs", &["devmesh", "devmesh-vm", "devmesh-guest"]),
];

/// The only edges within a row.
const SIDEWAYS: &[(&str, &str)] = &[("protocol", "domain"), ("jobs", "store")];

/// For development only: they may use anything, and nothing that ships may use them.
const DEVELOPMENT: &[&str] = &["testkit", "xtask", "bench"];

pub fn check() -> Result<()> {
    let metadata: Value =
        serde_json::from_slice(&output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?)?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(!packages.is_empty(), "cargo metadata names no package");
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut forbidden = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        if DEVELOPMENT.contains(&name) {
            continue;
        }
        let Some(own) = row(name) else {
            bail!("`{name}` stands in no row: add it to ROWS in xtask/src/layers.rs and to ARCHITECTURE.md");
        };
        let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
        for dependency in dependencies.iter().filter(|dependency| dependency["kind"].as_str() != Some("dev")) {
            let used = dependency["name"].as_str().unwrap_or_default();
            if !names.contains(&used) || SIDEWAYS.contains(&(name, used)) {
                continue;
            }
            if row(used).is_none_or(|used| used >= own) {
                forbidden.push(format!("{name} → {used}"));
            }
        }
    }
    ensure!(
        forbidden.is_empty(),
        "these edges point sideways or up: {}. The crate that calls owns the trait and bin/devmesh adapts the other to it (ARCHITECTURE.md, \"Rows\").",
        forbidden.join(", ")
    );
    eprintln!("layers: {} crates, every edge points down", names.len());
    Ok(())
}

fn row(name: &str) -> Option<usize> {
    ROWS.iter().position(|(_, crates)| crates.contains(&name))
}
