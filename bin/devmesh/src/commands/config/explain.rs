use crate::{
    config::{Candidate, Ignored, KEYS, Key, Origin, Settable, Unit, find},
    context::Context,
    output::{Exit, FAINT, Failure, Result, STRONG, one_line, styled},
};
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Such as server.port
    key: Option<String>,
    /// All keys as the page `docs/configuration.md`
    #[arg(long, hide = true, conflicts_with = "key")]
    markdown: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> Result<Exit> {
    match &arguments.key {
        Some(name) => one(name, context),
        None if arguments.markdown => context.output.text(&page()).map(|()| Exit::Done),
        None => all(context),
    }
}

fn one(name: &str, context: &Context) -> Result<Exit> {
    let key =
        find(name).ok_or_else(|| Failure::usage(format!("there is no key `{name}`")).next("devmesh config explain"))?;
    let candidates = context.config.resolved.candidates(name);
    let winner = candidates.last();
    let losers: Vec<_> = candidates.iter().rev().skip(1).collect();
    let ignored: Vec<&Ignored> = context.config.resolved.ignored(name).collect();
    let document = json!({
        "key": name, "doc": key.doc, "expects": key.expects(), "default": key.preset_text(),
        "value": winner.map(|winner| shown_json(key, winner)), "from": winner.map(|winner| winner.origin.to_string()),
        "overridden": losers.iter().map(|loser| json!({"value": shown_json(key, loser), "from": loser.origin.to_string()})).collect::<Vec<_>>(),
        "ignored": ignored.iter().map(|ignored| json!({"value": ignored.shown, "from": ignored.origin.to_string(), "why": ignored.why.text()})).collect::<Vec<_>>(),
    });
    context.output.show(&document, || {
        let value = winner.map_or_else(|| "not set".to_owned(), |winner| shown(key, winner));
        let from = match winner {
            Some(Candidate { origin, .. }) => origin.to_string(),
            None => format!("nobody set it; in force: {}", key.preset_text()),
        };
        let mut text = format!(
            "{} = {value}\n  {}\n  takes     {}\n  default   {}\n  from      {from}",
            styled(STRONG, name),
            key.doc,
            key.expects(),
            key.preset_text()
        );
        for loser in &losers {
            text += &format!("\n  instead of {} {FAINT}({}){FAINT:#}", shown(key, loser), loser.origin);
        }
        for Ignored { shown, origin, why, .. } in &ignored {
            let shown = one_line(shown, SHOWN);
            text += &format!("\n  ignored   {shown} {FAINT}({origin}: {}){FAINT:#}", why.text());
        }
        text + &places(key, name)
    })?;
    Ok(Exit::Done)
}

/// Characters of a value that somebody else may have written.
const SHOWN: usize = 100;

/// How to set it.
fn places(key: &Key, name: &str) -> String {
    let variable = format!("DEVMESH_{}", name.to_ascii_uppercase().replace('.', "__"));
    let file = if key.is_secret() { format!(", or {variable}_FILE with the name of a file") } else { String::new() };
    let seed = key.seed.map_or_else(String::new, |seed| format!(", or {seed}"));
    let folder = match key.settable {
        Settable::ByUser => "; ./devmesh.toml may not",
        Settable::ByWorkingFolder => "; ./devmesh.toml may, too",
    };
    format!("\n  set with  {variable}{file}{seed}{folder}")
}

fn all(context: &Context) -> Result<Exit> {
    let document: Vec<_> = KEYS
        .iter()
        .map(|key| {
            let unit = (key.unit != Unit::None).then(|| key.unit.to_string());
            json!({"key": key.name, "doc": key.doc, "expects": key.expects(), "unit": unit, "default": key.preset_text(), "also": key.seed})
        })
        .collect();
    context.output.show(&document, || {
        let entry = |key: &Key| {
            let seed = key.seed.map_or_else(String::new, |seed| format!(" Also {seed}."));
            format!(
                "{}\n    {}{seed}\n    {FAINT}takes {}; default: {}{FAINT:#}",
                styled(STRONG, key.name),
                key.doc,
                key.expects(),
                key.preset_text()
            )
        };
        KEYS.iter().map(entry).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Exit::Done)
}

/// The reference of all keys, kept in the repository.
fn page() -> String {
    let mut page = "# Configuration\n\n\
        Later places win: defaults, `/etc/devmesh/devmesh.toml`, `$XDG_CONFIG_HOME/devmesh/devmesh.toml`, `./devmesh.toml`, \
        the environment, flags. A variable is\n`DEVMESH_` and the key in capitals with `__` for each dot; `server.port` is \
        `DEVMESH_SERVER__PORT`. A secret can come from a file: `…_FILE` in the\nenvironment, `…_file` in a configuration file. \
        Paths in a file are seen from the file's folder. Unknown keys are refused. `devmesh config explain KEY`\nsays which \
        place won.\n\n\
        `./devmesh.toml` is the file in the working folder, which may have come with a clone. It may only set keys marked with ∗. \
        What else it says is\nignored with a warning, and so is a mistake in it ([why](adr/0013-who-decides-where-secrets-go.md)). \
        Every other key is set in the user's own file, in the\nenvironment or with a flag. A token of devmesh (`dm_…`) is nowhere \
        taken for another service's key.\n"
        .to_owned();
    let mut section = "";
    for key in KEYS {
        let begins = key.name.split_once('.').map_or("", |(section, _)| section);
        if section != begins || !page.contains('|') {
            section = begins;
            let heading = if section.is_empty() { String::new() } else { format!("\n## {section}\n") };
            page += &format!("{heading}\n| key | what | takes | default |\n|---|---|---|---|\n");
        }
        let seed = key.seed.map_or_else(String::new, |seed| format!(" Also `{seed}`."));
        let mark = if key.settable == Settable::ByWorkingFolder { " ∗" } else { "" };
        page += &format!("| `{}`{mark} | {}{seed} | {} | {} |\n", key.name, key.doc, key.expects(), key.preset_text());
    }
    page
}

pub(super) fn shown(key: &Key, candidate: &Candidate) -> String {
    if key.is_secret() { "***".into() } else { candidate.value.to_string() }
}

pub(super) fn shown_json(key: &Key, candidate: &Candidate) -> serde_json::Value {
    if key.is_secret() { "***".into() } else { candidate.value.to_json() }
}

pub(super) fn is_set(candidates: &[Candidate]) -> bool {
    candidates.last().is_some_and(|winner| winner.origin != Origin::Default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_current() {
        let committed = include_str!("../../../../../docs/configuration.md");
        assert!(committed == page(), "write it anew: cargo run -- config explain --markdown > docs/configuration.md");
    }
}
