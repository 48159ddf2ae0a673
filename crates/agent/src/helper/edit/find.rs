//! Where in a file an edit belongs. Models copy lines nearly right: with other white space at the ends, with another indent,
//! with the line numbers they were shown. All that is forgiven as long as there is one place only.

use std::collections::HashSet;

/// Lines of `old` and of a file that are compared in search of the nearest place; beyond that one reads the file again.
const OLD_LINES: usize = 60;
const FILE_LINES: usize = 20_000;
/// Places that are named where there are several.
const PLACES: usize = 5;
/// A file with no more lines is shown whole where nothing comes near.
const WHOLE_FILE_LINES: usize = 40;
/// Share of its words that a line has to have in common with another to be taken for a changed one.
const ALIKE: f64 = 0.5;

/// A part of the file, in bytes, and what goes there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub start: usize,
    pub end: usize,
    pub new: String,
}

/// Why there is no such place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Empty,
    /// On these lines, counted from 1.
    Several(Vec<usize>),
    /// Nowhere; what comes nearest, and its first line.
    Nowhere(Option<(usize, String)>),
}

impl Wrong {
    pub fn describe(self, path: &str) -> String {
        match self {
            Self::Empty => format!("`old` is empty; give the lines of {path} that shall be replaced, as they are"),
            Self::Several(lines) => {
                let shown: Vec<String> = lines.iter().take(PLACES).map(usize::to_string).collect();
                format!(
                    "`old` is in {path} {} times, beginning on lines {}; add lines before or after it, so that it fits one place",
                    lines.len(),
                    shown.join(", ")
                )
            }
            Self::Nowhere(None) => format!("`old` is not in {path}; read the file and copy the lines as they are"),
            Self::Nowhere(Some((line, text))) => format!(
                "`old` is not in {path}. What comes nearest begins on line {line}:\n{text}Copy the lines to change from there as \
                 `old`, exactly as they are"
            ),
        }
    }
}

/// One line of a file.
#[derive(Clone, Copy)]
struct Line<'a> {
    start: usize,
    /// With its line end.
    end: usize,
    text: &'a str,
}

pub(super) fn find(text: &str, old: &str, new: &str) -> Result<Place, Wrong> {
    if old.trim().is_empty() {
        return Err(Wrong::Empty);
    }
    // As it stands first: a part of a line is a place too.
    let exact: Vec<usize> = text.match_indices(old).map(|(at, _)| at).take(100).collect();
    match exact[..] {
        [at] => {
            // Whole lines are replaced by whole lines.
            let line_end = if old.ends_with('\n') && !new.is_empty() && !new.ends_with('\n') { "\n" } else { "" };
            return Ok(Place { start: at, end: at + old.len(), new: format!("{new}{line_end}") });
        }
        [] => {}
        _ => {
            let line = |at: &usize| text[..*at].matches('\n').count() + 1;
            return Err(Wrong::Several(exact.iter().map(line).collect()));
        }
    }
    let lines = lines(text);
    let forms = [(old.to_owned(), new.to_owned())].into_iter().chain(without_numbers(old, new));
    for (old, new) in forms {
        let wanted: Vec<&str> = trimmed(&old);
        for same in [same_but_for_the_end, same_but_for_the_indent] {
            let places: Vec<usize> = (0..(lines.len() + 1).saturating_sub(wanted.len()))
                .filter(|at| wanted.iter().zip(&lines[*at..]).all(|(wanted, line)| same(wanted, line.text)))
                .collect();
            match places[..] {
                [] => {}
                [at] => return Ok(place(text, &lines[at..at + wanted.len()], &wanted, &new)),
                _ => return Err(Wrong::Several(places.iter().map(|at| at + 1).collect())),
            }
        }
    }
    Err(Wrong::Nowhere(nearest(&lines, &trimmed(old))))
}

fn same_but_for_the_end(a: &str, b: &str) -> bool {
    a.trim_end() == b.trim_end()
}

