//! Tokens as the models' makers meant them: the expected ids are those llama.cpp gives for the same files.

use crate::models::{fetched, load, smollm2};

#[test]
fn smollm2_cuts_text_as_its_maker_does() {
    let Some(engine) = smollm2() else { return };
    let cases: [(&str, &[u32]); 2] = [
        (
            "Hello, world! It's 2024-01-31 and I've 12345 apples.",
            &[
                19556, 28, 905, 17, 657, 506, 216, 34, 32, 34, 36, 29, 32, 33, 29, 35, 33, 284, 339, 3543, 216, 33, 34,
                35, 36, 37, 13855, 30,
            ],
        ),
        ("", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(engine.encode(text).unwrap(), expected, "{text:?}");
    }
}

#[test]
fn gemma3_cuts_text_as_its_maker_does() {
    let Some(path) = fetched("gemma3-270m") else { return };
    let engine = load(&path, 64);
    let cases: [(&str, &[u32]); 2] = [
        (
            "Hello, world! It's 2024-01-31 and I've 12345 apples.",
            &[
                9259, 236764, 1902, 236888, 1030, 236789, 236751, 236743, 236778, 236771, 236778, 236812, 236772,
                236771, 236770, 236772, 236800, 236770, 532, 564, 236789, 560, 236743, 236770, 236778, 236800, 236812,
                236810, 36157, 236761,
            ],
        ),
        (
            "fn main() {\n    let x = 0x1F;\n\tprintln!(\"{x}\");\n}\n\n\n",
            &[
                15059, 1689, 825, 642, 107, 140, 1184, 1123, 578, 236743, 236771, 236781, 236770, 236811, 236793, 107,
                255968, 4629, 196439, 236781, 51324, 107, 236783, 109,
            ],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(engine.encode(text).unwrap(), expected, "{text:?}");
    }
}
