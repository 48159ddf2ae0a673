//! Makes a working copy ready: the one the job had, if it is on this machine and free; else one from a step of it; else a
//! new one from the source.

use super::{
    Error, Notes, Prepare, Resume, Workspace, doing, files, local,
    lock::{self, Lock},
    objects, record,
    record::Record,
    tidy,
};
use crate::{
    disk,
    helper::{
        Extent, Failure, From, Helper, Prepared, Reach, Remote, Restore, Restored, Task, Uncommitted, is_object_id,
    },
    sandbox,
};
use domain::JobId;
use protocol::Place;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

/// Longest part of a branch name made from the task, in bytes.
const SLUG_BYTES: usize = 40;
/// Longest preparation. Fetching and writing 2 GiB takes a minute or two.
const PREPARING_TAKES: Duration = Duration::from_secs(15 * 60);
/// Longest look for uncommitted changes. It is for a note only; a tree that takes longer goes without.
const LOOKING_TAKES: Duration = Duration::from_secs(10);
/// How long the attempt before may take to let go of the workspace: it has lost its lease and is stopping its command.
const LETTING_GO: Duration = Duration::from_secs(5);

/// A workspace's folder, ours.
struct Desk {
    folder: PathBuf,
    lock: Lock,
}

impl Desk {
    fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    fn git(&self) -> PathBuf {
        self.folder.join("git")
    }
}

impl Workspace {
    /// Takes as long as copying the source takes. Dropping the future, or `cancel`, leaves a folder that [`super::tidy`]
    /// removes.
    pub async fn prepare(prepare: Prepare) -> Result<Self, Error> {
        let helper = Helper::new(prepare.sandbox.clone(), &prepare.folder);
        std::fs::create_dir_all(&prepare.folder).map_err(doing(|| "making the folder of workspaces"))?;
        let mut notes = Notes::default();
        if let Some(resume) = &prepare.resume {
            match taken_over(&prepare, &helper, resume, &mut notes).await {
                Ok(Some((desk, record))) => {
                    let resumed = Some(resume.commit.clone());
                    return Ok(Self::ready(&prepare, helper, desk, record, resumed, notes));
                }
                Ok(None) => {}
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(error) => {
                    notes.add(format!("the workspace of the attempt before cannot be used as it is: {error}"));
                }
            }
            match from_step(&prepare, &helper, resume).await {
                Ok((desk, record)) => {
                    notes.add(
                        "a new workspace was made from the last step: what is in no step (packages that were \
                               installed, build outputs, the home folder, commits of your own) has to be made again"
                            .to_owned(),
                    );
                    let resumed = Some(resume.commit.clone());
                    return Ok(Self::ready(&prepare, helper, desk, record, resumed, notes));
                }
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(error) => {
                    notes
                        .add(format!("the steps of the attempt before cannot be gone on from, starting over: {error}"));
                }
            }
        }
        let (desk, record) = fresh(&prepare, &helper, &mut notes).await?;
        Ok(Self::ready(&prepare, helper, desk, record, None, notes))
    }

    fn ready(
        prepare: &Prepare,
        helper: Helper,
        desk: Desk,
        record: Record,
        resumed_from: Option<String>,
        mut notes: Notes,
    ) -> Self {
        let Record { prepared, branch, .. } = record;
        let Prepared { start, head, base_commit, files, subfolder, objects, has_submodules, notes: found, .. } =
            prepared;
        if resumed_from.is_none() {
            found.into_iter().for_each(|note| notes.add(note));
        }
        let readable = objects.iter().map(|repository| repository.join("objects")).collect();
        let commit = resumed_from.clone().unwrap_or(head);
        Self {
            place: sandbox::Place { tree: desk.tree(), scratch: desk.folder.join("scratch"), readable },
            git: desk.git(),
            helper,
            cancel: prepare.cancel.clone(),
            base_commit,
            branch,
            resumed_from,
            start,
            head: commit.clone(),
            files,
            subfolder: subfolder.into(),
            has_submodules,
            reference: reference(prepare.attempt),
            state: tokio::sync::Mutex::new(super::Step { commit, written: BTreeSet::new() }),
            notes: Mutex::new(notes),
            ignored: Mutex::default(),
            _lock: desk.lock,
        }
    }
}

pub(super) fn reference(attempt: u32) -> String {
    format!("refs/devmesh/steps/{attempt}")
}

