//! `custos gate`: may this artifact be used. The decision is signed and logged, as a SLSA VSA for
//! other tools and as a `decision` that can be evaluated again.

use custos_core::digest::{Algorithm, DigestSet};
use custos_core::json;
use custos_core::predicate;
use custos_core::predicate::decision::{
    Decision as Record, EvidenceReference, PolicyReference, Reason as RecordedReason,
    Verdict as RecordedVerdict,
};
use custos_core::predicate::vsa::{VerificationResult, VerificationSummary, Verifier};
use custos_core::statement::{ResourceDescriptor, Statement, Subject};
use custos_policy::{Decision, Reason, Verdict};
use serde_json::{Value, json};

use crate::args::GateArgs;
use crate::artifacts::{self, Artifact};
use crate::commands::verify;
use crate::context::Context;
use crate::exit::Exit;
use crate::judging::{Judged, Judging, named};
use crate::policies::Policy;
use crate::recording::{self, Recorded, Recording};
use crate::settings::Settings;
use crate::term::{Role, visible};
use crate::{Failure, Outcome, approved, stores};

/// Who Custos says it is in a VSA.
const VERIFIER: &str = "urn:custos:verifier:cli:v1";
/// Most pieces of evidence that are shown for a reason; JSON has all.
const SHOWN: usize = 30;

/// Runs the command.
pub fn run(args: &GateArgs, context: &Context) -> Outcome {
    let settings = context.settings()?;
    let signer = recording::key_signer(&args.key, &settings, context)?;
    let policy = policy(args, &settings, context)?;
    approved::check(&context.home()?, &policy)?;
    let artifact = artifacts::find(&args.artifact, context)?;
    let judging = Judging::open(&settings, context)?;
    let signature = verify::own_signature(&artifact, args.bundle.as_deref(), &judging)?;
    let subject = named(&artifact.name, artifact.digest.clone());
    let judged = judging.gate(
        &policy,
        &subject,
        &json!({ "artifactSignature": signature }),
    )?;
    // The reading store is closed before the writing one is opened.
    drop(judging);
    let made = Made {
        artifact: &artifact,
        policy: &policy,
        judged: &judged,
    };
    let statements = [made.summary(context)?, made.record(context)?];
    let recording = Recording::open(signer, context)?;
    if let Some(store) = recording.store() {
        // What the policy saw, complete: whoever evaluates the decision again needs it.
        store
            .keep_document(&made.input_bytes()?)
            .map_err(|error| stores::failure(&error))?;
    }
    let recorded = recording.many(&statements)?;
    if let (Some(dir), [summary, record]) = (&args.bundles, recorded.as_slice()) {
        let bundles = [("verification-summary", summary), ("decision", record)];
        recording.write_bundles((&context.resolve(dir), &artifact.file_stem()), &bundles)?;
    }
    made.report(context, &recorded)
}

fn policy(args: &GateArgs, settings: &Settings, context: &Context) -> Result<Policy, Failure> {
    let set = settings.gate_policy.as_deref();
    match (args.policy.as_deref(), set) {
        (Some(named), _) => Policy::load(named, context),
        (None, Some(path)) => Policy::set(path, settings, context),
        (None, None) => Err(Failure::usage("E0002", "no policy was named")
            .help("pass --policy DIR or --policy starter, or set `[policy] gate` in custos.toml")),
    }
}

struct Made<'a> {
    artifact: &'a Artifact,
    policy: &'a Policy,
    judged: &'a Judged,
}

