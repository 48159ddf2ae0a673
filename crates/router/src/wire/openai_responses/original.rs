//! The caller's own request on its way to a server of this dialect: without what other vendors sealed.

use super::FOREIGN_SEAL;
use crate::{Error, json_object::Fields};
use bytes::Bytes;
use memchr::memmem;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A conversation that another vendor answered before brings that vendor's sealed thoughts along. Nobody else can open them,
/// and they are nobody else's.
///
/// # Errors
/// [`Error::Invalid`] when the body is not JSON.
pub(crate) fn without_foreign_seals(body: &Bytes) -> Result<Cow<'_, Bytes>, Error> {
    if memmem::find(body, FOREIGN_SEAL.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(body));
    }
    let fields = Fields::of(body)?;
    let Some(items) = fields.read::<Vec<&RawValue>>("input") else { return Ok(Cow::Borrowed(body)) };
    let kept: Vec<&str> = items.iter().filter(|item| !is_sealed_elsewhere(item)).map(|item| item.get()).collect();
    if kept.len() == items.len() {
        return Ok(Cow::Borrowed(body));
    }
    Ok(Cow::Owned(fields.with(&[("input", &format!("[{}]", kept.join(",")))])))
}

fn is_sealed_elsewhere(item: &RawValue) -> bool {
    let sealed = Fields::of(item.get().as_bytes()).ok().and_then(|item| item.read::<String>("encrypted_content"));
    sealed.is_some_and(|sealed| sealed.starts_with(FOREIGN_SEAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_vendor_sealed_stays_here() {
        let sealed = |seal: &str| format!(r#"{{"type":"reasoning","summary":[],"encrypted_content":"{seal}"}}"#);
        let (own, foreign) = (sealed("gAAA"), sealed(&format!("{FOREIGN_SEAL}EqQB")));
        let said = format!(r#"{{"role":"user","content":"what is {FOREIGN_SEAL}?"}}"#);
        for (items, left) in [
            (vec![&own, &foreign, &said], vec![&own, &said]),
            (vec![&own, &said], vec![&own, &said]),
            (vec![&foreign], vec![]),
        ] {
            let body = |items: &[&String]| {
                let items: Vec<&str> = items.iter().map(|item| item.as_str()).collect();
                Bytes::from(format!(r#"{{"model":"m", "input":[{}] }}"#, items.join(",")))
            };
            assert_eq!(*without_foreign_seals(&body(&items)).unwrap(), body(&left));
        }
    }
}
