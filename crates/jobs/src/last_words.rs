//! What an agent says last is kept, whatever is in it.
//!
//! The closing message of an attempt quotes what commands, models and repositories said. Refusing it would lose the job
//! over a character nobody chose, so it is made fit to store and show instead. What people and programs send of their own
//! accord is validated strictly elsewhere.

use protocol::Outcome;

/// Closing words of a failure (bytes). Long enough for the end of a compiler's output.
const FAILURE_BYTES: usize = 16 << 10;

/// `text` without control characters but newline and tab, and at most `most` bytes of it with a mark where it was cut.
pub(crate) fn fit(text: &str, most: usize) -> String {
    let whole: String = text.replace("\r\n", "\n").chars().map(shown).collect();
    cut(whole, most)
}

/// The same for the message of an outcome. An answer stays as it is: it may be a file's content.
pub(crate) fn fit_outcome(mut outcome: Outcome) -> Outcome {
    if let Outcome::Failed { message, .. } = &mut outcome {
        *message = fit(message, FAILURE_BYTES);
    }
    outcome
}

fn shown(character: char) -> char {
    match character {
        '\n' | '\t' => character,
        other if other.is_control() => char::REPLACEMENT_CHARACTER,
        other => other,
    }
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let mark = format!("… [cut, {} bytes in all]", text.len());
    text.truncate(text.floor_char_boundary(most.saturating_sub(mark.len())));
    text + &mark
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_are_replaced_and_lines_stay() {
        assert_eq!(
            fit("a\0b\u{1b}[31mred\u{9b}\r\n\tnext\r", 100),
            "a\u{fffd}b\u{fffd}[31mred\u{fffd}\n\tnext\u{fffd}"
        );
        assert_eq!(fit("plain words, ümlaute and 漢字", 100), "plain words, ümlaute and 漢字");
    }

    #[test]
    fn what_is_too_long_is_cut_with_a_mark() {
        let text = fit(&"é".repeat(2_000), 100);
        assert!(text.len() <= 100 && text.starts_with("éé"), "{text}");
        assert!(text.ends_with("… [cut, 4000 bytes in all]"), "{text}");
        assert_eq!(fit(&"x".repeat(100), 100), "x".repeat(100));
    }

    proptest! {
        #[test]
        fn every_text_fits_and_fitting_again_changes_nothing(text in any::<String>(), most in 64..200usize) {
            let once = fit(&text, most);
            prop_assert!(once.len() <= most);
            prop_assert!(once.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')));
            prop_assert_eq!(fit(&once, most), once);
        }
    }
}
