//! What every command gets: terminal, home, settings, clock, working folder.

use std::path::{Path, PathBuf};

use custos_core::clock::{Clock, Timestamp};

use crate::args::Global;
use crate::home::Home;
use crate::report::Failure;
use crate::settings::Settings;
use crate::system::SystemClock;
use crate::term::Term;

/// The surroundings of one invocation.
#[derive(Debug)]
pub struct Context {
    /// Where output goes.
    pub term: Term,
    cwd: PathBuf,
    home_flag: Option<PathBuf>,
    clock: SystemClock,
}

impl Context {
    /// Returns the surroundings for these global options.
    pub fn new(global: &Global, term: Term) -> Result<Self, Failure> {
        let cwd = std::env::current_dir().map_err(|error| Failure::io("working folder", &error))?;
        Ok(Self {
            term,
            cwd,
            home_flag: global.home.clone(),
            clock: SystemClock,
        })
    }

    /// Returns the working folder.
    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// Returns the current moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the clock.
    pub const fn clock(&self) -> &SystemClock {
        &self.clock
    }

    /// Returns the home; it need not exist.
    pub fn home(&self) -> Result<Home, Failure> {
        Home::find(self.home_flag.as_deref(), &self.cwd)
    }

    /// Returns the settings that apply here.
    pub fn settings(&self) -> Result<Settings, Failure> {
        // A machine without any home can still verify with everything named on the command line.
        Settings::find(&self.cwd, self.home().ok().as_ref())
    }

    /// Returns `path` as seen from the working folder.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.cwd.join(path)
    }
}
