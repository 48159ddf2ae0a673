//! A patch, read as far as it takes to know which files it is about.
//!
//! Git writes one section for each file, which begins with a line `diff --git a/OLD b/NEW`. Lines of a hunk begin with a
//! blank, `+`, `-` or `\`, and binary data has no blanks, so no other line begins like that.

use crate::output::{Failure, Result};
use std::{collections::BTreeSet, ops::Range};

/// A file's name inside its tree, as bytes, with `/` between folders.
pub type Name = Vec<u8>;

const BEGINNING: &[u8] = b"diff --git ";

#[derive(Debug)]
pub struct Patch {
    bytes: Vec<u8>,
    pub sections: Vec<Section>,
}

/// What a patch does to one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    range: Range<usize>,
    pub old: Side,
    pub new: Side,
}

/// A file before or after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// `None`: there is no such file.
    pub name: Option<Name>,
    /// Object id of its content, where the patch tells.
    pub id: Option<String>,
    /// Such as `100644`, where the patch tells.
    pub mode: Option<String>,
}

impl Patch {
    pub fn read(bytes: Vec<u8>) -> Result<Self> {
        let mut starts: Vec<usize> = Vec::new();
        let mut at = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(BEGINNING) {
                starts.push(at);
            }
            at += line.len();
        }
        if starts.first() != Some(&0) {
            return Err(unreadable("it does not begin with a file"));
        }
        let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
        let sections = starts.iter().zip(ends).map(|(start, end)| read_section(&bytes, *start..end));
        let sections = sections.collect::<Result<_>>()?;
        Ok(Self { bytes, sections })
    }

    /// The patch of these sections alone.
    pub fn of<'a>(&self, sections: impl IntoIterator<Item = &'a Section>) -> Vec<u8> {
        sections.into_iter().flat_map(|section| &self.bytes[section.range.clone()]).copied().collect()
    }
}

impl Section {
    /// The names before and after; one name where they are the same.
    pub fn names(&self) -> BTreeSet<&Name> {
        self.old.name.iter().chain(&self.new.name).collect()
    }

    /// The same with names relative to the folder `prefix`; `None` when one of them does not lie below it.
    pub fn less(&self, prefix: &[u8]) -> Option<Self> {
        let side = |side: &Side| match &side.name {
            Some(name) => Some(Side { name: Some(below(name, prefix)?.to_vec()), ..side.clone() }),
            None => Some(side.clone()),
        };
        Some(Self { old: side(&self.old)?, new: side(&self.new)?, range: self.range.clone() })
    }

    /// The name git lists it under.
    pub fn listed_name(&self) -> &[u8] {
        self.new.name.as_ref().or(self.old.name.as_ref()).map_or(&[], Vec::as_slice)
    }
}

/// `name` relative to `folder`, when it lies below it. The empty name is the folder of all.
pub fn below<'a>(name: &'a [u8], folder: &[u8]) -> Option<&'a [u8]> {
    match folder {
        b"" => Some(name),
        _ => name.strip_prefix(folder)?.strip_prefix(b"/"),
    }
}

fn read_section(bytes: &[u8], range: Range<usize>) -> Result<Section> {
    let mut lines = bytes[range.clone()].split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut section = Section { range, ..Section::default() };
    let (mut is_new, mut is_gone) = (false, false);
    for line in lines {
        if let Some(rest) = line.strip_prefix(b"index ") {
            let text = String::from_utf8_lossy(rest);
            let (ids, mode) = text.split_once(' ').map_or((text.as_ref(), None), |(ids, mode)| (ids, Some(mode)));
            let (old, new) = ids.split_once("..").ok_or_else(|| unreadable("an `index` line has no two ids"))?;
            (section.old.id, section.new.id) = (Some(old.to_owned()), Some(new.to_owned()));
            if let Some(mode) = mode {
                (section.old.mode, section.new.mode) = (Some(mode.to_owned()), Some(mode.to_owned()));
            }
        } else if let Some(mode) = line.strip_prefix(b"new file mode ") {
            is_new = true;
            section.new.mode = Some(String::from_utf8_lossy(mode).into_owned());
        } else if line.starts_with(b"deleted file mode ") {
            is_gone = true;
        } else if let Some(mode) = line.strip_prefix(b"old mode ") {
            section.old.mode = Some(String::from_utf8_lossy(mode).into_owned());
        } else if let Some(mode) = line.strip_prefix(b"new mode ") {
            section.new.mode = Some(String::from_utf8_lossy(mode).into_owned());
        } else if let Some(name) = line.strip_prefix(b"rename from ") {
            section.old.name = Some(unquoted(name)?);
        } else if let Some(name) = line.strip_prefix(b"rename to ") {
            section.new.name = Some(unquoted(name)?);
        } else if line.starts_with(b"@@") || line.starts_with(b"GIT binary patch") || line.starts_with(b"--- ") {
            break;
        }
    }
    if section.old.name.is_none() && section.new.name.is_none() {
        let name = only_name(first)?;
        (section.old.name, section.new.name) = (Some(name.clone()), Some(name));
    }
    if is_new {
        section.old = Side::default();
    }
    if is_gone {
        section.new = Side::default();
    }
    for name in section.names() {
        let is_sound = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
        if !name.split(|byte| *byte == b'/').all(is_sound) {
            return Err(unreadable(&format!("`{}` is not the name of a file in it", String::from_utf8_lossy(name))));
        }
    }
    Ok(section)
}

