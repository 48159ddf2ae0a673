//! Whole answers kept in memory for callers that ask for them, on routes that keep them.

use crate::{
    Event, Frame,
    answer::{Block, Finish, Usage, Whole},
    call::Call,
    dialect::Dialect,
    json_object::Fields,
    plan::Plan,
    response_cache::{self, Answer, Hit, Key, Question, ResponseCache},
    run::Committed,
};
use bytes::Bytes;
use protocol::{Location, Model};
use std::{sync::Arc, time::Duration};

pub(crate) struct Kept(ResponseCache);

impl Default for Kept {
    fn default() -> Self {
        Self(ResponseCache::new(response_cache::Options::default()))
    }
}

pub(crate) struct KeptAnswer(Hit);

impl Kept {
    pub(crate) fn find(&self, call: &Call, plan: &Plan) -> Option<KeptAnswer> {
        let longest = plan.policy.cache?;
        let hit = self.0.get(&key(call, plan)?)?;
        let is_of_use = hit.answer.is_told_whole || hit.answer.body.is_some() && !call.asked.peek.stream;
        (is_of_use && Duration::from_secs(hit.age_s) < longest).then_some(KeptAnswer(hit))
    }

    /// `body` is the whole answer as it came, where it came so.
    pub(crate) fn keep(&self, call: &Call, plan: &Plan, model: &Model, whole: &Whole, body: Option<&Bytes>) {
        if plan.policy.cache.is_none() || whole.finish.is_none() {
            return;
        }
        let is_told_whole = !whole.opaque && call.asked.peek.choices <= 1 && !asks_for_more_than_events_tell(call);
        if !is_told_whole && body.is_none() {
            return;
        }
        if let Some(key) = key(call, plan) {
            let answer = Answer {
                body: body.cloned(),
                is_told_whole,
                events: events(whole),
                provider: model.provider.clone(),
                model: model.name.clone(),
                usage: whole.usage(),
            };
            self.0.put(key, answer, &[]);
        }
    }

    pub(crate) fn clear(&self) {
        self.0.clear();
    }
}

/// `None` for calls that want none, and for devmesh's own agents, whose conversations never repeat.
fn key(call: &Call, plan: &Plan) -> Option<Key> {
    if !call.use_cache || call.asked.dialect == Dialect::Own {
        return None;
    }
    Key::of(&Question {
        principal: &call.caller.principal.to_string(),
        route: &call.route,
        egress: plan.egress.as_str(),
        dialect: call.asked.dialect,
        headers: &call.asked.headers,
        body: &call.asked.body,
    })
}

/// Whether the caller wants what no event has words for.
fn asks_for_more_than_events_tell(call: &Call) -> bool {
    let Ok(fields) = Fields::of(&call.asked.body) else { return true };
    let is_off = |value: &str| matches!(value, "null" | "false" | "0" | "[]");
    let asked = |name: &str| fields.get(name).is_some_and(|value| !is_off(value.get()));
    ["logprobs", "top_logprobs", "best_of", "echo", "audio", "modalities", "include"].into_iter().any(asked)
}

/// The events a whole answer would come from.
fn events(whole: &Whole) -> Vec<Event> {
    let mut events = Vec::new();
    let mut calls = 0;
    for block in &whole.blocks {
        match block {
            Block::Text(text) => events.push(Event::Text(text.clone())),
            Block::Thinking { text, signature } => {
                events.push(Event::Thinking(text.clone()));
                events.extend(signature.clone().map(Event::ThinkingSignature));
            }
            Block::RedactedThinking(data) => events.push(Event::RedactedThinking(data.clone())),
            Block::ToolCall { id, name, arguments, .. } => {
                events.push(Event::ToolCall { index: calls, id: id.clone(), name: name.clone() });
                events.push(Event::ToolArguments { index: calls, fragment: arguments.clone() });
                calls += 1;
            }
        }
    }
    if let Some(finish) = &whole.finish {
        events.push(Event::Finished(Finish { load_ms: None, ..finish.clone() }));
    }
    events
}

impl KeptAnswer {
    pub(crate) fn committed(&self) -> Committed {
        let response_cache::Answer { provider, model, .. } = &*self.0.answer;
        Committed {
            // What else is known of it may have changed since.
            model: Arc::new(Model::new(provider, model, Location::Local)),
            fallbacks: 0,
            notice: None,
            lost: Vec::new(),
            cached: Some(Duration::from_secs(self.0.age_s)),
            flaws: Vec::new(),
            usage: Some(Usage::default()),
            // Nobody was asked, so nobody is paid.
            cost_microusd: Some(0),
            rates: None,
        }
    }

    /// In one frame, with the body that came where this call can be handed it.
    pub(crate) fn into_frame(self, call: &Call) -> Frame {
        let raw = self.0.answer.body.clone().filter(|_| !call.asked.peek.stream);
        Frame::new(raw, self.0.answer.events.clone())
    }
}
