//! Bytes of tokens become text that may be shown: whole characters only, and nothing that may yet turn out to be the
//! beginning of a stop text.

pub(crate) struct TextOut {
    /// The beginning of a character whose rest is still to come.
    partial: Vec<u8>,
    /// Text that could be the beginning of a stop text.
    held: String,
    stops: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Show(String),
    /// A stop text was reached; this came before it.
    Stopped(String),
}

impl TextOut {
    pub(crate) fn new(stops: impl IntoIterator<Item = String>) -> TextOut {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        TextOut { partial: Vec::new(), held: String::new(), stops }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Next {
        self.partial.extend_from_slice(bytes);
        let whole = whole_characters(&self.partial);
        let rest = self.partial.split_off(whole);
        self.held.push_str(&String::from_utf8_lossy(&self.partial));
        self.partial = rest;
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop)).min();
        if let Some(at) = found {
            self.held.truncate(at);
            self.partial.clear();
            return Next::Stopped(std::mem::take(&mut self.held));
        }
        let held = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let held = self.held.split_off(self.held.len() - held);
        Next::Show(std::mem::replace(&mut self.held, held))
    }

    /// What is left when no more will come.
    pub(crate) fn finish(mut self) -> String {
        self.held.push_str(&String::from_utf8_lossy(&self.partial));
        self.held
    }
}

/// How many bytes are not the unfinished beginning of a character.
fn whole_characters(bytes: &[u8]) -> usize {
    let mut done = 0;
    loop {
        match str::from_utf8(&bytes[done..]) {
            Ok(_) => return bytes.len(),
            // Broken bytes will never be whole: let them through, to be replaced.
            Err(error) => match error.error_len() {
                Some(broken) => done += error.valid_up_to() + broken,
                None => return done + error.valid_up_to(),
            },
        }
    }
}

/// Length of the longest end of `text` that begins `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = stop.len().saturating_sub(1).min(text.len());
    (1..=longest).rev().find(|&length| text.as_bytes().ends_with(&stop.as_bytes()[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> Next {
        Next::Show(text.to_owned())
    }

    #[test]
    fn characters_appear_only_whole() {
        let mut out = TextOut::new([]);
        let bytes = "aé😀".as_bytes();
        let shown: Vec<Next> = bytes.iter().map(|byte| out.push(&[*byte])).collect();
        assert_eq!(shown, [show("a"), show(""), show("é"), show(""), show(""), show(""), show("😀")]);
        assert_eq!(out.push(b"\xffb\xe2\x82"), show("\u{fffd}b"));
        assert_eq!(out.finish(), "\u{fffd}");
    }

    #[test]
    fn a_stop_text_is_never_shown_even_in_pieces() {
        let mut out = TextOut::new(["END".to_owned(), "\n\n".to_owned()]);
        assert_eq!(out.push(b"one E"), show("one "));
        assert_eq!(out.push(b"N"), show(""));
        assert_eq!(out.push(b"D of it"), Next::Stopped(String::new()));

        let mut out = TextOut::new(["END".to_owned()]);
        assert_eq!(out.push(b"EN"), show(""));
        assert_eq!(out.push(b"ough"), show("ENough"));
        assert_eq!(out.push(b" E"), show(" "));
        assert_eq!(out.finish(), "E");
    }

    #[test]
    fn the_earliest_stop_text_wins() {
        let mut out = TextOut::new(["b".to_owned(), "a".to_owned()]);
        assert_eq!(out.push(b"xxab"), Next::Stopped("xx".to_owned()));
    }

    #[test]
    fn stop_texts_beside_wide_characters_split_cleanly() {
        let mut out = TextOut::new(["é!".to_owned()]);
        assert_eq!(out.push("aé".as_bytes()), show("a"));
        assert_eq!(out.push(b"?"), show("é?"));
    }
}