/// Of `diff --git a/NAME b/NAME`, where both are the same.
fn only_name(line: &[u8]) -> Result<Name> {
    let rest = line.strip_prefix(BEGINNING).unwrap_or_default();
    let middle = rest.len() / 2;
    let odd = || unreadable(&format!("no name can be read out of `{}`", String::from_utf8_lossy(line)));
    if rest.len().is_multiple_of(2) || rest.get(middle) != Some(&b' ') {
        return Err(odd());
    }
    let (old, new) = (unquoted(&rest[..middle])?, unquoted(&rest[middle + 1..])?);
    match (old.strip_prefix(b"a/"), new.strip_prefix(b"b/")) {
        (Some(old), Some(new)) if old == new => Ok(new.to_vec()),
        _ => Err(odd()),
    }
}

/// Git puts a name with odd bytes into quotes, as in C.
fn unquoted(text: &[u8]) -> Result<Name> {
    let Some(inner) = text.strip_prefix(b"\"") else { return Ok(text.to_vec()) };
    let odd = || unreadable(&format!("the name {} is not quoted as git does", String::from_utf8_lossy(text)));
    let mut bytes = inner.strip_suffix(b"\"").ok_or_else(odd)?.iter();
    let mut name = Vec::new();
    while let Some(byte) = bytes.next() {
        if *byte != b'\\' {
            name.push(*byte);
            continue;
        }
        let escaped = *bytes.next().ok_or_else(odd)?;
        name.push(match escaped {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'"' | b'\\' => escaped,
            b'0'..=b'3' => {
                let digits = [escaped, *bytes.next().ok_or_else(odd)?, *bytes.next().ok_or_else(odd)?];
                let text = std::str::from_utf8(&digits).map_err(|_| odd())?;
                u8::from_str_radix(text, 8).map_err(|_| odd())?
            }
            _ => return Err(odd()),
        });
    }
    Ok(name)
}

/// `bytes` in quotes, as git reads them in its own files and listings.
pub fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut text = b"\"".to_vec();
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => text.push(*byte),
            _ => text.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
        }
    }
    text.push(b'"');
    text
}

fn unreadable(why: &str) -> Failure {
    Failure::failed(format!("the patch cannot be used: {why}; nothing was changed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Names<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

    fn names(section: &Section) -> Names<'_> {
        (section.old.name.as_deref(), section.new.name.as_deref())
    }

    #[test]
    fn every_kind_of_section_is_read() {
        let text = b"diff --git a/a b b/a b\nindex 1111..2222 100644\n--- a/a b\t\n+++ b/a b\t\n@@ -1 +1 @@\n-x\n+diff --git a/no b/no\n\
diff --git \"a/caf\\351\\n\\\"\" \"b/caf\\351\\n\\\"\"\nnew file mode 100755\nindex 0000..3333\n\
diff --git a/gone b/gone\ndeleted file mode 100644\nindex 4444..0000\nGIT binary patch\nliteral 0\nHcmV?d00001\n\n\
diff --git a/from b/to\nsimilarity index 100%\nrename from from\nrename to \"t\\too\"\n\
diff --git a/run b/run\nold mode 100644\nnew mode 100755\n";
        let patch = Patch::read(text.to_vec()).unwrap();
        let read: Vec<_> = patch.sections.iter().map(names).collect();
        let expected: [Names<'_>; 5] = [
            (Some(b"a b"), Some(b"a b")),
            (None, Some(b"caf\xe9\n\"")),
            (Some(b"gone"), None),
            (Some(b"from"), Some(b"t\too")),
            (Some(b"run"), Some(b"run")),
        ];
        assert_eq!(read, expected);
        assert_eq!(patch.sections[0].new.id.as_deref(), Some("2222"));
        assert_eq!(patch.sections[1].new.mode.as_deref(), Some("100755"));
        assert_eq!(patch.sections[4].new.mode.as_deref(), Some("100755"));
        assert_eq!(patch.of(&patch.sections), text);
        assert!(patch.of(&patch.sections[2..3]).starts_with(b"diff --git a/gone"));
    }

    #[test]
    fn what_is_no_patch_or_leads_out_of_the_tree_is_refused() {
        for bad in [
            "",
            "hello\n",
            "diff --git a/x b/y\nindex 1..2 100644\n",
            "diff --git a/../x b/../x\nnew file mode 100644\n",
            "diff --git a/x//y b/x//y\nnew file mode 100644\n",
            "diff --git a//x b//x\nnew file mode 100644\n",
            "diff --git \"a/x\\000\" \"b/x\\000\"\nnew file mode 100644\n",
            "diff --git \"a/x\\9\" \"b/x\\9\"\nnew file mode 100644\n",
            "diff --git a/x b/x\nrename from ../x\nrename to y\n",
        ] {
            let failure = Patch::read(bad.as_bytes().to_vec()).unwrap_err();
            assert!(failure.what.contains("nothing was changed"), "{bad}: {}", failure.what);
        }
    }

    #[test]
    fn what_was_quoted_is_read_back() {
        let name: Vec<u8> = (1..=255).collect();
        assert_eq!(unquoted(&quoted(&name)).unwrap(), name);
    }
}
