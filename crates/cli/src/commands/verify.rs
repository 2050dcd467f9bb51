//! `custos verify`: is the artifact genuine, and from whom. Opens no store, starts no runtime.

use std::path::Path;

use custos_core::crypto::KeyKind;
use custos_core::digest::{Algorithm, DigestSet};
use custos_core::identity::ExpectedSigner;
use custos_core::oms::{Differences, LEGACY_PREDICATE_TYPE, PREDICATE_TYPE, SignedManifest};
use custos_provenance::hash::{self, Report, VerifyOptions};
use custos_trust::verify::{
    Check, CheckState, Expectation, Material, Message, MessageBytes, PredicateTypes, Proof,
    VerifyRequest, unverified_statement, verify_all,
};
use serde_json::{Value, json};

use crate::args::VerifyArgs;
use crate::artifacts::{self, Artifact, signature_path};
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_bytes, shown};
use crate::judging::Judging;
use crate::progress::Bar;
use crate::term::{Role, Term, count, visible};
use crate::trusting::{Trusting, verify_failure};
use crate::{Failure, Outcome};

/// Largest bundle, in bytes; [`custos_core::limits::Limits::BUNDLE`] bounds what is parsed.
const MAX_BUNDLE: u64 = 136 << 20;
/// Largest file that is read as a whole for pure Ed25519, in bytes.
const MAX_WHOLE: u64 = 64 << 20;
/// What is never part of an artifact, and needs no mention.
const ALWAYS_OUT: [&str; 2] = [".custos", "model.sig"];
/// Most differences that are shown.
const SHOWN: usize = 20;

/// Runs the command.
pub fn run(args: &VerifyArgs, context: &Context) -> Outcome {
    if let Some(reference) = crate::oci::named(&args.artifact, context)? {
        return crate::oci::verify(&reference, args, context);
    }
    if let Some(proof) = super::batch::named(args, context)? {
        return super::batch::verify(&proof, args, context);
    }
    let settings = context.settings()?;
    let trusting = Trusting::from_args(&args.expect, &settings, context)?;
    let path = artifacts::local_path(&args.artifact, context)?;
    let file = artifacts::signature(&path, args.bundle.as_deref(), context)?.ok_or_else(|| {
        Failure::usage("E0131", "the artifact has no signature beside it")
            .at(shown(&signature_path(&path)))
            .help("pass --bundle FILE, or sign it with `custos sign`")
    })?;
    let bundle = read_bytes(&file, MAX_BUNDLE)?;
    let subject = subject(
        args,
        context,
        &Candidate {
            path: &path,
            file: &file,
            bundle: &bundle,
        },
    )?;
    let request = Request {
        context,
        trusting: &trusting,
        path: &path,
        file: &file,
    };
    match &subject {
        Subject::Message(digest) => match whole(&path, &trusting)? {
            Some(bytes) => {
                let mut digest = digest.clone();
                digest.insert(&Algorithm::Sha512.digest(&bytes));
                let subject = Subject::Message(digest);
                request.decide(&bundle, &subject, MessageBytes::new(&bytes))
            }
            None => request.decide(&bundle, &subject, Message),
        },
        Subject::Statement { kind, .. } => {
            request.decide(&bundle, &subject, PredicateTypes::new(&[kind.as_str()]))
        }
        Subject::Model { kind, .. } => {
            request.decide(&bundle, &subject, PredicateTypes::new(&[*kind]))
        }
    }
}

// The bytes of a file that a pure Ed25519 key may have signed: that scheme signs no digest. Larger
// files can be signed by Ed25519ph, as Custos and cosign do.
fn whole(path: &Path, trusting: &Trusting) -> Result<Option<Vec<u8>>, Failure> {
    let by_ed25519 = trusting.signers.iter().any(|signer| match signer {
        ExpectedSigner::Key { key, .. } => key.kind() == KeyKind::Ed25519,
        _ => false,
    });
    let small = path
        .metadata()
        .is_ok_and(|found| found.is_file() && found.len() <= MAX_WHOLE);
    if by_ed25519 && small {
        read_bytes(path, MAX_WHOLE).map(Some)
    } else {
        Ok(None)
    }
}

