//! Cursor pages.

use crate::{Approval, Artifact, Job, ModelCallRecord, Token};
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
    /// Approvals, oldest first.
    ApprovalPage of Approval as approvals,
    ArtifactPage of Artifact as artifacts,
    TokenPage of Token as tokens,
    /// Model calls, newest first.
    ModelCallPage of ModelCallRecord as model_calls,
}
