//! Values and what makes them fit their key.

use super::key::{Key, Kind};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Integer(u64),
    Boolean(bool),
    List(Vec<String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(boolean) => write!(f, "{boolean}"),
            Self::List(items) => f.write_str(&items.join(",")),
        }
    }
}

impl Value {
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Integer(number) => (*number).into(),
            Self::Boolean(boolean) => (*boolean).into(),
            Self::List(items) => items.clone().into(),
        }
    }

    /// From a variable or a flag, where everything is text.
    pub fn parse(key: &Key, text: &str) -> Result<Self, String> {
        let value = match key.kind {
            Kind::Integer { .. } => Self::Integer(text.trim().parse().map_err(|_| refused(key, text))?),
            Kind::Boolean => Self::Boolean(match text.trim() {
                "true" | "1" | "yes" | "on" => true,
                "false" | "0" | "no" | "off" => false,
                _ => return Err(refused(key, text)),
            }),
            Kind::List => {
                Self::List(text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect())
            }
            _ => Self::Text(text.trim().to_owned()),
        };
        value.checked(key)
    }

    /// From a file, where values have types.
    pub fn from_toml(key: &Key, value: &toml::de::DeValue<'_>) -> Result<Self, String> {
        use toml::de::DeValue;
        let value = match (key.kind, value) {
            (Kind::Integer { .. }, DeValue::Integer(number)) => {
                let parsed = u64::from_str_radix(&number.as_str().replace('_', ""), number.radix());
                Self::Integer(parsed.map_err(|_| refused(key, number.as_str()))?)
            }
            (Kind::Fraction, DeValue::Float(number)) => Self::Text(number.as_str().replace('_', "")),
            (Kind::Fraction, DeValue::Integer(number)) => Self::Text(number.as_str().to_owned()),
            (Kind::Boolean, DeValue::Boolean(boolean)) => Self::Boolean(*boolean),
            (Kind::List, DeValue::Array(items)) => {
                let text = |item: &toml::Spanned<DeValue<'_>>| item.get_ref().as_str().map(str::to_owned);
                Self::List(
                    items
                        .iter()
                        .map(text)
                        .collect::<Option<_>>()
                        .ok_or_else(|| format!("expected {}", key.expects()))?,
                )
            }
            (Kind::Integer { .. } | Kind::Boolean | Kind::List, other) => {
                return Err(format!("expected {}, got a {}", key.expects(), other.type_str()));
            }
            (_, DeValue::String(text)) => Self::Text(text.trim().to_owned()),
            (_, other) => return Err(format!("expected {}, got a {}", key.expects(), other.type_str())),
        };
        value.checked(key)
    }

    fn checked(self, key: &Key) -> Result<Self, String> {
        let fits = match (&self, key.kind) {
            (Self::Integer(number), Kind::Integer { min, max }) => (min..=max).contains(number),
            (Self::Text(text), Kind::OneOf(names)) => names.contains(&text.as_str()),
            (Self::Text(text), Kind::Fraction) => text.parse().is_ok_and(|number: f64| (0.0..=1.0).contains(&number)),
            (Self::Text(text), Kind::Url) => is_url(text),
            (Self::Text(text), Kind::Address) => text.parse::<std::net::IpAddr>().is_ok(),
            (Self::Text(text), _) => !text.is_empty() && !text.contains('\0'),
            // One with a comma could not be handed on in a flag, where it would become two.
            (Self::List(items), _) => items.iter().all(|item| !item.is_empty() && !item.contains([',', '\0'])),
            _ => true,
        };
        if fits { Ok(self) } else { Err(refused(key, &self.to_string())) }
    }
}

fn refused(key: &Key, seen: &str) -> String {
    if key.is_secret() {
        return format!("expected {}", key.expects());
    }
    format!("expected {}, got `{}`", key.expects(), seen.chars().take(80).collect::<String>())
}

fn is_url(text: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(text) else { return false };
    matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty() && url.password().is_none()
}
