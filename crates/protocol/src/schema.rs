//! How the words of `domain` are described: that crate knows nothing of documents, so their shapes stand here.

use std::borrow::Cow;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type},
};

macro_rules! described {
    ($($(#[$doc:meta])* $name:ident => $schema:expr),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.schema_type(Type::String).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )+};
}

macro_rules! names {
    ($name:ident, $about:literal) => {
        ObjectBuilder::new()
            .description(Some($about))
            .enum_values(Some(domain::$name::ALL.iter().map(|name| name.as_str())))
    };
}

described! {
    JobKind => names!(JobKind, "What an agent does."),
    JobState => names!(JobState, "Where a job stands; `succeeded`, `failed` and `cancelled` are final."),
    FailureReason => names!(FailureReason, "Why a job failed."),
    Scope => names!(Scope, "What a token may do: `admin` includes `user`, which includes `viewer`; `agent` and `model` stand apart."),
    ErrorCode => names!(ErrorCode, "What went wrong, in one word. `/api/errors/{code}` explains each."),
    /// A place in a log.
    Cursor => ObjectBuilder::new()
        .description(Some("A place in a log: `epoch.seq`."))
        .pattern(Some("^[0-9a-f]{8}\\.(0|[1-9][0-9]*)$"))
        .max_length(Some(29))
        .examples(["5f0c21ab.17"]),
    Epoch => ObjectBuilder::new()
        .description(Some("Which data this is, since its last restore."))
        .pattern(Some("^[0-9a-f]{8}$"))
        .examples(["5f0c21ab"]),
    Sha256 => ObjectBuilder::new()
        .description(Some("64 hex digits."))
        .pattern(Some("^[0-9a-f]{64}$"))
        .examples(["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]),
    Names => ObjectBuilder::new()
        .description(Some("A name, or the beginning of names and `*`."))
        .pattern(Some("^([^*]+\\*?|\\*)$"))
        .examples(["ollama/*"]),
    /// Content as it is.
    Bytes => ObjectBuilder::new().format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary))),
}
