//! Words of a command that is shown to be pasted into a POSIX shell.

use std::{ffi::OsStr, fmt::Write, os::unix::ffi::OsStrExt};

/// `word` as one word of a shell. Characters that a terminal acts on, and bytes that are no UTF-8, are spelled out for
/// `printf`, so that what is shown is harmless and what is pasted is right.
pub fn shell_quoted(word: impl AsRef<OsStr>) -> String {
    let bytes = word.as_ref().as_bytes();
    if let Ok(text) = std::str::from_utf8(bytes)
        && super::visible(text) == text
        && !text.contains('\t')
        && let Ok(quoted) = shlex::try_quote(text)
    {
        return quoted.into_owned();
    }
    let mut spelled = String::new();
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' | b' ' => {
                spelled.push(char::from(*byte))
            }
            _ => _ = write!(spelled, "\\0{byte:03o}"),
        }
    }
    // `%b` takes no part of the text for a format or an option. Line ends at the very end are lost: a shell drops them.
    format!("\"$(printf %b '{spelled}')\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        let words: &[&[u8]] = &[
            b"plain",
            b"",
            b"two words",
            b"it's",
            b"\"double\" and 'single'",
            b"-leading",
            b"--dash",
            b"~",
            b"$HOME `id` $(id)",
            b"a;b&c|d>e<f*g?h[i]j{k}l#m!n\\o",
            b"!history ^caret",
            "gr\u{fc}\u{df}e \u{1f980}".as_bytes(),
            b"caf\xe9",
            b"esc\x1b[2J tab\there",
            b"line\nfeed",
            b"100%s %b \\n",
            "rm \u{202e}x".as_bytes(),
        ];
        for word in words {
            let quoted = shell_quoted(OsStr::from_bytes(word));
            assert!(!quoted.contains(['\u{1b}', '\n', '\t', '\u{202e}']), "{quoted:?}");
            let output = Command::new("sh").args(["-c", &format!("printf '<%s>' {quoted}")]).output().unwrap();
            let expected = [b"<".as_slice(), word, b">"].concat();
            assert_eq!(String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&expected), "{quoted}");
            assert_eq!(output.stdout, expected);
        }
    }
}
