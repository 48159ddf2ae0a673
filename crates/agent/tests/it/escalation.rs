//! Where a model does not get on, the next one of the job's route takes over, once.

use crate::{
    code::{apply, failure},
    interruption::with_short_lease,
    mesh::{Mesh, Setup, Speaks, checked, code},
};
use domain::{FailureReason, JobId, JobState};
use protocol::{CreateJob, EventBody, WorkMode};
use testkit::{SampleRepository, Script, Turn, sample_repository};

const WEAK: &str = "scripted-coder-1.5b";
const STRONG: &str = "scripted-coder-30b";

fn both() -> Setup {
    Setup { dialect: Speaks::PlainText, model: Some(WEAK), second: Some(STRONG), ..Setup::default() }
}

fn mended() -> Turn {
    Turn::text(format!(
        "{{\"thought\": \"the sign\", \"action\": \"write_file\", \"path\": \"prices.py\"}}\n```python\n{}```",
        SampleRepository::fixed_text()
    ))
}

fn finish() -> Turn {
    Turn::text("{\"action\": \"finish\", \"summary\": \"Took over and mended it.\"}")
}

/// The weak one never gets it, the strong one does.
fn script() -> Script {
    Script::each(|received| match received.model.as_str() {
        WEAK => Turn::text("I do not know."),
        // Like a model that does again what was interrupted.
        _ if received.messages.iter().any(|message| message.content.starts_with("Wrote ")) => finish(),
        _ => mended(),
    })
}

/// From, to and why.
async fn handed_over(mesh: &Mesh, id: JobId) -> Vec<(String, String, String)> {
    let event = |body| match body {
        EventBody::ModelEscalated { from, to, why, .. } => Some((from, to, why)),
        _ => None,
    };
    mesh.bodies(id).await.into_iter().filter_map(event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_model_of_the_route_takes_over_in_its_own_way() {
    let repository = sample_repository();
    let mesh = Mesh::with(both(), script()).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(checked(&repository, "Make the tests pass.")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    apply(&repository, &mesh.patch(&job).await);
    assert!(repository.test_passes());
    let result = job.result.unwrap();
    assert_eq!(result.answer.as_deref(), Some("Took over and mended it."));
    assert_eq!(result.models, [format!("ollama/{WEAK}"), format!("ollama/{STRONG}")]);
    let [(from, to, why)] = &handed_over(&mesh, id).await[..] else { panic!("it is handed over once") };
    assert_eq!((from.as_str(), to.as_str()), (&*format!("ollama/{WEAK}"), &*format!("ollama/{STRONG}")));
    assert!(why.starts_with("check still fails: 1 of 2"), "{why}");
    let received = mesh.model.received();
    let first = received.iter().find(|received| received.model == STRONG).unwrap();
    assert!(first.last("user").contains("Another model worked on this before you"), "{}", first.last("user"));
    assert!(first.last("user").contains("Now it fails (1 of 2 tests)"), "{}", first.last("user"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_over_once_and_only_where_that_is_wanted() {
    let repository = sample_repository();
    let useless = || Script::each(|_| Turn::text("I do not know."));
    let mesh = Mesh::with(both(), useless()).await;
    let agent = mesh.agent().await;
    let id = mesh.create(checked(&repository, "Make the tests pass.")).await;
    let job = mesh.ended(id).await;
    assert_eq!(failure(&job).0, Some(FailureReason::Stuck), "of the second one, which was free");
    assert_eq!(handed_over(&mesh, id).await.len(), 1);
    // Both guided: the second fails its check too, and that is the end.
    let guided = CreateJob { mode: Some(WorkMode::Guided), ..checked(&repository, "Make the tests pass.") };
    let id = mesh.create(guided).await;
    assert_eq!(failure(&mesh.ended(id).await).0, Some(FailureReason::CheckFailed));
    assert_eq!(handed_over(&mesh, id).await.len(), 1);
    agent.shut_down().await;

    let mesh = Mesh::with(both(), useless()).await;
    let _agent = mesh.agent_of(|options| options.escalate = false).await;
    let id = mesh.create(checked(&repository, "Make the tests pass.")).await;
    assert_eq!(failure(&mesh.ended(id).await).0, Some(FailureReason::CheckFailed));
    assert_eq!(handed_over(&mesh, id).await, []);
    assert!(mesh.model.received().iter().all(|received| received.model == WEAK));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_goes_in_circles_hands_over_what_it_has() {
    let repository = sample_repository();
    let setup = Setup { model: Some("scripted-coder-7b"), ..both() };
    let look = "{\"thought\": \"look\", \"action\": \"run\"}\n```sh\ntouch here.txt; cat prices.py\n```";
    let script = Script::each(move |received| match (received.model.as_str(), received.answers_so_far()) {
        (STRONG, 0) => mended(),
        (STRONG, _) => finish(),
        _ => Turn::text(look),
    });
    let mesh = Mesh::with(setup, script).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Make the tests pass.")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    assert!(handed_over(&mesh, id).await[0].2.contains("the same call with the same result"));
    let patch = mesh.patch(&job).await;
    assert!(patch.contains("here.txt") && patch.contains("100 - discount_percent"), "{patch}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_an_agent_dies_the_same_model_takes_over() {
    let repository = sample_repository();
    let job = || checked(&repository, "Make the tests pass.");
    let undisturbed = Mesh::with(both(), script()).await;
    let _agent = undisturbed.agent().await;
    let id = undisturbed.create(job()).await;
    let expected = undisturbed.patch(&undisturbed.ended(id).await).await;
    let kinds: Vec<String> = undisturbed.events(id).await.into_iter().map(|event| event.event_type).collect();
    let at = kinds.iter().position(|kind| kind == "model.escalated").unwrap() as u64;
    for events in (at - 2)..(at + 10) {
        let mesh = Mesh::with(Setup { jobs: with_short_lease().jobs, ..both() }, script()).await;
        let first = mesh.agent().await;
        let id = mesh.create(job()).await;
        mesh.when(id, "the moment of death", |job| job.head.seq >= events || job.state.is_terminal()).await;
        first.vanish().await;
        let _second = mesh.agent().await;
        let ended = mesh.ended(id).await;
        assert_eq!(ended.state, JobState::Succeeded, "dead after {events}: {ended:?} {:?}", mesh.model.violations());
        assert_eq!(mesh.patch(&ended).await, expected, "dead after {events}");
        assert_eq!(handed_over(&mesh, id).await.len(), 1, "dead after {events}");
        assert!(mesh.client.verify(id).await.unwrap().intact, "dead after {events}");
    }
}
