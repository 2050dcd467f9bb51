//! What fuzzing calls: one format after another, whatever the bytes look like.

use custos_core::clock::Timestamp;
use custos_core::finding::{Finding, Location, Severity};

use crate::document::{FileResult, Listed};
use crate::report::State;
use crate::route::Format;
use crate::standing::{Baseline, Standing, Suppressions};
use crate::supply::{requirement_line, secrets};
use crate::work::{Input, Look, Work};
use crate::{Options, route, scan};

/// Returns the names of all formats.
pub fn formats() -> impl Iterator<Item = &'static str> {
    route::formats().map(|format| format.name)
}

/// Has one format look at bytes that need not be of it, and then all that recognise them.
///
/// # Panics
///
/// If not every byte is accounted for once, or if a file is called clean of which something was
/// not understood.
pub fn format(name: &str, bytes: &[u8]) {
    each(route::formats().filter(|format| format.name == name), bytes);
}

/// Has all formats of the group that one belongs to look at bytes that need not be of any, and then
/// all that recognise them.
///
/// # Panics
///
/// As [`format()`] does, or if there is no such format.
pub fn group(name: &str, bytes: &[u8]) {
    assert!(route::group(name).next().is_some(), "no format `{name}`");
    each(route::group(name), bytes);
}

fn each(formats: impl Iterator<Item = &'static Format>, bytes: &[u8]) {
    let bytes = bytes.to_vec();
    let options = Options::default();
    let mut work = Work::new(&options);
    let input = Input {
        path: "x".to_owned(),
        bytes: &bytes,
    };
    for format in formats {
        let mut look = Look {
            input: &input,
            work: &mut work,
            covered: crate::work::Covered::default(),
        };
        (format.examine)(&mut look);
    }
    let report = scan("x", &bytes, &options);
    let coverage = report.coverage;
    let sum = coverage
        .parsed
        .saturating_add(coverage.opaque)
        .saturating_add(coverage.unknown);
    assert_eq!(sum, report.size, "{coverage:?}");
    let clean = report.state(Severity::Info) == State::Clean;
    assert!(!clean || coverage.unknown == 0, "clean, with {coverage:?}");
}

/// Looks for secrets in a text.
pub fn secrets(text: &str) -> Vec<Finding> {
    findings(text, |look, at| secrets::inspect(look, at, text))
}

/// Looks at a command that may install packages.
pub fn command(line: &str) -> Vec<Finding> {
    findings(line, |look, at| {
        requirement_line(look, at, line);
    })
}

fn findings(text: &str, examine: impl FnOnce(&mut Look<'_, '_, '_>, &Location)) -> Vec<Finding> {
    let bytes = text.as_bytes().to_vec();
    let options = Options::default();
    let mut work = Work::new(&options);
    let input = Input {
        path: "x".to_owned(),
        bytes: &bytes,
    };
    let mut look = Look {
        input: &input,
        work: &mut work,
        covered: crate::work::Covered::default(),
    };
    let at = Location {
        offset: Some(0),
        ..look.here()
    };
    examine(&mut look, &at);
    work.into_parts().2
}

/// Reads what is known before a scan: suppressions and a report of before.
///
/// # Panics
///
/// If something is suppressed that nobody answers for.
pub fn known(bytes: &[u8]) {
    let model = b"cos\nsystem\n(S'id'\ntR.".to_vec();
    let mut files = [FileResult::from(scan("x", &model, &Options::default()))];
    if let Ok(baseline) = Baseline::parse(bytes) {
        baseline.apply(&mut files);
    }
    if let Ok(Ok(known)) = std::str::from_utf8(bytes).map(Suppressions::parse) {
        known.apply(&mut files, Timestamp::from_seconds(0));
    }
    let answered = |one: &Listed| {
        let used = one.suppressed_by.as_ref();
        let owner = used.is_some_and(|used| !used.owner.trim().is_empty());
        one.standing != Standing::Suppressed || owner
    };
    let mut findings = files.iter().flat_map(|file| &file.findings);
    assert!(findings.all(answered), "suppressed by nobody");
}
