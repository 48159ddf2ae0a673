//! The real Ollama, from its Go module.
//!
//! 0.24.0 is the newest that is one program; later ones want a llama-server beside them. A module's archive leaves out
//! folders named `vendor`, so three headers come from elsewhere: two from the system, one from another module.

use super::{Tool, debian};
use crate::shell::{output, run};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const VERSION: &str = "0.24.0";
pub const OLLAMA: Tool = Tool { name: "ollama-0.24.0", works, make };

/// Has `miniaudio.h` at its root.
const MINIAUDIO_MODULE: &str = "github.com/gen2brain/malgo@v0.11.24";
const HEADERS: &[(&str, &str)] =
    &[("/usr/include/nlohmann/json.hpp", "nlohmann-json3-dev"), ("/usr/include/stb/stb_image.h", "libstb-dev")];

fn works(folder: &Path) -> bool {
    // Nothing listens there, so it tells its own version and not a running server's.
    let said = Command::new(folder.join("ollama")).arg("--version").env("OLLAMA_HOST", "127.0.0.1:9").output();
    said.is_ok_and(|said| {
        let text = [said.stdout, said.stderr].concat();
        said.status.success() && String::from_utf8_lossy(&text).contains(VERSION)
    })
}

fn make(folder: &Path) -> Result<()> {
    let go = Command::new("go").arg("version").output();
    go.context("Go is missing: install Go 1.26 or newer to build Ollama")?;
    for compiler in ["cc", "c++"] {
        let found = Command::new(compiler).arg("--version").output();
        found.with_context(|| format!("`{compiler}` is missing: Ollama has parts in C and C++"))?;
    }
    debian::ensure_files(HEADERS)?;
    let include = folder.join("include");
    fs::create_dir_all(include.join("miniaudio"))?;
    let header = miniaudio(folder)?;
    fs::copy(&header, include.join("miniaudio/miniaudio.h"))
        .with_context(|| format!("{} is not in {MINIAUDIO_MODULE}", header.display()))?;
    // Its kernels are chosen when compiled: without these flags it runs at less than half the speed.
    let flags = format!("-O3 -march=native{} -I{}", without_amx(), include.display());
    let mut build = Command::new("go");
    build
        .current_dir(folder)
        .arg("install")
        .arg(format!("-ldflags=-X=github.com/ollama/ollama/version.Version={VERSION}"))
        .arg(format!("github.com/ollama/ollama@v{VERSION}"))
        .env("CGO_ENABLED", "1")
        .env("CGO_CFLAGS", &flags)
        .env("CGO_CXXFLAGS", &flags)
        .env("GOBIN", folder);
    eprintln!("building Ollama {VERSION}: three to six minutes, once");
    run(&mut build)
}

/// The module leaves out the files with the kernels for AMX, and refers to them where a compiler says that the CPU has it.
fn without_amx() -> &'static str {
    let asked = ["-march=native", "-dM", "-E", "-x", "c", "/dev/null"];
    let defined = Command::new("cc").args(asked).output().map(|said| said.stdout).unwrap_or_default();
    if has_amx(&String::from_utf8_lossy(&defined)) { " -mno-amx-tile -mno-amx-int8 -mno-amx-bf16" } else { "" }
}

/// Of what a compiler defines by itself.
fn has_amx(defined: &str) -> bool {
    defined.lines().any(|line| line.starts_with("#define __AMX_"))
}

fn miniaudio(folder: &Path) -> Result<PathBuf> {
    let mut download = Command::new("go");
    download.current_dir(folder).args(["mod", "download", "-json", MINIAUDIO_MODULE]);
    let said: serde_json::Value = serde_json::from_slice(&output(&mut download)?)?;
    let module = said["Dir"].as_str().with_context(|| format!("no folder in what Go said of {MINIAUDIO_MODULE}"))?;
    Ok(Path::new(module).join("miniaudio.h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_tells_whether_the_cpu_has_amx() {
        assert!(has_amx("#define __AVX2__ 1\n#define __AMX_TILE__ 1\n"));
        assert!(!has_amx("#define __AVX2__ 1\n"));
        assert!(!has_amx(""));
    }
}