impl Made<'_> {
    const fn decision(&self) -> &Decision {
        &self.judged.decision
    }

    fn subject(&self) -> Vec<Subject> {
        vec![Subject::new(
            self.artifact.name.as_str(),
            self.artifact.digest.clone(),
        )]
    }

    fn policy_digest(&self) -> DigestSet {
        DigestSet::from(*self.policy.digest())
    }

    fn input_bytes(&self) -> Result<Vec<u8>, Failure> {
        json::to_canonical(&self.judged.input).map_err(|e| Failure::internal(&e.to_string()))
    }

    fn summary(&self, context: &Context) -> Result<Statement, Failure> {
        let passed = self.decision().verdict == Verdict::Allow;
        let attestations = self
            .judged
            .gathered
            .verified
            .iter()
            .map(|verified| referred(None, DigestSet::from(verified.bundle_digest())));
        let policy = format!("urn:custos:policy:{}", self.policy.digest());
        let summary = VerificationSummary {
            verifier: Verifier {
                id: VERIFIER.to_owned(),
                version: std::collections::BTreeMap::new(),
            },
            time_verified: Some(context.now()),
            resource_uri: self.resource(),
            policy: referred(Some(policy), self.policy_digest()),
            input_attestations: attestations.collect(),
            verification_result: if passed {
                VerificationResult::Passed
            } else {
                VerificationResult::Failed
            },
            // A step run by a person on their own machine is level 1, and never more.
            verified_levels: vec![
                if passed {
                    "SLSA_BUILD_LEVEL_1"
                } else {
                    "FAILED"
                }
                .to_owned(),
            ],
            dependency_levels: None,
            slsa_version: Some("1.2".to_owned()),
        };
        predicate::write(self.subject(), &summary).map_err(|e| Failure::internal(&e.to_string()))
    }

    fn resource(&self) -> String {
        let digest = self.artifact.digest.get(Algorithm::Sha256);
        digest.map_or_else(|| self.artifact.name.clone(), |digest| digest.to_string())
    }

    fn record(&self, context: &Context) -> Result<Statement, Failure> {
        let digest = |value: &Value| {
            json::to_canonical(value)
                .map(|bytes| DigestSet::from(Algorithm::Sha256.digest(&bytes)))
                .map_err(|error| Failure::internal(&error.to_string()))
        };
        let record = Record {
            verdict: match self.decision().verdict {
                Verdict::Allow => RecordedVerdict::Allow,
                Verdict::Deny => RecordedVerdict::Deny,
                Verdict::Undecided => RecordedVerdict::Undecided,
            },
            reasons: self.reasons(),
            policy: PolicyReference {
                name: self.policy.name.clone(),
                digest: self.policy_digest(),
            },
            facts: digest(&self.judged.input["custos"])?,
            input: digest(&self.judged.input)?,
            now: context.now(),
        };
        predicate::write(self.subject(), &record).map_err(|e| Failure::internal(&e.to_string()))
    }

    // Why: for a yes, every statement that it rests on.
    fn reasons(&self) -> Vec<RecordedReason> {
        if self.decision().verdict != Verdict::Allow {
            return self.decision().reasons.iter().map(recorded).collect();
        }
        let origin_index = |verified: &custos_evidence::judge::VerifiedStatement| {
            verified.log().first().map(|proof| proof.index)
        };
        let evidence = self
            .judged
            .gathered
            .verified
            .iter()
            .map(|verified| EvidenceReference {
                name: verified.statement().predicate_type().to_owned(),
                digest: DigestSet::from(verified.bundle_digest()),
                log_index: origin_index(verified),
            });
        vec![RecordedReason {
            rule: self.decision().query.clone(),
            code: "allowed".to_owned(),
            message: format!("every rule of `{}` holds", self.policy.name),
            evidence: evidence.collect(),
        }]
    }

    fn report(&self, context: &Context, recorded: &[Recorded]) -> Outcome {
        let term = &context.term;
        let index = |at: usize| recorded.get(at).and_then(|one| one.index);
        let (exit, word, role) = match self.decision().verdict {
            Verdict::Allow => (Exit::Yes, "ALLOW", Role::Good),
            Verdict::Deny => (Exit::No, "DENY", Role::Bad),
            Verdict::Undecided => (Exit::Undecided, "UNDECIDED", Role::Bad),
        };
        let mut text = format!(
            "{}  {}  {}\n",
            term.paint(Role::Strong, &self.artifact.name),
            term.paint(Role::Literal, &self.resource()),
            term.paint(role, word),
        );
        for reason in self.reasons() {
            let line = format!("  {}: {}\n", reason.code, visible(&reason.message));
            text.push_str(&term.fold(&line, 6));
            for evidence in reason.evidence.iter().take(SHOWN) {
                text.push_str(&term.paint(Role::Faint, &shown(evidence)));
                text.push('\n');
            }
            let more = reason.evidence.len().saturating_sub(SHOWN);
            if more > 0 {
                text.push_str(&format!("      and {more} more\n"));
            }
        }
        for warning in &self.decision().warnings {
            let line = format!("  warning: {}\n", visible(&warning.message));
            let folded = term.fold(&line, 6);
            let rest = folded.strip_prefix("  warning").unwrap_or(&folded);
            text.push_str(&format!("  {}{rest}", term.paint(Role::Warn, "warning")));
        }
        text.push_str(&format!(
            "decision log #{}, summary (VSA) log #{}, policy {}\n",
            index(1).unwrap_or_default(),
            index(0).unwrap_or_default(),
            self.policy.digest().short(),
        ));
        term.result(&text, &self.json(recorded))?;
        Ok(exit)
    }

    fn json(&self, recorded: &[Recorded]) -> Value {
        let entry = |at: usize| {
            recorded
                .get(at)
                .map(|one| json!({ "logIndex": one.index, "bundle": one.digest }))
        };
        json!({
            "schema": "custos.gate/1",
            "artifact": self.artifact.name,
            "digest": self.artifact.digest,
            "verdict": self.decision().verdict,
            "reasons": self.reasons(),
            "warnings": self.decision().warnings,
            "policy": { "name": self.policy.name, "digest": self.policy.digest() },
            "summary": entry(0),
            "decision": entry(1),
            "facts": self.judged.facts,
        })
    }
}

// in-toto's schema of the summary knows URI and digest only (no names, no versions of a verifier),
// and strict readers refuse whatever else there is.
fn referred(uri: Option<String>, digest: DigestSet) -> ResourceDescriptor {
    let mut reference = ResourceDescriptor::default();
    reference.uri = uri;
    reference.digest = digest;
    reference
}

// What it is, which bytes, and where they are logged.
fn shown(evidence: &EvidenceReference) -> String {
    let mut text = format!("      {}", visible(&evidence.name));
    if let Some(digest) = evidence.digest.get(Algorithm::Sha256) {
        text.push_str(&format!("  {}", digest.short()));
    }
    if let Some(at) = evidence.log_index {
        text.push_str(&format!("  log #{at}"));
    }
    text
}

fn recorded(reason: &Reason) -> RecordedReason {
    let evidence = reason.evidence.iter().map(|evidence| EvidenceReference {
        name: evidence.name.clone().unwrap_or_else(|| reason.code.clone()),
        digest: evidence
            .digest
            .as_deref()
            .and_then(|text| text.parse::<custos_core::digest::Digest>().ok())
            .map(DigestSet::from)
            .unwrap_or_default(),
        log_index: evidence.log_index,
    });
    RecordedReason {
        rule: reason.rule.clone(),
        code: reason.code.clone(),
        message: reason.message.clone(),
        // A reference that names neither bytes nor an entry refers to nothing.
        evidence: evidence
            .filter(|one| !one.digest.is_empty() || one.log_index.is_some())
            .collect(),
    }
}
