//! The exam paper: the files and the words of every question. Small, because each word is read at a small model's pace, and
//! such that one answer alone is right.

use super::desk::File;
use serde_json::{Value, json};

/// Of the questions about edits.
pub(super) const PRICES: File = (
    "prices.py",
    r#""""Prices of the shop."""

RATE = 0.19


def total(net):
    """The price with tax."""
    return round(net * (1 + RATE), 2)


def label(name, net):
    return f"{name}: {total(net)} EUR"
"#,
);

pub(super) const EDIT: &str = "In prices.py, change RATE from 0.19 to 0.21.";

/// What the file has to be after it.
pub(super) fn edited_prices() -> String {
    PRICES.1.replace("0.19", "0.21")
}

/// The lines of the edit.
pub(super) const EDITED_LINES: (&str, &str) = ("RATE = 0.19\n", "RATE = 0.21\n");

/// Shows what a block looks like with lines that are not in the file.
pub(super) fn block_rules(path: &str) -> String {
    format!(
        "You change one file of a repository: {path}. Answer with one block and nothing else: a line `<<<<<<< SEARCH`, the lines \
         to replace, copied exactly from the file, a line `=======`, the lines that take their place, a line `>>>>>>> REPLACE`.\n\
         \n\
         For example:\n\
         <<<<<<< SEARCH\n\
         import sys\n\
         =======\n\
         import os\n\
         import sys\n\
         >>>>>>> REPLACE"
    )
}

pub(super) const LOOK: &str = "Find out which file defines the function `shipping`, and read that file.";

/// For whom there is something to look for.
pub(super) const SHIPPING: File = ("parcels.py", "def shipping(weight):\n    return 4.5 if weight < 2 else 7\n");

pub(super) const DESCRIBE: &str = "Describe the function `label` of prices.py as a JSON object with the fields `name`, its name, and `parameters`, the number of \
     its parameters.";

pub(super) fn described_schema() -> Value {
    json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "parameters": {"type": "integer"}},
        "required": ["name", "parameters"],
        "additionalProperties": false
    })
}

pub(super) const SETTINGS: File = ("settings.py", "HOST = \"127.0.0.1\"\nPORT = 8413\nTIMEOUT = 30\n");

pub(super) const CLIENT: File = (
    "client.py",
    r#"import http.client


def ask(path):
    connection = http.client.HTTPConnection("127.0.0.1", 8000)
    connection.request("GET", path)
    return connection.getresponse().read()
"#,
);

pub(super) const CORRECT: &str =
    "client.py connects to the wrong port. Correct client.py: it has to use the port that settings.py says.";

/// The number of the other file, or a reference to it.
pub(super) fn is_corrected(client: &str) -> bool {
    let call = client.lines().find(|line| line.contains("HTTPConnection("));
    let imports = |line: &str| (line.starts_with("import ") || line.starts_with("from ")) && line.contains("settings");
    let refers = |call: &str| client.lines().any(imports) && call.contains("PORT");
    call.is_some_and(|call| !call.contains("8000") && (call.contains("8413") || refers(call)))
        && client.contains("connection.request(\"GET\", path)")
}

/// The check that passed before the question whether the model stops.
pub(super) const CHECK: &str = "python3 -m unittest";
pub(super) const CHECK_PASSED: &str =
    "....\n----------------------------------------------------------------------\nRan 4 tests in 0.003s\n\nOK\n";

/// What has to be kept over a long prompt, and what is asked about it.
pub(super) const FACT: &str = "The password of the cellar door is amber falcon.\n";
pub(super) const FACT_TASK: &str = "What is the password of the cellar door? Answer with the password alone.";

pub(super) fn is_fact(answer: &str) -> bool {
    let letters = |text: &str| text.to_lowercase().chars().filter(|letter| letter.is_alphabetic()).collect::<String>();
    letters(answer).contains("amberfalcon")
}

/// Plain sentences, each another one for a while, about `bytes` of them, with the fact after a third. `seed` makes it another
/// text from its first word on, so that no cache knows it.
pub(super) fn long_text(bytes: usize, seed: usize) -> String {
    const COLOURS: [&str; 7] = ["grey", "red", "blue", "green", "white", "brown", "black"];
    const THINGS: [&str; 5] = ["shelf", "table", "cupboard", "drawer", "bench"];
    const PLACES: [&str; 11] =
        ["window", "stairs", "oven", "door", "lamp", "wall", "clock", "mirror", "sink", "ladder", "curtain"];
    const GOODS: [&str; 13] = [
        "paper", "nails", "cups", "bread", "rope", "candles", "books", "plates", "coats", "seeds", "tools", "wool",
        "soap",
    ];
    let mut text = String::with_capacity(bytes + 100);
    let mut is_told = false;
    for line in seed.. {
        if text.len() >= bytes {
            break;
        }
        if !is_told && text.len() >= bytes / 3 {
            text.push_str(FACT);
            is_told = true;
        }
        let (colour, thing) = (COLOURS[line % COLOURS.len()], THINGS[line % THINGS.len()]);
        let (place, goods) = (PLACES[line % PLACES.len()], GOODS[line % GOODS.len()]);
        text.push_str(&format!("The {colour} {thing} beside the {place} is for the {goods}.\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_alone_is_right() {
        assert_eq!(PRICES.1.matches(EDITED_LINES.0).count(), 1);
        assert!(edited_prices().contains(EDITED_LINES.1));
        assert!(!is_corrected(CLIENT.1));
        for (old, new, right) in [
            ("8000", "8413", true),
            ("\"127.0.0.1\", 8000", "settings.HOST, settings.PORT", false),
            ("8000", "8414", false),
            ("    connection.request(\"GET\", path)\n", "", false),
        ] {
            assert_eq!(is_corrected(&CLIENT.1.replace(old, new)), right, "{new}");
        }
        let imported = CLIENT
            .1
            .replace("8000", "PORT")
            .replace("import http.client", "import http.client\nfrom settings import PORT");
        assert!(is_corrected(&imported));
    }

    #[test]
    fn long_texts_hold_the_fact_once_and_differ_from_their_beginning_on() {
        for bytes in [2_000, 40_000] {
            let text = long_text(bytes, bytes);
            assert!((bytes..bytes + 200).contains(&text.len()), "{}", text.len());
            assert_eq!(text.matches(FACT).count(), 1);
        }
        assert_ne!(long_text(2_000, 0)[..20], long_text(2_000, 1)[..20]);
        for (answer, right) in [("Amber-Falcon.", true), ("the password is `amber falcon`", true), ("amber", false)] {
            assert_eq!(is_fact(answer), right, "{answer}");
        }
    }
}
