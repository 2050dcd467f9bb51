//! Exit statuses: one table, from which the help and the documentation are made.

use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// The answer is yes, or the work is done.
    Yes,
    /// The check ran, and the answer is no.
    No,
    /// The command line or the settings are wrong.
    Usage,
    /// The question could not be decided.
    Undecided,
    /// Proven tampering, a fork of the log, or a revoked key.
    Alarm,
    /// Ended by Ctrl-C.
    Interrupted,
}

impl Exit {
    /// Every status, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Yes,
        Self::No,
        Self::Usage,
        Self::Undecided,
        Self::Alarm,
        Self::Interrupted,
    ];

    /// Returns the number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Undecided => 3,
            Self::Alarm => 4,
            Self::Interrupted => 130,
        }
    }

    /// Returns what the status means, for the help.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Yes => "yes, or done",
            Self::No => "no: the check ran, and the answer is no",
            Self::Usage => "wrong usage or settings",
            Self::Undecided => "could not decide (a file, the log or the store was out of reach)",
            Self::Alarm => "integrity alarm: proven tampering, a fork of the log, a revoked key",
            Self::Interrupted => "ended by Ctrl-C",
        }
    }

    /// Returns the table for the help.
    pub fn table() -> String {
        Self::ALL
            .iter()
            .map(|exit| format!("  {:<4} {}\n", exit.code(), exit.meaning()))
            .collect()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
