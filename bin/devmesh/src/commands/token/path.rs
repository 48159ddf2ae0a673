use crate::{
    context::Context,
    output::{Exit, Failure, Result},
};

pub fn run(context: &Context) -> Result<Exit> {
    let path = context.config.settings.admin_token_file();
    if !path.exists() {
        return Err(Failure::new(
            Exit::NotFound,
            format!("{} is not there: no mesh was started on this data folder", path.display()),
        )
        .next("devmesh up, or devmesh token reset if the file was lost"));
    }
    context.output.show(&serde_json::json!({"path": path}), || path.display().to_string())?;
    Ok(Exit::Done)
}
