//! What a job is and the states it goes through.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err(format!("`{}` is none of {}", other.chars().take(64).collect::<String>(), [$($text),+].join(", "))),
                }
            }
        }
    };
}
pub(crate) use names;

names! {
    /// ```text
    ///            lease                 done
    ///   queued ──────────▶ running ──────────────▶ succeeded | failed
    ///     ▲  ▲               │  │
    ///     │  └── lease lost ─┘  └─ asks ─▶ waiting_approval ─┐
    ///     └───────────────── decided ────────────────────────┘
    ///   any state that is not terminal ── cancel ──▶ cancelled
    /// ```
    /// A terminal job never moves again, because `closed` is the last event of its log; `retry` makes a new job.
    JobState {
        Queued = "queued",
        Running = "running",
        WaitingApproval = "waiting_approval",
        Succeeded = "succeeded",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

impl JobState {
    /// Nothing more happens to the job by itself.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

names! {
    /// Why a job failed.
    FailureReason {
        /// The work went wrong; the message says how.
        Error = "error",
        /// Total or idle time ran out.
        TimedOut = "timed_out",
        /// Steps, tokens or money ran out.
        BudgetExhausted = "budget_exhausted",
        /// The agent repeated itself and a nudge did not help.
        Stuck = "stuck",
        /// Policy or a person said no.
        Refused = "refused",
        /// The job's check does not pass, and the model says that it is done.
        CheckFailed = "check_failed",
    }
}

names! {
    /// The two kinds of work an agent does.
    JobKind {
        /// Gather context, answer, optionally write the answer to one file.
        Ask = "ask",
        /// A turn loop with tools that edits a workspace.
        Code = "code",
    }
}

/// 0 (when nothing else waits) to 9 (before everything else); 4 unless told. One level is worth a minute of waiting, so
/// low priorities age upwards and never starve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    pub const DEFAULT: Self = Self(4);
    pub const HIGHEST: Self = Self(9);
    /// How much waiting one level is worth, in milliseconds.
    pub const LEVEL_MS: i64 = 60_000;

    pub fn level(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<u8> for Priority {
    type Error = String;
    fn try_from(level: u8) -> Result<Self, String> {
        (level <= 9).then_some(Self(level)).ok_or_else(|| format!("priority is 0 to 9; got {level}"))
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> u8 {
        priority.0
    }
}