/// The workspace the job had, put back to the step the log knows. With all that is in no step. `None` where somebody else
/// has it or it is not here.
async fn taken_over(
    prepare: &Prepare,
    helper: &Helper,
    resume: &Resume,
    notes: &mut Notes,
) -> Result<Option<(Desk, Record)>, Error> {
    let Some(folder) = resume.folder(&prepare.folder, prepare.job) else { return Ok(None) };
    if !folder.join("tree").is_dir() || !is_object_id(&resume.commit) {
        return Ok(None);
    }
    let Some(lock) = lock::lock(&folder.join("lock"), LETTING_GO).await? else { return Ok(None) };
    let desk = Desk { folder, lock };
    let Some(record) = record::load(&desk.folder) else { return Ok(None) };
    // A command may have filled the disk just before the attempt ended.
    let has_room = disk::check(&desk.tree(), prepare.disk).is_ok();
    let extent = if has_room { Extent::New } else { Extent::Everything };
    let task = Restore { git: desk.git(), tree: desk.tree(), commit: resume.commit.clone(), extent };
    let reach = Reach::new([desk.git(), desk.tree()], PREPARING_TAKES);
    let reach = Reach { readable: lenders(&record, &desk.git()), ..reach };
    let (Restored { files, .. }, _) = helper.ask(&Task::Restore(task), reach, prepare.cancel.clone()).await?;
    if files > 0 {
        let were = if files == 1 { "file was" } else { "files were" };
        notes.add(format!("{files} {were} put back to how the last step left them"));
    }
    tidy::after_resume(helper, &prepare.folder, prepare.job, &desk.folder).await?;
    Ok(Some((desk, record)))
}

/// A new workspace from a step of one that is here and not free, or whose files are gone.
async fn from_step(prepare: &Prepare, helper: &Helper, resume: &Resume) -> Result<(Desk, Record), Error> {
    let wrong = |what: &str| Err(Error::Source(what.to_owned()));
    let Some(before) = resume.folder(&prepare.folder, prepare.job) else {
        return wrong("they are not in this agent's folder");
    };
    let Some(record) = record::load(&before).filter(|_| before.join("git").is_dir()) else {
        return wrong("they are not on this machine any more");
    };
    // Keeps tidying away from it meanwhile; an attempt that still runs does so by itself.
    let _keep = lock::try_lock(&before.join("lock"))?;
    let desk = desk(prepare, helper).await?;
    let from = From::Step {
        git: before.join("git"),
        commit: resume.commit.clone(),
        base_commit: resume.base_commit.clone(),
        objects: record.prepared.objects.clone(),
    };
    let mut readable = lenders(&record, &before.join("git"));
    readable.push(before.join("git"));
    let task = crate::helper::Prepare {
        git: desk.git(),
        tree: desk.tree(),
        store: None,
        from,
        branch: resume.branch.clone(),
        reference: reference(prepare.attempt),
    };
    let reach = Reach { readable, ..Reach::new([desk.git(), desk.tree()], PREPARING_TAKES) };
    let (prepared, _): (Prepared, _) =
        helper.ask(&Task::Prepare(Box::new(task)), reach, prepare.cancel.clone()).await?;
    let record = Record {
        mesh: prepare.mesh.clone(),
        branch: resume.branch.clone(),
        source: record.source.clone(),
        prepared: Prepared { subfolder: record.prepared.subfolder, ..prepared },
    };
    record::save(&desk.folder, &record)?;
    tidy::after_resume(helper, &prepare.folder, prepare.job, &desk.folder).await?;
    Ok((desk, record))
}

async fn fresh(prepare: &Prepare, helper: &Helper, notes: &mut Notes) -> Result<(Desk, Record), Error> {
    let owner = helper.sandbox().owner();
    let branch = branch_name(prepare.job, &prepare.task);
    let access = &prepare.access;
    let place = prepare.repository.as_ref().map(|repository| (repository, repository.place()));
    let (from, readable, identity, network) = match place {
        None => (From::Nothing, Vec::new(), None, false),
        Some((repository, Err(refusal))) => {
            return Err(Error::Source(format!("the repository `{}` {refusal}", repository.path)));
        }
        Some((repository, Ok(Place::Remote(remote)))) => {
            access.check_remote(&remote)?;
            let address = remote.address().to_owned();
            let ssh = access.ssh.clone().filter(|_| address.starts_with("ssh://"));
            let readable = sandbox::NETWORK_FILES.iter().map(PathBuf::from);
            let readable =
                readable.chain(ssh.iter().flat_map(|ssh| [ssh.key.clone(), ssh.known_hosts.clone()])).collect();
            let remote = Remote { address: address.clone(), reference: repository.reference.clone(), ssh };
            (From::Remote(remote), readable, Some(address), true)
        }
        Some((repository, Ok(Place::Folder(_)))) => {
            let found = local::find(repository, access, &prepare.folder)?;
            let identity = found.identity.map(|path| path.display().to_string());
            (From::Local(found.local), found.readable, identity, false)
        }
    };
    let store = match &identity {
        Some(identity) => Some(tokio::select! {
            store = objects::store(&prepare.folder, identity, owner) => store?,
            () = prepare.cancel.cancelled() => return Err(Error::Stopped),
        }),
        None => None,
    };
    let desk = desk(prepare, helper).await?;
    let look = match &from {
        From::Local(local) => local.checkout.clone().zip(local.git_folder.clone()),
        _ => None,
    };
    let task = crate::helper::Prepare {
        git: desk.git(),
        tree: desk.tree(),
        store: store.as_ref().map(|store| store.folder.clone()),
        from,
        branch: branch.clone(),
        reference: reference(prepare.attempt),
    };
    let writable = [desk.git(), desk.tree()].into_iter().chain(task.store.clone());
    let reach = Reach {
        readable: readable.clone(),
        reads_all: prepare.repository.is_some(),
        network,
        ..Reach::new(writable, PREPARING_TAKES)
    };
    let prepared = helper.ask(&Task::Prepare(Box::new(task)), reach, prepare.cancel.clone()).await;
    let (prepared, _): (Prepared, _) = prepared.map_err(|failure| match failure {
        // It would take as long the next time.
        Failure::TimedOut(limit) => {
            Error::Source(format!("preparing the workspace took longer than {} minutes", limit.as_secs() / 60))
        }
        other => other.into(),
    })?;
    let source = store.as_ref().map(|store| store.key.clone());
    let record = Record { mesh: prepare.mesh.clone(), branch, source, prepared };
    record::save(&desk.folder, &record)?;
    if let Some((checkout, git_folder)) = look.filter(|_| record.prepared.is_repository) {
        let task = Uncommitted {
            git: desk.git(),
            asked: prepare.repository.as_ref().map(|repository| repository.path.clone()).unwrap_or_default(),
            checkout,
            git_folder,
            commit: record.prepared.base_commit.clone(),
        };
        let mut readable = readable;
        readable.extend(lenders(&record, &desk.git()));
        let reach = Reach { readable, reads_all: true, ..Reach::new([desk.git()], LOOKING_TAKES) };
        // It is for a note only.
        if let Ok((note, _)) =
            helper.ask::<Option<String>>(&Task::Uncommitted(task), reach, prepare.cancel.clone()).await
        {
            note.into_iter().for_each(|note| notes.add(note));
        }
    }
    Ok((desk, record))
}

