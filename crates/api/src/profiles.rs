//! What is known of models, in memory; the store holds what exams found over restarts.
//!
//! ```text
//!   exam of these weights (by digest) ─▶ exam of this name, where no digest is told ─▶ its family ─▶ nothing
//! ```
//! A model that has other weights under its old name has another digest, so nothing of an exam is taken over.

use crate::problem::{Failure, Result};
use domain::{Clock, ErrorCode, RequestId, Timestamp};
use jobs::Caller;
use protocol::{Exam, FoundModelProfile, KnownBy, Model, ModelProfile, ProfileSource, PutModelProfile, Route};
use router::profiles::of_family;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};
use store::{AuditRow, ModelProfileRow, Store};

/// Models with an exam at once. Nobody has as many; each is a kibibyte or two in memory.
const MOST: usize = 1_000;
/// Characters of what an exam says of one answer, and answers of one exam: the exam's own are far below.
const WHY_CHARACTERS: usize = 1_000;
const ANSWERS: usize = 50;
/// Characters of a digest.
const DIGEST_CHARACTERS: usize = 200;

/// What an exam found, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    profile: ModelProfile,
    exam: Exam,
}

pub struct Profiles {
    store: Store,
    known: RwLock<HashMap<String, Kept>>,
    /// Changes happen one at a time, so that memory and store agree on their order.
    changing: tokio::sync::Mutex<()>,
}

impl Profiles {
    pub async fn load(store: Store) -> Result<Self, store::Error> {
        let rows = store.model_profiles().await?.into_iter();
        let known = rows.filter_map(|row| match serde_json::from_str(&row.detail) {
            Ok(kept) => Some((row.key, kept)),
            Err(error) => {
                tracing::warn!(model = %row.key, %error, "a stored profile cannot be read and is not used; `devmesh models test` makes a new one");
                None
            }
        });
        Ok(Self { known: RwLock::new(known.collect()), store, changing: tokio::sync::Mutex::default() })
    }

    /// How to work with a model, and how that is known; `None` where nothing is.
    pub fn find(&self, model: &Model) -> Option<FoundModelProfile> {
        let (key, known_by) = key(model);
        let kept = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        match kept {
            Some(Kept { profile, exam }) => Some(found(model, known_by, profile, Some(exam))),
            None => of_family(model).map(|profile| found(model, KnownBy::Family, profile, None)),
        }
    }

    /// Adds to a model how to work with it.
    pub fn complete(&self, model: &mut Model) {
        if model.chats {
            model.profile = self.find(model).map(|found| found.profile);
        }
    }

    pub fn complete_route(&self, mut route: Route) -> Route {
        route.targets.iter_mut().for_each(|model| self.complete(model));
        route
    }

    pub async fn put(
        &self,
        asker: &Caller,
        clock: &dyn Clock,
        model: &Model,
        put: PutModelProfile,
    ) -> Result<FoundModelProfile> {
        check(model, &put)?;
        let (now, (key, known_by)) = (clock.now(), key(model));
        let profile = ModelProfile {
            source: ProfileSource::Exam,
            family: of_family(model).and_then(|profile| profile.family),
            examined_at: Some(now),
            ..put.profile
        };
        let kept = Kept { profile, exam: put.exam };
        let detail = serde_json::to_string(&kept).map_err(Failure::internal)?;
        let _changing = self.changing.lock().await;
        let row = ModelProfileRow { key: key.clone(), found_at: now, detail };
        if !self.store.put_model_profile(row, MOST, entry(asker, now, "model_profile.put", model)).await? {
            return Err(Failure::new(
                ErrorCode::WrongState,
                format!("{MOST} other models have a profile of their own, and more are not kept; delete one of them"),
            ));
        }
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(key, kept.clone());
        Ok(found(model, known_by, kept.profile, Some(kept.exam)))
    }

    /// Forgets what an exam found; says whether there was something.
    pub async fn delete(&self, asker: &Caller, clock: &dyn Clock, model: &Model) -> Result<bool> {
        let (key, _) = key(model);
        let _changing = self.changing.lock().await;
        let audit = entry(asker, clock.now(), "model_profile.delete", model);
        let was_there = self.store.delete_model_profile(key.clone(), audit).await?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        Ok(was_there)
    }
}

fn found(model: &Model, known_by: KnownBy, profile: ModelProfile, exam: Option<Exam>) -> FoundModelProfile {
    FoundModelProfile { model: model.id.clone(), digest: model.digest.clone(), known_by, profile, exam }
}

/// Which model that is: its weights, and where nobody tells which those are, its name.
fn key(model: &Model) -> (String, KnownBy) {
    match &model.digest {
        Some(digest) => (format!("digest:{digest}"), KnownBy::Digest),
        None => (format!("name:{}", model.id), KnownBy::Name),
    }
}

fn entry(asker: &Caller, at: Timestamp, action: &str, model: &Model) -> AuditRow {
    let request_id: RequestId = asker.request;
    AuditRow { at, principal: asker.principal, action: action.to_owned(), object: model.id.clone(), request_id }
}

fn check(model: &Model, put: &PutModelProfile) -> Result<()> {
    let PutModelProfile { digest, profile, exam } = put;
    if digest.as_ref().is_some_and(|digest| digest.chars().count() > DIGEST_CHARACTERS) {
        return Err(Failure::field("/digest", format!("has more than {DIGEST_CHARACTERS} characters.")));
    }
    if *digest != model.digest {
        let told = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "none".to_owned());
        let detail = format!(
            "is {}, and {} has {} now: it is another model than the one examined. Examine it again.",
            told(digest),
            model.id,
            told(&model.digest)
        );
        return Err(Failure::field("/digest", detail));
    }
    if profile.answer_tokens == Some(0) {
        return Err(Failure::field("/profile/answer_tokens", "is 0; an answer has at least one token."));
    }
    if let Some(temperature) = profile.temperature.filter(|temperature| !(0. ..=2.).contains(temperature)) {
        return Err(Failure::field("/profile/temperature", format!("is {temperature}; it is 0 to 2.")));
    }
    if exam.answers.len() > ANSWERS {
        return Err(Failure::field(
            "/exam/answers",
            format!("has {}; an exam has at most {ANSWERS}.", exam.answers.len()),
        ));
    }
    if let Some(at) = exam.answers.iter().position(|answer| answer.why.chars().count() > WHY_CHARACTERS) {
        let detail = format!("has more than {WHY_CHARACTERS} characters.");
        return Err(Failure::field(format!("/exam/answers/{at}/why"), detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Location;

    #[test]
    fn other_weights_under_the_same_name_are_another_model() {
        let model = |digest: Option<&str>| Model {
            digest: digest.map(str::to_owned),
            ..Model::new("ollama", "qwen3:8b", Location::Local)
        };
        let keys = [None, Some("sha256:a"), Some("sha256:b")].map(|digest| key(&model(digest)));
        assert_eq!(keys[0], ("name:ollama/qwen3:8b".to_owned(), KnownBy::Name));
        assert_eq!(keys[1], ("digest:sha256:a".to_owned(), KnownBy::Digest));
        assert_ne!(keys[1], keys[2]);
    }
}
