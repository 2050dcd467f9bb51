//! `custos sign LIST --batch DIR` and `custos verify --bundle PROOF`: many artifacts under one
//! signature, each of which verifies alone.
//!
//! The list is signed as one statement (`docs/predicates/batch.md`). A proof is its bundle with one
//! line of the list and the way from that line to the signed root.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::json as core_json;
use custos_core::limits::Limits;
use custos_core::predicate::batch::{self, Batch};
use custos_core::predicate::dataset::{RowKind, RowProof, RowTree};
use custos_core::predicate::{self, Predicate as _};
use custos_core::statement::{Statement, Subject};
use custos_trust::verify::{
    Check, Material, PredicateTypes, VerifyRequest, unverified_statement, verify_all,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::verify::check_list;
use crate::args::{SignArgs, VerifyArgs};
use crate::artifacts::{self, name_of, signature_path};
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_bytes, read_text, shown, write_atomic};
use crate::recording::{Recorded, Recording};
use crate::system::Stopwatch;
use crate::term::{Role, count, visible};
use crate::trusting::{Trusting, verify_failure};
use crate::{Failure, Outcome, stores};

/// Largest list, in bytes.
const MAX_LIST: u64 = 64 << 20;
/// Most lines of a list.
const MAX_LINES: usize = 250_000;
/// Largest proof, in bytes: a bundle and 64 hashes at most.
const MAX_PROOF: u64 = 1 << 20;
const MEDIA_TYPE: &str = "application/vnd.custos.batch-proof.v1+json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    media_type: &'static str,
    line: &'a str,
    proof: &'a RowProof,
    bundle: &'a RawValue,
}

/// A proof as somebody handed it over; nothing of it is believed yet.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchProof {
    #[serde(rename = "mediaType")]
    _media_type: String,
    line: String,
    proof: RowProof,
    bundle: Value,
}

/// Signs the list at `path`, and writes a proof for each of its lines into `dir`.
pub fn sign(
    args: &SignArgs,
    (path, dir): (&Path, &Path),
    recording: &Recording<'_>,
    context: &Context,
) -> Outcome {
    let clock = Stopwatch::start();
    let dir = context.resolve(dir);
    refuse_content(&dir)?;
    let text = read_text(path, MAX_LIST)?;
    let lines = lines(&text, path)?;
    let rows: Vec<Digest> = lines
        .iter()
        .map(|(line, _)| Algorithm::Sha256.digest(line.as_bytes()))
        .collect();
    let internal = |error: &dyn std::error::Error| Failure::internal(&error.to_string());
    let tree = RowTree::over(RowKind::Record, &rows).map_err(|error| internal(&error))?;
    let proofs = RowTree::prove_all(&rows).map_err(|error| internal(&error))?;
    let list = Algorithm::Sha256.digest(text.as_bytes());
    let subject = Subject::new(name_of(path), list);
    let statement = Statement::new(vec![subject], Batch::TYPE, &Batch { artifacts: tree })
        .map_err(|error| internal(&error))?;
    if let Some(store) = recording.store() {
        // Without the list nobody could say what this signature was about.
        store
            .keep_document(text.as_bytes())
            .map_err(|error| stores::failure(&error))?;
    }
    let recorded = recording.one(statement)?;
    let bundle = args
        .bundle
        .as_ref()
        .map_or_else(|| signature_path(path), |file| context.resolve(file));
    write_atomic(&bundle, &recorded.bytes)?;
    write_proofs(&dir, &lines, &proofs, &recorded)?;
    let human = format!(
        "signed   {} in {}, by one signature\ndigest   {}\nbundle   {}\nproofs   {}\nsigner   key:{}{}\n",
        count(u64::try_from(lines.len()).unwrap_or(u64::MAX), "artifact"),
        context.term.paint(Role::Strong, &name_of(path)),
        context.term.paint(Role::Literal, &list.to_string()),
        context.term.paint(Role::Literal, &shown(&bundle)),
        context.term.paint(Role::Literal, &shown(&dir)),
        recording.key_id().short(),
        recorded.index.map_or_else(
            || "  in no log".to_owned(),
            |index| format!("  log #{index}")
        ),
    );
    context.term.result(
        &human,
        &json!({
            "schema": "custos.sign.batch/1",
            "artifact": shown(path),
            "digest": DigestSet::from(list),
            "bundle": shown(&bundle),
            "proofs": shown(&dir),
            "count": lines.len(),
            "keyId": recording.key_id(),
            "logIndex": recorded.index,
            "seconds": clock.seconds(),
        }),
    )?;
    Ok(Exit::Yes)
}

