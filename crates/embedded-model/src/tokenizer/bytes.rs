//! Bytes as vocabularies write them.

/// `<0x0A>` is the byte 10.
pub(crate) fn of_byte_token(token: &str) -> Option<u8> {
    u8::from_str_radix(token.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}

/// GPT-2's alphabet: a printable byte stands for itself, every other is moved to U+0100 and up, in order.
pub(crate) fn of_byte_level(token: &str) -> Box<[u8]> {
    let byte = |character: char| match u32::from(character) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => u8::try_from(code).ok(),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    };
    // A token outside the alphabet was added as literal text.
    token.chars().map(byte).collect::<Option<_>>().unwrap_or_else(|| token.as_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_byte_alphabet_covers_every_byte_once() {
        let characters = (0x21..=0x17f).filter(|code| *code != 0x7f).filter_map(char::from_u32);
        let bytes: Vec<u8> = characters
            .filter_map(|c| match *of_byte_level(&c.to_string()) {
                [byte] => Some(byte),
                _ => None,
            })
            .collect();
        assert_eq!(bytes.len(), 256);
        assert_eq!(bytes.iter().collect::<BTreeSet<_>>().len(), 256);
        assert_eq!(*of_byte_level("Ġthe"), *b" the");
        assert_eq!(*of_byte_level("Ċ"), *b"\n");
        assert_eq!(*of_byte_level("Ã©"), *"é".as_bytes());
    }

    #[test]
    fn byte_tokens_are_hexadecimal() {
        assert_eq!(of_byte_token("<0x0A>"), Some(10));
        assert_eq!(of_byte_token("<0xzz>"), None);
        assert_eq!(of_byte_token("hello"), None);
    }
}
