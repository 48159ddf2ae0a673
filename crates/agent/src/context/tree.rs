//! The names of files in few lines.

use crate::prompt::shown_path;
use std::collections::BTreeMap;

/// The names in at most about `bytes`: all of them if they fit, else folders with their number of files, as deep as
/// fits.
pub(crate) fn summary(files: &[String], bytes: usize) -> String {
    let whole: Vec<String> = files.iter().map(|name| shown_path(name)).collect();
    if length(&whole) <= bytes {
        return whole.join("\n");
    }
    for depth in [3, 2, 1] {
        let lines = folded(files, depth);
        if length(&lines) <= bytes || depth == 1 {
            return fitting(&lines, bytes);
        }
    }
    String::new()
}

/// Everything below `depth` folders counted together.
fn folded(files: &[String], depth: usize) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in files {
        let end = name.match_indices('/').nth(depth - 1).map_or(name.len(), |(at, _)| at + 1);
        *counts.entry(shown_path(&name[..end])).or_default() += 1;
    }
    let line = |(name, count): (String, usize)| match name.ends_with('/') {
        true => format!("{name} ({count} files)"),
        false => name,
    };
    counts.into_iter().map(line).collect()
}

fn fitting(lines: &[String], bytes: usize) -> String {
    let mut used = 0;
    let fits = lines.iter().take_while(|line| {
        used += line.len() + 1;
        used <= bytes
    });
    let shown: Vec<&str> = fits.map(String::as_str).collect();
    match lines.len() - shown.len() {
        0 => shown.join("\n"),
        hidden => format!("{}\n[... {hidden} more entries left out ...]", shown.join("\n")),
    }
}

fn length(lines: &[String]) -> usize {
    lines.iter().map(|line| line.len() + 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_are_counted_by_folder() {
        let files: Vec<String> = (0..100).map(|n| format!("src/part_{}/file_{n}.rs", n % 3)).collect();
        assert_eq!(summary(&files, 100), "src/part_0/ (34 files)\nsrc/part_1/ (33 files)\nsrc/part_2/ (33 files)");
        assert_eq!(summary(&files, 40), "src/ (100 files)");
        let many: Vec<String> = (0..100).map(|n| format!("file_{n:02}")).collect();
        assert_eq!(summary(&many, 18), "file_00\nfile_01\n[... 98 more entries left out ...]");
    }
}
