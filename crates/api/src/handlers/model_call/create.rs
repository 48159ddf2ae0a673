use crate::{
    app::App,
    auth::ModelCaller,
    extract::LargePayload,
    gateway, model_call,
    problem::{Failure, Result},
};
use axum::{extract::State, response::Response};
use domain::ModelCallId;
use futures_util::StreamExt;
use protocol::CreateModelCall;
use router::{Call, OwnRequest};
use std::sync::Arc;

/// Bytes of a route's name.
const ROUTE_BYTES: usize = 300;

/// Call a model outside of a job, in the words of devmesh's own agents
///
/// The answer streams as Server-Sent Events of ModelStreamItem. Closing the connection stops the call. Clients of OpenAI,
/// Anthropic and Ollama have their own ways in; this one can hold a model to a grammar.
#[utoipa::path(
    post,
    path = "/api/v1/model-calls",
    operation_id = "create_model_call",
    tag = "models",
    security(("bearer" = ["model", "user", "admin"])),
    request_body = CreateModelCall,
    responses((status = 200, description = "The answer as it comes: Server-Sent Events with a `ModelStreamItem` in `data` each.", content_type = "text/event-stream", body = Object)),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    ModelCaller(asker): ModelCaller,
    LargePayload(asked): LargePayload<CreateModelCall>,
) -> Result<Response> {
    let CreateModelCall { route, egress, .. } = &asked;
    if route.is_empty() || route.len() > ROUTE_BYTES {
        return Err(Failure::field("/route", format!("has {} bytes; it is 1 to {ROUTE_BYTES}.", route.len())));
    }
    let (caller, allowed) = gateway::caller(&app, &asker);
    let (route, egress) = (route.clone(), (*egress).min(allowed));
    let own = OwnRequest {
        messages: asked.messages,
        tools: asked.tools,
        response_schema: asked.response_schema,
        grammar: asked.grammar,
        max_output_tokens: asked.max_output_tokens,
        temperature: asked.temperature,
        seed: asked.seed,
    };
    let mut call = Call::new(ModelCallId::new(app.clock.now()), route.clone(), Arc::new(own.asked(&route)), caller);
    call.egress = egress;
    let items = app.router.call(call).take_until(app.stopping.clone().cancelled_owned());
    Ok(model_call::respond(Box::pin(items), app.options.limits.heartbeat))
}
