//! What a model is told of what it had done to a file.

use crate::{
    helper::{Over, Refused, Written},
    prompt::{self, Dialect},
};

/// The file's path and what changed in it.
pub(crate) fn edited((path, difference): (String, String)) -> String {
    format!("Edited {}:\n{difference}", prompt::shown_path(&path))
}

pub(crate) fn written(
    written: Written,
    (path, content): (&str, &str),
    over: Over,
    dialect: Dialect,
) -> Result<String, String> {
    match written {
        Ok(_) => Ok(format!("Wrote {} bytes to {}.", content.len(), prompt::shown_path(path))),
        Err(Refused { why, .. }) if over == Over::Anything => Err(why),
        Err(Refused { why, instead }) => Err(prompt::edit_instead(dialect, path, &why, instead)),
    }
}
