//! The same done to several things, which a command names one after the other.

use crate::output::{Exit, Output, Result};

/// Goes on after one that failed, and tells each. The command ends as the first that failed did.
pub async fn each(output: &Output, named: &[String], mut act: impl AsyncFnMut(&str) -> Result<()>) -> Result<Exit> {
    if let [text] = named {
        return act(text).await.map(|()| Exit::Done);
    }
    let mut exit = Exit::Done;
    for text in named {
        match act(text).await {
            Ok(()) => {}
            // Nobody listens, or nobody answers: the others would fare no better.
            Err(failure) if failure.is_closed_pipe() || failure.exit == Exit::Unreachable => return Err(failure),
            Err(failure) => {
                if exit == Exit::Done {
                    exit = failure.exit;
                }
                output.failed(&if failure.what.contains(text.as_str()) { failure } else { failure.context(text) });
            }
        }
    }
    Ok(exit)
}
