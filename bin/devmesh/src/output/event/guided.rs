//! What a person is told of a guided model.

use super::super::plain;
use protocol::{GuidedFile, GuidedFunction};

pub(super) fn shown(files: &[GuidedFile]) -> String {
    let names = |may_change: bool| {
        let of = files.iter().filter(|file| file.may_change == may_change);
        of.map(|file| plain(&file.path)).collect::<Vec<_>>().join(", ")
    };
    match (names(true), names(false)) {
        (change, read) if change.is_empty() && read.is_empty() => "no file is shown".into(),
        (change, read) if change.is_empty() => format!("to read: {read}"),
        (change, read) if read.is_empty() => format!("to change: {change}"),
        (change, read) => format!("to change: {change}; to read: {read}"),
    }
}

pub(super) fn candidate(
    (candidate, of): (u32, u32),
    round: u32,
    function: Option<&GuidedFunction>,
    temperature: Option<f64>,
) -> String {
    let function = function
        .map_or_else(String::new, |function| format!(", {} in {} anew", plain(&function.name), plain(&function.path)));
    let temperature = temperature.map_or_else(String::new, |temperature| format!(", temperature {temperature}"));
    let round = if round > 1 { format!(", round {round}: what failed is handed back") } else { String::new() };
    format!("{candidate} of {of}{function}{temperature}{round}")
}

pub(super) fn kept(candidate: Option<u32>, round: Option<u32>) -> String {
    match (candidate, round) {
        (Some(candidate), Some(round @ 2..)) => format!("candidate {candidate}, round {round}: it fails least"),
        (Some(candidate), _) => format!("candidate {candidate}: it fails least"),
        (None, _) => "none: the files are as they were".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_it_in_a_line() {
        let file = |path: &str, may_change| GuidedFile { path: path.into(), may_change };
        assert_eq!(shown(&[]), "no file is shown");
        assert_eq!(shown(&[file("test_a.py", false), file("a.py", true)]), "to change: a.py; to read: test_a.py");
        let function = GuidedFunction { path: "a.py".into(), name: "add".into() };
        assert_eq!(candidate((2, 4), 1, None, Some(0.2)), "2 of 4, temperature 0.2");
        assert_eq!(candidate((1, 4), 2, None, None), "1 of 4, round 2: what failed is handed back");
        assert_eq!(candidate((3, 8), 1, Some(&function), Some(0.0)), "3 of 8, add in a.py anew, temperature 0");
        assert_eq!(kept(Some(3), Some(1)), "candidate 3: it fails least");
        assert_eq!(kept(None, None), "none: the files are as they were");
    }
}
