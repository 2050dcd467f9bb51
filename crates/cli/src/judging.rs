//! From an artifact to a decision: gather what verified statements say about it, compare the steps
//! with the layout, build the facts, ask the policy. Composes `evidence`, `provenance` and
//! `policy`, which do not see each other.

use custos_core::digest::{Algorithm, DigestSet};
use custos_core::facts::{Facts, PendingFact, Signer};
use custos_core::lineage::{Direction, NamedArtifact};
use custos_core::predicate::{Predicate as _, dataset::Dataset, provenance::Provenance};
use custos_core::statement::Statement;
use custos_evidence::judge::signer_of;
use custos_evidence::parts::{MESSAGE_SIGNATURE, Parts};
use custos_evidence::{Gathered, Judge, Question, Store, TrustContext};
use custos_policy::{Decision, Evaluation, decide, starter::REQUIRE_PACKAGE};
use custos_trust::Verified;
use custos_trust::verify::{
    LogRequirement, Material, Message, MessageSigned, PredicateTypes, SignedTime, VerifyError,
    VerifyRequest, unverified_statement, verify,
};
use serde_json::{Value, json};

use crate::context::Context;
use crate::layouts;
use crate::logs;
use crate::policies::Policy;
use crate::report::Failure;
use crate::settings::Settings;
use crate::spool::{self, Pending};
use crate::stores;
use crate::trusting::Trusting;

/// Most statements of one kind that are looked at for what a name once meant.
const NAMESAKES: u32 = 8;

/// Everything that a question about an artifact needs.
pub struct Judging<'a> {
    context: &'a Context,
    settings: &'a Settings,
    store: Store,
    judge: Judge,
    trusting: Trusting,
    origin: String,
    size: u64,
}

/// A decision with what it rests on.
#[derive(Debug)]
pub struct Judged {
    /// The answer.
    pub decision: Decision,
    /// What verified statements prove.
    pub facts: Facts,
    /// The complete input of the policy.
    pub input: Value,
    /// The statements.
    pub gathered: Gathered,
}

impl<'a> Judging<'a> {
    /// Opens store and log of the home for reading.
    pub fn open(settings: &'a Settings, context: &'a Context) -> Result<Self, Failure> {
        let trusting = Trusting::from_settings(settings, context)?;
        let store = stores::readable(context)?;
        let (log, checkpoint) = logs::reader(context)?;
        stores::catch_up(&store, &log, &checkpoint, context)?;
        Ok(Self {
            context,
            settings,
            store,
            judge: Judge::new(),
            trusting,
            origin: checkpoint.origin().to_owned(),
            size: checkpoint.size(),
        })
    }

    /// Returns whom and what is trusted.
    pub const fn trusting(&self) -> &Trusting {
        &self.trusting
    }

    /// Gathers what verified statements say, upstream for facts.
    pub fn facts(&self, artifact: NamedArtifact) -> Result<Gathered, Failure> {
        self.gather(&Question::facts(artifact))
    }

    /// Gathers lineage to be shown; what does not verify is shown as such.
    pub fn trace(
        &self,
        artifact: NamedArtifact,
        direction: Direction,
    ) -> Result<Gathered, Failure> {
        self.gather(&Question::trace(artifact, direction))
    }

    /// Decides whether a step may read an input.
    pub fn input(&self, policy: &Policy, artifact: &NamedArtifact) -> Result<Judged, Failure> {
        let gathered = self.facts(artifact.clone())?;
        let facts = gathered.facts(None);
        let input = json!({
            "custos": facts,
            "request": {
                "action": "run-input",
                "input": { "name": artifact.name, "digest": artifact.digest },
            },
        });
        let evaluation = Evaluation::at(self.context.now()).asking(REQUIRE_PACKAGE);
        let decision = decide(&policy.set, &input, &evaluation);
        Ok(Judged {
            decision,
            facts,
            input,
            gathered,
        })
    }

    /// Returns what verified statements call by this name, products before datasets and the latest
    /// first. A name proves nothing: this only helps to say what an unknown artifact was before.
    pub fn recorded_as(&self, name: &str) -> Result<Vec<NamedArtifact>, Failure> {
        let store = self.store.inner();
        let failed = |error| stores::failure(&error);
        let mut found = Vec::new();
        for kind in [Provenance::TYPE, Dataset::TYPE] {
            let hits = self.store.wait(store.named(name, kind, NAMESAKES));
            for hit in hits.map_err(failed)? {
                let Ok(bytes) = self.store.wait(store.bundle(&hit.bundle_digest)) else {
                    continue;
                };
                let Ok(claimed) = unverified_statement(Material::Bundle(&bytes)) else {
                    continue;
                };
                let of_name = claimed
                    .subject()
                    .iter()
                    .filter(|subject| subject.name.as_deref() == Some(name))
                    .filter(|subject| {
                        let verified = self.judge.verify(&bytes, &subject.digest, &self.trust());
                        verified.is_ok()
                    });
                found.extend(of_name.map(|subject| named(name, subject.digest.clone())));
            }
        }
        Ok(found)
    }

