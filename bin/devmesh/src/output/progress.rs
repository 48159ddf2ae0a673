//! Progress of anything long, on stderr: a bar on a terminal, a line every tenth elsewhere.

use super::bytes;
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
