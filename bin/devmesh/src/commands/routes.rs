//! `devmesh routes`: where names lead, and where a call would go now.

mod explain;
mod list;

use crate::{
    context::Context,
    output::{Exit, Result, Table},
};
use protocol::{Candidate, Egress};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Every route and its targets, in the order of the configuration
    List,
    /// Where a call would go now, and why, without making it
    Explain(explain::Arguments),
}

pub async fn run(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::List => list::run(context).await,
        Command::Explain(arguments) => explain::run(arguments, context).await,
    }
}

/// Every target that was looked at.
pub(super) fn candidates(candidates: &[Candidate]) -> Table {
    let mut table = Table::new(["CANDIDATE", "KEPT", "SCORE", "WHY"]);
    for candidate in candidates {
        table.row([
            candidate.target.clone(),
            if candidate.kept { "yes".into() } else { "no".into() },
            candidate.score.map_or_else(|| "-".into(), |score| format!("{score:.2}")),
            candidate.why.clone(),
        ]);
    }
    table
}

/// As routes and keys name it.
pub(super) fn egress(egress: Egress) -> &'static str {
    match egress {
        Egress::LocalOnly => "never",
        Egress::Redacted => "redacted",
        Egress::Allowed => "allowed",
    }
}
