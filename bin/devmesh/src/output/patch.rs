//! A patch on its way to the screen.

use super::{BAD, FAINT, GOOD, Output, Result, STRONG, styled, visible};
use std::io::Write;

/// Coloured and harmless on a terminal; byte for byte in a pipe, where `git apply` may be waiting.
pub fn write_patch(output: &Output, patch: &[u8]) -> Result<()> {
    if !output.stdout_is_terminal {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(patch)?;
        return Ok(stdout.flush()?);
    }
    output.text(&coloured(&String::from_utf8_lossy(patch)))
}

fn coloured(patch: &str) -> String {
    patch
        .split_terminator('\n')
        .map(|line| {
            // A carriage return or an escape in a line would let it hide what it adds: nothing is taken away, all is shown.
            let shown = visible(line);
            let shown = match line {
                _ if line.starts_with("diff ") || line.starts_with("+++") || line.starts_with("---") => {
                    styled(STRONG, shown)
                }
                _ if line.starts_with("@@") => styled(FAINT, shown),
                _ if line.starts_with('+') => styled(GOOD, shown),
                _ if line.starts_with('-') => styled(BAD, shown),
                _ => shown,
            };
            shown + "\n"
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_coloured_by_what_they_do_and_carry_no_escapes_of_their_own() {
        let text = coloured("@@ -1 +1 @@\n-old\n+new\u{1b}[2J\n same\n+rm -rf /\r+harmless\r\n");
        let lines = [
            styled(FAINT, "@@ -1 +1 @@"),
            styled(BAD, "-old"),
            styled(GOOD, "+new^[[2J"),
            " same".to_owned(),
            styled(GOOD, "+rm -rf /^M+harmless^M"),
        ];
        assert_eq!(text, lines.join("\n") + "\n");
    }
}
