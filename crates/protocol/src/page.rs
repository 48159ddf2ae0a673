//! Pages of lists; [`crate::List`] says how they are asked for.

use crate::{Approval, Artifact, AuditEntry, EgressEntry, Job, ModelCallRecord, Token};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! page {
    ($($(#[$doc:meta])* $name:ident of $item:ty as $field:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
        pub struct $name {
            pub $field: Vec<$item>,
            /// Pass it as `cursor` to read on; absent on the last page.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub next_cursor: Option<String>,
        }
    )+};
}

page! {
    /// Jobs, newest first.
    JobPage of Job as jobs,
    /// Approvals, newest first.
    ApprovalPage of Approval as approvals,
    /// Artifacts of one job, by name.
    ArtifactPage of Artifact as artifacts,
    /// Tokens, oldest first.
    TokenPage of Token as tokens,
    /// Model calls, newest first.
    ModelCallPage of ModelCallRecord as model_calls,
    /// What left the machine, oldest first.
    EgressPage of EgressEntry as entries,
    /// Who did what, newest first.
    AuditPage of AuditEntry as entries,
}
