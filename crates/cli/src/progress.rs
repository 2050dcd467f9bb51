//! Progress bars on standard error, for work that takes longer than a blink.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::term::Term;

/// A bar that counts bytes; nothing is drawn where nobody looks.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// Returns a bar with `label` in front; the total is set when it is known.
    pub fn bytes(term: &Term, label: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target(term));
        let style = "{prefix} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Returns a sign that something is under way, for work that counts nothing.
    pub fn waiting(term: &Term, label: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, target(term));
        if let Ok(style) = ProgressStyle::with_template("  {prefix} {spinner} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Sets the number of bytes to come.
    pub fn total(&self, bytes: u64) {
        self.0.set_length(bytes);
    }

    /// Counts bytes done.
    pub fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

fn target(term: &Term) -> ProgressDrawTarget {
    if term.hides_progress() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr_with_hz(10)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