/// Repositories that a workspace borrows from, without its own.
fn lenders(record: &Record, own: &Path) -> Vec<PathBuf> {
    record.prepared.objects.iter().filter(|repository| *repository != own).cloned().collect()
}

/// The folder of this attempt, empty, and its lock.
async fn desk(prepare: &Prepare, helper: &Helper) -> Result<Desk, Error> {
    let folder = tidy::attempt_folder(&prepare.folder, prepare.job, prepare.attempt);
    let failed = |path: &Path| {
        let path = path.display().to_string();
        doing(move || format!("making the folder {path}"))
    };
    if let Some(job) = folder.parent() {
        files::make_passage(job).map_err(failed(job))?;
    }
    // An attempt has its number once; what is here was begun by a call that did not finish.
    let removed = files::remove(helper, &folder).await;
    removed.map_err(doing(|| format!("removing what was left in {}", folder.display())))?;
    for path in [folder.clone(), folder.join("scratch")] {
        files::make_passage(&path).map_err(failed(&path))?;
    }
    let owner = helper.sandbox().owner();
    let tree = folder.join("tree");
    files::make_passage(&tree).and_then(|()| files::own(&tree, owner)).map_err(failed(&tree))?;
    files::make_private(&folder.join("git"), owner).map_err(failed(&folder))?;
    let lock = lock::try_lock(&folder.join("lock"))?
        .ok_or_else(|| Error::Failed(format!("another agent works in {} already", folder.display())))?;
    Ok(Desk { folder, lock })
}

impl Resume {
    /// The workspace's folder, when it is one of this job in this agent's folder.
    fn folder(&self, workspaces: &Path, job: JobId) -> Option<PathBuf> {
        let folder = self.location.parent()?;
        let is_ours = folder.parent() == Some(&tidy::job_folder(workspaces, job)) && self.location.ends_with("git");
        (is_ours && tidy::number(folder).is_some()).then(|| folder.to_owned())
    }
}

impl std::convert::From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Task(crate::helper::Error::Refused(words)) => Self::Source(words),
            Failure::Cancelled => Self::Stopped,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// `devmesh/`, the beginning of the job's id, and the beginning of the task in characters every forge takes.
fn branch_name(job: JobId, task: &str) -> String {
    let mut slug = String::new();
    for character in task.chars() {
        let is_plain = character.is_ascii_alphanumeric();
        match is_plain {
            true => slug.push(character.to_ascii_lowercase()),
            false if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            false => {}
        }
        if slug.len() >= SLUG_BYTES {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    let id = job.to_string();
    let id = id.get(..8).unwrap_or(&id);
    if slug.is_empty() { format!("devmesh/{id}") } else { format!("devmesh/{id}-{slug}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_named_after_job_and_task() {
        let job: JobId = "0195f0a2-7d3c-7000-8000-000000000000".parse().unwrap();
        let name = |task: &str| branch_name(job, task);
        assert_eq!(
            name("Fix the off-by-one in `range()`!\n\nIt breaks."),
            "devmesh/0195f0a2-fix-the-off-by-one-in-range-it-breaks"
        );
        assert_eq!(name("…"), "devmesh/0195f0a2");
        assert_eq!(name("ÄÖÜ --force ../../x"), "devmesh/0195f0a2-force-x");
        assert!(name(&"long words ".repeat(1000)).len() <= "devmesh/0195f0a2-".len() + SLUG_BYTES);
    }
}
