use crate::{
    app::App,
    auth::{Identity, ModelCaller},
    extract::{Path, Raw},
    gateway,
};
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use domain::ModelCallId;
use http::Method;
use router::gateway::PassThrough;
use std::sync::Arc;

type Where = (String, String);

macro_rules! pass_through {
    ($name:ident, $method:ident, $verb:ident, $id:literal, $summary:literal) => {
        #[doc = $summary]
        ///
        /// Endpoints of a provider that are known to call no model with a conversation: audio, images, moderations, files, and
        /// what is stored of answers and batches. The provider's key is added, the caller's is not passed on, and the egress
        /// rule holds.
        #[utoipa::path(
                            $method,
                            path = "/providers/{provider}/{*path}",
                            operation_id = $id,
                            tag = "gateway",
                            security(("bearer" = ["model", "user", "admin"])),
                            params(
                                ("provider" = String, Path, description = "A configured provider."),
                                ("path" = String, Path, description = "The rest, as the provider knows it."),
                            ),
                            responses((status = 200, description = "The provider's answer, whatever its status.")),
                        )]
        pub async fn $name(
            State(app): State<Arc<App>>,
            ModelCaller(identity): ModelCaller,
            Path(place): Path<Where>,
            RawQuery(query): RawQuery,
            raw: Raw,
        ) -> Response {
            forward(&app, identity, Method::$verb, place, query, raw).await
        }
    };
}

pass_through!(read, get, GET, "gateway_pass_through_get", "Pass a GET on to a provider");
pass_through!(send, post, POST, "gateway_pass_through_post", "Pass a POST on to a provider");
pass_through!(remove, delete, DELETE, "gateway_pass_through_delete", "Pass a DELETE on to a provider");

async fn forward(
    app: &Arc<App>,
    identity: Identity,
    method: Method,
    (provider, path): Where,
    query: Option<String>,
    raw: Raw,
) -> Response {
    let (caller, egress) = gateway::caller(app, &identity);
    let request = PassThrough {
        id: ModelCallId(raw.request_id.0),
        provider,
        method,
        path: format!("/{path}"),
        query,
        headers: raw.headers,
        body: raw.body,
        caller,
        egress,
    };
    gateway::respond(app.router.pass_through(request).await)
}