/// Returns what became of an artifact's own signature, as the gate's policy sees it: present,
/// valid, by whom, and what differs. Nothing of it is an error: the policy decides.
pub fn own_signature(
    artifact: &Artifact,
    bundle: Option<&Path>,
    judging: &Judging<'_>,
) -> Result<Value, Failure> {
    let absent = json!({ "present": false, "valid": false, "signer": null, "differences": [] });
    let Some(path) = &artifact.path else {
        return Ok(absent);
    };
    let context = judging.context();
    let Some(file) = artifacts::signature(path, bundle, context)? else {
        return Ok(absent);
    };
    let bytes = read_bytes(&file, MAX_BUNDLE)?;
    let invalid = |why: String| json!({ "present": true, "valid": false, "signer": null, "differences": [], "why": why });
    let claimed = unverified_statement(Material::Bundle(&bytes));
    if let Err(custos_trust::verify::VerifyError::ContentKind { .. }) = claimed {
        return own_message(path, &bytes, judging);
    }
    let signed = match claimed {
        Ok(statement) => SignedManifest::from_statement(&statement).map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let signed = match signed {
        Ok(signed) => signed,
        Err(why) => return Ok(invalid(why)),
    };
    let mut options = VerifyOptions::default().leaving_out(&file);
    if let Ok(home) = context.home() {
        options = options.leaving_out(home.root());
    }
    let bar = Bar::bytes(&context.term, "hashing");
    let report = hash::verify(path, &signed.manifest, &options, &bar)
        .map_err(|error| artifacts::failure(&error))?;
    let differences: Vec<String> = report
        .differences
        .list
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    let digest = DigestSet::from(signed.manifest.root_digest());
    let trusting = judging.trusting();
    let verified = custos_trust::verify(&VerifyRequest {
        artifact: &digest,
        material: Material::Bundle(&bytes),
        trust_root: &trusting.root,
        signers: &trusting.signers,
        log: trusting.log(),
        expect: PredicateTypes::new(&[PREDICATE_TYPE]),
        now: context.now(),
    });
    Ok(match verified {
        Ok(verified) => json!({
            "present": true,
            "valid": true,
            "signer": { "name": verified.signer_name(), "identity": verified.signer() },
            "differences": differences,
        }),
        Err(error) => invalid(error.to_string()),
    })
}

// The file itself was signed: whatever differs is another file.
fn own_message(path: &Path, bundle: &[u8], judging: &Judging<'_>) -> Result<Value, Failure> {
    let context = judging.context();
    let found = artifacts::find_signed(&shown(path), bundle, context)?;
    let trusting = judging.trusting();
    let verified = custos_trust::verify(&VerifyRequest {
        artifact: &found.digest,
        material: Material::Bundle(bundle),
        trust_root: &trusting.root,
        signers: &trusting.signers,
        log: trusting.log(),
        expect: Message,
        now: context.now(),
    });
    Ok(match verified {
        Ok(verified) => json!({
            "present": true,
            "valid": true,
            "signer": { "name": verified.signer_name(), "identity": verified.signer() },
            "differences": [],
        }),
        Err(error) => json!({
            "present": true, "valid": false, "signer": null, "differences": [],
            "why": error.to_string(),
        }),
    })
}

struct Candidate<'a> {
    path: &'a Path,
    file: &'a Path,
    bundle: &'a [u8],
}

// What the bundle claims to be about; nothing of it is believed before it is verified.
enum Subject {
    // The file itself was signed.
    Message(DigestSet),
    // A statement of a type that was asked for.
    Statement {
        kind: String,
        digest: DigestSet,
    },
    // A manifest, compared with what lies on disk.
    Model {
        kind: &'static str,
        digest: DigestSet,
        report: Box<Report>,
    },
}

impl Subject {
    const fn digest(&self) -> &DigestSet {
        match self {
            Self::Message(digest) | Self::Statement { digest, .. } | Self::Model { digest, .. } => {
                digest
            }
        }
    }

    fn differences(&self) -> Option<&Differences> {
        match self {
            Self::Model { report, .. } => Some(&report.differences),
            _ => None,
        }
    }
}

