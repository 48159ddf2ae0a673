//! What secrets look like.
//!
//! Three kinds: those with a shape of their own (a prefix that means nothing else), those told by what stands before them
//! (`password=…`: only the value is one), and those a person has configured. All are tried at once; only those that are in
//! the text at all are then looked for. The engine takes time linear in the text, and no pattern of ours looks ahead further
//! than what it then takes.

use crate::Error;
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use std::{collections::BTreeMap, fmt, ops::Range};

/// Compiled once, shared by all calls.
pub struct Patterns {
    /// The same as `rules`, in one automaton.
    any: RegexSet,
    rules: Vec<Rule>,
    secret_name: Regex,
    token_name: Regex,
    data_url: Regex,
}

struct Rule {
    regex: Regex,
    told_by: ToldBy,
}

#[derive(Clone, Copy)]
enum ToldBy {
    Shape,
    /// The name before it; words that are never secrets are let off.
    Name,
    /// The name before it and that it looks random.
    Chance,
}

/// With a shape of their own.
const SHAPES: &[&str] = &[
    // A key block, also one whose end is missing. The text of one has no two dashes in a row.
    r#"-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?:[^-]|-[^-])*-----END[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----|(?:[\s\\rn"]{0,8}[A-Za-z0-9+/=]{16,})*)"#,
    // AWS, GCP.
    r"(?-u:\b)(?:AKIA|ASIA)[A-Z0-9]{16}(?-u:\b)",
    r"AIza[0-9A-Za-z_-]{35}",
    r"(?-u:\b)ya29\.[0-9A-Za-z_-]{20,}",
    // GitHub, GitLab.
    r"gh[pousr]_[A-Za-z0-9]{36,}",
    r"github_pat_[A-Za-z0-9_]{22,}",
    r"gl(?:pat|dt|rt|ptt|cbt|soat)-[A-Za-z0-9_-]{20,}",
    // Slack.
    r"(?-u:\b)xox[a-z]-[A-Za-z0-9-]{10,}",
    r"(?-u:\b)xapp-[A-Za-z0-9-]{10,}",
    r"hooks\.slack\.com/(?:services|workflows)/(?P<secret>[A-Za-z0-9/_-]{20,})",
    // Stripe.
    r"(?-u:\b)(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}",
    r"(?-u:\b)whsec_[A-Za-z0-9+/=]{16,}",
    // OpenAI, Anthropic.
    r"(?-u:\b)sk-[A-Za-z0-9_-]{20,}",
    // Ours.
    r"(?-u:\b)dm_[a-z]{2,20}_[A-Za-z0-9_-]{43}",
    // JSON Web Tokens: both parts begin with `{"` in base64.
    r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    // The password of a URL.
    r#"(?-u:\b)[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@"']{0,100}:(?P<secret>[^\s/@"']{1,200})@"#,
];

/// Names whose value is a secret whatever it looks like.
const SECRET_NAMES: &str = r"passw(?:or)?d|passwd|pwd|passphrase|secret|secret[_-]?key|secret[_-]?access[_-]?key|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token";

/// Between a name and its value: the name's closing quote, the sign. Quotes may be escaped, for JSON within a text.
const ASSIGNS: &str = r#"["'\\]{0,3}\s{0,4}(?::=|=>|[:=])\s{0,4}"#;

/// Values that stand where secrets stand and are none: types, and words for "nothing here".
const NO_SECRETS: &[&str] = &[
    "string",
    "str",
    "&str",
    "&'static",
    "text",
    "varchar",
    "bool",
    "boolean",
    "number",
    "bytes",
    "option",
    "none",
    "null",
    "undefined",
    "true",
    "false",
    "required",
    "optional",
    "self",
    "process.env",
    "os.environ",
    "any",
    "object",
    "secretstring",
];

/// Least length of a value told by its name: shorter ones are words.
const LEAST_BYTES: usize = 4;
/// Bits per byte: prose in one word has about 3, random base64 of 20 letters 4.
const LEAST_ENTROPY: f64 = 3.5;

impl Patterns {
    /// Without any that a person has configured.
    ///
    /// # Errors
    /// None that can happen: they are tested.
    pub fn built_in() -> Result<Self, Error> {
        Self::new(&BTreeMap::new())
    }

