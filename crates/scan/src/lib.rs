//! What is inside: looks into models, datasets, archives and configurations for what could hurt
//! whoever loads them. Nothing is executed, and nothing is loaded.
//!
//! [`scan`] takes anything that can be read at any place ([`source::ReadAt`]) and returns a
//! [`FileReport`]: what was recognised, how much of it was understood, what was found, and the
//! digest of exactly the bytes that were looked at. Files that lie in files are looked at the same
//! way. What a file is, its content decides, never its name.
//!
//! The answer depends on the bytes and on the rule set of this program, and on nothing else.
//!
//! ```
//! use custos_core::finding::Severity;
//! use custos_scan::{Options, State, scan};
//!
//! let model = b"cos\nsystem\n(S'id'\ntR.".to_vec();
//! let report = scan("model.bin", &model, &Options::default());
//! assert_eq!(report.state(Severity::High), State::Findings);
//! assert_eq!(report.findings[0].rule, "pickle/dangerous-call");
//! assert_eq!(report.findings[0].evidence.as_deref(), Some(r#"os.system("id")"#));
//! ```
#![deny(
    clippy::unwrap_used,         // input is hostile: an unwrap is a denial of service
    clippy::expect_used,         // same
    clippy::panic,               // same
    clippy::indexing_slicing,    // same
    clippy::arithmetic_side_effects, // lengths and offsets come from outside
    clippy::as_conversions       // silent truncation hides what is scanned
)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

mod archive;
mod classic;
pub mod cyclonedx;
pub mod document;
mod executable;
#[doc(hidden)]
pub mod fuzz;
mod graphs;
pub mod hub;
mod media;
mod neighbours;
mod pickle;
mod recorded;
mod report;
mod route;
pub mod rules;
pub mod sarif;
pub mod source;
pub mod sources;
pub mod standing;
mod sums;
mod supply;
mod tensors;
mod text;
mod tree;
mod unpack;
mod wire;
mod work;

pub use neighbours::{Graphs, Neighbour, Neighbours};
pub use recorded::Expectation;
pub use report::{Coverage, FileReport, Gap, Recognised, State};
pub use supply::{Advisories, AdvisoriesBuilder, AdvisoryError, Knowledge, Snapshot};
pub use tree::{Tree, TreeOptions};
pub use unpack::{NoShelf, Place, Shelf};
pub use work::Limits;

use std::io;

use custos_core::digest::{Algorithm, Digest};

use source::{ReadAt, Watched};
use work::{Input, Work};

/// How to scan.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct Options<'a> {
    /// Bounds.
    pub limits: Limits,
    /// Room for what is unpacked.
    pub shelf: &'a dyn Shelf,
    /// Asked now and then whether the scan shall end: its time is over, or somebody is tired of
    /// it. What was not looked at by then is a gap.
    pub stop: &'a dyn Fn() -> bool,
    /// What lies beside the file, if anything may be asked.
    pub neighbours: Option<&'a dyn Neighbours>,
    /// What is known about dependencies, if anything.
    pub knowledge: Option<&'a Knowledge>,
}

impl Default for Options<'_> {
    /// The usual bounds, no room beyond memory, and no end before the end.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            shelf: &NoShelf,
            stop: &|| false,
            neighbours: None,
            knowledge: None,
        }
    }
}

/// Scans a file and all that lies in it. `path` is only a name.
pub fn scan(path: &str, bytes: &dyn ReadAt, options: &Options<'_>) -> FileReport {
    // What is small is read once, and looked at in memory.
    let len = bytes.len();
    if len <= SMALL {
        return match source::read_len(bytes, len) {
            Ok(held) => {
                let digest = Algorithm::Sha256.digest(&held);
                examine(path, &held, options, |_| Ok(Some(digest)))
            }
            Err(error) => examine(path, &Vec::new(), options, |_| Err(error)),
        };
    }
    let watched = Watched::new(bytes);
    examine(path, &watched, options, |work| {
        let mut sums = work.take_sums();
        let digest = watched.digest(|read| sums.update(read));
        for wrong in sums.wrong() {
            work.see_sum(wrong);
        }
        digest
    })
}

/// Largest file that is read into memory as a whole.
const SMALL: u64 = 1 << 20;

fn examine<'o>(
    path: &str,
    bytes: &dyn ReadAt,
    options: &Options<'o>,
    digest: impl FnOnce(&mut Work<'o>) -> io::Result<Option<Digest>>,
) -> FileReport {
    let mut work = Work::new(options);
    let input = Input {
        path: path.to_owned(),
        bytes,
    };
    let coverage = work.look(&input);
    let digest = digest(&mut work);
    if matches!(digest, Ok(None)) {
        work.gap(path, "the file changed while it was looked at");
    }
    if let Ok(Some(digest)) = &digest {
        archive::oci::compare(&mut work, path, path, digest);
    }
    let (formats, gaps, findings) = work.into_parts();
    FileReport {
        path: path.to_owned(),
        size: bytes.len(),
        digest: digest.as_ref().ok().copied().flatten(),
        formats,
        coverage,
        gaps,
        findings,
        error: digest.err().map(|error| error.to_string()),
    }
}
