//! One file per command. Nouns with several verbs have a folder.

pub mod agent;
pub mod apply;
pub mod approvals;
pub mod approve;
pub mod attach;
pub mod audit;
pub mod backup;
pub mod calls;
pub mod completions;
pub mod config;
mod decide;
pub mod deny;
pub mod diff;
pub mod doctor;
mod each;
pub mod egress;
mod follow;
mod ids;
pub mod jobs;
pub mod launch;
pub mod logs;
pub mod models;
mod pages;
pub mod restore;
pub mod routes;
pub mod run;
pub mod serve;
pub mod spend;
pub mod targets;
pub mod token;
pub mod trial;
pub mod up;
pub mod verify;
pub mod version;

use ids::{Ids, short};
