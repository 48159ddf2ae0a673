//! The wire: what REST, the event streams and the agents' calls carry. `api` serves these types, `client` speaks them,
//! and `openapi.json` is generated from them.

mod account;
mod agent;
mod approval;
mod artifact;
mod audit;
mod check;
mod content;
mod egress;
mod event;
mod folder;
mod health;
mod job;
mod list;
mod live;
mod model;
mod model_call;
mod page;
mod problem;
mod profile;
mod remote;
mod routing;
pub mod schema;
mod token;

pub use account::*;
pub use agent::*;
pub use approval::*;
pub use artifact::*;
pub use audit::*;
pub use check::*;
pub use content::*;
pub use egress::*;
pub use event::*;
pub use folder::*;
pub use health::*;
pub use job::*;
pub use list::*;
pub use live::*;
pub use model::*;
pub use model_call::*;
pub use page::*;
pub use problem::*;
pub use profile::*;
pub use remote::*;
pub use routing::*;
pub use token::*;