    /// The built-in ones and those configured, by name. A group called `secret` in one says which part of it is to be
    /// replaced; otherwise all of it is.
    ///
    /// # Errors
    /// [`Error::Configuration`] with every mistake.
    pub fn new(configured: &BTreeMap<String, String>) -> Result<Self, Error> {
        let own = [
            // Without quotes, up to where a list or a statement goes on.
            (format!(r#"(?i)(?:{SECRET_NAMES}){ASSIGNS}[`\\]{{0,3}}(?P<secret>[^\s"'`,;\\]{{4,}})"#), ToldBy::Name),
            // In quotes, with escapes in it; a closing quote is not waited for.
            (format!(r#"(?i)(?:{SECRET_NAMES}){ASSIGNS}"(?P<secret>(?:[^"\\\r\n]|\\[^\r\n]){{4,}})"#), ToldBy::Name),
            (format!(r#"(?i)(?:{SECRET_NAMES}){ASSIGNS}'(?P<secret>(?:[^'\\\r\n]|\\[^\r\n]){{4,}})"#), ToldBy::Name),
            // In quotes that are escaped themselves: JSON within a text. There two backslashes begin an escape.
            (
                format!(
                    r#"(?i)(?:{SECRET_NAMES}){ASSIGNS}\\{{1,3}}["'](?P<secret>(?:[^"'\\\r\n]|\\\\(?:\\["'])?){{4,}})"#
                ),
                ToldBy::Name,
            ),
            (
                format!(
                    r#"(?i)authorization{ASSIGNS}["'\\]{{0,3}}(?:bearer|basic|token)\s{{1,4}}(?P<secret>[^\s"'`,;\\]{{4,}})"#
                ),
                ToldBy::Name,
            ),
            (r"(?i)(?-u:\b)bearer\s{1,4}(?P<secret>[A-Za-z0-9._~+/=-]{16,})".to_owned(), ToldBy::Chance),
            (
                format!(
                    r#"(?i)(?:key|token|secret|credential|auth|passw(?:or)?d)[a-z0-9_-]{{0,20}}{ASSIGNS}["'`\\]{{0,3}}(?P<secret>[A-Za-z0-9+/_.=~-]{{20,}})"#
                ),
                ToldBy::Chance,
            ),
        ];
        let built_in = SHAPES.iter().map(|shape| ((*shape).to_owned(), ToldBy::Shape)).chain(own);
        let mut mistakes = Vec::new();
        let mut sources = Vec::new();
        let mut rules = Vec::new();
        let named = configured.iter().map(|(name, pattern)| (name.as_str(), pattern.clone(), ToldBy::Shape));
        for (name, source, told_by) in built_in.map(|(source, told_by)| ("built in", source, told_by)).chain(named) {
            match compile(&source) {
                Ok(regex) if regex.is_match("") => {
                    mistakes.push(format!("redaction pattern `{name}` (`{source}`) matches nothing at all: let it ask for a character at least"));
                }
                Ok(regex) => {
                    sources.push(source);
                    rules.push(Rule { regex, told_by });
                }
                Err(error) => mistakes.push(format!("redaction pattern `{name}`: {}", told(&error))),
            }
        }
        if !mistakes.is_empty() {
            return Err(Error::Configuration(mistakes));
        }
        let all_wrong =
            |error: regex::Error| Error::Configuration(vec![format!("redaction patterns: {}", told(&error))]);
        let any = RegexSetBuilder::new(&sources).size_limit(16 * LARGEST_PATTERN_BYTES).build().map_err(all_wrong)?;
        Ok(Self {
            any,
            rules,
            secret_name: compile(&format!("(?i)(?:{SECRET_NAMES})$")).map_err(all_wrong)?,
            token_name: compile("(?i)(?:token|key|authorization|credentials?)$").map_err(all_wrong)?,
            data_url: compile(
                r"(?i)data:[a-z0-9/+.;=_-]{0,100};base64,|^\s{0,8}data:(?:[a-z]+/[a-z0-9.+-]+)?(?:;[a-z0-9=._-]+)*,",
            )
            .map_err(all_wrong)?,
        })
    }

    /// Where secrets are. They may overlap.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for rule in self.any.matches(text).iter().filter_map(|at| self.rules.get(at)) {
            for captures in rule.regex.captures_iter(text) {
                let Some(secret) = captures.name("secret").or_else(|| captures.get(0)) else { continue };
                let is_one = match rule.told_by {
                    ToldBy::Shape => true,
                    ToldBy::Name => may_be_secret(secret.as_str()),
                    ToldBy::Chance => looks_random(secret.as_str()),
                };
                if is_one {
                    found.push(secret.range());
                }
            }
        }
        found
    }

    /// `text` with `instead` for every secret.
    pub(crate) fn without_secrets(&self, text: &str, instead: &str) -> String {
        let mut secrets = self.find(text);
        super::merge(&mut secrets);
        let mut without = text.to_owned();
        for secret in secrets.into_iter().rev() {
            without.replace_range(secret, instead);
        }
        without
    }

    /// Whether the value of a member called `name` is a secret as a whole.
    pub(super) fn names_a_secret(&self, name: &str, value: &str) -> bool {
        value.len() >= LEAST_BYTES
            && (self.secret_name.is_match(name) && may_be_secret(value)
                || self.token_name.is_match(name) && value.len() >= 16 && looks_random(value))
    }

    /// Whether a URL that is its own content is in this.
    pub(super) fn is_data_url(&self, text: &str) -> bool {
        self.data_url.is_match(text)
    }
}

/// What one pattern may take once compiled.
const LARGEST_PATTERN_BYTES: usize = 1024 * 1024;

fn compile(source: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(source).size_limit(LARGEST_PATTERN_BYTES).dfa_size_limit(2 * LARGEST_PATTERN_BYTES).build()
}

/// The reason in one line; the engine draws a picture around it.
fn told(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn may_be_secret(value: &str) -> bool {
    let variable = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).or_else(|| value.strip_prefix('$'));
    let is_variable = variable.is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    });
    let lower = value.to_ascii_lowercase();
    let is_word = NO_SECRETS.iter().any(|word| {
        // `Option<String>`, `os.environ["X"]`, `true)`.
        lower.strip_prefix(word).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(['.', '<', '>', '(', ')', '[', ']', '{', '}', '|', '?'])
        })
    });
    !is_variable && !is_word
}

fn looks_random(value: &str) -> bool {
    value.bytes().any(|byte| byte.is_ascii_digit())
        && value.bytes().any(|byte| byte.is_ascii_alphabetic())
        && entropy(value.as_bytes()) >= LEAST_ENTROPY
}

/// Shannon's, in bits per byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let length = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / length)
        .map(|part| -part * part.log2())
        .sum()
}

/// A long run of base64 and nothing else.
pub(super) fn is_base64(text: &str) -> bool {
    const LEAST_BYTES: usize = 1024;
    let text = text.trim_ascii_end();
    text.len() >= LEAST_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_'))
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_uppercase())
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patterns({})", self.rules.len())
    }
}