// Each line with the digest that it names; no artifact stands twice, as its proof has one place.
fn lines<'a>(text: &'a str, path: &Path) -> Result<Vec<(&'a str, Digest)>, Failure> {
    let wrong = |number: usize, why: String| {
        Failure::usage("E0002", "the list cannot be signed as a batch")
            .at(format!("{}:{}", path.display(), number.saturating_add(1)))
            .because(why)
            .help("a line is `sha256:HEX  NAME` or what `sha256sum` writes")
    };
    let mut lines = Vec::new();
    let mut seen: HashMap<Digest, usize> = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let (digest, _) = batch::parse_line(line).ok_or_else(|| {
            wrong(
                number,
                "the line names no artifact by its SHA-256".to_owned(),
            )
        })?;
        if let Some(other) = seen.insert(digest, number) {
            let other = other.saturating_add(1);
            return Err(wrong(
                number,
                format!("line {other} names the same artifact"),
            ));
        }
        if lines.len() >= MAX_LINES {
            return Err(wrong(
                number,
                format!("a batch has at most {MAX_LINES} lines"),
            ));
        }
        lines.push((line, digest));
    }
    if lines.is_empty() {
        return Err(wrong(0, "the list is empty".to_owned()));
    }
    Ok(lines)
}

fn refuse_content(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|error| Failure::io(shown(dir), &error))?;
    let mut entries = std::fs::read_dir(dir).map_err(|error| Failure::io(shown(dir), &error))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(
            Failure::usage("E0008", "the folder for the proofs is not empty")
                .at(shown(dir))
                .help("name a new folder with --batch"),
        ),
    }
}

fn write_proofs(
    dir: &Path,
    lines: &[(&str, Digest)],
    proofs: &[RowProof],
    recorded: &Recorded,
) -> Result<(), Failure> {
    let internal = |error: &dyn std::error::Error| Failure::internal(&error.to_string());
    let bundle = String::from_utf8(recorded.bytes.clone()).map_err(|error| internal(&error))?;
    let bundle = RawValue::from_string(bundle).map_err(|error| internal(&error))?;
    for ((line, digest), proof) in lines.iter().zip(proofs) {
        let written = Written {
            media_type: MEDIA_TYPE,
            line,
            proof,
            bundle: &bundle,
        };
        let bytes = core_json::to_vec(&written).map_err(|error| internal(&error))?;
        let file = dir.join(format!("{}.json", hex_of(digest)));
        std::fs::write(&file, bytes).map_err(|error| Failure::io(shown(&file), &error))?;
    }
    Ok(())
}

fn hex_of(digest: &Digest) -> String {
    let text = digest.to_string();
    text.rsplit(':').next().unwrap_or_default().to_owned()
}

/// Returns the proof that `--bundle` names, if it names one.
pub fn named(
    args: &VerifyArgs,
    context: &Context,
) -> Result<Option<(PathBuf, BatchProof)>, Failure> {
    let Some(file) = args.bundle.as_ref().map(|file| context.resolve(file)) else {
        return Ok(None);
    };
    match file.metadata() {
        Ok(metadata) if metadata.is_file() && metadata.len() <= MAX_PROOF => {}
        // What is wrong with it, the one says that reads it as a bundle.
        _ => return Ok(None),
    }
    let bytes = read_bytes(&file, MAX_PROOF)?;
    let limits = Limits::SMALL.with_max_bytes(usize::try_from(MAX_PROOF).unwrap_or(usize::MAX));
    let Ok(value) = core_json::from_slice::<Value>(&bytes, &limits) else {
        return Ok(None);
    };
    if value.get("mediaType").and_then(Value::as_str) != Some(MEDIA_TYPE) {
        return Ok(None);
    }
    let proof = core_json::from_slice(&bytes, &limits).map_err(|error| {
        Failure::no("E0101", "the batch proof is not accepted")
            .at(shown(&file))
            .because(error.to_string())
    })?;
    Ok(Some((file, proof)))
}

