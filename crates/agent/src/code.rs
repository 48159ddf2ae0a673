//! The turn loop of a `code` job: the conversation says what comes next, this does it and tells the conversation.

use crate::{
    attempt::{Attempt, Done},
    call_id::Part,
    context,
    conversation::{Answer, Conversation, Next},
    envelope,
    halt::Halt,
    model::{CallError, Prompt},
    prompt::{self, Dialect},
    rebuild::Fact,
    tool::Tool,
};
use domain::FailureReason;
use protocol::{ChatMessage, ModelAnswer};

/// Most of the list of files in the first message, in bytes: about 1,000 tokens.
const FILE_LIST_BYTES: usize = 3_000;

/// The closing words of a job whose model does not come to an end.
const MENDED: &str = "The check passes now.";

impl Attempt {
    pub(crate) async fn code(&mut self, first_turn: u32, past: Vec<Fact>) -> Result<Done, Halt> {
        self.profile.check_fits("the task", &self.spec.task)?;
        let files = context::summary(&self.workspace.files_at_base(), self.file_list_bytes());
        let task = match self.workspace.subfolder().as_os_str().is_empty() {
            true => prompt::code_task(&self.spec.task, &files),
            false => prompt::code_task(
                &format!("{}\n\n{}", self.spec.task, prompt::in_folder(self.workspace.subfolder())),
                &files,
            ),
        };
        let offered = Tool::offered(&self.spec.approvals);
        let mut conversation = Conversation::new(self.profile.dialect, offered, task, first_turn);
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
                Next::Answer { turn } => self.next_answer(&mut conversation, turn, Part::Action).await?,
                Next::Body { turn } => self.next_answer(&mut conversation, turn, Part::Body).await?,
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

    /// A small context has better uses than names.
    fn file_list_bytes(&self) -> usize {
        let tenth = self
            .profile
            .context_tokens
            .map_or(FILE_LIST_BYTES, |tokens| usize::try_from(tokens / 4).unwrap_or(FILE_LIST_BYTES));
        tenth.min(FILE_LIST_BYTES)
    }

    async fn next_answer(
        &mut self,
        conversation: &mut Conversation,
        turn: u32,
        part: Part,
    ) -> Result<Option<crate::stuck::Pattern>, Halt> {
        loop {
            let prompt = request(conversation, part);
            match self.ask_model(turn, part, prompt).await {
                Ok(ModelAnswer { content, tool_calls, finish_reason, .. }) => {
                    return Ok(conversation.answered(turn, part, Answer { content, tool_calls, finish_reason }));
                }
                Err(CallError::Halt(halt)) => return Err(halt),
                Err(CallError::DidNotFit(message)) => match conversation.shrink() {
                    0 => {
                        return Err(Halt::error(format!(
                            "the conversation no longer fits the model's context, and there is nothing left to drop: {message}. \
                             Split the task, or choose a route whose model has a larger context"
                        )));
                    }
                    dropped => {
                        self.note(format!(
                            "the conversation did not fit the model's context ({message}); dropped the {dropped} oldest outputs \
                             from it"
                        ))
                        .await?;
                    }
                },
            }
        }
    }
}

fn request(conversation: &Conversation, part: Part) -> Prompt {
    let messages: Vec<ChatMessage> = conversation.messages();
    let (tools, response_schema) = match (conversation.dialect(), part) {
        (Dialect::Native, Part::Action) => (conversation.offered().iter().map(|tool| tool.spec()).collect(), None),
        (Dialect::Schema, Part::Action) => (Vec::new(), Some(envelope::schema(conversation.offered()))),
        // A body is free text in every dialect.
        (Dialect::Text, _) | (_, Part::Body) => (Vec::new(), None),
    };
    Prompt { messages, tools, response_schema }
}