fn same_but_for_the_indent(a: &str, b: &str) -> bool {
    a.trim() == b.trim()
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut start = 0;
    let whole = text.split_inclusive('\n').map(|line| {
        let end = start + line.len();
        let found = Line { start, end, text: line.trim_end_matches(['\n', '\r']) };
        start = end;
        found
    });
    whole.collect()
}

/// The lines of a text, without empty ones at both ends.
fn trimmed(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let is_empty = |line: &&str| line.trim().is_empty();
    let first = lines.iter().take_while(|line| is_empty(line)).count();
    let last = lines.iter().rev().take_while(|line| is_empty(line)).count();
    lines[first..lines.len() - last.min(lines.len() - first)].to_vec()
}

/// The lines found are replaced whole, and what comes gets their indent.
fn place(text: &str, found: &[Line<'_>], wanted: &[&str], new: &str) -> Place {
    let (Some(first), Some(last)) = (found.first(), found.last()) else {
        return Place { start: 0, end: 0, new: String::new() };
    };
    let indent = |line: &str| line[..line.len() - line.trim_start().len()].to_owned();
    let (was, is) = (indent(wanted.first().unwrap_or(&"")), indent(first.text));
    let moved = trimmed(new).into_iter().map(|line| match line.strip_prefix(was.as_str()) {
        _ if line.trim().is_empty() => String::new(),
        Some(rest) => format!("{is}{rest}"),
        None => line.to_owned(),
    });
    let line_end = if text[first.start..first.end].ends_with("\r\n") { "\r\n" } else { "\n" };
    let mut new: String = moved.map(|line| line + line_end).collect();
    // The last line of a file may have no end.
    if !text[..last.end].ends_with('\n') {
        new.truncate(new.trim_end_matches(['\n', '\r']).len());
    }
    Place { start: first.start, end: last.end, new }
}

/// The same without the numbers `read_file` shows, where each line of `old` has one.
fn without_numbers(old: &str, new: &str) -> Option<(String, String)> {
    let bare = |line: &str| -> Option<String> {
        let (number, rest) = line.split_once('|')?;
        let is_number = !number.trim().is_empty() && number.trim().bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| format!("{}\n", rest.strip_prefix(' ').unwrap_or(rest)))
    };
    let old: Option<String> = old.trim_matches('\n').lines().map(bare).collect();
    let new: String = new.lines().map(|line| bare(line).unwrap_or_else(|| format!("{line}\n"))).collect();
    Some((old?, new))
}

/// The part of the file whose lines are most like these.
fn nearest(lines: &[Line<'_>], wanted: &[&str]) -> Option<(usize, String)> {
    let wanted = &wanted[..wanted.len().min(OLD_LINES)];
    let lines = &lines[..lines.len().min(FILE_LINES)];
    let words = |line: &str| -> HashSet<String> {
        line.split(|character: char| !character.is_alphanumeric() && character != '_')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let of_wanted: Vec<_> = wanted.iter().map(|line| words(line)).collect();
    let of_lines: Vec<_> = lines.iter().map(|line| words(line.text)).collect();
    let likeness = |index: usize, at: usize| -> f64 {
        if wanted[index].trim().is_empty() {
            return 0.;
        }
        if wanted[index].trim() == lines[at].text.trim() {
            return 1.;
        }
        let (a, b) = (&of_wanted[index], &of_lines[at]);
        let shared = a.intersection(b).count() as f64;
        let share = 2. * shared / ((a.len() + b.len()).max(1) as f64);
        if share >= ALIKE { share } else { 0. }
    };
    let score =
        |at: usize| -> f64 { (0..wanted.len().min(lines.len() - at)).map(|index| likeness(index, at + index)).sum() };
    let (at, best) =
        (0..lines.len()).map(|at| (at, score(at))).max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
    if best == 0. {
        let whole = || lines.iter().map(|line| format!("{}\n", line.text)).collect();
        return (lines.len() <= WHOLE_FILE_LINES).then(|| (1, whole()));
    }
    let end = (at + wanted.len()).min(lines.len());
    Some((at + 1, lines[at..end].iter().map(|line| format!("{}\n", line.text)).collect()))
}
