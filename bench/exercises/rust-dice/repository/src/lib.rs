//! Dice as players write them: `d6`, `2d6`, `2d6+3`, `2d6-1`.

/// So many dice of so many sides, and what is added to their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dice {
    pub count: u32,
    pub sides: u32,
    pub bonus: i32,
}

impl Dice {
    /// The smallest sum that can be thrown.
    pub fn least(&self) -> i32 {
        self.count as i32 + self.bonus
    }

    /// The greatest sum that can be thrown.
    pub fn most(&self) -> i32 {
        (self.count * self.sides) as i32 + self.bonus
    }
}

/// Reads `[count]d<sides>[+bonus|-bonus]`. Without a count it is one die. `None` for everything else, for no dice
/// and for dice without sides.
pub fn parse(text: &str) -> Option<Dice> {
    let (count, rest) = text.split_once('d')?;
    let count = if count.is_empty() { 1 } else { count.parse().ok()? };
    let (sides, bonus) = match rest.split_once('+') {
        Some((sides, bonus)) => (sides, bonus.parse::<u16>().ok()? as i32),
        None => (rest, 0),
    };
    let sides = sides.parse().ok()?;
    if count == 0 || sides == 0 {
        return None;
    }
    Some(Dice { count, sides, bonus })
}
