//! Work with models that do badly when left to choose. The agent looks, asks for whole files, applies and checks them; the model
//! only writes.
//!
//! ```text
//!   check before the work ─▶ files: task, failing test, trace, names ─▶ guided.started
//!        ┌────────────────────────────────────────────────────────────────┘
//!        ▼
//!   candidate.started ─▶ answer ─▶ files written, each a tool call ─▶ check ─▶ passes: succeeded
//!        ▲   at the start's files, or the best ones so far               │
//!        └── handed back with what failed, then others, warmer ◀─────────┘ fails
//!                 └─▶ none left: candidate.kept, `check_failed` with the patch of the one that fails least
//! ```
//! `files` and `names` choose what is shown, `suspects` the functions that are written anew, `form` has the words and the grammar,
//! `read` and `part` make files of an answer, `candidates` says what is tried next, `syntax` looks at the form of files that
//! nothing checks. `work` is all of it as a fold over the log.

mod candidates;
mod files;
mod form;
mod names;
mod part;
mod read;
mod suspects;
mod syntax;
mod work;

use crate::{
    attempt::{Attempt, Done, broken_workspace},
    check::{Check, Checks},
    conversation::Call,
    halt::Halt,
    model::{CallError, Prompt, Sampling},
    prompt,
    rebuild::{Escalation, Fact},
    stages::Stage,
    stop::Cause,
};
use candidates::Plan;
use domain::FailureReason;
use files::Looking;
use protocol::{ApprovalPolicy, CheckOutcome, EditForm, EventBody, GuidedFile};
use work::{Next, Terms, Work};

/// Most of the files that are shown, in tokens …
const SHOWN_TOKENS: u64 = 4_000;
/// … and as a share of the model's context: the rest is for what fails, for answers, and for those that are handed back.
const SHOWN_SHARE: u64 = 3;

impl Attempt {
    pub(crate) async fn guided(&mut self, stage: Stage) -> Result<Done, Halt> {
        let mut work = Box::pin(self.begin_guided(stage)).await?;
        let outcome = self.work_on(&mut work).await;
        let is_ours = !matches!(self.stop.cause(), Some(Cause::Lost | Cause::ShuttingDown));
        let is_open = !matches!(work.next(), Next::Over | Next::Done);
        // Out of time or budget in the middle of a try: what is handed in is the best there is.
        if let (Err(Halt::Failed { .. } | Halt::Stopped), true, true) = (&outcome, is_ours, is_open) {
            let best = work.best();
            if let Err(halt) = self.keep(&mut work, best).await {
                tracing::debug!(job = %self.job, ?halt, "the best candidate was not gone back to");
            }
        }
        outcome
    }

    /// The work as far as the log has it.
    async fn begin_guided(&mut self, stage: Stage) -> Result<Work, Halt> {
        let Stage { first_turn, before, mut facts } = stage;
        let at = facts.iter().position(|fact| matches!(fact, Fact::Guided { .. }));
        let rest = facts.split_off(at.unwrap_or(facts.len()));
        let mut checks = Checks::default();
        for fact in facts {
            match fact {
                Fact::CheckStarted(check) => checks.started(check),
                Fact::Checked(ended) => checks.ended(ended),
                _ => {}
            }
        }
        if rest.is_empty() {
            self.check_first(&mut checks).await?;
        }
        let terms = self.terms(&checks, before.as_ref(), rest.first()).await?;
        let mut work = Work::new(terms, checks, first_turn);
        work.replay(rest);
        self.checked = work.checks().result();
        Ok(work)
    }

    /// Chooses the files, or takes those that were chosen.
    async fn terms(
        &mut self,
        checks: &Checks,
        before: Option<&Escalation>,
        begun: Option<&Fact>,
    ) -> Result<Terms, Halt> {
        let budget =
            self.profile.context_tokens.map_or(SHOWN_TOKENS, |tokens| (tokens / SHOWN_SHARE).min(SHOWN_TOKENS));
        let sources = self.sources(before).await?;
        let failing = checks.before().filter(|before| before.outcome == CheckOutcome::Failed);
        let looking = Looking {
            sources: &sources,
            task: &self.spec.task,
            output: failing.map(|failing| failing.output.as_str()).unwrap_or_default(),
            command: checks.command().unwrap_or_default(),
        };
        let (start, chosen) = match begun {
            Some(Fact::Guided { commit, files }) => {
                (commit.clone(), files.iter().map(|file| (file.path.clone(), file.may_change)).collect())
            }
            _ => (self.workspace.commit().await, looking.choose(budget)),
        };
        let files = looking.shown(&chosen, budget);
        let suspects = match failing.is_some() {
            true => suspects::suspects(&files, looking.task, looking.output),
            false => Vec::new(),
        };
        if begun.is_none() {
            let shown =
                |(path, may_change): &(String, bool)| GuidedFile { path: path.clone(), may_change: *may_change };
            let started = EventBody::GuidedStarted {
                commit: start.clone(),
                files: chosen.iter().map(shown).collect(),
                candidates: candidates::count(suspects.len()),
            };
            self.appender.append(vec![started]).await?;
        }
        let mut task = self.spec.task.clone();
        if let Some(before) = before {
            task.push_str(&format!("\n\n{}", prompt::taken_over(&before.why)));
        }
        Ok(Terms {
            task,
            files,
            names: self.workspace.files_at_base(),
            suspects,
            edits: self.profile.edits.unwrap_or(EditForm::WholeFile),
            prompt_tokens: self.profile.prompt_tokens(),
            start,
            runs_commands: self.spec.approvals.run == ApprovalPolicy::Auto,
        })
    }

