//! `ask` jobs: context from the workspace, an answer, sometimes a file.

use crate::{
    code::{apply, failure},
    mesh::{Mesh, ask},
};
use domain::{FailureReason, JobState};
use protocol::{ApprovalPolicies, ApprovalPolicy, CreateJob, Decision, FinishReason};
use testkit::{Turn, sample_repository};

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_from_the_files_it_is_about() {
    let mesh = Mesh::start([Turn::text("It adds the discount instead of taking it off.").usage(300, 12)]).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(ask(&repository, "What is wrong with the discount in prices.py?")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    let result = job.result.unwrap();
    assert_eq!(result.answer.as_deref(), Some("It adds the discount instead of taking it off."));
    assert_eq!((result.patch_artifact, result.usage.input_tokens), (None, 300));
    let asked = mesh.model.received()[0].last("user").to_owned();
    assert!(asked.contains("sum(prices) * (100 + discount_percent)"), "{asked}");
    assert!(asked.contains("class TotalTest"), "there was room for all files: {asked}");
    let shown = &mesh.notes(id).await[0];
    assert!(shown.starts_with("the model was shown prices.py, ") && shown.contains("test_prices.py"), "{shown}");
    assert!(asked.ends_with("Task:\nWhat is wrong with the discount in prices.py?"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_becomes_a_file_and_a_patch() {
    let mesh = Mesh::start([Turn::text("```md\n# Changes\n\n- First one.\n```")]).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let write_file = Some("docs/CHANGES.md".to_owned());
    let id = mesh.create(CreateJob { write_file, ..ask(&repository, "Begin a change log.") }).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    apply(&repository, &mesh.patch(&job).await);
    let written = std::fs::read_to_string(repository.file("docs/CHANGES.md")).unwrap();
    assert_eq!(written, "# Changes\n\n- First one.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_the_answer_can_need_a_persons_leave() {
    let mesh = Mesh::start([Turn::text("hello\n")]).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let approvals = ApprovalPolicies { write_file: ApprovalPolicy::Ask, ..Default::default() };
    let job = CreateJob { write_file: Some("hello.txt".into()), approvals, ..ask(&repository, "Say hello.") };
    let refused = mesh.create(job).await;
    mesh.decide(refused, Decision::Denied, Some("not there")).await;
    let job = mesh.ended(refused).await;
    let (reason, message) = failure(&job);
    assert_eq!(reason, Some(FailureReason::Refused));
    assert!(message.contains("not there"), "{message}");
    assert_eq!(mesh.model.received().len(), 1, "the answer of the attempt before is used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_can_never_fit_is_refused_with_figures() {
    let mesh = Mesh::start([Turn::text("never asked")]).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(ask(&repository, &"word ".repeat(400_000))).await;
    let job = mesh.ended(id).await;
    let (reason, message) = failure(&job);
    assert_eq!(reason, Some(FailureReason::Error));
    assert!(message.contains("2000000 bytes, at least 250000 tokens"), "{message}");
    assert!(message.contains("context holds 8192 tokens"), "{message}");
    assert!(mesh.model.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_cut_at_its_limit_is_never_a_result() {
    let cut = || Turn::text("And so on and so on and").finish_reason(FinishReason::Length);
    let repository = sample_repository();
    let mesh = Mesh::start([cut(), Turn::text("Briefly: yes.")]).await;
    let agent = mesh.agent().await;
    let job = mesh.ended(mesh.create(ask(&repository, "Is it so?")).await).await;
    assert_eq!(job.result.unwrap().answer.as_deref(), Some("Briefly: yes."));
    agent.shut_down().await;

    let mesh = Mesh::start([cut(), cut()]).await;
    let _agent = mesh.agent().await;
    let write_file = Some("out.txt".to_owned());
    let job = mesh.ended(mesh.create(CreateJob { write_file, ..ask(&repository, "Is it so?") }).await).await;
    assert!(failure(&job).1.contains("cut off"), "{job:?}");
    assert_eq!(job.result.unwrap().patch_artifact, None);
}
