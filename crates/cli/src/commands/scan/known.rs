//! What is known before a scan: packages, suppressions, the report of before.

use std::path::Path;

use custos_core::clock::Timestamp;
use custos_core::digest::{Algorithm, Digest};
use custos_core::limits::Limits;
use custos_scan::document::FileResult;
use custos_scan::sources::Source as _;
use custos_scan::standing::{Baseline, SuppressionUse, Suppressions};
use custos_scan::{Advisories, Knowledge, Snapshot, Tree, TreeOptions};

use crate::args::KnownArgs;
use crate::context::Context;
use crate::files::{read_bytes, read_text, shown};
use crate::report::Failure;

/// Largest file of suppressions, in bytes.
const MAX_SUPPRESSIONS: u64 = 32 << 20;
/// Largest record of a vulnerability, in bytes.
const MAX_RECORD: u64 = 16 << 20;
/// Largest file of names, in bytes.
const MAX_NAMES: u64 = 16 << 20;

/// What is known.
pub struct Known {
    /// About packages, for the scanner.
    pub knowledge: Option<Knowledge>,
    /// Which database of vulnerabilities.
    pub snapshot: Option<Snapshot>,
    /// How many internal names.
    pub internal_names: Option<u64>,
    /// Which report of before.
    pub baseline_digest: Option<Digest>,
    suppressions: Suppressions,
    baseline: Option<Baseline>,
}

impl Known {
    /// Reads everything that is named.
    pub fn read(args: &KnownArgs, context: &Context) -> Result<Self, Failure> {
        let (baseline, baseline_digest) = match &args.baseline {
            Some(file) => {
                let (baseline, digest) = baseline(&context.resolve(file))?;
                (Some(baseline), Some(digest))
            }
            None => (None, None),
        };
        let mut known = Self {
            knowledge: None,
            snapshot: None,
            internal_names: None,
            baseline_digest,
            suppressions: suppressions(args.suppressions.as_deref(), context)?,
            baseline,
        };
        known.packages(args, context)?;
        Ok(known)
    }

    fn packages(&mut self, args: &KnownArgs, context: &Context) -> Result<(), Failure> {
        let mut knowledge = Knowledge::default();
        if let Some(path) = &args.osv {
            knowledge.advisories = Some(advisories(&context.resolve(path))?);
            self.snapshot = knowledge.snapshot().cloned();
        }
        if let Some(file) = &args.internal_names {
            let text = read_text(&context.resolve(file), MAX_NAMES)?;
            let lines = text
                .lines()
                .map(|line| line.split('#').next().unwrap_or(line).trim());
            let names = lines.filter(|name| !name.is_empty()).map(str::to_owned);
            knowledge.internal_names.extend(names);
            self.internal_names = u64::try_from(knowledge.internal_names.len()).ok();
        }
        if self.internal_names.is_some() || self.snapshot.is_some() {
            self.knowledge = Some(knowledge);
        }
        Ok(())
    }

    /// Marks what is dealt with already, and returns what became of each suppression.
    pub fn apply(&self, files: &mut [FileResult], now: Timestamp) -> Vec<SuppressionUse> {
        let uses = self.suppressions.apply(files, now);
        if let Some(baseline) = &self.baseline {
            baseline.apply(files);
        }
        uses
    }
}

fn suppressions(file: Option<&Path>, context: &Context) -> Result<Suppressions, Failure> {
    let Some(file) = file else {
        return Ok(Suppressions::default());
    };
    let file = context.resolve(file);
    Suppressions::parse(&read_text(&file, MAX_SUPPRESSIONS)?).map_err(|error| {
        Failure::usage("E1003", "the file of suppressions is not accepted")
            .at(shown(&file))
            .because(error)
            .help("docs/scanning.md shows one; each entry is a table [[suppress]]")
    })
}

fn baseline(file: &Path) -> Result<(Baseline, Digest), Failure> {
    let most = u64::try_from(Limits::STATEMENT.max_bytes).unwrap_or(u64::MAX);
    let bytes = read_bytes(file, most)?;
    let baseline = Baseline::parse(&bytes).map_err(|error| {
        Failure::usage("E1004", "the baseline is no report of a scan")
            .at(shown(file))
            .because(error.to_string())
            .help("write one with `custos scan PATH --write-baseline FILE`")
    })?;
    Ok((baseline, Algorithm::Sha256.digest(&bytes)))
}

// A folder of records, or an archive of them; in a folder both are looked for, at any depth.
fn advisories(path: &Path) -> Result<Advisories, Failure> {
    let unsound = |place: &str, why: String| {
        Failure::usage(
            "E1007",
            "the database of known vulnerabilities is not accepted",
        )
        .at(place)
        .because(why)
        .help("name a folder or zip of OSV records, such as all.zip of an ecosystem")
    };
    let tree = Tree::open(path, &TreeOptions::default())
        .map_err(|error| Failure::io(shown(path), &error))?;
    let mut builder = Advisories::builder();
    for (index, item) in tree.items().iter().enumerate() {
        let place = item.path.as_str();
        let is = |extension: &str| {
            let found = Path::new(place).extension();
            found.is_some_and(|found| found.eq_ignore_ascii_case(extension))
        };
        if !(is("json") || is("zip")) {
            continue;
        }
        let file = tree
            .open(index)
            .map_err(|error| Failure::io(place, &error))?;
        if is("zip") {
            builder
                .add_zip(file.as_ref())
                .map_err(|error| unsound(place, error.to_string()))?;
            continue;
        }
        if file.len() > MAX_RECORD {
            let why = format!("a record of {} bytes is none", file.len());
            return Err(unsound(place, why));
        }
        let mut bytes = vec![0; usize::try_from(file.len()).unwrap_or(0)];
        let read = file
            .read_at(0, &mut bytes)
            .map_err(|error| Failure::io(place, &error))?;
        bytes.truncate(read);
        // One that is no record is counted, and told with the snapshot.
        let _ = builder.add(&bytes);
    }
    let advisories = builder.finish();
    if advisories.snapshot().advisories == 0 {
        return Err(unsound(&shown(path), "there is no record in it".to_owned()));
    }
    Ok(advisories)
}
