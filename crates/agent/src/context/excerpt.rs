//! The lines of a long file that have to do with the task, each with its neighbours.

/// Lines shown before and after one that matters: a short function around its heart.
const NEIGHBOURS: usize = 6;
/// The top of a file says what it is.
const TOP: usize = 10;

/// At most about `bytes` of the file; says where lines are left out and how many.
pub(crate) fn excerpt(text: &str, words: &[String], bytes: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut wanted: Vec<usize> = (0..lines.len().min(TOP)).collect();
    let matters = |line: &str| {
        let line = line.to_lowercase();
        words.iter().any(|word| line.contains(word.as_str()))
    };
    for (number, line) in lines.iter().enumerate() {
        if matters(line) {
            wanted.extend(number.saturating_sub(NEIGHBOURS)..(number + NEIGHBOURS + 1).min(lines.len()));
        }
    }
    wanted.sort_unstable();
    wanted.dedup();

    let mut shown = String::new();
    let mut next = 0;
    for number in wanted {
        // Room for the line that says what follows is left out.
        if shown.len() + lines[number].len() + 2 * GAP > bytes {
            break;
        }
        push_gap(&mut shown, number - next);
        shown.push_str(lines[number]);
        shown.push('\n');
        next = number + 1;
    }
    push_gap(&mut shown, lines.len() - next);
    shown
}

/// Longest line that names a gap, in bytes.
const GAP: usize = 48;

fn push_gap(shown: &mut String, lines: usize) {
    if lines > 0 {
        shown.push_str(&format!("[... {lines} lines left out ...]\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_top_and_matches_and_counts_the_rest() {
        let text: String =
            (0..100).map(|n| if n == 50 { "the needle\n".into() } else { format!("line {n}\n") }).collect();
        let shown = excerpt(&text, &["needle".into()], 10_000);
        assert!(shown.starts_with("line 0\n"), "{shown}");
        assert!(shown.contains("line 9\n[... 34 lines left out ...]\nline 44\n"), "{shown}");
        assert!(shown.ends_with("line 56\n[... 43 lines left out ...]\n"), "{shown}");
    }

    #[test]
    fn a_single_endless_line_shows_only_that_it_is_left_out() {
        assert_eq!(excerpt(&"x".repeat(10_000), &[], 100), "[... 1 lines left out ...]\n");
    }
}
