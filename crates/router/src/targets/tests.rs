use super::*;
use crate::{
    Awaited, Said,
    providers::{ChatRequest, ChatStream, Provider},
};
use async_trait::async_trait;
use domain::PrincipalId;
use protocol::{Egress, Model};
use std::borrow::Cow;

/// A server that lists its models while it is up.
struct Server {
    is_up: AtomicBool,
    /// Said in place of a listing, while it is up.
    refusal: Mutex<Option<Error>>,
    looks: AtomicUsize,
}

#[async_trait]
impl Provider for Server {
    fn name(&self) -> &'static str {
        "p"
    }
    fn location(&self) -> Location {
        Location::Local
    }
    async fn models(&self) -> Result<Vec<Model>, Error> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        if !self.is_up.load(Ordering::Relaxed) {
            return Err(unreachable());
        }
        lock(&self.refusal).clone().map_or(Ok(Vec::new()), Err)
    }
    async fn chat(&self, _: ChatRequest) -> Result<ChatStream, Error> {
        Err(unreachable())
    }
}

fn unreachable() -> Error {
    Error::Unreachable { provider: "p".into(), message: "refused".into() }
}

fn failed() -> Error {
    Error::Failed {
        provider: "p".into(),
        message: Said::from("HTTP 500: Unexpected message role.").came(500, b"", None),
    }
}

struct Scene {
    targets: Targets,
    server: Arc<Server>,
    shelf: Arc<Shelf>,
    candidate: Candidate,
}

fn scene(location: Location) -> Scene {
    let server =
        Arc::new(Server { is_up: AtomicBool::new(true), refusal: Mutex::default(), looks: AtomicUsize::new(0) });
    let candidate = Candidate {
        provider: server.clone(),
        shelf: 0,
        model: Arc::new(Model::new("p", "m", location)),
        egress: Egress::Allowed,
        why: Cow::Borrowed(""),
        loaded: None,
        is_stopgap: false,
        notice: None,
        price: None,
    };
    Scene { targets: Targets::default(), shelf: Arc::new(Shelf::new(server.clone())), server, candidate }
}

impl Scene {
    fn permit(&self, caller: &Caller) -> Result<Permit, Error> {
        self.targets.permit(&self.candidate, caller, &self.shelf)
    }

    /// Asked in vain that often, as often as it may be asked.
    fn fail(&self, caller: &Caller, error: &Error, times: usize) {
        for _ in 0..times {
            if let Ok(permit) = self.permit(caller) {
                permit.report(error, None);
            }
        }
    }

    fn phase(&self) -> Phase {
        self.targets.states()[0].1.phase
    }
}

fn callers() -> [Caller; 3] {
    [1, 2, 3].map(|number| Caller::new(PrincipalId(uuid::Uuid::from_u128(number))))
}

