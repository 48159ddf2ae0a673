//! Several requests of one engine: what they share is read once, and none waits for another to end.

use crate::models::{answer, fetched, load, question};
use embedded_model::{AnswerId, Engine, Finish, Message, Options, Output, Reader, Request, Role};
use std::collections::BTreeMap;
use std::path::Path;

const SMALL: &str = "smollm2-135m-instruct";

fn story(about: &str) -> Request {
    question(&format!("Tell me a long story about {about}."), 24)
}

/// Steps until all are over.
fn all(engine: &mut Engine, requests: &[Request]) -> Vec<Output> {
    let ids: Vec<AnswerId> = requests.iter().map(|request| engine.begin(request).unwrap()).collect();
    let mut outputs = BTreeMap::new();
    while outputs.len() < ids.len() {
        for progress in engine.step(&|_| Reader::Ready) {
            if let Some(output) = progress.output {
                let at = ids.iter().position(|id| *id == progress.answer).unwrap();
                assert!(outputs.insert(at, output.unwrap()).is_none(), "an answer ends once");
            }
        }
    }
    outputs.into_values().collect()
}

/// What each becomes in an engine that has answered nothing before.
fn alone(path: &Path, requests: &[Request]) -> Vec<String> {
    requests.iter().map(|request| answer(&mut load(path, 1024), request).text).collect()
}

#[test]
fn answers_made_together_are_those_made_alone() {
    let Some(path) = fetched(SMALL) else { return };
    let requests = ["a fox", "a very old lighthouse at the end of the world", "rain"].map(story);
    let outputs = all(&mut load(&path, 1024), &requests);
    let texts: Vec<String> = outputs.into_iter().map(|output| output.text).collect();
    assert_eq!(texts, alone(&path, &requests));
}

#[test]
fn nobody_waits_for_another_to_end() {
    let Some(path) = fetched(SMALL) else { return };
    let mut engine = load(&path, 1024);
    let long = Request { max_output_tokens: Some(200), ..story("a fox") };
    let first = engine.begin(&long).unwrap();
    while !engine.step(&|_| Reader::Ready).iter().any(|progress| !progress.text.is_empty()) {}
    let second = engine.begin(&story("rain")).unwrap();
    let mut ended = Vec::new();
    while ended.len() < 2 {
        ended.extend(engine.step(&|_| Reader::Ready).into_iter().filter(|p| p.output.is_some()).map(|p| p.answer));
    }
    assert_eq!(ended, [second, first], "the short one ends first, though it came second");
}

#[test]
fn a_reader_that_is_behind_or_gone_holds_up_nobody_else() {
    let Some(path) = fetched(SMALL) else { return };
    let mut engine = load(&path, 1024);
    let requests = ["a fox", "rain", "a lighthouse"].map(story);
    let [slow, gone, quick] = requests.clone().map(|request| engine.begin(&request).unwrap());
    let mut texts = BTreeMap::<AnswerId, String>::new();
    let mut finished = BTreeMap::new();
    let mut step = |reader: &(dyn Fn(AnswerId) -> Reader + Sync)| {
        let news = engine.step(reader);
        for progress in &news {
            texts.entry(progress.answer).or_default().push_str(&progress.text);
            if let Some(Ok(output)) = &progress.output {
                finished.insert(progress.answer, output.finish);
            }
        }
        (news.is_empty(), finished.clone())
    };
    let first_part = |answer| match () {
        () if answer == slow => Reader::Busy,
        () if answer == gone => Reader::Gone,
        () => Reader::Ready,
    };
    while !step(&first_part).1.contains_key(&quick) {}
    assert_eq!(step(&first_part), (true, [(gone, Finish::Cancelled), (quick, Finish::Length)].into()), "one waits");
    while !step(&|_| Reader::Ready).1.contains_key(&slow) {}
    let expected = alone(&path, &requests);
    assert_eq!([&texts[&slow], &texts[&quick]], [&expected[0], &expected[2]]);
    assert!(texts.get(&gone).is_none_or(String::is_empty), "nothing was computed for who left");
}

#[test]
fn a_second_answer_to_a_prompt_reads_it_once_and_both_conversations_go_on_from_memory() {
    let Some(path) = fetched(SMALL) else { return };
    let mut engine = load(&path, 1024);
    let long = format!("{} Say it shorter.", "The quick brown fox jumps over the lazy dog. ".repeat(20));
    let prompts = [question(&long, 12), Request { max_output_tokens: Some(30), ..question(&long, 30) }];
    let mut conversations = Vec::new();
    for request in &prompts {
        let output = answer(&mut engine, request);
        let known = if conversations.is_empty() { 0 } else { output.usage.input_tokens - 1 };
        assert_eq!(output.usage.reused_tokens, known, "{:?}", output.usage);
        let mut request = request.clone();
        request.messages.push(Message::new(Role::Assistant, output.text));
        request.messages.push(Message::new(Role::User, "Shorter still."));
        conversations.push((request, output.usage));
    }
    for (request, before) in &conversations {
        let output = answer(&mut engine, request);
        assert!(output.usage.reused_tokens >= before.input_tokens, "{before:?} then {:?}", output.usage);
        let cold = answer(&mut load(&path, 1024), request);
        assert_eq!((cold.usage.reused_tokens, cold.text), (0, output.text), "remembering must not change the answer");
    }
}

#[test]
fn two_who_ask_the_same_at_once_read_it_once() {
    let Some(path) = fetched(SMALL) else { return };
    let request = question(&"The quick brown fox jumps over the lazy dog. ".repeat(20), 8);
    let outputs = all(&mut load(&path, 1024), &[request.clone(), request]);
    let [first, second] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!((first.usage.reused_tokens, second.usage.reused_tokens), (0, first.usage.input_tokens - 1));
    assert_eq!(first.text, second.text);
}

#[test]
fn what_was_not_used_for_longest_is_forgotten_first() {
    let Some(path) = fetched(SMALL) else { return };
    // Room for two of the three.
    let options = Options { context_tokens: 128, contexts: 2, ..Options::default() };
    let mut engine = Engine::load(&path, &options).unwrap();
    let ask = |engine: &mut Engine, word: &str| answer(engine, &question(&format!("{word} ").repeat(60), 2)).usage;
    for word in ["stone", "river", "stone", "cloud"] {
        ask(&mut engine, word);
    }
    let stone = ask(&mut engine, "stone");
    assert_eq!(stone.reused_tokens, stone.input_tokens - 1, "asked again, so kept");
    let river = ask(&mut engine, "river");
    assert!(river.reused_tokens < river.input_tokens / 2, "{river:?}: there was no room for it");
}
