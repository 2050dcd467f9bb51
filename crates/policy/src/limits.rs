//! Upper bounds for policies and for their evaluation.

use std::time::Duration;

use custos_core::limits::Limits;

/// Bounds for loading a set of policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyLimits {
    /// Most files, policies and data together.
    pub max_files: usize,
    /// Largest policy file, in bytes.
    pub max_file_bytes: usize,
    /// Most bytes of all files together.
    pub max_total_bytes: usize,
    /// Longest line of a policy, in characters. The engine's own default of 1,024 rejects
    /// policies with embedded certificates, so it is raised on purpose.
    pub max_line_chars: u32,
    /// Deepest nesting of expressions and longest chain of operators or references.
    pub max_nesting: usize,
    /// Most rules of all files together.
    pub max_rules: usize,
    /// Bounds for one data document (`data.json`).
    pub data: Limits,
    /// How long parsing, checking and compiling may take.
    pub load_deadline: Duration,
}

impl Default for PolicyLimits {
    fn default() -> Self {
        Self {
            max_files: 500,
            max_file_bytes: 256 << 10,
            max_total_bytes: 4 << 20,
            max_line_chars: 16 << 10,
            max_nesting: 48,
            max_rules: 2_000,
            data: Limits::SMALL.with_max_bytes(4 << 20),
            load_deadline: Duration::from_secs(30),
        }
    }
}

/// Most reasons, and most warnings, that a decision lists; the rest is counted.
pub(crate) const MAX_REASONS: usize = 1_000;
/// Longest text taken over from a policy's answer, in characters.
pub(crate) const MAX_TEXT_CHARS: usize = 4_096;
/// Most elements that one call may make out of a range: `numbers.range` with numbers from the
/// input would otherwise take all memory.
pub(crate) const MAX_RANGE: usize = 1_000_000;
/// Evaluations that may run at once, those included that were given up and have not ended yet.
pub(crate) const MAX_RUNNING: usize = 64;
/// Stack of an evaluation thread. The engine recurses over expressions and calls; with
/// `max_nesting` and `max_rules` this is enough, and only pages that are touched take memory.
pub(crate) const STACK_BYTES: usize = 256 << 20;
