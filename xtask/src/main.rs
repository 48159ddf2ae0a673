//! Every chore of this repository. `cargo xtask` alone lists them; CONTRIBUTING.md has a line for each.

mod bench;
mod house_rules;
mod layers;
mod openapi;
mod shell;
mod test;
mod tools;

use clap::{Parser, Subcommand};
use std::path::PathBuf;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the devmesh repository")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything that has to hold: formatting, lints, layers, house rules, and every test there is
    Test {
        /// Only these crates' tests, without the lints
        crates: Vec<String>,
    },
    /// The long forms of the survival tests: hundreds of kills and reconnects, on a release build
    Torture,
    /// Fail on any dependency between our crates that points sideways or up
    Layers,
    /// Write docs/openapi.json anew
    Openapi,
    /// Ten thousand cases against what docs/openapi.json promises, by a program that has nothing but it
    Schemathesis,
    /// Build the real Ollama once, for the tests that run against it
    Ollama,
    /// Install the vendors' Python libraries once, for the tests that use them as clients
    Sdks,
    /// Install the coding tools once that tests run against the gateway
    Clients,
    /// Run the benchmarks on a release build: all of them, or the named ones. `bench agent --help` tells of the one with coding tools
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        names: Vec<String>,
        /// A folder with `bench` and `devmesh` of an older build: both run in turn, and the figures stand beside each other
        #[arg(long, value_name = "FOLDER")]
        older: Option<PathBuf>,
        /// A GGUF file for the benchmark `engine`, beside the models of the bill; may be given several times
        #[arg(long = "model", value_name = "FILE")]
        models: Vec<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().chore {
        Chore::Test { crates } if crates.is_empty() => test::everything(),
        Chore::Test { crates } => test::crates(&crates),
        Chore::Torture => test::torture(),
        Chore::Layers => layers::check(),
        Chore::Openapi => openapi::write(),
        Chore::Schemathesis => test::schemathesis(),
        Chore::Ollama => tools::ollama::OLLAMA.get().map(|folder| println!("{}", folder.join("ollama").display())),
        Chore::Sdks => tools::python::SDKS.get().map(|folder| println!("{}", folder.join("bin/python").display())),
        Chore::Clients => tools::coding_tools(),
        Chore::Bench { names, older, models } => bench::benchmarks(&names, older.as_deref(), &models),
    }
}