#[tokio::test(start_paused = true)]
async fn a_failure_counts_for_whoever_is_to_blame() {
    let timed_out = |awaited| Error::TimedOut { provider: "p".into(), awaited, after: Duration::from_secs(1) };
    let said = || ("p".to_owned(), "m".to_owned());
    let (provider, message) = said();
    for (error, of_the_target, of_the_caller) in [
        (unreachable(), true, true),
        (
            Error::Unavailable { provider: provider.clone(), message: message.clone().into(), missing: false },
            true,
            true,
        ),
        (Error::Cut { provider: provider.clone(), message: message.clone() }, true, true),
        (timed_out(Awaited::FirstToken), true, true),
        (failed(), false, true),
        (Error::Malformed { provider: provider.clone(), message: message.clone() }, false, true),
        (
            Error::Unavailable { provider: provider.clone(), message: message.clone().into(), missing: true },
            false,
            true,
        ),
        (Error::Denied { provider: provider.clone(), message: message.clone().into() }, false, true),
        (Error::Refused { provider: provider.clone(), message: message.clone().into() }, false, false),
        (
            Error::RateLimited { provider: provider.clone(), message: message.clone().into(), retry_after: None },
            false,
            false,
        ),
        (Error::Overloaded { provider, message: message.into(), retry_after: None }, false, false),
        (timed_out(Awaited::Queue), false, false),
        (Error::Cancelled, false, false),
    ] {
        let scene = scene(Location::Local);
        let [one, other, _] = callers();
        scene.fail(&one, &error, 5);
        let seen = (scene.permit(&other).is_err(), scene.permit(&one).is_err());
        assert_eq!(seen, (of_the_target, of_the_caller), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_callers_failures_leave_everybody_else_alone_and_those_of_several_are_the_targets() {
    let scene = scene(Location::Local);
    let [one, other, third] = callers();
    scene.fail(&one, &failed(), 50);
    assert_eq!(scene.phase(), Phase::Closed);
    // Another job of the same key is another caller.
    let job = Caller { job: Some(domain::JobId(uuid::Uuid::from_u128(9))), ..one.clone() };
    for caller in [&other, &job] {
        scene.permit(caller).unwrap().succeeded();
    }
    let Err(Error::LeftAlone { after, retry_after, may_pass, .. }) = scene.permit(&one).map(drop) else { panic!() };
    assert!(after.contains("HTTP 500") && !after.contains("role"), "{after}");
    assert!(may_pass && retry_after <= Duration::from_secs(5), "{retry_after:?}");
    scene.fail(&job, &failed(), 50);
    assert_eq!(scene.phase(), Phase::Closed, "two jobs of one key fail alike");
    // A second one in the same trouble: it is not the requests.
    scene.fail(&other, &failed(), 1);
    scene.fail(&third, &failed(), 5);
    assert_eq!(scene.phase(), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn a_callers_own_pause_ends_and_a_sound_request_clears_it() {
    let scene = scene(Location::Local);
    let [one, ..] = callers();
    scene.fail(&one, &failed(), 5);
    assert!(scene.permit(&one).is_err());
    tokio::time::sleep(Duration::from_secs(5)).await;
    scene.permit(&one).unwrap().succeeded();
    scene.fail(&one, &failed(), 4);
    assert!(scene.permit(&one).is_ok(), "what was before it is forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_target_is_used_again_soon_after_it_recovered_and_no_call_is_spent_on_finding_out() {
    for (location, longest) in [(Location::Local, 15), (Location::Cloud, 30)] {
        for down_s in [0, 3, 10, 100, 3_600] {
            let scene = scene(location);
            let [one, other, _] = callers();
            scene.server.is_up.store(false, Ordering::Relaxed);
            // It opens, and each time it is tried it fails again: the pauses grow.
            for _ in 0..8 {
                scene.fail(&one, &unreachable(), 5);
                tokio::time::sleep(Duration::from_secs(40)).await;
            }
            assert_eq!(scene.phase(), Phase::Open, "a server that is down is not tried with anybody's request");
            tokio::time::sleep(Duration::from_secs(down_s)).await;
            scene.server.is_up.store(true, Ordering::Relaxed);
            let mut waited = 0;
            while scene.permit(&other).map(Permit::succeeded).is_err() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                waited += 1;
            }
            assert!(waited <= longest, "{location:?} after {down_s} s: {waited} s");
            assert_eq!(scene.phase(), Phase::Closed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_list_its_models_is_used_again_as_soon_as_any_other() {
    let (p, m) = (|| "p".to_owned(), || Said::from("no"));
    for refusal in [
        Error::Denied { provider: p(), message: m() },
        Error::Forbidden { provider: p(), message: m() },
        Error::Failed { provider: p(), message: m() },
        Error::Refused { provider: p(), message: m() },
        Error::Malformed { provider: p(), message: "a page".to_owned() },
        Error::RateLimited { provider: p(), message: m(), retry_after: None },
        Error::Unavailable { provider: p(), message: m(), missing: true },
        Error::TimedOut { provider: p(), awaited: Awaited::Listing, after: LISTING_TIMEOUT },
    ] {
        let scene = scene(Location::Local);
        let [one, other, _] = callers();
        *lock(&scene.server.refusal) = Some(refusal.clone());
        for _ in 0..8 {
            scene.fail(&one, &unreachable(), 5);
            tokio::time::sleep(Duration::from_secs(40)).await;
        }
        scene.fail(&one, &unreachable(), 5);
        let mut waited = Duration::ZERO;
        while scene.permit(&other).map(Permit::succeeded).is_err() {
            assert!(waited <= LONGEST_PAUSE_LOCAL, "{refusal:?}");
            tokio::time::sleep(Duration::from_secs(1)).await;
            waited += Duration::from_secs(1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_counts_when_the_target_begins_to_answer() {
    let scene = scene(Location::Local);
    let [one, other, _] = callers();
    scene.fail(&one, &unreachable(), 5);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let mut probe = scene.permit(&one).unwrap();
    assert!(scene.permit(&other).is_err(), "one probe at a time");
    probe.answers();
    assert_eq!(scene.phase(), Phase::Closed);
    scene.permit(&other).unwrap().succeeded();
    // What becomes of its answer is one failure of many.
    probe.report(&unreachable(), None);
    assert_eq!((scene.phase(), scene.targets.states()[0].1.consecutive_failures), (Phase::Closed, 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_after_a_server_once_the_router_is_gone() {
    let scene = scene(Location::Local);
    scene.server.is_up.store(false, Ordering::Relaxed);
    scene.fail(&callers()[0], &unreachable(), 5);
    let Scene { server, targets, .. } = scene;
    drop(targets);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let looks = server.looks.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(server.looks.load(Ordering::Relaxed), looks);
}