fn subject(
    args: &VerifyArgs,
    context: &Context,
    candidate: &Candidate<'_>,
) -> Result<Subject, Failure> {
    if let Some(asked) = &args.predicate_type {
        let kind = artifacts::predicate_type(asked)?;
        let found = artifacts::find(&args.artifact, context)?;
        return Ok(Subject::Statement {
            kind: kind.to_owned(),
            digest: found.digest,
        });
    }
    let place = || shown(candidate.file);
    let statement = match unverified_statement(Material::Bundle(candidate.bundle)) {
        Ok(statement) => statement,
        Err(custos_trust::verify::VerifyError::ContentKind { .. }) => {
            let found = artifacts::find_signed(&args.artifact, candidate.bundle, context)?;
            return Ok(Subject::Message(found.digest));
        }
        Err(error) => return Err(verify_failure(&error, &place())),
    };
    let kind = match statement.predicate_type() {
        PREDICATE_TYPE => PREDICATE_TYPE,
        LEGACY_PREDICATE_TYPE => LEGACY_PREDICATE_TYPE,
        other => {
            return Err(Failure::no(
                "E0105",
                "the bundle is a statement, not a signature of the artifact",
            )
            .at(place())
            .because(format!("its type is {other}"))
            .help(format!("pass --type {other} to expect just that")));
        }
    };
    let signed = SignedManifest::from_statement(&statement).map_err(|error| {
        Failure::no("E0203", "the signature's list of files is not accepted")
            .at(place())
            .because(error.to_string())
    })?;
    let report = compare(args, context, candidate, &signed)?;
    // With no difference the files on disk are exactly the listed ones, so this is their digest.
    let digest = DigestSet::from(signed.manifest.root_digest());
    Ok(Subject::Model {
        kind,
        digest,
        report: Box::new(report),
    })
}

fn compare(
    args: &VerifyArgs,
    context: &Context,
    candidate: &Candidate<'_>,
    signed: &SignedManifest,
) -> Result<Report, Failure> {
    let cache = artifacts::cache(context, !args.cache);
    let bar = Bar::bytes(&context.term, "hashing");
    let mut options = VerifyOptions::default()
        .leaving_out(candidate.file)
        .leaving_out(signature_path(candidate.path));
    if let Ok(home) = context.home() {
        options = options.leaving_out(home.root());
    }
    options.ignore_unlisted = args.ignore_unsigned_files;
    options.cache = cache.as_ref();
    hash::verify(candidate.path, &signed.manifest, &options, &bar)
        .map_err(|error| artifacts::failure(&error))
}

struct Request<'a> {
    context: &'a Context,
    trusting: &'a Trusting,
    path: &'a Path,
    file: &'a Path,
}

