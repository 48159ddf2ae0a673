//! What an attempt changed, by name.

/// One file of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedFile {
    /// What is not UTF-8 is replaced.
    pub path: String,
    /// Its name before, where it was renamed.
    pub previous_path: Option<String>,
    /// Lines added and removed; `None` for a binary file.
    pub lines: Option<(u64, u64)>,
}

/// `added TAB removed TAB path NUL`, or for a rename `added TAB removed TAB NUL old NUL new NUL`; `-` for binary.
pub(super) fn parse(listing: &[u8]) -> Vec<ChangedFile> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut parts = listing.split(|byte| *byte == 0);
    let mut files = Vec::new();
    while let Some(part) = parts.next() {
        let mut fields = part.splitn(3, |byte| *byte == b'\t');
        let (Some(added), Some(removed), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let lines = text(added).parse().ok().zip(text(removed).parse().ok());
        let (previous_path, path) = match path.is_empty() {
            true => (parts.next().map(text), parts.next().map(text).unwrap_or_default()),
            false => (None, text(path)),
        };
        files.push(ChangedFile { path, previous_path, lines });
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_with_anything_in_them() {
        let file = |path: &str, previous: Option<&str>, lines| ChangedFile {
            path: path.to_owned(),
            previous_path: previous.map(str::to_owned),
            lines,
        };
        let listing = b"1\t2\ta b\0-\t-\tpicture.png\x003\t0\t\0old\tname\0new\nname\x000\t1\tx\ty\0";
        let expected = [
            file("a b", None, Some((1, 2))),
            file("picture.png", None, None),
            file("new\nname", Some("old\tname"), Some((3, 0))),
            file("x\ty", None, Some((0, 1))),
        ];
        assert_eq!(parse(listing), expected);
        assert_eq!(parse(b""), []);
    }
}
