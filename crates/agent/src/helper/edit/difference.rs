//! What an edit changed, in few lines: what stands before it, what went, what came, what stands after it.

/// Lines shown around a change.
const AROUND: usize = 2;
/// Most lines of each side that are shown.
const LINES: usize = 20;

pub(super) fn shown(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - start;
    let end = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let first = start.saturating_sub(AROUND);
    let mut shown = format!("@@ line {} @@\n", first + 1);
    let mut push = |mark: char, lines: &[&str]| {
        for line in lines.iter().take(LINES) {
            shown.push_str(&format!("{mark}{line}\n"));
        }
        if lines.len() > LINES {
            shown.push_str(&format!("{mark}[... {} more lines]\n", lines.len() - LINES));
        }
    };
    push(' ', &old[first..start]);
    push('-', &old[start..old.len() - end]);
    push('+', &new[start..new.len() - end]);
    push(' ', &new[new.len() - end..(new.len() - end + AROUND).min(new.len())]);
    shown
}
