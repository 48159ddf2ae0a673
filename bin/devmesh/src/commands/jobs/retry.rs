use crate::{
    commands::{
        follow::{self, OnApproval},
        run::new_key,
    },
    context::Context,
    output::{Exit, Result},
    wiring::Signals,
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Job id, or the beginning of one
    job: String,
    /// Create the job and leave it alone
    #[arg(long, short)]
    detach: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let mut signals = Signals::catch()?;
    let original = context.job(&client, &arguments.job).await?;
    let job = client.retry_job(original.id, Some(&new_key())).await?;
    let output = &context.output;
    if arguments.detach {
        output.show(&job, || job.id.to_string())?;
        output.next(format_args!("devmesh attach {}", job.id));
        return Ok(Exit::Done);
    }
    output.say(format_args!("job {}", job.id));
    let on_approval = if output.stderr_is_terminal { OnApproval::Wait } else { OnApproval::Leave };
    follow::to_result(context, &client, job.id, on_approval, &mut signals).await
}
