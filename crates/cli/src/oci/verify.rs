//! Verifying in a registry: is the image signed, or attested, by somebody who is expected.
//!
//! One signature that holds is enough, wherever it lies. If none holds, the answer is no only
//! where every place could be looked at.

use custos_connect::oci::{COSIGN_SIGN, Candidate, Listing, Place, Reference, Signature};
use custos_core::digest::{Digest, DigestSet};
use serde_json::{Value, json};

use super::find::{Found, Report, Search};
use super::{Image, failure};
use crate::args::VerifyArgs;
use crate::artifacts;
use crate::commands::verify::check_list;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_bytes, shown};
use crate::term::{Role, visible};
use crate::trusting::Trusting;
use crate::{Failure, Outcome};

/// Largest bundle in a file, in bytes.
const MAX_BUNDLE: u64 = custos_connect::oci::MAX_BLOB;

/// Verifies what `reference` names.
pub fn run(reference: &Reference, args: &VerifyArgs, context: &Context) -> Outcome {
    let settings = context.settings()?;
    let trusting = Trusting::from_args(&args.expect, &settings, context)?;
    if args.ignore_unsigned_files {
        return Err(
            Failure::usage("E0002", "--ignore-unsigned-files goes with files")
                .because("in a registry the digest of the manifest is signed"),
        );
    }
    let kind = match &args.predicate_type {
        Some(asked) => artifacts::predicate_type(asked)?,
        None => COSIGN_SIGN,
    };
    let search = |image| Search {
        context,
        trusting: &trusting,
        image,
        kind,
        plain: args.predicate_type.is_none(),
    };
    // With the digest and the bundle at hand nobody has to be asked.
    if let (Some(file), Some(digest)) = (&args.bundle, reference.digest()) {
        let search = search(*digest);
        let found = in_file(&search, &context.resolve(file))?;
        return Answer::new(reference, *digest, String::new()).give(&search, &found);
    }
    if args.expect.offline {
        return Err(
            Failure::usage("E0002", "--offline, and the artifact is in a registry")
                .at(reference.to_string())
                .help("name it by its digest, and the file of its signature with --bundle"),
        );
    }
    let image = Image::fetch(reference, &settings, context)?;
    let digest = image.fetched.descriptor.digest;
    let search = search(digest);
    let found = match &args.bundle {
        Some(file) => in_file(&search, &context.resolve(file))?,
        None => in_registry(&search, &image),
    };
    Answer::new(&image.reference(), digest, image.describe(context)).give(&search, &found)
}

fn in_file(search: &Search<'_>, file: &std::path::Path) -> Result<Found, Failure> {
    let bytes = read_bytes(file, MAX_BUNDLE)?;
    let mut found = Found::default();
    let candidate = Candidate::new(shown(file), Signature::Bundle(bytes));
    search.examine(vec![candidate], &mut found);
    Ok(found)
}

fn in_registry(search: &Search<'_>, image: &Image) -> Found {
    let mut found = Found::default();
    for place in Place::ALL {
        let wanted = match place {
            Place::SignatureTag => search.plain,
            Place::AttestationTag => !search.plain,
            _ => true,
        };
        if !wanted || found.passed().is_some() {
            continue;
        }
        match image
            .repository
            .signatures(&search.image, place, Some(search.kind))
        {
            Listing::Known(candidates) => search.examine(candidates, &mut found),
            Listing::Unknown(error) => {
                let reference = image.reference();
                let why = failure(&error, &reference).reasons().join("; ");
                found.unknown.push(format!("{}: {why}", place.name()));
            }
        }
    }
    found
}

/// The answer about one image.
struct Answer {
    reference: String,
    digest: Digest,
    described: String,
}

impl Answer {
    fn new(reference: &Reference, digest: Digest, described: String) -> Self {
        Self {
            reference: reference.to_string(),
            digest,
            described,
        }
    }

    fn give(&self, search: &Search<'_>, found: &Found) -> Outcome {
        let term = &search.context.term;
        let text = self.text(search, found);
        if let Some(report) = found.passed() {
            term.result(&text, &self.json(report, found))?;
            return Ok(Exit::Yes);
        }
        // In JSON the failure is the one document on standard output.
        term.say(&text)?;
        Err(self.failure(search, found))
    }

    fn failure(&self, search: &Search<'_>, found: &Found) -> Failure {
        if !found.unknown.is_empty() {
            let title = "whether the image is signed could not be found out";
            let mut failure = Failure::undecided("E0907", title).at(self.reference.as_str());
            for why in found.unknown.iter().take(8) {
                failure = failure.because(why.as_str());
            }
            return failure.help("a registry that fails has not said that there is no signature");
        }
        if let Some(worst) = found.worst() {
            return worst.clone();
        }
        let mut failure = Failure::no("E0906", "the image has no signature of this kind")
            .at(self.reference.as_str())
            .because(format!("nothing of type {} is attached to it", search.kind));
        for (kind, number) in found.others.iter().take(8) {
            failure = failure.because(format!("{number} of type {kind}"));
        }
        failure
            .help("a signature of an index is not one of its manifests: name what was signed")
            .help("`custos sign` signs it, `custos verify --type TYPE` expects another statement")
    }

    fn text(&self, search: &Search<'_>, found: &Found) -> String {
        let term = &search.context.term;
        let passed = found.passed();
        let verdict = match passed {
            Some(_) => term.paint(Role::Good, "PASS"),
            None if found.unknown.is_empty() => term.paint(Role::Bad, "FAIL"),
            None => term.paint(Role::Bad, "UNKNOWN"),
        };
        let mut text = format!(
            "{}  {verdict}",
            term.paint(Role::Strong, &visible(&self.reference))
        );
        if let Some(proof) = passed.and_then(|report| report.proof.as_ref()) {
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
        text.push_str(&self.described);
        for report in &found.reports {
            text.push_str(&format!(
                "bundle   {}\n",
                term.paint(Role::Literal, &visible(&report.name))
            ));
            if let Some(claimed) = &report.claimed {
                text.push_str(&format!("  signed under the name {}\n", visible(claimed)));
            }
            text.push_str(&check_list(term, &report.checks));
        }
        text
    }

    fn json(&self, report: &Report, found: &Found) -> Value {
        let proof = report.proof.as_ref();
        json!({
            "schema": "custos.verify/1",
            "artifact": self.reference,
            "digest": DigestSet::from(self.digest),
            "bundle": report.name,
            "verdict": "pass",
            "signer": proof.map(|proof| &proof["signer"]),
            "log": proof.map(|proof| &proof["log"]),
            "time": proof.map(|proof| &proof["time"]),
            "legacy": proof.map(|proof| &proof["legacy"]),
            "checks": report.checks,
            "files": Value::Null,
            "signedAs": report.claimed,
            "examined": found.reports.len(),
        })
    }
}
