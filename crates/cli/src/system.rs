//! The one place that reads the clock and the environment.

use std::ffi::OsString;

use custos_core::clock::{Clock, Timestamp};
use custos_trust::signers::Surroundings;

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the sanctioned clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let micros = since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
        Timestamp::from_micros(micros)
    }
}

/// Every environment variable that Custos reads. Names that a user may set are listed in
/// `docs/reference/environment.md`.
pub mod env {
    /// The folder that holds keys, log and store.
    pub const HOME: &str = "CUSTOS_HOME";
    /// Hides progress bars when set to anything.
    pub const NO_PROGRESS: &str = "CUSTOS_NO_PROGRESS";
    /// Turns colours off when set to anything (no-color.org).
    pub const NO_COLOR: &str = "NO_COLOR";
    /// Turns colours on when set to anything but 0 (bixense.com/clicolors).
    pub const CLICOLOR_FORCE: &str = "CLICOLOR_FORCE";
    /// Base of user data (XDG Base Directory Specification).
    pub const XDG_DATA_HOME: &str = "XDG_DATA_HOME";
    /// The user's home folder.
    pub const USER_HOME: &str = "HOME";
    /// Set by continuous-integration services; hides progress bars.
    pub const CI: &str = "CI";
    /// The kind of terminal; `dumb` means no colours.
    pub const TERM: &str = "TERM";
    /// Width of the terminal, where the terminal's own word is not to count.
    pub const COLUMNS: &str = "COLUMNS";
    /// Where the demo makes its folder.
    pub const TMPDIR: &str = "TMPDIR";

    /// All of them.
    #[cfg(test)]
    pub const ALL: [&str; 10] = [
        HOME,
        NO_PROGRESS,
        NO_COLOR,
        CLICOLOR_FORCE,
        XDG_DATA_HOME,
        USER_HOME,
        CI,
        TERM,
        COLUMNS,
        TMPDIR,
    ];
}

/// Returns an environment variable that is set and not empty.
#[allow(clippy::disallowed_methods, reason = "this is the sanctioned reader")]
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns what keys that are no files need of this process. Which variables are looked up says
/// [`custos_trust::signers::VARIABLES`].
pub fn surroundings() -> Surroundings {
    let look_up = |name: &str| variable(name).and_then(|value| value.into_string().ok());
    Surroundings::new(look_up, std::sync::Arc::new(SystemClock))
}

/// Returns the words of the command line.
pub fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// Returns the whole environment, for a step that is to see what its caller sees.
#[allow(clippy::disallowed_methods, reason = "this is the sanctioned reader")]
pub fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// Returns the folder for temporary files.
pub fn temporary() -> std::path::PathBuf {
    variable(env::TMPDIR).map_or_else(|| "/tmp".into(), std::path::PathBuf::from)
}

/// Measures wall time for what is shown to people; never for a decision.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts measuring.
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the sanctioned stopwatch"
    )]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Returns seconds since the start.
    pub fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::env;

    #[test]
    fn every_variable_is_documented_and_every_documented_one_is_read() {
        let page = include_str!("../../../docs/reference/environment.md");
        let mut documented: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .flat_map(|line| line.split(" |").next().into_iter())
            .flat_map(|names| names.split(", "))
            .map(|name| name.trim_matches('`'))
            .collect();
        let mut read = env::ALL.to_vec();
        documented.sort_unstable();
        read.sort_unstable();
        assert_eq!(documented, read);
    }
}
