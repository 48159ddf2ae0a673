use crate::{file, value};
use std::{collections::HashMap, time::Duration};

/// Files above each other: what stands in a later one wins.
pub struct Layers(HashMap<String, String>);

impl Layers {
    pub fn new(files: &[&str]) -> Result<Self, String> {
        let mut values = HashMap::new();
        for text in files {
            values.extend(file::parse(text)?);
        }
        Ok(Self(values))
    }

    pub fn text(&self, key: &str) -> Result<String, String> {
        self.0.get(key).cloned().ok_or_else(|| format!("{key} is not set"))
    }

    pub fn number(&self, key: &str) -> Result<u32, String> {
        let text = self.text(key)?;
        text.parse().map_err(|_| format!("{key}: `{text}` is not a number"))
    }

    pub fn duration(&self, key: &str) -> Result<Duration, String> {
        let text = self.text(key)?;
        value::duration(&text).ok_or_else(|| format!("{key}: `{text}` is not a duration such as 90s"))
    }
}
