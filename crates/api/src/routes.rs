//! Every route, in groups by how a request proves who asks.

use crate::{app::App, auth, carry_through::carry_through, guard, handlers, problem::Failure, vendor::Vendor};
use axum::{
    Router,
    extract::Request,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
};
use domain::ErrorCode;
use http::{Method, header};
use std::{convert::Infallible, sync::Arc};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::CorsLayer;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouter},
    routes,
};

type Group = OpenApiRouter<Arc<App>>;
type Route = UtoipaMethodRouter<Arc<App>>;

/// Without a token: what is here at all, the health checks, and the WebSocket, which brings a ticket.
pub fn anonymous() -> Group {
    OpenApiRouter::new()
        .routes(routes!(handlers::health::root::root))
        .routes(moved(routes!(handlers::health::root::root), "_of_ollama", |_| "/ollama/".to_owned()))
        .routes(routes!(handlers::health::live::live))
        .routes(routes!(handlers::health::ready::ready))
        .routes(routes!(handlers::websocket::open::open))
}

/// Pages for people, with a token as Bearer or as a Basic password.
pub fn documentation() -> Group {
    OpenApiRouter::new()
        .routes(routes!(handlers::documentation::openapi::openapi))
        .routes(routes!(handlers::documentation::page::redirect))
        .routes(routes!(handlers::documentation::page::index))
        .routes(routes!(handlers::documentation::page::file))
        .routes(routes!(handlers::documentation::error::error))
}

/// An agent's long-polls: a Bearer token, and an answer only for a client that is still there.
pub fn long_polls() -> Group {
    OpenApiRouter::new()
        .routes(routes!(handlers::lease::create::create))
        .routes(routes!(handlers::lease::heartbeat::heartbeat))
}

/// Clients of OpenAI, Anthropic and Ollama: the token where their own key would be. Seen through only as long as somebody
/// listens. Many clients of Ollama know a host and a port and nothing else, so its API is at the root, too, and OpenAI's beside
/// it, as Ollama has it.
pub fn gateway() -> Group {
    use handlers::gateway as g;
    let group = OpenApiRouter::new()
        .routes(routes!(g::messages::messages))
        .routes(routes!(g::count_tokens::count_tokens))
        .routes(routes!(g::ollama_pull::ollama_pull))
        .routes(routes!(g::ollama_delete::ollama_delete))
        .routes(routes!(g::pass_through::read, g::pass_through::send, g::pass_through::remove));
    let beside_ollama = of_openai().map(|route| moved(route, "_beside_ollama", |path| format!("/ollama{path}")));
    let at_root = of_ollama().map(|route| moved(route, "_at_root", |path| path.replacen("/ollama", "", 1)));
    let routes = of_openai().into_iter().chain(of_ollama()).chain(beside_ollama).chain(at_root);
    routes.fold(group, Group::routes)
}

fn of_openai() -> [Route; 6] {
    use handlers::gateway as g;
    [
        routes!(g::chat_completions::chat_completions),
        routes!(g::completions::completions),
        routes!(g::responses::responses, g::responses_upgrade::responses_upgrade),
        routes!(g::embeddings::embeddings),
        routes!(g::models::models),
        routes!(g::model::model),
    ]
}

fn of_ollama() -> [Route; 8] {
    use handlers::gateway as g;
    [
        routes!(g::ollama_chat::ollama_chat),
        routes!(g::ollama_generate::ollama_generate),
        routes!(g::ollama_embed::ollama_embed),
        routes!(g::ollama_embeddings::ollama_embeddings),
        routes!(g::ollama_tags::ollama_tags),
        routes!(g::ollama_ps::ollama_ps),
        routes!(g::ollama_show::ollama_show),
        routes!(g::ollama_version::ollama_version),
    ]
}

/// The same under another path, its operations told apart by an ending.
fn moved((schemas, mut paths, methods): Route, ending: &str, to: impl Fn(&str) -> String) -> Route {
    let items = std::mem::take(&mut paths.paths).into_iter().map(|(path, mut item)| {
        let operations = [&mut item.get, &mut item.post];
        for id in operations.into_iter().flatten().filter_map(|operation| operation.operation_id.as_mut()) {
            id.push_str(ending);
        }
        (to(&path), item)
    });
    paths.paths = items.collect();
    (schemas, paths, methods)
}

