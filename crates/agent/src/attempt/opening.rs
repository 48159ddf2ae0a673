//! The beginning of an attempt: what went before, the protections, the workspace, the model.

use super::{Attempt, broken_workspace};
use crate::{
    appender::Appender,
    budget::{Budget, larger},
    halt::{Halt, persist},
    model,
    options::Options,
    rebuild::{Fact, Past},
    sandbox::Sandbox,
    stop::Stop,
    workspace::{self, Workspace},
};
use protocol::{EventBody, Lease, ListEvents};
use std::sync::Arc;

/// Events read at once.
const PAGE_EVENTS: u32 = 1_000;
/// What `sandbox.ready` calls this kind of sandbox.
const SANDBOX_KIND: &str = "process";

impl Attempt {
    /// Everything up to the first model call. Hands back what earlier attempts got to.
    pub(super) async fn open(
        options: Arc<Options>,
        sandbox: Arc<Sandbox>,
        lease: Lease,
        stop: Stop,
        appender: Appender,
    ) -> Result<(Self, Past), Halt> {
        let client = options.client.clone();
        let mut past = match lease.attempt {
            1 => Past::default(),
            _ => read(&client, &lease, &stop).await?,
        };
        let protections = sandbox.protections().to_vec();
        appender.append(vec![EventBody::SandboxReady { kind: SANDBOX_KIND.into(), protections }]).await?;

        let workspace = prepare(&options, &sandbox, &lease, &stop, &past).await?;
        let step = match (&past.checkpoint, workspace.resumed_from()) {
            (Some(checkpoint), Some(_)) => checkpoint.step,
            (Some(_), None) => {
                // The steps are on another machine or gone. What was said about them no longer holds.
                past.facts.clear();
                let message = "the workspace of the attempt before is not on this machine; starting from the beginning";
                appender.append(vec![EventBody::AgentNote { message: message.into() }]).await?;
                0
            }
            (None, _) => {
                past.facts.clear();
                0
            }
        };
        let prepared = EventBody::WorkspacePrepared {
            base_commit: workspace.base_commit().to_owned(),
            resumed_from: workspace.resumed_from().map(str::to_owned),
            branch: workspace.branch().to_owned(),
            files: workspace.files(),
            location: workspace.location().display().to_string(),
        };
        // From here on there is always a step to go on from, also before the first tool call.
        let kept = EventBody::WorkspaceCheckpoint { commit: workspace.head().to_owned(), step };
        let mut events = vec![prepared, kept];
        let notes = workspace.take_notes();
        events.extend(notes.iter().cloned().map(|message| EventBody::AgentNote { message }));
        appender.append(events).await?;

        let escalated = past.facts.iter().rev().find_map(|fact| match fact {
            Fact::Escalated(escalation) => Some(escalation.to.clone()),
            _ => None,
        });
        let profile = model::profile(&client, &lease.spec, &stop, escalated.as_deref()).await?;
        let usage = larger(lease.usage, past.usage);
        let attempt = Self {
            client,
            job: lease.job_id,
            epoch: lease.epoch,
            number: lease.attempt,
            budget: Budget::new(lease.spec.limits.clone(), usage),
            spec: lease.spec,
            stop,
            appender,
            sandbox,
            place: workspace.place(),
            workspace,
            // The router goes on by itself where one does not answer, but for one that took over.
            is_guided: false,
            target: escalated.filter(|target| *target == profile.model),
            profile,
            models: past.models.clone(),
            step,
            // A model that begins sees what there is; one that goes on may count on what was.
            untold: if past.facts.is_empty() { Vec::new() } else { notes },
            newest_call: None,
            checked: None,
            said_undone: false,
            options,
        };
        Ok((attempt, past))
    }
}

/// The working copy: where the last step left it if that is on this machine, else from the start.
async fn prepare(
    options: &Options,
    sandbox: &Arc<Sandbox>,
    lease: &Lease,
    stop: &Stop,
    past: &Past,
) -> Result<Workspace, Halt> {
    let resume = past.checkpoint.as_ref().map(|checkpoint| workspace::Resume {
        location: checkpoint.location.clone().into(),
        commit: checkpoint.commit.clone(),
        base_commit: checkpoint.base_commit.clone(),
        branch: checkpoint.branch.clone(),
    });
    let prepare = workspace::Prepare {
        sandbox: sandbox.clone(),
        folder: options.sandbox.workspaces.clone(),
        job: lease.job_id,
        attempt: lease.attempt,
        mesh: lease.epoch.to_string(),
        task: lease.spec.task.clone(),
        repository: lease.spec.repository.clone(),
        access: workspace::Access { folders: lease.folders, egress: lease.spec.egress, ..options.access.clone() },
        disk: options.disk,
        resume,
        cancel: stop.requested().clone(),
    };
    Workspace::prepare(prepare).await.map_err(broken_workspace)
}

/// What the log holds up to the lease.
async fn read(client: &client::Client, lease: &Lease, stop: &Stop) -> Result<Past, Halt> {
    let mut past = Past::default();
    let mut after = None;
    loop {
        let list = ListEvents {
            after: after.map(|cursor: domain::Cursor| cursor.to_string()),
            limit: Some(PAGE_EVENTS),
            wait_ms: None,
        };
        let page = persist(stop, stop.requested(), || client.events_page(lease.job_id, &list)).await?;
        for event in &page.events {
            past.add(event);
        }
        if page.events.is_empty() || page.next_cursor.seq >= lease.head.seq {
            return Ok(past);
        }
        after = Some(page.next_cursor);
    }
}
