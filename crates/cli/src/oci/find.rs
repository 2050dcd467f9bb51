//! Looks through the candidates for a signature, and says of each what became of it.

use std::collections::BTreeMap;

use custos_connect::oci::{Candidate, CandidateFault, Signature, SimpleSigning};
use custos_core::digest::{Digest, DigestSet};
use custos_trust::verify::{
    Check, Expectation, Material, Message, PredicateTypes, VerifyRequest, unverified_statement,
    verify_all,
};
use custos_trust::{Verified, verify::VerifyError};
use serde_json::Value;

use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;
use crate::trusting::{Trusting, verify_failure};

/// What is looked for.
pub struct Search<'a> {
    /// The surroundings.
    pub context: &'a Context,
    /// Whom and what is trusted.
    pub trusting: &'a Trusting,
    /// What has to be signed.
    pub image: Digest,
    /// The predicate type.
    pub kind: &'a str,
    /// Whether a plain signature of the image will do: cosign's older form.
    pub plain: bool,
}

/// What became of one candidate.
pub struct Report {
    /// Where it lies.
    pub name: String,
    /// The checks that were made.
    pub checks: Vec<Check>,
    /// What is proven, if it holds.
    pub proof: Option<Value>,
    /// The name under which the image was signed, where the signature says one.
    pub claimed: Option<String>,
}

/// What is known so far.
#[derive(Default)]
pub struct Found {
    /// The candidates that were examined; the one that holds is the last.
    pub reports: Vec<Report>,
    /// Why those that do not hold do not.
    pub failures: Vec<Failure>,
    /// What could not be looked at.
    pub unknown: Vec<String>,
    /// Statements of other types, how many of each.
    pub others: BTreeMap<String, u64>,
}

impl Found {
    fn keep(&mut self, done: Done) {
        match done {
            Done::Examined(report, failure) => {
                self.reports.push(report);
                self.failures.extend(failure);
            }
            Done::Refused(failure) => self.failures.push(failure),
        }
    }

    /// Returns the candidate that holds.
    pub fn passed(&self) -> Option<&Report> {
        self.reports.last().filter(|report| report.proof.is_some())
    }

    /// Returns the failure that says most: an alarm before what is undecided before a no.
    pub fn worst(&self) -> Option<&Failure> {
        let rank = |failure: &&Failure| match failure.exit() {
            Exit::Alarm => 2,
            Exit::Undecided => 1,
            _ => 0,
        };
        // The first of several: the order is that of the registry.
        self.failures.iter().rev().max_by_key(rank)
    }
}

impl Search<'_> {
    /// Examines candidates until one holds.
    pub fn examine(&self, candidates: Vec<Candidate>, found: &mut Found) {
        for candidate in candidates {
            let Candidate { name, content, .. } = candidate;
            match content {
                Ok(signature) => self.one(name, &signature, found),
                Err(CandidateFault::Fetch(error)) => found.unknown.push(format!("{name}: {error}")),
                Err(fault) => {
                    let failure = Failure::no("E0909", "a candidate is no signature of the image")
                        .at(name.as_str())
                        .because(fault.to_string());
                    found.failures.push(failure);
                }
            }
            if found.passed().is_some() {
                return;
            }
        }
    }

    fn one(&self, name: String, signature: &Signature, found: &mut Found) {
        let material = match signature {
            Signature::Bundle(bytes) => Material::Bundle(bytes),
            Signature::Envelope(bytes) => Material::Envelope(bytes),
            Signature::SimpleSigning { bundle, payload } => {
                if let Some(done) = self.simple(name, bundle, payload) {
                    found.keep(done);
                }
                return;
            }
            _ => return,
        };
        if let Ok(statement) = unverified_statement(material)
            && statement.predicate_type() != self.kind
        {
            let other = statement.predicate_type().to_owned();
            let number = found.others.entry(other).or_default();
            *number = number.saturating_add(1);
            return;
        }
        let expect = PredicateTypes::new(std::slice::from_ref(&self.kind));
        let artifact = DigestSet::from(self.image);
        found.keep(self.run(name, &artifact, (material, expect)).close(None));
    }

    fn simple(&self, name: String, bundle: &[u8], payload: &[u8]) -> Option<Done> {
        if !self.plain {
            return None;
        }
        let digests = SimpleSigning::digests(payload);
        let outcome = self.run(name, &digests, (Material::Bundle(bundle), Message));
        let Some(verified) = &outcome.verified else {
            return Some(outcome.close(None));
        };
        Some(match SimpleSigning::bind(verified, payload, &self.image) {
            Ok(said) => outcome.close(Some(said.docker_reference)),
            Err(error) => Done::Refused(
                Failure::no("E0909", "a candidate is no signature of the image")
                    .at(outcome.name)
                    .because(error.to_string()),
            ),
        })
    }

    fn run<E: Expectation + Clone>(
        &self,
        name: String,
        artifact: &DigestSet,
        (material, expect): (Material<'_>, E),
    ) -> Examined<E::Content> {
        let request = VerifyRequest {
            artifact,
            material,
            trust_root: &self.trusting.root,
            signers: &self.trusting.signers,
            log: self.trusting.log(),
            expect,
            now: self.context.now(),
        };
        match verify_all(&[(name.as_str(), request)]) {
            Err(error) => Examined {
                name,
                verified: None,
                checks: Vec::new(),
                error: Some(error),
            },
            Ok(mut outcome) => {
                let report = outcome.reports.pop();
                let (checks, error) =
                    report.map_or((Vec::new(), None), |report| (report.checks, report.error));
                Examined {
                    name,
                    verified: outcome.verified.pop(),
                    checks,
                    error,
                }
            }
        }
    }
}

struct Examined<T> {
    name: String,
    verified: Option<Verified<T>>,
    checks: Vec<Check>,
    error: Option<VerifyError>,
}

impl<T> Examined<T> {
    fn close(self, claimed: Option<String>) -> Done {
        let failure = self.error.map(|error| verify_failure(&error, &self.name));
        let proof = self.verified.as_ref().map(Verified::proof);
        let report = Report {
            name: self.name,
            checks: self.checks,
            proof: proof.map(|proof| serde_json::to_value(proof).unwrap_or_default()),
            claimed,
        };
        Done::Examined(report, failure)
    }
}

// What became of a candidate.
enum Done {
    Examined(Report, Option<Failure>),
    Refused(Failure),
}
