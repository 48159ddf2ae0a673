//! Text of models, tools and strangers, made safe for a terminal.
//!
//! Escape sequences can retitle a window, hide text or type commands into some terminals, so none gets through. Of a line
//! that overwrites itself with carriage returns only the last state is kept, as a terminal would show it.

/// `text` with nothing in it that a terminal acts on, line ends and tabs excepted.
pub fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            safe.push('\n');
        }
        let shown = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
        without_escapes(shown, &mut safe);
    }
    safe
}

/// The same on one line of at most `width` characters, for a cell of a table.
pub fn one_line(text: &str, width: usize) -> String {
    let safe = plain(text);
    let mut words = safe.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() > width {
        words = words.chars().take(width.saturating_sub(1)).collect::<String>() + "…";
    }
    words
}

/// `line` with everything a terminal acts on spelled out, so that nothing is hidden: `^[` for an escape, `^M` for a carriage
/// return, `<U+202E>` for what turns the direction of writing. Tabs stay.
pub fn visible(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    for character in line.chars() {
        match character {
            '\t' => shown.push('\t'),
            '\0'..='\u{1f}' => shown.extend(['^', char::from(character as u8 ^ 0x40)]),
            '\u{7f}' => shown.push_str("^?"),
            '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => shown.push_str(&format!("<U+{:04X}>", u32::from(character))),
            character => shown.push(character),
        }
    }
    shown
}

fn without_escapes(line: &str, safe: &mut String) {
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.next() {
                // Control sequence: parameters, then one final character.
                Some('[') => while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // A string that ends with BEL or ESC \.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while let Some(character) = characters.next() {
                        match character {
                            '\u{7}' => break,
                            '\u{1b}' => {
                                characters.next_if_eq(&'\\');
                                break;
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            },
            '\t' => safe.push('\t'),
            // Direction overrides can make a command read differently from what it is.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => safe.push('\u{fffd}'),
            character if character.is_control() => safe.push('\u{fffd}'),
            character => safe.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7}x\u{1b}]8;;http://a\u{1b}\\link"), "red xlink");
        assert_eq!(plain("a\u{8}b\u{9b}2Jc"), "a\u{fffd}b\u{fffd}2Jc");
        assert_eq!(plain("\u{1b}"), "");
        assert_eq!(plain("\u{1b}[999"), "");
    }

    #[test]
    fn a_line_that_overwrites_itself_shows_its_last_state() {
        assert_eq!(plain(" 10%\r 50%\r100%\r\ndone\n"), "100%\ndone\n");
    }

    #[test]
    fn direction_overrides_are_made_visible() {
        assert_eq!(plain("rm \u{202e}gpj.x"), "rm \u{fffd}gpj.x");
    }

    #[test]
    fn what_a_terminal_acts_on_can_be_made_visible() {
        assert_eq!(visible("+evil\r+good\u{1b}[1A\t\u{9b}\u{7f}\r"), "+evil^M+good^[[1A\t<U+009B>^?^M");
        assert_eq!(
            visible("a\u{202e}b gr\u{fc}n \u{1f469}\u{200d}\u{1f680}"),
            "a<U+202E>b gr\u{fc}n \u{1f469}\u{200d}\u{1f680}"
        );
    }

    #[test]
    fn a_cell_is_one_line() {
        assert_eq!(one_line("  a\tb\nc  ", 80), "a b c");
        assert_eq!(one_line("abcdef", 4), "abc…");
    }
}
