use super::explain::{is_set, shown, shown_json};
use crate::{
    config::find,
    context::Context,
    output::{Exit, Result, Table},
};
use serde_json::json;

pub fn run(context: &Context) -> Result<Exit> {
    let resolved = &context.config.resolved;
    let mut document = Vec::new();
    let mut table = Table::new(["KEY", "VALUE", "FROM"]);
    for name in resolved.names() {
        let Some(key) = find(name) else { continue };
        let winner = resolved.candidates(name).last();
        let from = winner.map_or_else(|| "default".to_owned(), |winner| winner.origin.to_string());
        let value = winner.map_or_else(|| key.preset_text(), |winner| shown(key, winner));
        document.push(json!({"key": name, "value": winner.map(|winner| shown_json(key, winner)), "from": from, "set": is_set(resolved.candidates(name))}));
        table.row([name.to_owned(), value, from]);
    }
    if context.output.json {
        context.output.json(&document)?;
    } else {
        context.output.table(table)?;
        context.output.next("devmesh config explain KEY");
    }
    Ok(Exit::Done)
}
