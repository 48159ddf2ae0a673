//! Progress of anything long, on stderr: a bar on a terminal, a line every tenth elsewhere.

use super::{Output, bytes};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub struct Progress {
    bar: ProgressBar,
    what: String,
    total: Option<u64>,
    /// Tenths told so far, where no bar can be drawn.
    told: Option<u64>,
}

impl Progress {
    pub(super) fn new(what: &str, total: Option<u64>, draw: bool, tell: bool) -> Self {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        bar.set_draw_target(if draw { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() });
        let template = match total {
            Some(_) => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "{spinner} {msg} {bytes}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        Self { bar, what: what.to_owned(), total, told: (tell && !draw).then_some(0) }
    }

    pub fn set(&mut self, done: u64) {
        self.bar.set_position(done);
        let (Some(told), Some(total)) = (&mut self.told, self.total.filter(|total| *total > 0)) else { return };
        let tenths = done * 10 / total;
        if tenths > *told {
            *told = tenths;
            eprintln!("{} {}% of {}", self.what, tenths * 10, bytes(total));
        }
    }

    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Long work in stages, of which one is shown at a time.
pub struct Stages {
    output: Output,
    now: Option<Progress>,
}

impl Stages {
    pub fn new(output: Output) -> Self {
        Self { output, now: None }
    }

    /// How far the stage is; another `what` than before begins the next one. `done` is not known of every stage.
    pub fn at(&mut self, what: &str, total: Option<u64>, done: Option<u64>) {
        if self.now.as_ref().is_none_or(|stage| stage.what != what) {
            self.finish();
            self.now = Some(self.output.progress(what, total));
        }
        if let (Some(stage), Some(done)) = (&mut self.now, done) {
            stage.set(done);
        }
    }

    pub fn finish(&mut self) {
        if let Some(stage) = self.now.take() {
            stage.finish();
        }
    }
}