    /// Decides whether an artifact may be used. `verification` says what became of its own
    /// signature.
    pub fn gate(
        &self,
        policy: &Policy,
        artifact: &NamedArtifact,
        verification: &Value,
    ) -> Result<Judged, Failure> {
        // First: what is logged meanwhile is seen twice then, and never not at all.
        let waiting = spool::list(&self.context.home()?)?;
        let gathered = self.facts(artifact.clone())?;
        let layout = layouts::facts(self, &gathered)?;
        let mut facts = gathered.facts(layout);
        facts.pending = self.pending(&gathered, &waiting)?;
        let input = json!({
            "custos": facts,
            "verification": verification,
            "request": {
                "action": "gate",
                "artifact": { "name": artifact.name, "digest": artifact.digest },
            },
        });
        let decision = decide(&policy.set, &input, &Evaluation::at(self.context.now()));
        Ok(Judged {
            decision,
            facts,
            input,
            gathered,
        })
    }

    // What expected signers said about the artifact or what it was made from, and the log does not
    // have yet.
    fn pending(
        &self,
        gathered: &Gathered,
        waiting: &[Pending],
    ) -> Result<Vec<PendingFact>, Failure> {
        let mut about = vec![&gathered.artifact.digest];
        about.extend(gathered.trace.artifacts.iter().map(|one| &one.digest));
        let trust = TrustContext {
            log: LogRequirement::AbsenceAllowed,
            ..self.trust()
        };
        let mut pending = Vec::new();
        for one in waiting {
            let bytes = one.current()?;
            let Ok(parts) = Parts::read(&bytes) else {
                continue;
            };
            let subjects = parts.subjects.iter().map(|subject| &subject.digest);
            let concerns = subjects
                .chain(&parts.signed_file)
                .any(|digest| about.iter().any(|known| shares(known, digest)));
            // What no expected signer signed is nothing to wait for.
            if concerns && let Ok(signer) = signer_of_bundle(&bytes, &parts, &trust) {
                pending.push(PendingFact {
                    predicate_type: parts.predicate_type,
                    signer,
                    bundle_digest: Algorithm::Sha256.digest(&bytes),
                    signed_at: one.signed_at,
                    log_by: one.log_by,
                });
            }
        }
        pending.sort();
        Ok(pending)
    }

    /// Returns the settings.
    pub const fn settings(&self) -> &Settings {
        self.settings
    }

    /// Returns the surroundings.
    pub const fn context(&self) -> &Context {
        self.context
    }

    /// Returns the origin of the log whose indexes say what came before what.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    fn trust(&self) -> TrustContext<'_> {
        TrustContext {
            trust_root: &self.trusting.root,
            signers: &self.trusting.signers,
            log: self.trusting.log(),
            origin: &self.origin,
            log_size: self.size,
            now: self.context.now(),
        }
    }

    fn gather(&self, question: &Question) -> Result<Gathered, Failure> {
        self.store
            .gather(question, &self.trust(), &self.judge)
            .map_err(|error| stores::failure(&error))
    }
}

/// Returns an artifact as lineage names it.
pub fn named(name: &str, digest: DigestSet) -> NamedArtifact {
    NamedArtifact {
        name: name.to_owned(),
        digest,
    }
}

/// Verifies a bundle about what it says itself: the first subject of a statement, or the file that
/// was signed. Returns who signed.
pub fn signer_of_bundle(
    bytes: &[u8],
    parts: &Parts,
    trust: &TrustContext<'_>,
) -> Result<Signer, VerifyError> {
    of_bundle(bytes, parts, trust, (signer_of, signer_of))
}

/// Verifies likewise, and returns where the signature stands in the log of `trust`, and what is
/// known about its time.
pub fn time_of_bundle(
    bytes: &[u8],
    parts: &Parts,
    trust: &TrustContext<'_>,
) -> Result<(Option<u64>, SignedTime), VerifyError> {
    let origin = trust.origin;
    of_bundle(
        bytes,
        parts,
        trust,
        (
            |verified| (verified.index_in(origin), verified.time()),
            |verified| (verified.index_in(origin), verified.time()),
        ),
    )
}

// A bundle holds a statement or signs a file; what is asked of either is the same.
fn of_bundle<T>(
    bytes: &[u8],
    parts: &Parts,
    trust: &TrustContext<'_>,
    (of_statement, of_message): (
        impl FnOnce(&Verified<Statement>) -> T,
        impl FnOnce(&Verified<MessageSigned>) -> T,
    ),
) -> Result<T, VerifyError> {
    let nothing = DigestSet::new();
    let subject = parts.subjects.first().map(|one| &one.digest);
    let artifact = parts.signed_file.as_ref().or(subject).unwrap_or(&nothing);
    let types = [parts.predicate_type.as_str()];
    let request = VerifyRequest {
        artifact,
        material: Material::Bundle(bytes),
        trust_root: trust.trust_root,
        signers: trust.signers,
        log: trust.log,
        expect: PredicateTypes::new(&types),
        now: trust.now,
    };
    if parts.predicate_type == MESSAGE_SIGNATURE {
        let request = VerifyRequest {
            artifact,
            material: request.material,
            trust_root: trust.trust_root,
            signers: trust.signers,
            log: trust.log,
            expect: Message,
            now: trust.now,
        };
        return verify(&request).map(|verified| of_message(&verified));
    }
    verify(&request).map(|verified| of_statement(&verified))
}

fn shares(one: &DigestSet, other: &DigestSet) -> bool {
    one.iter()
        .any(|(name, hex)| other.get_raw(name) == Some(hex))
}