/// Verifies one artifact of a batch.
pub fn verify(
    (file, found): &(PathBuf, BatchProof),
    args: &VerifyArgs,
    context: &Context,
) -> Outcome {
    let settings = context.settings()?;
    let trusting = Trusting::from_args(&args.expect, &settings, context)?;
    let place = shown(file);
    let artifact = artifacts::find(&args.artifact, context)?;
    let (digest, name) = batch::parse_line(&found.line)
        .ok_or_else(|| other(&place, "its line names no artifact".to_owned()))?;
    let held = held(&found.bundle, &trusting, &place, context)?;
    let row = Algorithm::Sha256.digest(found.line.as_bytes());
    held.tree
        .verify(&row, &found.proof)
        .map_err(|error| other(&place, format!("its line is not in the batch: {error}")))?;
    // A folder's `sha256` is not of bytes, and could be somebody else's file.
    let is_file = artifact.digest.get_raw("dirHash").is_none();
    if artifact.digest.get(Algorithm::Sha256).filter(|_| is_file) != Some(digest) {
        let why = format!("it proves {}, as `{}`", digest.short(), visible(name));
        return Err(other(&place, why));
    }
    let (proof, at, size) = (&held.proof, found.proof.index, held.tree.tree_size);
    let index = proof["log"][0]["index"].as_u64();
    let text = format!(
        "{}  {}  {}  signed by {}{}\n{}  {} in the batch          line {} of {size}\n",
        context.term.paint(Role::Strong, &visible(name)),
        context.term.paint(Role::Literal, &digest.short()),
        context.term.paint(Role::Good, "PASS"),
        visible(proof["signer"]["name"].as_str().unwrap_or_default()),
        index
            .map(|index| format!("  log #{index}"))
            .unwrap_or_default(),
        check_list(&context.term, &held.checks),
        context.term.paint(Role::Good, "ok"),
        at.saturating_add(1),
    );
    context.term.result(
        &text,
        &json!({
            "schema": "custos.verify/1",
            "artifact": args.artifact,
            "digest": DigestSet::from(digest),
            "bundle": place,
            "verdict": "pass",
            "signer": proof["signer"],
            "log": proof["log"],
            "time": proof["time"],
            "legacy": proof["legacy"],
            "checks": held.checks,
            "files": Value::Null,
            "batch": { "name": name, "index": at, "size": size, "list": held.list },
        }),
    )?;
    Ok(Exit::Yes)
}

fn other(place: &str, why: String) -> Failure {
    Failure::no("E0106", "the proof is about another artifact")
        .at(place)
        .because(why)
}

// What a batch's own bundle proves.
struct Held {
    tree: RowTree,
    list: DigestSet,
    proof: Value,
    checks: Vec<Check>,
}

fn held(
    bundle: &Value,
    trusting: &Trusting,
    place: &str,
    context: &Context,
) -> Result<Held, Failure> {
    let bundle =
        core_json::to_vec(bundle).map_err(|error| Failure::internal(&error.to_string()))?;
    let claimed = unverified_statement(Material::Bundle(&bundle))
        .map_err(|error| verify_failure(&error, place))?;
    // The list need not be at hand: what counts is that a line of it leads to the signed root.
    let list = claimed.subject().first().map(|list| list.digest.clone());
    let list = list.unwrap_or_default();
    let request = VerifyRequest {
        artifact: &list,
        material: Material::Bundle(&bundle),
        trust_root: &trusting.root,
        signers: &trusting.signers,
        log: trusting.log(),
        expect: PredicateTypes::new(&[Batch::TYPE]),
        now: context.now(),
    };
    let outcome = verify_all(&[(place, request)]).map_err(|error| verify_failure(&error, place))?;
    let report = outcome.reports.into_iter().next();
    let report = report.ok_or_else(|| Failure::internal("a verification without a report"))?;
    if let Some(error) = &report.error {
        context
            .term
            .say(&check_list(&context.term, &report.checks))?;
        return Err(verify_failure(error, place));
    }
    let verified = outcome.verified.into_iter().next();
    let verified = verified.ok_or_else(|| Failure::internal("neither verified nor refused"))?;
    let tree = predicate::read::<Batch>(verified.statement())
        .map_err(|error| other(place, error.to_string()))?
        .artifacts;
    Ok(Held {
        tree,
        list,
        proof: serde_json::to_value(verified.proof()).unwrap_or_default(),
        checks: report.checks,
    })
}
