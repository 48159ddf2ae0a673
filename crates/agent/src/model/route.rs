//! Where a job's route leads: the model that answers, and the one that may take over.

use super::{DEFAULT_ROUTE, Profile};
use crate::{
    halt::{Halt, persist},
    stop::Stop,
};
use client::Client;
use domain::{ErrorCode, FailureReason};
use protocol::{CreateJob, Egress, Location, Model, Route};

/// What to know of the model that answers: the first of the job's route, or the `target` that took over from it.
pub(crate) async fn profile(
    client: &Client,
    spec: &CreateJob,
    stop: &Stop,
    target: Option<&str>,
) -> Result<Profile, Halt> {
    let egress = spec.egress;
    let route = route(client, spec, stop).await?;
    Profile::of(&route, egress, target).ok_or_else(|| match route.targets.is_empty() {
        true => Halt::error(format!(
            "the route `{}` leads to no model; `devmesh models list` shows what there is, `devmesh models pull` fetches one",
            route.name
        )),
        false => only_out(&route.name),
    })
}

/// The model after this one on the job's route that may take over: one in the cloud only where the job may spend money, too.
pub(crate) async fn next_after(
    client: &Client,
    spec: &CreateJob,
    stop: &Stop,
    model: &str,
) -> Result<Option<Profile>, Halt> {
    let route = route(client, spec, stop).await?;
    let may_pay = spec.egress == Egress::Allowed && spec.limits.cost_microusd > 0;
    let after = route.targets.iter().skip_while(|target| target.id != model).skip(1);
    let may =
        |target: &&Model| target.available && target.id != model && (target.location == Location::Local || may_pay);
    Ok(after.into_iter().find(may).map(Profile::of_model))
}

fn only_out(name: &str) -> Halt {
    Halt::Failed {
        reason: FailureReason::Refused,
        message: format!(
            "the route `{name}` leads to cloud models only and this job's prompts may not leave the machine; choose another \
             route or create the job with `egress: allowed`"
        ),
    }
}

/// Asks the backend where the job's route leads.
async fn route(client: &Client, spec: &CreateJob, stop: &Stop) -> Result<Route, Halt> {
    let CreateJob { route, egress, .. } = spec;
    let name = route.as_deref().unwrap_or(DEFAULT_ROUTE);
    let route = persist(stop, stop.requested(), || async {
        // As far as the job's prompts may go, and no further: what may not be asked may not be listed either.
        match client.route(name, *egress).await {
            Ok(route) => Ok(Named::Leads(route)),
            // Not the attempt is unknown, as it would be elsewhere, but the name.
            Err(error) if error.code() == Some(ErrorCode::NotFound) => Ok(Named::Unknown),
            Err(error) if error.code() == Some(ErrorCode::EgressRefused) => Ok(Named::OnlyOut),
            Err(error) => Err(error),
        }
    });
    match route.await? {
        Named::Leads(route) => Ok(route),
        Named::OnlyOut => Err(only_out(name)),
        Named::Unknown => {
            Err(Halt::error(format!("there is no model or route `{name}`; `devmesh models list` shows what there is")))
        }
    }
}
/// What the backend says of a name.
enum Named {
    Leads(Route),
    Unknown,
    /// To models in the cloud, and the job stays here.
    OnlyOut,
}
