//! Our form as a grammar, in the Lark form that llguidance reads: a whole turn in one answer, and nothing but the turn.
//!
//! In a short block no line begins with two backticks: a model that wants to close it by a longer token than the grammar
//! allows would write two and go on. Where a file has such lines, the block has longer marks.
//!
//! A model that is held to it can write the code of a block as it likes, and cannot forget the block, talk on, or answer
//! with a second call. Everything it accepts is read as exactly one action.

use crate::tool::Tool;

/// Length of a thought, in characters. Less than a short sentence is none, and an action without one is worse; what a small
/// model thinks beyond two costs more than it helps.
const THOUGHT: &str = "20,240";
/// Length of the summary of the work, in characters.
const SUMMARY: &str = "20,600";
/// Longest path and longest pattern, in characters.
const WORD: usize = 200;

/// A line of a change: none that could be a mark of the change or of the block.
const CHANGED: &str = r"([ \t]*([^`=<> \t\n][^\n]*|[=<>]{1,6}([^=<>\n][^\n]*)?|`([^`\n][^\n]*)?)?\n)";

/// A block with three marks and one with four.
pub(crate) const BLOCK_RULES: &str = r"SHORT: /```[a-z]*\n([ \t]*(`?[^` \t\n][^\n]*|`([ \t][^\n]*)?)?\n)*```/
LONG: /````[a-z]*\n([ \t]*(`{0,3}[^` \t\n][^\n]*|`{1,3}([ \t][^\n]*)?)?\n)*````/";

/// For the tools that are offered.
pub(crate) fn grammar(offered: &[Tool]) -> String {
    let names: Vec<&str> = offered.iter().map(|tool| tool.as_str()).collect();
    let mut grammar = format!("start: {}\n", names.join(" | "));
    for tool in offered {
        let fields = match tool {
            Tool::Run => r#""\"}\n" block"#,
            Tool::ReadFile => r#""\", \"path\": " WORD (", \"from\": " LINE ", \"to\": " LINE)? "}""#,
            Tool::Search => r#""\", \"pattern\": " WORD (", \"path\": " WORD)? "}""#,
            Tool::EditFile => r#""\", \"path\": " WORD "}\n" CHANGE"#,
            Tool::WriteFile => r#""\", \"path\": " WORD "}\n" block"#,
            Tool::Finish => r#""\", \"summary\": " SUMMARY "}""#,
        };
        let name = tool.as_str();
        grammar
            .push_str(&format!("{name}: \"{{\\\"thought\\\": \" THOUGHT \", \\\"action\\\": \\\"{name}\" {fields}\n"));
    }
    grammar.push_str(&format!(
        r#"block: SHORT | LONG
{BLOCK_RULES}
CHANGE: /```[a-z]*\n<<<<<<< SEARCH\n{CHANGED}+=======\n{CHANGED}*>>>>>>> REPLACE\n```/
THOUGHT: /"[A-Za-z]([^"\\\x00-\x1f]|\\["\\n]){{{THOUGHT}}}"/
SUMMARY: /"([^"\\\x00-\x1f]|\\["\\n]){{{SUMMARY}}}"/
WORD: /"([^"\\\x00-\x1f]|\\["\\]){{1,{WORD}}}"/
LINE: /[1-9][0-9]{{0,6}}/
"#
    ));
    grammar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        answer::{Reading, read},
        prompt::as_text,
        tool::Action,
    };
    use llguidance::{Matcher, ParserFactory, api::TopLevelGrammar, toktrie::ApproximateTokEnv};

    /// How far a text keeps to the grammar, in bytes, and whether it is whole.
    fn follow(text: &str) -> (usize, bool) {
        let bytes = ApproximateTokEnv::single_byte_env();
        let factory = ParserFactory::new_simple(&bytes).unwrap();
        let parser = factory.create_parser(TopLevelGrammar::from_lark(grammar(&Tool::ALL))).unwrap();
        let mut matcher = Matcher::new(Ok(parser));
        let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
        let taken = tokens.iter().take_while(|token| matcher.try_consume_tokens(&[**token]).unwrap() == 1).count();
        (taken, matcher.is_accepting().unwrap())
    }

    #[test]
    fn every_action_can_be_written_and_is_read_as_itself() {
        for action in [
            Action::Run { command: "cat <<'E'\n`\nE\ngrep -n '{' a.c".into() },
            Action::ReadFile { path: "src/é.rs".into(), from: Some(1), to: Some(200) },
            Action::ReadFile { path: "a b.py".into(), from: None, to: None },
            Action::Search { pattern: "fn \\w+\\(".into(), path: "src".into() },
            Action::Search { pattern: "\"x\"".into(), path: String::new() },
            Action::EditFile { path: "a.py".into(), old: "    x = 1\n".into(), new: "\n    x = '`'\n".into() },
            Action::WriteFile { path: "a.md".into(), content: "# A\n```\nx\n```\n".into() },
            Action::WriteFile { path: "empty".into(), content: String::new() },
            Action::Finish { summary: "It said \"no\", and now says \"yes\".".into() },
        ] {
            let text = as_text("this is the next step", &action);
            assert_eq!(follow(&text), (text.len(), true), "{text}");
            assert_eq!(read(&text), Reading::Actions { actions: vec![action], left_out: None }, "{text}");
        }
    }

    #[test]
    fn nothing_else_can_be_written() {
        for (text, taken) in [
            ("I think", 0),
            ("{\"thought\": \"why\"", 17),
            ("{\"thought\": \"this is the next step\", \"action\": \"browse\"", 50),
            ("{\"thought\": \"this is the next step\", \"action\": \"run\"}\n{", 55),
            ("{\"thought\": \"this is the next step\", \"action\": \"run\"}\n```sh\nls\n```\nDone.", 68),
            (
                "{\"thought\": \"this is the next step\", \"action\": \"write_file\", \"path\": \"a\"}\n```\nx\n  ```\n",
                85,
            ),
        ] {
            let (followed, whole) = follow(text);
            assert!(followed <= taken, "{followed} of {text}");
            assert_eq!(whole, text.contains("ls\n```"), "{text}");
        }
    }

    #[test]
    fn the_grammar_is_what_it_was() {
        insta::assert_snapshot!(grammar(&[Tool::Run, Tool::EditFile, Tool::Finish]));
    }
}
