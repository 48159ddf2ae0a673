//! The turn loop of a `code` job whose model decides by itself: the conversation says what comes next, this does it and tells the
//! conversation.

use crate::{
    attempt::{Attempt, Done, broken_workspace},
    context,
    conversation::{Conversation, Next, Opening},
    halt::Halt,
    model::{CallError, Prompt},
    prompt,
    rebuild::{Escalation, Fact},
    stages::Stage,
    stuck::Pattern,
};
use domain::FailureReason;

/// Most of the list of files in the first message, in bytes: about 1,000 tokens.
const FILE_LIST_BYTES: usize = 3_000;
/// Most of the files that are shown with the task, in tokens: read once, and kept by the model's cache.
const OPENING_TOKENS: u64 = 4_000;

/// The closing words of a job whose model does not come to an end.
const MENDED: &str = "The check passes now.";

impl Attempt {
    pub(crate) async fn free(&mut self, stage: Stage) -> Result<Done, Halt> {
        let Stage { first_turn, before, facts: past } = stage;
        let manner = self.profile.manner(&self.spec.approvals);
        let mut conversation = Conversation::new(manner, self.opening(before.as_ref()).await?, first_turn);
        let has_turns = past.iter().any(|fact| matches!(fact, Fact::Answered { .. }));
        conversation.replay(past);
        self.check_before(&mut conversation, has_turns).await?;
        if let Some(call) = conversation.interrupted().cloned() {
            let finished = self.interrupt(&call).await?;
            conversation.finished(&call.id, &finished);
        }
        loop {
            let circle = match conversation.next() {
                Next::Answer { .. } if self.check_turn(&mut conversation).await? => {
                    return Ok(Done { answer: MENDED.into() });
                }
                Next::Answer { turn } => self.next_answer(&mut conversation, turn).await?,
                Next::Call(call) => {
                    let finished = self.carry_out(&call).await?;
                    conversation.finished(&call.id, &finished)
                }
                Next::Finish { summary } if self.check_finish(&mut conversation).await? => {
                    return Ok(Done { answer: summary });
                }
                Next::Finish { .. } => None,
                Next::Stuck(pattern) => {
                    let message = format!(
                        "{}, although it had been told so before; a larger model or a smaller task may help",
                        pattern.describe()
                    );
                    return Err(Halt::Failed { reason: FailureReason::Stuck, message });
                }
            };
            if let Some(pattern) = circle {
                self.note(format!("{}; it was told so", pattern.describe())).await?;
            }
        }
    }

    /// What the model is told before its first turn.
    async fn opening(&self, before: Option<&Escalation>) -> Result<Opening, Halt> {
        let files = context::summary(&self.workspace.files_at_base(), self.file_list_bytes());
        let folder = self.workspace.subfolder();
        let mut task = match folder.as_os_str().is_empty() {
            true => self.spec.task.clone(),
            false => format!("{}\n\n{}", self.spec.task, prompt::in_folder(folder)),
        };
        if let Some(before) = before {
            task.push_str(&format!("\n\n{}", prompt::taken_over(&before.why)));
        }
        let budget = self.profile.prompt_tokens().map_or(OPENING_TOKENS, |tokens| (tokens / 4).min(OPENING_TOKENS));
        let shown = context::opening(self.sources(before).await?, &self.spec.task, budget);
        Ok(Opening { task: prompt::code_task(&task, &files, &self.spec.limits), shown })
    }

    /// The texts of files as the job found them, or as the model before left them: after a restart the same, whatever was changed
    /// since.
    pub(crate) async fn sources(&self, before: Option<&Escalation>) -> Result<Vec<(String, String)>, Halt> {
        let names = context::worth_reading(&self.workspace.files_at_base(), &self.spec.task);
        let commit = before.map(|before| before.commit.as_str());
        self.workspace.sources_at(commit, &names).await.map_err(broken_workspace)
    }

    /// A small context has better uses than names.
    fn file_list_bytes(&self) -> usize {
        let tenth = self
            .profile
            .context_tokens
            .map_or(FILE_LIST_BYTES, |tokens| usize::try_from(tokens / 4).unwrap_or(FILE_LIST_BYTES));
        tenth.min(FILE_LIST_BYTES)
    }

    async fn next_answer(&mut self, conversation: &mut Conversation, turn: u32) -> Result<Option<Pattern>, Halt> {
        self.say_dropped(conversation.make_room(), "would not have fitted the model's context").await?;
        loop {
            match self.ask_model(turn, self.request(conversation)).await {
                Ok(answer) => return Ok(conversation.answered(turn, answer.into())),
                Err(CallError::Halt(halt)) => return Err(halt),
                Err(CallError::DidNotFit(message)) => match conversation.shrink() {
                    0 => {
                        return Err(Halt::error(format!(
                            "the conversation no longer fits the model's context, and there is nothing left to drop: {message}. \
                             Split the task, or choose a route whose model has a larger context"
                        )));
                    }
                    dropped => {
                        self.say_dropped(dropped, &format!("did not fit the model's context ({message})")).await?;
                    }
                },
            }
        }
    }

    async fn say_dropped(&self, dropped: usize, why: &str) -> Result<(), Halt> {
        match dropped {
            0 => Ok(()),
            1 => self.note(format!("the conversation {why}; dropped the oldest output from it")).await,
            _ => {
                self.note(format!("the conversation {why}; dropped the {dropped} oldest outputs and texts from it"))
                    .await
            }
        }
    }

    fn request(&self, conversation: &Conversation) -> Prompt {
        Prompt::of(conversation, &self.profile, Some(self.budget.steps_left()))
    }
}
