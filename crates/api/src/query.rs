//! The query string on its way to a type of ours. Numbers have one form, decimal without a sign or zeros before it, as the
//! OpenAPI document has them.

use serde::{
    Deserializer,
    de::{
        Error as _, IntoDeserializer, Visitor,
        value::{Error, MapDeserializer},
    },
    forward_to_deserialize_any,
};
use std::{borrow::Cow, str::FromStr};

pub fn deserializer(query: &str) -> impl Deserializer<'_, Error = Error> {
    MapDeserializer::new(form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name, Text(value))))
}

/// One value.
struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    fn number<N: FromStr<Err: std::fmt::Display>>(&self) -> Result<N, Error> {
        let text = &*self.0;
        if text.starts_with('+') || (text.len() > 1 && text.starts_with('0')) {
            return Err(Error::custom("a number has neither a sign nor zeros before it"));
        }
        text.parse().map_err(Error::custom)
    }
}

impl<'de> IntoDeserializer<'de> for Text<'de> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Text<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.into_deserializer().deserialize_any(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u32(self.number()?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(self.number()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.0.parse().map_err(Error::custom)?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.into_deserializer().deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 u8 u16 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ListJobs;
    use serde::Deserialize;

    fn limit(query: &str) -> Option<Option<u32>> {
        ListJobs::deserialize(deserializer(query)).ok().map(|list| list.limit)
    }

    #[test]
    fn a_number_has_one_form() {
        assert_eq!(limit(""), Some(None));
        assert_eq!(limit("limit=0"), Some(Some(0)));
        assert_eq!(limit("limit=50"), Some(Some(50)));
        for other in ["", "%2B5", "05", "00", "-1", "5.0", "1e1", "0x5", "5%20", "x", "4294967296", "5&limit=5"] {
            assert_eq!(limit(&format!("limit={other}")), None, "{other}");
        }
    }
}
