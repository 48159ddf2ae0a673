//! Whether the mesh of this data folder does what its files say.

use super::Finding;
use crate::{context::Context, wiring};

pub fn check(context: &Context) -> Option<Finding> {
    let data = &context.config.settings.data;
    // A backend elsewhere has files of its own.
    if !store::is_held(data).unwrap_or(false) {
        return None;
    }
    const CHECK: &str = "configuration";
    Some(match wiring::not_taken(data) {
        None => Finding::good(CHECK, "what runs is what the files say"),
        Some(why) => Finding::bad(
            CHECK,
            format!("the files changed, and what runs is older: {why}"),
            "mend the file it names, which is read again then, or restart the mesh",
        ),
    })
}
