//! What the README shows is what happens: its shell script is run as it stands there.

use crate::survive::stage::{Agent, Backend};
use anyhow::{Context, Result, ensure};
use std::process::Command;
use testkit::{Script, ScriptedModel, Turn};

const README: &str = include_str!("../../../../README.md");

#[tokio::test(flavor = "multi_thread")]
async fn the_curl_commands_of_the_readme_run_a_job_to_its_end() -> Result<()> {
    if Command::new("curl").arg("--version").output().is_err() {
        testkit::skipped("there is no curl");
        return Ok(());
    }
    let script = script_of("## Over plain HTTP").context("the README has no script over plain HTTP")?;
    let home = tempfile::tempdir()?;
    let model = ScriptedModel::start(Script::each(|_| Turn::text("The sea is wide."))).await;
    let backend = Backend::start_with_model(&home.path().join("data"), &model.base_url()).await?;
    let _agent = Agent::start(&home.path().join("agents"), &backend, "reader").await?;
    let (url, token) = (backend.url(), backend.admin_token()?);
    let shell = tokio::task::spawn_blocking(move || {
        Command::new("sh").args(["-euc", script]).env("URL", url).env("TOKEN", token).output()
    });
    let output = shell.await??;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    for wanted in
        ["event: job.created", "event: closed", "\"state\":\"succeeded\"", "+The sea is wide.", "\"intact\":true"]
    {
        ensure!(printed.contains(wanted), "`{wanted}` is not in what was printed:\n{printed}");
    }
    Ok(())
}

/// The first shell block under a heading.
fn script_of(heading: &str) -> Option<&'static str> {
    let section = &README[README.find(heading)?..];
    let start = section.find("```sh\n")? + "```sh\n".len();
    let length = section[start..].find("\n```")?;
    Some(&section[start..start + length])
}
