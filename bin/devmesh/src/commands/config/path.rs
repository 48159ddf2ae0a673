use crate::{
    context::Context,
    output::{Exit, Result, Table},
};
use serde_json::json;

pub fn run(context: &Context) -> Result<Exit> {
    let mut document = Vec::new();
    let mut table = Table::new(["FILE", ""]);
    for path in context.config.paths.config_files() {
        let exists = path.exists();
        document.push(json!({"path": path, "exists": exists}));
        table.row([path.display().to_string(), if exists { "read".into() } else { "not there".into() }]);
    }
    if context.output.json {
        context.output.json(&document)?;
    } else {
        context.output.table(table)?;
        context.output.say("the last one lies in the working folder and may set little: devmesh config explain KEY");
        context.output.say("later files win over earlier ones, the environment over files, flags over everything");
    }
    Ok(Exit::Done)
}
