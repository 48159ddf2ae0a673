use crate::{
    app::App,
    auth::Agent,
    extract::{LargePayload, Path},
    model_call,
    problem::Result,
};
use axum::{extract::State, response::Response};
use domain::JobId;
use protocol::ModelCall;
use std::sync::Arc;

/// Call a model for an attempt
///
/// The answer streams as Server-Sent Events of ModelStreamItem. The call is recorded in the job's log; `finished` arrives
/// only once it is durable there. Closing the connection stops the call.
#[utoipa::path(
    post,
    path = "/api/v1/leases/{job_id}/model-calls",
    operation_id = "call_model",
    tag = "leases",
    security(("bearer" = ["agent"])),
    params(("job_id" = uuid::Uuid, Path, description = "The leased job.")),
    request_body = ModelCall,
    responses((status = 200, description = "The answer as it comes: Server-Sent Events with a `ModelStreamItem` in `data` each.", content_type = "text/event-stream", body = Object)),
)]
pub async fn call_model(
    State(app): State<Arc<App>>,
    Agent(asker): Agent,
    Path(job): Path<JobId>,
    LargePayload(call): LargePayload<ModelCall>,
) -> Result<Response> {
    model_call::stream(&app, &asker, job, call).await
}
