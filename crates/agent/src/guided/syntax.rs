//! A look at the form of files, for jobs that nothing else checks: whether they can be read at all.

/// By the ending of a file: what looks at it. Paths follow.
const READERS: [(&[&str], &str); 4] = [
    (&["py"], "python3 -c 'import ast,sys; [ast.parse(open(path).read(), path) for path in sys.argv[1:]]'"),
    (&["js", "mjs", "cjs"], "node --check"),
    (&["sh"], "sh -n"),
    (&["bash"], "bash -n"),
];

/// The command; `None` where nothing can be said of any of these.
pub(super) fn command<'a>(paths: impl Iterator<Item = &'a str>) -> Option<String> {
    let commands: Vec<String> = paths
        .filter(|path| is_plain(path))
        .filter_map(|path| {
            let ending = path.rsplit_once('.')?.1;
            let (_, reader) = READERS.iter().find(|(endings, _)| endings.contains(&ending))?;
            Some(format!("{reader} {path}"))
        })
        .collect();
    (!commands.is_empty()).then(|| commands.join(" && "))
}

/// Whether a shell takes it as one word.
fn is_plain(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'.'))
        && !path.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_read_and_named_is_looked_at() {
        let of = |paths: &[&str]| command(paths.iter().copied());
        assert_eq!(of(&["lib/a.js", "b.sh"]).as_deref(), Some("node --check lib/a.js && sh -n b.sh"));
        assert_eq!(of(&["a.rs", "x; rm -rf y.sh", "-n.sh"]), None);
        assert!(of(&["a.py"]).is_some_and(|command| command.ends_with(" a.py")));
    }
}
