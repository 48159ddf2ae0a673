//! `devmesh logs`: what a job did and is doing.

use super::follow::{Followed, OnApproval, Stage, follow};
use crate::{
    context::Context,
    output::{EventView, Exit, Failure, Result},
    wiring::Signals,
};
use client::Error;
use domain::Cursor;
use protocol::ListEvents;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Job id, or the beginning of one
    job: String,
    /// Go on as it grows, until the job ends
    #[arg(long, short)]
    follow: bool,
    /// Only the last events
    #[arg(long, value_name = "COUNT", conflicts_with = "after")]
    tail: Option<u64>,
    /// Only what came after this cursor
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
}

/// Events per request.
const PAGE: u32 = 500;

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let mut signals = Signals::catch()?;
    let job = context.job(&client, &arguments.job).await?;
    let tail = arguments.tail.map(|count| Cursor { seq: job.head.seq.saturating_sub(count), ..job.head });
    let mut after = arguments.after.or(tail);
    if arguments.follow {
        return match follow(context, &client, job.id, after, Stage::Data, OnApproval::Wait, &mut signals).await? {
            Followed::Closed(_) | Followed::WaitsFor(_) | Followed::Deserted => Ok(Exit::Done),
            Followed::Interrupted => Ok(Exit::Interrupted),
        };
    }
    let mut view = EventView::default();
    loop {
        let list = ListEvents { after: after.map(|cursor| cursor.to_string()), limit: Some(PAGE), wait_ms: None };
        let page = tokio::select! {
            page = client.events_page(job.id, &list) => page,
            () = signals.next() => return Ok(Exit::Interrupted),
        };
        let page = match page {
            // Retention took the beginning: say so and show the rest.
            Err(Error::Problem(problem)) if problem.reset.is_some() && after.is_none() => {
                let reset = problem.reset.ok_or_else(|| Failure::failed("no reset"))?;
                context.output.say(Error::Reset(Box::new(reset.clone())));
                after = Some(reset.resume_from);
                continue;
            }
            page => page?,
        };
        for event in &page.events {
            if context.output.json {
                context.output.json(event)?;
            } else {
                context.output.text(&view.render(event))?;
            }
        }
        after = Some(page.next_cursor);
        if page.closed || page.events.is_empty() || page.next_cursor == page.head {
            return Ok(Exit::Done);
        }
    }
}