    async fn work_on(&mut self, work: &mut Work) -> Result<Done, Halt> {
        if let Some(call) = work.interrupted() {
            let finished = self.interrupt(&call).await?;
            work.finished(&call.id, finished);
        }
        loop {
            match work.next() {
                Next::Begin(plan) => self.begin_candidate(work, plan).await?,
                Next::Answer { turn } => self.next_candidate(work, turn).await?,
                Next::Call(call) => self.write_candidate(work, &call).await?,
                Next::Check => self.check_candidate(work).await?,
                Next::Done => return Ok(Done { answer: self.done(work) }),
                Next::Keep(at) => self.keep(work, at).await?,
                Next::Over => return Err(self.not_done(work)),
            }
        }
    }

    async fn begin_candidate(&mut self, work: &mut Work, plan: Plan) -> Result<(), Halt> {
        let commit = self.go_to(work.commit_of(plan.parent)).await?;
        let started = EventBody::CandidateStarted {
            candidate: plan.candidate,
            of: work.candidates(),
            round: plan.round,
            function: work.suspect(&plan).cloned(),
            temperature: self.profile.temperature.map(|_| plan.temperature),
            commit: commit.clone(),
        };
        let kept = EventBody::WorkspaceCheckpoint { commit: commit.clone(), step: self.step };
        self.appender.append(vec![started, kept]).await?;
        work.begun(plan, commit);
        Ok(())
    }

    /// Makes the files those of a step, and that a step of its own.
    async fn go_to(&mut self, commit: &str) -> Result<String, Halt> {
        if self.workspace.commit().await == commit {
            return Ok(commit.to_owned());
        }
        self.workspace.go_to(commit).await.map_err(broken_workspace)?;
        self.checkpoint().await
    }

    async fn next_candidate(&mut self, work: &mut Work, turn: u32) -> Result<(), Halt> {
        let plan = work.plan();
        let sampling = Sampling {
            temperature: plan.map(|plan| plan.temperature as f32),
            seed: plan.map(|plan| plan.seed),
            most_tokens: Some(work.most_tokens()),
        };
        loop {
            let grammar = self.profile.grammar.then(|| work.grammar());
            let prompt = Prompt { messages: work.messages(), tools: Vec::new(), grammar, sampling };
            match self.ask_model(turn, prompt).await {
                Ok(answer) => {
                    work.answered(turn, &answer.into());
                    return Ok(());
                }
                Err(CallError::Halt(halt)) => return Err(halt),
                Err(CallError::DidNotFit(message)) if work.shrink() => {
                    self.note(format!("the files did not fit the model's context ({message}); showing one less"))
                        .await?;
                }
                Err(CallError::DidNotFit(message)) => {
                    return Err(Halt::error(format!(
                        "not even one file and the task fit the model's context: {message}. Choose a route whose model has a larger \
                         context"
                    )));
                }
            }
        }
    }

    async fn write_candidate(&mut self, work: &mut Work, call: &Call) -> Result<(), Halt> {
        let finished = self.carry_out(call).await?;
        work.finished(&call.id, finished);
        work.stepped(self.workspace.commit().await);
        Ok(())
    }

    async fn check_candidate(&mut self, work: &mut Work) -> Result<(), Halt> {
        let Some(command) = work.checks().command().map(str::to_owned) else {
            return Err(Halt::error("a check is due and there is none"));
        };
        let check = Check { command, why: "after a candidate's change".into() };
        let commit = self.workspace.commit().await;
        work.check_started(check.clone());
        let ended = self.run_recorded(work.checks(), &check, commit).await?;
        work.checked(ended);
        self.checked = work.checks().result();
        Ok(())
    }

    /// Goes to the files that are handed in where nothing passed.
    async fn keep(&mut self, work: &mut Work, at: Option<usize>) -> Result<(), Halt> {
        let commit = self.go_to(work.commit_of(at)).await?;
        let plan = at.and_then(|at| work.plan_of(at));
        let kept = EventBody::CandidateKept {
            candidate: plan.map(|plan| plan.candidate),
            round: plan.map(|plan| plan.round),
            commit: commit.clone(),
        };
        let step = EventBody::WorkspaceCheckpoint { commit, step: self.step };
        self.appender.append(vec![kept, step]).await?;
        work.kept(at);
        self.checked = work.checks().result();
        Ok(())
    }

    /// The closing words of work that is done.
    fn done(&self, work: &Work) -> String {
        let changed = work.changed().iter().map(|path| prompt::shown_path(path)).collect::<Vec<_>>().join(", ");
        let candidate = work.plan().map_or(1, |plan| plan.candidate);
        let how = match (work.checks().is_usable(), work.form_was_looked_at()) {
            (true, _) => "The check passes now.",
            (false, true) => "Nothing checked what it does; its form was looked at and is right.",
            (false, false) => "Nothing checked it.",
        };
        format!("Changed {changed}. {how} It is candidate {candidate} of {}.", work.candidates())
    }

    /// Why work that is over is not done.
    fn not_done(&self, work: &Work) -> Halt {
        let tried = form::tried(work.attempts(), work.kept_candidate());
        match self.checked.as_ref().filter(|checked| checked.outcome.is_failure()) {
            Some(checked) => Halt::Failed {
                reason: FailureReason::CheckFailed,
                message: format!("{checked} (`{}`): {tried}", checked.command),
            },
            None => Halt::Failed { reason: FailureReason::Stuck, message: tried },
        }
    }
}
