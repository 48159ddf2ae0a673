//! How to work with a model.

pub mod delete;
pub mod get;
pub mod put;

use crate::{
    app::App,
    auth::Identity,
    gateway,
    problem::{Failure, Result},
};
use protocol::{Egress, Model};

/// The model of that name, as its provider tells of it now.
async fn model(app: &App, asker: &Identity, name: &str, egress: Egress) -> Result<Model> {
    let (_, allowed) = gateway::caller(app, asker);
    let route = app.router.route(name, egress.min(allowed)).await?;
    route.targets.into_iter().next().ok_or_else(|| Failure::not_found(format_args!("model {name}")))
}
