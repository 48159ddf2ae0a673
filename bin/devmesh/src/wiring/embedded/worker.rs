//! The thread that computes, and the model it holds.
//!
//! ```text
//! nothing under way ─ work ─▶ load if it is another model ─▶ under way ─ step, step, … ─▶ nothing under way ─ idle ─▶ unload
//!                                                              ▲ │ more work for the same model joins
//! ```

use super::{Error, failed, translated, unavailable};
use crate::wiring::catalogue::InMemory;
use embedded_model::{AnswerId, Engine, Finish, Output, Progress, Reader, Request};
use protocol::FinishReason;
use router::{
    Event, Frame,
    answer::{Finish as Finished, Usage},
};
use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{
        PoisonError,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// While every reader is behind, they are looked at again after this.
const PAUSE: Duration = Duration::from_millis(10);

type Frames = mpsc::Sender<Result<Frame, Error>>;

pub(super) struct Work {
    pub model: String,
    pub path: PathBuf,
    pub request: Request,
    pub frames: Frames,
}

pub(super) struct Worker {
    options: embedded_model::Options,
    idle: Duration,
    /// Of the model in memory.
    told: InMemory,
    loaded: Option<(PathBuf, Engine)>,
    under_way: Vec<UnderWay>,
    /// What came next and cannot begin yet.
    held: Option<Work>,
}

struct UnderWay {
    id: AnswerId,
    model: String,
    frames: Frames,
}

impl UnderWay {
    fn reader(&self) -> Reader {
        // A step brings at most a text and the end.
        match self.frames.capacity() {
            _ if self.frames.is_closed() => Reader::Gone,
            0 | 1 => Reader::Busy,
            _ => Reader::Ready,
        }
    }
}

/// Nobody will ask any more.
struct Over;

impl Worker {
    pub(super) fn new(options: embedded_model::Options, idle: Duration, told: InMemory) -> Self {
        Self { options, idle, told, loaded: None, under_way: Vec::new(), held: None }
    }

    pub(super) fn run(mut self, arriving: &Receiver<Work>) {
        while let Ok(()) = self.take(arriving) {
            // A defect in the engine fails these answers and costs the loaded model, not the backend.
            if std::panic::catch_unwind(AssertUnwindSafe(|| self.step())).is_err() {
                self.break_down();
            }
        }
    }

    /// Begins what has arrived, as far as it can begin. Waits where there is nothing else to do.
    fn take(&mut self, arriving: &Receiver<Work>) -> Result<(), Over> {
        loop {
            let waiting = match self.held.take() {
                Some(work) => Some(work),
                None => self.receive(arriving)?,
            };
            let Some(work) = waiting else { return Ok(()) };
            if work.frames.is_closed() {
                continue;
            }
            if !self.can_begin(&work) {
                self.held = Some(work);
                if self.all_wait() {
                    std::thread::sleep(PAUSE);
                }
                return Ok(());
            }
            let frames = work.frames.clone();
            match std::panic::catch_unwind(AssertUnwindSafe(|| self.begin(work))) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tell(&frames, Err(error)),
                Err(_) => {
                    tell(&frames, Err(broken()));
                    self.break_down();
                }
            }
        }
    }

    fn receive(&mut self, arriving: &Receiver<Work>) -> Result<Option<Work>, Over> {
        if !self.all_wait() {
            return match arriving.try_recv() {
                Ok(work) => Ok(Some(work)),
                // What is under way is finished first.
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(None),
            };
        }
        let patience = match (&self.loaded, self.under_way.is_empty()) {
            // Without a model there is nothing to let go of.
            (None, _) => return arriving.recv().map(Some).map_err(|_| Over),
            (Some(_), true) => self.idle,
            (Some(_), false) => PAUSE,
        };
        match arriving.recv_timeout(patience) {
            Ok(work) => Ok(Some(work)),
            Err(RecvTimeoutError::Timeout) if self.under_way.is_empty() => {
                tracing::info!(idle_s = self.idle.as_secs(), "the embedded model leaves memory");
                self.unload();
                Ok(None)
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Over),
        }
    }

    /// No step would bring anything.
    fn all_wait(&self) -> bool {
        self.under_way.iter().all(|under_way| under_way.reader() == Reader::Busy)
    }

    /// One model is in memory at a time, and it is asked for no more answers than it has room for.
    fn can_begin(&self, work: &Work) -> bool {
        self.under_way.is_empty()
            || self.loaded.as_ref().is_some_and(|(path, engine)| *path == work.path && engine.has_room())
    }

    fn begin(&mut self, work: Work) -> Result<(), Error> {
        let Work { model, path, request, frames } = work;
        if self.loaded.as_ref().is_none_or(|(loaded, _)| *loaded != path) {
            // The old one goes first: two models at once may be more than the machine has memory for.
            self.unload();
            let engine = Engine::load(&path, &self.options).map_err(|error| unavailable(error.to_string()))?;
            let info = engine.info();
            tracing::info!(model = info.name, memory_bytes = info.memory_bytes, "an embedded model was loaded");
            let told = Some((model.clone(), info.memory_bytes));
            self.loaded = Some((path, engine));
            *self.told.write().unwrap_or_else(PoisonError::into_inner) = told;
        }
        let Some((_, engine)) = &mut self.loaded else { return Err(failed("no model is loaded".to_owned())) };
        let id = engine.begin(&request).map_err(|error| translated(error, &model))?;
        self.under_way.push(UnderWay { id, model, frames });
        Ok(())
    }

    fn step(&mut self) {
        let Some((_, engine)) = &mut self.loaded else { return };
        let under_way = &self.under_way;
        let find = |id| under_way.iter().find(|under_way| under_way.id == id);
        let news = engine.step(&|id| find(id).map_or(Reader::Gone, UnderWay::reader));
        for Progress { answer, text, output } in news {
            let Some(at) = self.under_way.iter().position(|under_way| under_way.id == answer) else { continue };
            let UnderWay { model, frames, .. } = &self.under_way[at];
            if !text.is_empty() {
                tell(frames, Ok(Event::Text(text).into()));
            }
            if let Some(output) = output {
                tell(frames, output.map_err(|error| translated(error, model)).and_then(last));
                self.under_way.swap_remove(at);
            }
        }
    }

    fn break_down(&mut self) {
        for UnderWay { frames, .. } in self.under_way.drain(..) {
            tell(&frames, Err(broken()));
        }
        self.unload();
    }

    fn unload(&mut self) {
        self.loaded = None;
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A reader that is not there any more is noticed in the next step; one that is has room.
fn tell(frames: &Frames, frame: Result<Frame, Error>) {
    let _ = frames.try_send(frame);
}

fn last(output: Output) -> Result<Frame, Error> {
    let reason = match output.finish {
        Finish::Cancelled => return Err(Error::Cancelled),
        Finish::Length => FinishReason::Length,
        Finish::Stop => FinishReason::Stop,
    };
    let usage = Usage {
        input_tokens: output.usage.input_tokens as u64,
        cached_input_tokens: output.usage.reused_tokens as u64,
        output_tokens: output.usage.output_tokens as u64,
        ..Usage::default()
    };
    Ok(Event::Finished(Finished::new(reason, usage)).into())
}

fn broken() -> Error {
    failed("the inference engine broke down; the model was unloaded".to_owned())
}
