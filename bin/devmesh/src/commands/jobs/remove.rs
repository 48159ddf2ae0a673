use crate::{
    commands::each::each,
    context::Context,
    output::{Exit, Result},
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Job ids, or their beginnings
    #[arg(required = true)]
    jobs: Vec<String>,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    each(&context.output, &arguments.jobs, async |text| {
        let job = context.job(&client, text).await?;
        client.delete_job(job.id).await?;
        context.output.show(&serde_json::json!({"deleted": job.id}), || job.id.to_string())
    })
    .await
}
