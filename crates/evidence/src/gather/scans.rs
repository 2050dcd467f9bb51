//! Scans of the artifact, as facts.
//!
//! A scan is about the artifact if one of its subjects is; what it says of other files of the same
//! scan stays with them.

use std::collections::BTreeSet;

use custos_core::digest::DigestSet;
use custos_core::facts::{ScanFact, ScanFacts, Section};
use custos_core::predicate::scan::{Scan, Standing};
use custos_core::predicate::{self, Predicate as _};

use super::Search;
use crate::judge::{VerifiedStatement, signer_of};

impl Search<'_> {
    /// Returns what verified scans say. Whoever reads it decides which scanner and rules will do.
    pub(super) fn scans(&self) -> Section<ScanFacts> {
        let artifact = &self.question.artifact.digest;
        let mut scans: Vec<ScanFact> = self
            .verified
            .iter()
            .filter(|one| is_about(one, artifact))
            .filter_map(|one| self.scan_fact(one, artifact))
            .collect();
        if scans.is_empty() {
            return Section::unknown("no verified scan of it");
        }
        scans.sort_by_key(|scan| scan.log_index.unwrap_or(u64::MAX));
        let missing = self.missing.iter().cloned().collect();
        Section::gathered(self.context.log_size, ScanFacts { scans }, missing)
    }

    fn scan_fact(&self, one: &VerifiedStatement, artifact: &DigestSet) -> Option<ScanFact> {
        let scan: Scan = predicate::read(one.statement()).ok()?;
        // The same bytes may lie there twice: the worst answer counts.
        let own = scan.files.iter();
        let state = own
            .filter(|file| file.digest.agrees_with(artifact))
            .map(|file| file.state)
            .max();
        let findings = scan.files.iter().flat_map(|file| &file.findings);
        let found: BTreeSet<String> = findings
            .filter(|one| one.standing == Standing::New)
            .map(|one| one.finding.rule.clone())
            .collect();
        Some(ScanFact {
            signer: signer_of(one),
            log_index: one.index_in(self.context.origin),
            scanner: format!("{} {}", scan.scanner.name, scan.scanner.version),
            rules: scan.scanner.rules,
            fail_on: scan.settings.fail_on,
            strict: scan.settings.strict,
            answer: scan.summary.answer,
            state,
            states: scan.summary.states,
            findings: scan.summary.findings,
            suppressed: scan.summary.suppressed,
            known: scan.summary.known,
            found: found.into_iter().collect(),
            vulnerabilities_until: scan.settings.vulnerabilities_until,
            finished_on: scan.metadata.finished_on,
        })
    }
}

fn is_about(one: &VerifiedStatement, artifact: &DigestSet) -> bool {
    let statement = one.statement();
    let mut subjects = statement.subject().iter();
    statement.predicate_type() == Scan::TYPE
        && subjects.any(|subject| subject.digest.agrees_with(artifact))
}
