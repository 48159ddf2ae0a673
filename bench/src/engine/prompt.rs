//! What is read: code, some 800 tokens of it, no two alike from the first word on.

/// Lines of a prompt; each is about twenty tokens.
const LINES: usize = 38;

pub fn text(round: usize) -> String {
    lines(round, LINES)
}

/// A few lines only.
pub fn short(round: usize) -> String {
    lines(round + 1000, 3)
}

fn lines(round: usize, count: usize) -> String {
    let mut text = format!("{round} is the number of this file. Say what it does, at length.\n");
    for line in 0..count {
        text += &format!("fn step_{line}(state: &mut State) -> Result<u64> {{ state.take({}) }}\n", line * 7 + round);
    }
    text
}
