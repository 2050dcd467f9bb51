//! Progress bars on standard error, for work that takes longer than a blink.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::term::Term;

/// What is done sooner shows no bar.
const BLINK: Duration = Duration::from_millis(300);
/// How often a bar moves by itself.
const TICK: Duration = Duration::from_millis(200);

/// A bar; nothing is drawn where nobody looks.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    // True until the bar is drawn, if anybody wants to see it.
    waits: AtomicBool,
}

impl Bar {
    /// Returns a bar that counts bytes, with `label` in front; the total is set when it is known.
    pub fn bytes(term: &Term, label: &str) -> Self {
        let style = "{prefix} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        Self::new(term, label, style)
    }

    /// Returns a sign that something is under way, for work that counts nothing.
    pub fn waiting(term: &Term, label: &str) -> Self {
        let bar = Self::new(term, label, "  {prefix} {spinner} {elapsed}");
        bar.draw();
        bar
    }

    fn new(term: &Term, label: &str, style: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_prefix(label.to_owned());
        Self {
            bar,
            waits: AtomicBool::new(!term.hides_progress()),
        }
    }

    /// Sets the number of bytes to come.
    pub fn total(&self, bytes: u64) {
        self.bar.set_length(bytes);
    }

    /// Counts bytes done.
    pub fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
        if self.bar.elapsed() >= BLINK {
            self.draw();
        }
    }

    fn draw(&self) {
        if self.waits.swap(false, Ordering::Relaxed) {
            self.bar
                .set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            self.bar.enable_steady_tick(TICK);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
