use std::collections::BTreeMap;

/// How many there are of each good.
#[derive(Debug, Default)]
pub struct Shelf {
    goods: BTreeMap<String, u32>,
}

/// There is not enough of a good: `count` more are needed.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    pub good: String,
    pub count: u32,
}

impl Shelf {
    pub fn put(&mut self, good: &str, count: u32) {
        *self.goods.entry(good.to_owned()).or_default() += count;
    }

    pub fn count(&self, good: &str) -> u32 {
        self.goods.get(good).copied().unwrap_or(0)
    }

    /// Takes so many of a good, or none of it.
    pub fn take(&mut self, good: &str, count: u32) -> Result<(), Missing> {
        let there = self.count(good);
        if there < count {
            return Err(Missing { good: good.to_owned(), count: count - there });
        }
        self.goods.insert(good.to_owned(), there - count);
        Ok(())
    }
}