impl Request<'_> {
    fn decide<E: Expectation + Clone>(
        &self,
        bundle: &[u8],
        subject: &Subject,
        expect: E,
    ) -> Outcome {
        let name = shown(self.file);
        let request = VerifyRequest {
            artifact: subject.digest(),
            material: Material::Bundle(bundle),
            trust_root: &self.trusting.root,
            signers: &self.trusting.signers,
            log: self.trusting.log(),
            expect,
            now: self.context.now(),
        };
        let outcome = verify_all(&[(name.as_str(), request)])
            .map_err(|error| verify_failure(&error, &name))?;
        let report = outcome
            .reports
            .first()
            .ok_or_else(|| Failure::internal("a verification without a report"))?;
        let proof = outcome.verified.first().map(custos_trust::Verified::proof);
        self.show(subject, &report.checks, proof)?;
        if let Some(error) = &report.error {
            let checks = serde_json::to_value(&report.checks).unwrap_or_default();
            return Err(verify_failure(error, &name).with_checks(checks));
        }
        match subject.differences() {
            Some(differences) if !differences.is_empty() => Err(self.differs(differences)),
            _ => Ok(Exit::Yes),
        }
    }

    fn differs(&self, differences: &Differences) -> Failure {
        let mut failure =
            Failure::no("E0130", "the artifact differs from what was signed").at(shown(self.path));
        for difference in differences.list.iter().take(SHOWN) {
            failure = failure.because(difference.to_string());
        }
        let more = differences.total.saturating_sub(SHOWN);
        if more > 0 {
            failure = failure.because(format!("and {more} more"));
        }
        failure.help("get the artifact again from its source, or have it signed again if the change is intended")
    }

    fn show(
        &self,
        subject: &Subject,
        checks: &[Check],
        proof: Option<&Proof>,
    ) -> Result<(), Failure> {
        let same = subject.differences().is_none_or(Differences::is_empty);
        let pass = proof.is_some() && same;
        let term = &self.context.term;
        let proof = proof.map(|proof| serde_json::to_value(proof).unwrap_or_default());
        let mut text = self.headline(subject, pass, proof.as_ref());
        text.push_str(&check_list(term, checks));
        if let Subject::Model { report, .. } = subject {
            let (state, words) = if same {
                let (files, verb) = (
                    count(report.files, "file"),
                    if report.files == 1 { "is" } else { "are" },
                );
                ("ok", format!("{files} {verb} as signed"))
            } else {
                (
                    "failed",
                    count(
                        u64::try_from(report.differences.total).unwrap_or(u64::MAX),
                        "difference",
                    ),
                )
            };
            text.push_str(&format!("  {} {words}\n", mark(term, state)));
            let named: Vec<&str> = report
                .left_out
                .iter()
                .map(String::as_str)
                .filter(|path| !path.starts_with(".git") && !ALWAYS_OUT.contains(path))
                .collect();
            if !named.is_empty() {
                text.push_str(&format!(
                    "  {} not signed: {}\n",
                    mark(term, "not-claimed"),
                    named.join(", ")
                ));
            }
            if report.passed_over > 0 {
                text.push_str(&format!(
                    "  {} {} files not listed, passed over as asked\n",
                    mark(term, "not-claimed"),
                    report.passed_over
                ));
            }
        }
        if pass {
            term.result(&text, &self.json(subject, checks, proof.as_ref()))
        } else {
            // In JSON the failure is the one document on standard output.
            term.say(&text)
        }
    }

    fn headline(&self, subject: &Subject, pass: bool, proof: Option<&Value>) -> String {
        let term = &self.context.term;
        let verdict = if pass {
            term.paint(Role::Good, "PASS")
        } else {
            term.paint(Role::Bad, "FAIL")
        };
        let digest = subject
            .digest()
            .get(Algorithm::Sha256)
            .map(|digest| digest.short())
            .unwrap_or_default();
        let mut text = format!(
            "{}  {}  {verdict}",
            term.paint(Role::Strong, &artifacts::name_of(self.path)),
            term.paint(Role::Literal, &digest),
        );
        if let Some(proof) = proof {
            let name = proof["signer"]["name"].as_str().unwrap_or_default();
            text.push_str(&format!("  signed by {}", visible(name)));
            if let Some(index) = proof["log"][0]["index"].as_u64() {
                text.push_str(&format!("  log #{index}"));
            }
            if proof["time"]["kind"] == "untrusted" {
                text.push_str("  time: untrusted");
            }
        }
        text.push('\n');
        text
    }

    fn json(&self, subject: &Subject, checks: &[Check], proof: Option<&Value>) -> Value {
        let files = match subject {
            Subject::Model { report, .. } => json!({
                "checked": report.files, "bytes": report.bytes, "fromCache": report.from_cache,
                "leftOut": report.left_out, "passedOver": report.passed_over,
            }),
            _ => Value::Null,
        };
        json!({
            "schema": "custos.verify/1",
            "artifact": shown(self.path),
            "digest": subject.digest(),
            "bundle": shown(self.file),
            "verdict": "pass",
            "signer": proof.map(|proof| &proof["signer"]),
            "log": proof.map(|proof| &proof["log"]),
            "time": proof.map(|proof| &proof["time"]),
            "legacy": proof.map(|proof| &proof["legacy"]),
            "checks": checks,
            "files": files,
        })
    }
}

/// Returns the check list of one candidate signature.
pub fn check_list(term: &Term, checks: &[Check]) -> String {
    checks
        .iter()
        .map(|check| {
            let state = match check.state {
                CheckState::Ok => "ok",
                CheckState::Failed => "failed",
                CheckState::NotClaimed => "not-claimed",
                _ => "not-reached",
            };
            let line = format!(
                "     {:<21} {}",
                check.name.as_str(),
                visible(&check.detail)
            );
            let folded = term.fold(line.trim_end(), 27);
            let (name, detail) = folded.split_at_checked(27).unwrap_or((folded.as_str(), ""));
            let detail = if detail.is_empty() {
                String::new()
            } else {
                term.paint(Role::Faint, detail)
            };
            let name = name.get(5..).unwrap_or_default();
            let mut line = format!("  {} {name}{detail}\n", mark(term, state));
            // Where, and what to do about it, under the check that failed.
            for more in [check.at.as_str(), check.help] {
                if !more.is_empty() {
                    let more = format!("{}{}", " ".repeat(27), visible(more));
                    let more = term.fold(&more, 27);
                    line.push_str(&format!("{}\n", term.paint(Role::Faint, &more)));
                }
            }
            line
        })
        .collect()
}

fn mark(term: &Term, state: &str) -> String {
    match state {
        "ok" => term.paint(Role::Good, "ok"),
        "failed" => term.paint(Role::Bad, "NO"),
        _ => term.paint(Role::Faint, "--"),
    }
}
