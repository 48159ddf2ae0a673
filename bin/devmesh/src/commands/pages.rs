//! Lists as people ask for them: so many rows, read page by page, and a way to go on.

use crate::output::{FAINT, Output, Result};
use protocol::MOST_ROWS;

#[derive(Clone, Debug, clap::Args)]
pub struct Pages {
    /// At most this many
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Go on where an earlier list ended
    // Some begin with one.
    #[arg(long, value_name = "CURSOR", allow_hyphen_values = true)]
    cursor: Option<String>,
}

/// What one request asks for.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

/// Rows, and where the list goes on.
pub struct Listed<T> {
    pub rows: Vec<T>,
    next_cursor: Option<String>,
}

impl Pages {
    /// Reads on until there are as many rows as wanted or no more.
    pub async fn read<T>(
        self,
        mut page: impl AsyncFnMut(Ask) -> client::Result<(Vec<T>, Option<String>)>,
    ) -> Result<Listed<T>> {
        let wanted = self.limit as usize;
        let (mut rows, mut next_cursor) = (Vec::new(), self.cursor);
        while rows.len() < wanted {
            let left = u32::try_from(wanted - rows.len()).unwrap_or(MOST_ROWS);
            let (more, next) = page(Ask { limit: Some(left.min(MOST_ROWS)), cursor: next_cursor }).await?;
            rows.extend(more);
            next_cursor = next;
            if next_cursor.is_none() {
                break;
            }
        }
        Ok(Listed { rows, next_cursor })
    }
}

impl<T> Listed<T> {
    /// Says how to read on, as talk: data stays data, in JSON too.
    pub fn say_where_it_goes_on(&self, output: &Output) {
        if let Some(cursor) = &self.next_cursor {
            output.say(format_args!("{FAINT}there are more: the same command with --cursor {cursor}{FAINT:#}"));
        }
    }
}

/// Every row there is that `keep` keeps.
pub async fn every<T>(
    keep: impl Fn(&T) -> bool,
    mut page: impl AsyncFnMut(Ask) -> client::Result<(Vec<T>, Option<String>)>,
) -> Result<Vec<T>> {
    let mut rows = Vec::new();
    let mut ask = Ask { limit: Some(MOST_ROWS), cursor: None };
    loop {
        let (more, next) = page(ask).await?;
        rows.extend(more.into_iter().filter(&keep));
        if next.is_none() {
            return Ok(rows);
        }
        ask = Ask { limit: Some(MOST_ROWS), cursor: next };
    }
}
