//! The part of an output that says what fails: from where the first failure begins, and the end, where runners sum up.

/// What lines begin with at which a failure is told, after spaces. The first in the output is where the excerpt begins.
const BEGINNINGS: &[&str] = &[
    "FAIL:",
    "FAIL ",
    "FAILED ",
    "ERROR:",
    "ERROR ",
    "Error:",
    "error:",
    "error[",
    "[ERROR]",
    "--- FAIL:",
    "not ok ",
    "● ",
    "✖ ",
    "Traceback (most recent call last)",
    "E  ",
    "thread '",
    "panic:",
    "AssertionError",
];
/// A heading of pytest, and one of cargo: `____ test_add ____`, `---- tests::adds stdout ----`.
const HEADINGS: &[(&str, &str)] = &[("____", "____"), ("---- ", " ----")];
/// Said where lines are left out.
const LEFT_OUT: &str = "[...]";

/// At most about `bytes` of an output, and how many bytes of it are left out.
pub(super) fn failing(output: &str, bytes: usize) -> (String, u64) {
    let output = output.trim();
    if output.len() <= bytes {
        return (output.to_owned(), 0);
    }
    let first = output.split_inclusive('\n').scan(0, |at, line| {
        let begins = *at;
        *at += line.len();
        Some((begins, line.trim()))
    });
    let begins = first.into_iter().find(|(_, line)| tells_failure(line)).map_or(0, |(at, _)| at);
    let rest = &output[begins..];
    let shown = match rest.len() <= bytes {
        true => format!("{LEFT_OUT}\n{rest}"),
        false => {
            let head = &rest[..rest.floor_char_boundary(bytes / 2)];
            let tail = &rest[rest.ceil_char_boundary(rest.len() - bytes / 2)..];
            // Whole lines, where a line is not a page.
            let head = head.rsplit_once('\n').map_or(head, |(lines, _)| lines);
            let tail = tail.split_once('\n').map_or(tail, |(_, lines)| lines);
            let before = if begins > 0 { format!("{LEFT_OUT}\n") } else { String::new() };
            format!("{before}{head}\n{LEFT_OUT}\n{tail}")
        }
    };
    let omitted = output.len().saturating_sub(shown.len()) as u64;
    (shown, omitted)
}

fn tells_failure(line: &str) -> bool {
    let is_heading = |(begin, end): &(&str, &str)| {
        line.len() > begin.len() + end.len() && line.starts_with(begin) && line.ends_with(end)
    };
    BEGINNINGS.iter().any(|beginning| line.starts_with(beginning)) || HEADINGS.iter().any(is_heading)
}

/// A text in which times, addresses and line numbers make no difference.
pub(super) fn without_numbers(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_ascii_digit() {
            true if plain.ends_with('#') => {}
            true => plain.push('#'),
            false => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_output_is_shown_whole() {
        assert_eq!(failing("1 failed\n", 100), ("1 failed".into(), 0));
    }

    #[test]
    fn of_a_long_one_the_first_failure_and_the_end_are_shown() {
        let passing = "test tests::fine ... ok\n".repeat(200);
        let failure = "---- tests::adds stdout ----\nthread 'tests::adds' panicked at src/lib.rs:7:9:\nleft: 3\n";
        let output = format!(
            "{passing}\nfailures:\n\n{failure}\n{}test result: FAILED. 200 passed; 1 failed\n",
            "x\n".repeat(500)
        );
        let (shown, omitted) = failing(&output, 400);
        assert!(shown.starts_with("[...]\n---- tests::adds stdout ----\nthread "), "{shown}");
        assert!(shown.ends_with("test result: FAILED. 200 passed; 1 failed"), "{shown}");
        assert!(
            shown.len() <= 420 && omitted as usize == output.trim().len() - shown.len(),
            "{} {omitted}",
            shown.len()
        );
    }

    #[test]
    fn without_a_failure_that_is_known_head_and_end_are_shown() {
        let (shown, _) = failing(&format!("begin\n{}end", "é y\n".repeat(1_000)), 101);
        assert!(shown.starts_with("begin\n") && shown.ends_with("\nend"), "{shown}");
        let (shown, _) = failing(&"é".repeat(1_000), 101);
        assert!(shown.len() <= 110, "{shown}");
    }

    #[test]
    fn times_make_no_difference() {
        assert_eq!(without_numbers("2 failed in 0.12s"), without_numbers("2 failed in 13.4s"));
        assert_ne!(without_numbers("FAILED a"), without_numbers("FAILED b"));
    }
}
