use crate::{
    context::Context,
    output::{Exit, Result, Table},
};
use protocol::Egress;

pub async fn run(context: &Context) -> Result<Exit> {
    let output = &context.output;
    let routes = context.client()?.models(Egress::LocalOnly).await?.routes;
    if output.json {
        output.json(&routes)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["ROUTE", "TARGETS"]);
    for route in &routes {
        let targets: Vec<_> = route.targets.iter().map(|model| model.id.as_str()).collect();
        let targets = if targets.is_empty() { "no model now".to_owned() } else { targets.join(", ") };
        table.row([route.name.clone(), targets]);
    }
    if table.is_empty() {
        output.say("no routes");
        output.next("devmesh config explain routes.*.targets");
        return Ok(Exit::Done);
    }
    output.table(table)?;
    output.next("devmesh routes explain NAME");
    Ok(Exit::Done)
}
