//! `docs/openapi.json` is what the program prints; a test in `api` fails when the two differ.

use crate::shell::{cargo, output, root};
use anyhow::Result;

pub fn write() -> Result<()> {
    let document = output(cargo().args(["run", "--quiet", "--package", "devmesh", "--", "openapi"]))?;
    let path = root().join("docs/openapi.json");
    std::fs::write(&path, document)?;
    eprintln!("wrote {}", path.display());
    Ok(())
}
