//! A stored row that is damaged costs what is in it.

use crate::mesh::{Mesh, ask, caller};
use domain::{ErrorCode, JobId, Scope};
use jobs::Error;
use protocol::ListJobs;

async fn listed(mesh: &Mesh) -> Vec<JobId> {
    let everything = ListJobs { state: None, kind: None, id_prefix: None, limit: None, cursor: None };
    mesh.handle.list(&mesh.user, everything).await.unwrap().jobs.into_iter().map(|job| job.id).collect()
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_without_the_job_that_cannot_be_read() {
    let mesh = Mesh::new().await;
    let (first, second) = (mesh.create(ask("one")).await.id, mesh.create(ask("two")).await.id);
    let (third, fourth) = (mesh.create(ask("three")).await.id, mesh.create(ask("four")).await.id);
    let damage = "UPDATE jobs SET priority = 300 WHERE id = ?1";
    mesh.database().execute(damage, [second.0.into_bytes()]).unwrap();
    // The row is sound, and what it says is not.
    let damage = "UPDATE job_documents SET spec = '{' WHERE job_key = (SELECT job_key FROM jobs WHERE id = ?1)";
    mesh.database().execute(damage, [third.0.into_bytes()]).unwrap();
    assert_eq!(listed(&mesh).await, [fourth, first]);

    for (job, column) in [(second, "priority"), (third, "specification")] {
        let refused = mesh.handle.get(&mesh.user, job).await.unwrap_err();
        let row = refused.unreadable().unwrap();
        assert_eq!((row.what, row.id, row.column.as_str()), ("job", job.to_string(), column));
        assert_eq!(refused.code(), ErrorCode::Internal);
    }
    assert!(matches!(mesh.handle.get(&mesh.user, second).await, Err(Error::Store(store::Error::Unreadable(_)))));
    let report = mesh.handle.verify(&caller(Scope::Admin), second).await.unwrap();
    assert_eq!(report.broken_at.unwrap().detail, "the job's own row cannot be read: its `priority` is damaged");
}
