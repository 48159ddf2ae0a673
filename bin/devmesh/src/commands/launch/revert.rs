//! Gives a tool its settings back.

use super::{
    Arguments, carry_out,
    change::{Change, PRIVATE},
    kept::{Copy, Kept},
    taken_back::taken_back,
};
use crate::output::{Exit, Failure, Output, Result, shell_quoted};
use serde_json::json;
use std::path::{Path, PathBuf};

/// More copies of one file than anybody made.
const MOST_COPIES: usize = 100;

pub fn revert(arguments: &Arguments, kept: &Kept, output: &Output) -> Result<Exit> {
    let tool = arguments.tool;
    let Some(copy) = kept.read()? else {
        return Err(Failure::new(
            Exit::NotFound,
            format!("there is no copy of the settings of {0}: devmesh did not write them", tool.name()),
        )
        .next(format!("devmesh launch {}", tool.name())));
    };
    let before = Change::read(&copy.file)?;
    let is_untouched = before.is_none() || before == copy.written || before == copy.text;
    let (after, aside) = match taken_back(tool, &copy, before.as_deref()) {
        Ok(left) => (left, None),
        Err(why) => {
            let aside = free_name(&copy.file)?;
            output.warn(&format!(
                "{} was changed since devmesh wrote it, and cannot be taken apart ({why}): all of it gives way to the settings from before, and a copy goes to {}",
                copy.file.display(),
                aside.display(),
            ));
            (copy.text.clone(), Some(aside))
        }
    };
    let Copy { file, mode, .. } = copy;
    let change = Change { before, after, file, mode };
    let written = carry_out(arguments, &change, "", output, || match &aside {
        Some(aside) => {
            let text = change.before.clone();
            Change { file: aside.clone(), before: None, after: text, mode: Some(PRIVATE) }.write()
        }
        None => Ok(()),
    })?;
    if written || change.is_nothing() && !arguments.print {
        kept.remove()?;
    }
    if written {
        let shown = shell_quoted(&change.file);
        match &aside {
            None if is_untouched => output.say(format_args!("{shown} is as it was")),
            None => output.say(format_args!("{shown} is without what devmesh wrote; what was changed since stays")),
            Some(aside) => output.say(format_args!(
                "{shown} is as it was before devmesh; what it said until now is in {}",
                shell_quoted(aside)
            )),
        }
    }
    if output.json {
        let report = json!({
            "tool": tool.name(), "file": change.file, "diff": change.diff(""), "written": written,
            "set_aside": aside.filter(|_| written),
        });
        output.json(&report)?;
    }
    Ok(Exit::Done)
}

/// Beside the file, and nobody's yet.
fn free_name(file: &Path) -> Result<PathBuf> {
    let named = |number| {
        let mut name = file.as_os_str().to_owned();
        name.push(if number == 0 { ".bak".to_owned() } else { format!(".bak{number}") });
        PathBuf::from(name)
    };
    (0..MOST_COPIES).map(named).find(|name| !name.exists()).ok_or_else(|| {
        Failure::failed(format!("there are {MOST_COPIES} copies of {} already", file.display())).next("remove some")
    })
}
