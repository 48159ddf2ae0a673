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
    for (index, (good, count)) in order.lines.iter().enumerate() {
        if let Err(missing) = shelf.take(good, *count) {
            for (good, count) in &order.lines[..index] {
                shelf.put(good, *count);
            }
            return Err(missing);
        }
    }
    Ok(())
}
