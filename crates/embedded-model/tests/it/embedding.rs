//! Sentence embeddings.

use crate::models::{cache_folder, fetched};
use embedded_model::{Embedder, Error, bill};

fn embedder() -> Option<Embedder> {
    let weights = fetched("all-minilm-l6-v2")?;
    let entry = bill::entry("all-minilm-l6-v2").unwrap();
    let tokenizer = entry.file(bill::Kind::Tokenizer).unwrap().path(&cache_folder());
    Some(Embedder::load(&weights, &tokenizer, None).unwrap())
}

fn similarity(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn like_meanings_are_near_and_unlike_ones_far() {
    let Some(embedder) = embedder() else { return };
    let texts = ["A man is eating food.", "Somebody has a meal.", "The stock market fell sharply today."];
    let embeddings = embedder.embed(&texts).unwrap();
    assert_eq!(embedder.dimensions(), 384);
    for embedding in &embeddings {
        assert_eq!(embedding.values.len(), 384);
        assert!((similarity(&embedding.values, &embedding.values) - 1.).abs() < 1e-5, "vectors have length one");
        assert!(!embedding.truncated);
    }
    let near = similarity(&embeddings[0].values, &embeddings[1].values);
    let far = similarity(&embeddings[0].values, &embeddings[2].values);
    assert!(far < 0.2, "far {far}");
    // computed in double precision from the same weights
    assert!((near - 0.6571).abs() < 1e-3, "near {near}");
    let expected = [0.03324, 0.00441, -0.00628, 0.04838, -0.1387, -0.03362];
    for (found, expected) in embeddings[0].values.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{:?}", &embeddings[0].values[..6]);
    }
}

#[test]
fn a_text_gives_the_same_vector_alone_and_among_others() {
    let Some(embedder) = embedder() else { return };
    let mut texts = vec!["short", "a text of middling length, with a comma in it", "x"];
    let long = "many words ".repeat(60);
    texts.extend([long.as_str(); 20]);
    let together = embedder.embed(&texts).unwrap();
    for (text, embedding) in texts.iter().zip(&together).take(4) {
        let alone = &embedder.embed(&[text]).unwrap()[0];
        assert_eq!(alone.tokens, embedding.tokens);
        let same = similarity(&alone.values, &embedding.values);
        assert!(same > 0.999_99, "{text:?}: {same}");
    }
    assert!(embedder.embed(&[]).unwrap().is_empty());
}

#[test]
fn a_text_longer_than_the_model_reads_is_told() {
    let Some(embedder) = embedder() else { return };
    let long = "word ".repeat(300);
    let embedding = &embedder.embed(&[&long]).unwrap()[0];
    assert_eq!((embedding.tokens, embedding.truncated), (302, true));
    let empty = &embedder.embed(&[""]).unwrap()[0];
    assert_eq!((empty.tokens, empty.truncated), (2, false));
}

#[test]
fn files_that_are_no_model_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    std::fs::write(&file, b"nothing").unwrap();
    assert!(matches!(Embedder::load(&file, &file, None), Err(Error::Corrupt { .. })));
}
