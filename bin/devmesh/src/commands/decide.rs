//! One decision, shared by `approve` and `deny`.

use crate::{
    commands::pages::{self, Ask},
    context::Context,
    output::{Exit, Failure, Result, STRONG, plain, styled},
};
use client::Client;
use protocol::{Approval, DecideApproval, Decision, ListApprovals};

pub async fn decide(context: &Context, text: &str, decision: Decision, message: Option<String>) -> Result<Exit> {
    let client = context.client()?;
    let approval = find(&client, text).await?;
    let output = &context.output;
    // What is decided is what is shown here: the digest binds the decision to these arguments.
    output.say(format_args!("{} {}", styled(STRONG, plain(&approval.tool)), plain(&approval.arguments.to_string())));
    let body = DecideApproval { decision, arguments_sha256: approval.arguments_sha256.clone(), message };
    let approval = client.decide(approval.id, &body).await?;
    let word = match decision {
        Decision::Approved => "approved",
        Decision::Denied => "denied",
    };
    output.show(&approval, || format!("{}\t{word}", approval.id))?;
    output.next(format_args!("devmesh attach {}", approval.job_id));
    Ok(Exit::Done)
}

/// By the beginning of its own id, or of the id of the job that waits for it.
async fn find(client: &Client, text: &str) -> Result<Approval> {
    let text = text.trim().to_ascii_lowercase();
    let named = |approval: &Approval| {
        approval.id.to_string().starts_with(&text) || approval.job_id.to_string().starts_with(&text)
    };
    let read = pages::every(named, async |ask: Ask| {
        let list = ListApprovals { job_id: None, pending: Some(true), limit: ask.limit, cursor: ask.cursor };
        client.approvals(&list).await.map(|page| (page.approvals, page.next_cursor))
    });
    let mut found = read.await?;
    match (text.is_empty(), found.len()) {
        (false, 1) => Ok(found.remove(0)),
        (false, 0) => Err(Failure::new(
            Exit::NotFound,
            format!("nothing that waits for a decision has an id that begins with `{text}`"),
        )
        .next("devmesh approvals --all")),
        _ => Err(Failure::usage(format!("`{text}` fits more than one approval; give more of the id"))
            .next("devmesh approvals")),
    }
}
