//! What a job's commands leave behind, and what a repository holds, as whole jobs meet it.

use crate::{
    code::{apply, failure, finish, run},
    mesh::{Mesh, code},
};
use agent::disk::Bounds;
use domain::JobState;
use protocol::{ApprovalPolicies, ApprovalPolicy, CreateJob, Decision, EventBody, Job, Repository, ToolOutcome};
use std::{fs, path::Path, process::Command, time::Duration};
use testkit::{SampleRepository, Script, SmallDisk, eventually, eventually_within, sample_repository};

/// Longest removal of anything here on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Files a patch touches.
fn touched(patch: &str) -> Vec<&str> {
    patch.lines().filter_map(|line| line.strip_prefix("diff --git a/")?.split(" b/").next()).collect()
}

fn outputs(bodies: &[EventBody]) -> Vec<&str> {
    fn output(body: &EventBody) -> Option<&str> {
        match body {
            EventBody::ToolFinished { output, .. } => Some(output),
            _ => None,
        }
    }
    bodies.iter().filter_map(output).collect()
}

async fn done(mesh: &Mesh, repository: &SampleRepository, task: &str) -> Job {
    let id = mesh.create(code(repository, task)).await;
    let job = mesh.ended(id).await;
    let told = (mesh.notes(id).await, mesh.model.violations());
    assert_eq!(job.state, JobState::Succeeded, "{told:?} {job:?}");
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_leaves_stops_neither_its_job_nor_the_next() {
    let hostile = [
        run("mkfifo .gitignore .gitattributes .gitmodules; mkdir -p sub/.git && mkfifo sub/.git/HEAD sub/.git/config"),
        run("python3 -c 'import os\nfor _ in range(3000):\n os.mkdir(\"d\"); os.chdir(\"d\")'"),
        run("mkdir giant && truncate -s 3G giant/.gitignore giant/.gitattributes giant/file"),
        run("rm -rf .git && ln -s / root && ln -s loop loop && chmod 000 sub"),
        run("python3 -c 'import os\nfor n in range(20000): os.mknod(\"flood-%d\" % n)' && rm -f flood-*"),
        run("echo work > work.txt"),
        finish("Done."),
    ];
    let mesh = Mesh::start(Script::by_conversation(hostile)).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    for _ in 0..2 {
        let job = done(&mesh, &repository, "Leave things.").await;
        let patch = mesh.patch(&job).await;
        let touched = touched(&patch);
        assert!(touched.contains(&"work.txt") && !touched.iter().any(|name| name.starts_with("flood")), "{touched:?}");
        let notes = mesh.notes(job.id).await;
        assert!(notes.iter().any(|note| note.contains("is not followed")), "{notes:?}");
        assert!(notes.iter().any(|note| note.contains("nested deeper")), "{notes:?}");
        assert!(mesh.client.verify(job.id).await.unwrap().intact);
        mesh.client.delete_job(job.id).await.unwrap();
        let workspace = mesh.workspaces().join(job.id.to_string());
        eventually_within(PATIENCE, "the end of the workspace", async || (!workspace.exists()).then_some(())).await;
    }
}

/// A job whose first command fills a small disk, and what its two commands came to. `None` where there is no such disk.
async fn filled(fill: &str, then: &str) -> Option<(Mesh, Job, Vec<EventBody>)> {
    let disk = SmallDisk::mount(96 << 10)?;
    let mesh = Mesh::start(Script::by_conversation([run(fill), run(then), finish("Done.")])).await;
    let repository = sample_repository();
    let folder = disk.path().join("workspaces");
    let _agent = mesh.agent_of(|options| options.sandbox.workspaces = folder).await;
    let job = done(&mesh, &repository, "Fill the disk.").await;
    assert_eq!(touched(&mesh.patch(&job).await), ["work.txt"]);
    assert_eq!(mesh.outcomes(job.id).await[0].1, ToolOutcome::Failed);
    let bodies = mesh.bodies(job.id).await;
    Some((mesh, job, bodies))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fills_the_disk_is_stopped_and_the_job_goes_on() {
    let fill = "mkdir -p node_modules && echo kept > node_modules/kept && cat /dev/zero > full; sleep 60";
    let Some((mesh, job, bodies)) = filled(fill, "cat node_modules/kept; ls; echo work > work.txt").await else {
        return;
    };
    let outputs = outputs(&bodies);
    assert!(outputs[0].contains("[stopped: the disk has") && outputs[0].contains("put back"), "{outputs:?}");
    assert!(outputs[1].starts_with("kept\n") && !outputs[1].contains("full"), "{outputs:?}");
    let notes = mesh.notes(job.id).await;
    assert!(notes.iter().any(|note| note.starts_with("the command was stopped: the disk has")), "{notes:?}");
}

/// Under a name that is in no step: then all that is in none has to go.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_full_of_what_is_ignored_is_emptied_too() {
    let fill = "mkdir -p node_modules __pycache__ && echo x > node_modules/x && cat /dev/zero > __pycache__/full";
    let Some((_, _, bodies)) = filled(fill, "ls; echo work > work.txt").await else { return };
    let outputs = outputs(&bodies);
    assert!(outputs[0].contains("packages, build outputs and the home folder's files were removed"), "{outputs:?}");
    assert!(!outputs[1].contains("node_modules"), "{outputs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_filled_from_the_home_folder_is_emptied_too() {
    let Some((_, _, bodies)) = filled("cat /dev/zero > ~/full; sleep 60", "ls ~; echo work > work.txt").await else {
        return;
    };
    let outputs = outputs(&bodies);
    assert!(outputs[0].contains("the home folder's files were removed"), "{outputs:?}");
    assert!(!outputs[1].contains("full"), "{outputs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_takes_its_share_of_the_disk_and_no_more() {
    let mesh = Mesh::start(Script::by_conversation([
        run("head -c 80M /dev/zero > large.bin; sync; sleep 60"),
        run("ls; echo work > work.txt"),
        finish("Done."),
    ]))
    .await;
    let repository = sample_repository();
    let _agent = mesh.agent_of(|options| options.disk = Bounds { job_bytes: 40 << 20, ..Bounds::default() }).await;
    let job = done(&mesh, &repository, "Take too much.").await;
    assert_eq!(touched(&mesh.patch(&job).await), ["work.txt"]);
    let bodies = mesh.bodies(job.id).await;
    assert!(outputs(&bodies)[0].contains("a job may take 40 MiB"), "{bodies:?}");
}

/// The agent that asked is gone when the answer comes; another one of the machine goes on in the same files.
#[tokio::test(flavor = "multi_thread")]
async fn another_agent_of_the_machine_goes_on_where_the_first_one_asked() {
    let script = [
        run("mkdir node_modules && echo installed > node_modules/x"),
        run("cat node_modules/x > found.txt"),
        finish("Done."),
    ];
    let mesh = Mesh::start(Script::by_conversation(script)).await;
    let repository = sample_repository();
    let approvals = ApprovalPolicies { run: ApprovalPolicy::Ask, ..Default::default() };
    let mut agent = mesh.agent().await;
    let id = mesh.create(CreateJob { approvals, ..code(&repository, "Install.") }).await;
    for _ in 0..2 {
        mesh.when(id, "a question", |job| job.state == JobState::WaitingApproval).await;
        agent.shut_down().await;
        mesh.decide(id, Decision::Approved, None).await;
        agent = mesh.agent().await;
    }
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    assert_eq!(mesh.model.received().len(), 3, "nothing was asked for twice");
    apply(&repository, &mesh.patch(&job).await);
    assert_eq!(fs::read_to_string(repository.file("found.txt")).unwrap(), "installed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_jobs_workspace_goes_too() {
    let mesh = Mesh::start(Script::by_conversation([run("echo work > work.txt"), finish("Done.")])).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let (kept, deleted) = (done(&mesh, &repository, "One.").await, done(&mesh, &repository, "Two.").await);
    let workspace = |job: &Job| mesh.workspaces().join(job.id.to_string());
    assert!(workspace(&kept).exists() && workspace(&deleted).exists());
    mesh.client.delete_job(deleted.id).await.unwrap();
    eventually("the end of the workspace", async || (!workspace(&deleted).exists()).then_some(())).await;
    assert!(workspace(&kept).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_on_a_folder_works_there_and_its_patch_fits_the_whole() {
    let repository = sample_repository();
    fs::create_dir_all(repository.file("packages/app")).unwrap();
    for folder in ["", "packages/app/"] {
        fs::write(repository.file(&format!("{folder}notes.md")), "# Title\n").unwrap();
    }
    repository.git(&["add", "-A"]);
    repository.git(&["-c", "user.name=u", "-c", "user.email=u@localhost", "commit", "-qm", "packages"]);
    let write = testkit::Turn::tool("write_file", serde_json::json!({"path": "new.md", "content": "new\n"}));
    let mesh = Mesh::start([run("pwd; echo changed > notes.md"), write, finish("Done.")]).await;
    let _agent = mesh.agent().await;
    let path = repository.file("packages/app").display().to_string();
    let about = Repository { path, reference: None };
    let id = mesh.create(CreateJob { repository: Some(about), ..code(&repository, "Change it.") }).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    let patch = mesh.patch(&job).await;
    assert_eq!(touched(&patch), ["packages/app/new.md", "packages/app/notes.md"]);
    assert_eq!(job.result.unwrap().subfolder.as_deref(), Some("packages/app"));
    apply(&repository, &patch);
    assert_eq!(fs::read_to_string(repository.file("notes.md")).unwrap(), "# Title\n");
}

/// Git's own words end in a zero byte there.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_repository_makes_git_say_is_told_and_ends_the_job_at_once() {
    let mesh = Mesh::start([finish("never")]).await;
    let repository = sample_repository();
    let objects = Command::new("find").arg(repository.file(".git/objects")).args(["-type", "f"]).output().unwrap();
    for object in String::from_utf8(objects.stdout).unwrap().lines().map(Path::new) {
        fs::remove_file(object).unwrap();
        fs::write(object, "damaged\0\x1b[31m").unwrap();
    }
    let _agent = mesh.agent().await;
    let id = mesh
        .create(CreateJob {
            limits: protocol::Limits { attempts: 1, ..Default::default() },
            ..code(&repository, "Look.")
        })
        .await;
    let job = mesh.ended(id).await;
    let (_, message) = failure(&job);
    assert!(!message.is_empty() && !message.contains(['\0', '\x1b']), "{message:?}");
    assert_eq!(job.attempt, 1);
}