/// Everything else: a Bearer token, and the scope its handler asks for. Commands are seen through.
pub fn authenticated() -> Group {
    OpenApiRouter::new()
        .routes(routes!(handlers::job::create::create, handlers::job::list::list))
        .routes(routes!(handlers::job::get::get, handlers::job::delete::delete))
        .routes(routes!(handlers::job::known::known))
        .routes(routes!(handlers::job::cancel::cancel))
        .routes(routes!(handlers::job::retry::retry))
        .routes(routes!(handlers::job::events::events))
        .routes(routes!(handlers::job::verify::verify))
        .routes(routes!(handlers::artifact::list::list))
        .routes(routes!(handlers::artifact::get::get))
        .routes(routes!(handlers::approval::list::list))
        .routes(routes!(handlers::approval::decide::decide))
        .routes(routes!(handlers::model::list::list))
        .routes(routes!(handlers::model::route::route))
        .routes(routes!(handlers::model::explain::explain))
        .routes(routes!(handlers::model::targets::targets))
        .routes(routes!(handlers::profile::get::get, handlers::profile::put::put, handlers::profile::delete::delete))
        .routes(routes!(handlers::model_call::list::list, handlers::model_call::create::create))
        .routes(routes!(handlers::model_call::get::get))
        .routes(routes!(handlers::egress::list::list))
        .routes(routes!(handlers::egress::verify::verify))
        .routes(routes!(handlers::audit::list::list))
        .routes(routes!(handlers::audit::verify::verify))
        .routes(routes!(handlers::key::get::get, handlers::key::put::put))
        .routes(routes!(handlers::token::create::create, handlers::token::list::list))
        .routes(routes!(handlers::token::delete::delete))
        .routes(routes!(handlers::backup::get::get))
        .routes(routes!(handlers::content::check::check))
        .routes(routes!(handlers::websocket::ticket::ticket))
        .routes(routes!(handlers::lease::append::append))
        .routes(routes!(handlers::lease::request_approval::request_approval))
        .routes(routes!(handlers::lease::call_model::call_model))
        .routes(routes!(handlers::lease::finish::finish))
        .routes(routes!(handlers::lease::release::release))
        .routes(routes!(handlers::lease::put_artifact::put_artifact))
        .routes(routes!(handlers::health::version::version))
}

/// Every route, ready to answer.
pub struct Routes {
    app: Arc<App>,
    /// Of [`gateway`]. Whoever asks is let in before they are reached: a model call is short enough to feel each layer.
    gateway: Router,
    /// With what lets in whoever asks around each group.
    others: Router,
    cors: CorsLayer,
}

impl Routes {
    pub fn new(app: &Arc<App>) -> Self {
        let ready = |routes: Router<Arc<App>>| {
            routes.fallback(unknown_route).method_not_allowed_fallback(wrong_method).with_state(app.clone())
        };
        Self {
            gateway: ready(Router::from(gateway())),
            others: ready(others(app)),
            cors: guard::cors(&app.options.allowed),
            app: app.clone(),
        }
    }

    /// Programs send no `Origin`, so what only pages need costs them nothing.
    pub async fn answer(&self, request: Request) -> Response {
        if !request.headers().contains_key(header::ORIGIN) {
            return self.route(request).await;
        }
        let route = service_fn(|request| async { Ok::<_, Infallible>(self.route(request).await) });
        let Ok(response) = self.cors.layer(route).oneshot(request).await;
        response
    }

    async fn route(&self, mut request: Request) -> Response {
        let routes = if Vendor::of(request.uri().path()).is_some() {
            if let Err(failure) = auth::admit(&self.app, &mut request, auth::Schemes::BearerOrApiKey) {
                return failure.into_response();
            }
            &self.gateway
        } else {
            &self.others
        };
        let Ok(response) = routes.clone().oneshot(request).await;
        response
    }
}

fn others(app: &Arc<App>) -> Router<Arc<App>> {
    let documentation =
        Router::from(documentation()).route_layer(from_fn_with_state(app.clone(), auth::authenticate_reader));
    let authenticated = Router::from(authenticated())
        .route_layer(from_fn_with_state(app.clone(), carry_through))
        .merge(Router::from(long_polls()))
        .route_layer(from_fn_with_state(app.clone(), auth::authenticate));
    Router::from(anonymous()).merge(documentation).merge(authenticated)
}

async fn unknown_route(request: Request) -> Failure {
    let path: String = request.uri().path().chars().take(128).collect();
    Failure::new(ErrorCode::NotFound, format!("There is no route `{path}`. /api/openapi.json lists all of them."))
}

async fn wrong_method(method: Method) -> Failure {
    Failure::new(
        ErrorCode::MethodNotAllowed,
        format!("{method} is not available here; the Allow header lists what is."),
    )
}
