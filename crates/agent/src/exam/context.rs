//! Whether a fact is kept over a long prompt, at two lengths: as long as the model's context and its pace allow.

use super::{
    Verdict,
    asker::{Asker, Trouble, excerpt},
    paper,
    questions::plain,
};
use crate::prompt;

/// Shortest text that asks anything of a model, and the longest, in tokens: jobs rarely show more.
const LEAST_TOKENS: u64 = 512;
const MOST_TOKENS: u64 = 32_768;
/// For rules, question and answer, in tokens.
const BESIDE_TOKENS: u64 = 512;
/// Where nobody tells what the model holds.
const ASSUMED_CONTEXT_TOKENS: u64 = 8_192;
/// How long the longer text may take to read, in seconds; the shorter takes half of it. Routers are patient for some 30 s with a
/// short prompt.
const READS_FOR: f64 = 30.;
/// Of plain English.
const BYTES_PER_TOKEN: f64 = 4.5;

pub(super) async fn ask(asker: &mut Asker<'_>) -> Result<Verdict, Trouble> {
    let held = asker.profile.context_tokens.unwrap_or(ASSUMED_CONTEXT_TOKENS).saturating_sub(BESIDE_TOKENS);
    let in_time = asker.reads_per_second().map_or(MOST_TOKENS, |rate| (rate * READS_FOR) as u64);
    let most = held.min(in_time).min(MOST_TOKENS);
    if most < LEAST_TOKENS {
        let why = format!("{most} tokens is all there is room or time for, and that tells nothing");
        return Ok(Verdict::skipped(why));
    }
    for tokens in [most / 2, most].into_iter().filter(|tokens| *tokens >= LEAST_TOKENS) {
        let bytes = (tokens as f64 * BYTES_PER_TOKEN) as usize;
        let text = paper::long_text(bytes, bytes);
        let question = prompt::ask_task(paper::FACT_TASK, &format!("notes.txt:\n{}", crate::answer::fenced("", &text)));
        let answer = asker.ask(plain(prompt::ask_rules(None), question), None).await?;
        asker.unknown_prompt = asker.newest_timing();
        if !paper::is_fact(&answer.content) {
            let before = asker.kept_tokens.map_or_else(String::new, |kept| format!("kept in {kept} tokens, "));
            let lost = format!("{before}lost in {}: {}", answer.input_tokens, excerpt(&answer.content));
            return Ok(Verdict::failed(lost));
        }
        asker.kept_tokens = Some(answer.input_tokens);
    }
    Ok(Verdict::passed(format!("kept in {} tokens", asker.kept_tokens.unwrap_or_default())))
}
