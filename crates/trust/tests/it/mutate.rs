//! Field-by-field mutation of valid bundles.
//!
//! Every node of a bundle's JSON is deleted, duplicated, truncated, replaced by other types and by
//! what stands at the same place in other bundles, and its text is flipped bit by bit. Each mutant
//! must be rejected, or yield exactly the original result at a path that [`neutral`] argues for.
//! Anything else accepted is a failure; a panic is one too.
//!
//! At least 20,000 mutants a run; every bit of every character with `CUSTOS_TEST_FULL=1`.

mod neutral;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use custos_core::bundle::MediaType;
use custos_core::crypto::KeyKind;
use custos_core::digest::{Algorithm, DigestSet};
use custos_core::identity::ExpectedSigner;
use custos_core::statement::Statement;
use custos_trust::signer::Signer;
use custos_trust::verify::{
    Expectation, LogRequirement, Material, Message, PredicateTypes, Verified, VerifyRequest,
};
use custos_trust::{TrustRoot, seal, verify};
use serde_json::Value;

use neutral::{
    Kind, NEUTRAL, NEUTRAL_BLOB, NEUTRAL_SIGSTORE, NEUTRAL_TILES, NEUTRAL_VOUCHED, Neutral,
};

use crate::instance::{Instance, THEN, file, message};
use crate::sigstore;
use crate::support::{
    Authority, Case, Leaf, NOW, PREDICATE, artifact, by_certificate, expect_key, logged_by_key,
    signer, statement,
};

type Check<'a> = dyn Fn(&[u8]) -> Option<String> + 'a;

/// A bundle, what stands at its places in others, and how it is verified.
struct Job<'a> {
    name: &'static str,
    bytes: &'a [u8],
    others: Vec<&'a [u8]>,
    check: &'a Check<'a>,
}

/// Bundles of one kind: each of them mutated in every way, and judged by one table.
struct Trial {
    neutral: &'static [Neutral],
    bits: &'static [u8],
    used: Used,
    tried: usize,
}

impl Trial {
    /// Flips these bits of every character, and all of them in the deep run.
    fn new(neutral: &'static [Neutral], bits: &'static [u8]) -> Self {
        Self {
            neutral,
            bits: if full() { ALL_BITS } else { bits },
            used: Used::new(),
            tried: 0,
        }
    }

    fn run(&mut self, job: &Job<'_>) {
        let tally = Subject::new(job, self.neutral).run(self.bits);
        tally.report(job.name);
        self.tried += tally.tried;
        self.used.extend(tally.neutral);
    }

    /// Ends the trial: there were that many mutants, and every allowance of the table was needed.
    fn end(&self, least: usize) {
        assert!(self.tried >= least, "only {} mutants", self.tried);
        for (path, kinds, _) in self.neutral {
            for kind in *kinds {
                let used = self.used.contains_key(&((*path).to_owned(), *kind));
                assert!(used, "{kind:?} at {path}: never used");
            }
        }
    }
}

fn normally_or_full(normally: usize, fully: usize) -> usize {
    if full() { fully } else { normally }
}

const ALL_BITS: &[u8] = &[1, 2, 4, 8, 16, 32, 64, 128];

struct Subject<'a> {
    name: &'static str,
    document: Value,
    others: Vec<Value>,
    original: String,
    check: &'a Check<'a>,
    neutral: &'static [Neutral],
}

/// What must stay the same: everything but the digest of the bundle's bytes, and the wording of
/// the checks.
fn result<T: Debug>(verified: &Verified<T>) -> String {
    format!(
        "{:?} {:?} {:?} {} {} {:?} {} {:?}",
        verified.signers().collect::<Vec<_>>(),
        verified.log(),
        verified.time(),
        verified.is_legacy(),
        verified.payload_digest(),
        verified.artifact(),
        verified.trust_root(),
        verified.content(),
    )
}

impl<'a> Subject<'a> {
    fn new(job: &Job<'a>, neutral: &'static [Neutral]) -> Self {
        let others = job.others.iter();
        Self {
            name: job.name,
            document: serde_json::from_slice(job.bytes).unwrap(),
            others: others
                .map(|other| serde_json::from_slice(other).unwrap())
                .collect(),
            original: (job.check)(job.bytes).expect("the original verifies"),
            check: job.check,
            neutral,
        }
    }

    #[allow(clippy::too_many_arguments, reason = "called from everywhere here")]
    fn judge(&self, path: &str, kind: Kind, mutant: &[u8], tally: &mut Tally) {
        tally.tried += 1;
        let Some(found) = self.timed(path, kind, mutant) else {
            return;
        };
        let pattern = pattern(path);
        let neutral = self
            .neutral
            .iter()
            .any(|(path, kinds, _)| *path == pattern && kinds.contains(&kind));
        if found == self.original && neutral {
            *tally.neutral.entry((pattern, kind)).or_default() += 1;
        } else {
            let same = if found == self.original {
                "same result"
            } else {
                "ANOTHER RESULT"
            };
            tally.wrong.push(format!(
                "{}: {kind:?} at {path}: accepted, {same}",
                self.name
            ));
        }
    }

    // A mutant that hangs does so again; a machine that was busy elsewhere does not.
    fn timed(&self, path: &str, kind: Kind, mutant: &[u8]) -> Option<String> {
        const LONGEST: Duration = Duration::from_secs(1);
        #[allow(clippy::disallowed_methods, reason = "a hang is what is looked for")]
        let now = Instant::now;
        let start = now();
        let found = (self.check)(mutant);
        if start.elapsed() > LONGEST {
            let again = now();
            let _ = (self.check)(mutant);
            let name = self.name;
            assert!(
                again.elapsed() <= LONGEST,
                "{name}: {kind:?} at {path} hangs"
            );
        }
        found
    }

    fn run(&self, bits: &[u8]) -> Tally {
        let mut tally = Tally::default();
        let mut paths = Vec::new();
        collect(&self.document, &mut Vec::new(), &mut paths);
        for path in &paths {
            self.structural(path, &mut tally);
            self.textual(path, bits, &mut tally);
        }
        let text = serde_json::to_vec(&self.document).unwrap();
        for at in (0..text.len()).step_by(if full() { 1 } else { 7 }) {
            self.judge("$", Kind::Truncate, &text[..at], &mut tally);
        }
        tally
    }

    // Deletes, duplicates, replaces and swaps one node.
    fn structural(&self, path: &[Step], tally: &mut Tally) {
        let name = render(path);
        let node = get(&self.document, path).unwrap().clone();
        let mut put = |kind: Kind, value: Value| {
            if value != node {
                let mut document = self.document.clone();
                *get_mut(&mut document, path) = value;
                self.judge(&name, kind, &serde_json::to_vec(&document).unwrap(), tally);
            }
        };
        let wrapped = Value::Array(vec![node.clone()]);
        let object = serde_json::json!({ "x": node.clone() });
        for value in [
            Value::Null,
            Value::Bool(true),
            0.into(),
            (-1).into(),
            "".into(),
            "x".into(),
            serde_json::json!([]),
            serde_json::json!({}),
            wrapped,
            object,
        ] {
            put(Kind::Type, value);
        }
        if let Value::Object(members) = &node {
            // The members by position, in both orders that a reader might have.
            let values: Vec<Value> = members.values().cloned().collect();
            let reversed = values.iter().rev().cloned().collect();
            put(Kind::Type, Value::Array(values));
            put(Kind::Type, Value::Array(reversed));
        }
        // All of another bundle is another bundle, not a mutant of this one.
        for other in self.others.iter().filter(|_| !path.is_empty()) {
            if let Some(value) = get(other, path) {
                put(Kind::Swap, value.clone());
            }
        }
        match &node {
            Value::Array(items) if !items.is_empty() => {
                put(Kind::Truncate, items[..items.len() - 1].to_vec().into());
                put(Kind::Truncate, items[1..].to_vec().into());
                put(
                    Kind::Duplicate,
                    [items.as_slice(), items.as_slice()].concat().into(),
                );
            }
            Value::String(text) if !text.is_empty() => {
                let (cut, _) = text.char_indices().next_back().unwrap();
                let first = text.chars().next().unwrap().len_utf8();
                let half = text.floor_char_boundary(text.len() / 2);
                for part in [&text[..cut], &text[first..], &text[..half], &text[half..]] {
                    put(Kind::Truncate, part.into());
                }
                for more in ["=", "A", " ", "\n", "\u{0}"] {
                    put(Kind::Duplicate, format!("{text}{more}").into());
                }
                put(Kind::Duplicate, format!("{text}{text}").into());
            }
            _ => {}
        }
        self.members(path, &node, tally);
    }

    // Deletes and duplicates the node where it stands, and renames its key.
    fn members(&self, path: &[Step], node: &Value, tally: &mut Tally) {
        let Some((last, parent)) = path.split_last() else {
            return;
        };
        let name = render(path);
        let mut document = self.document.clone();
        match (get_mut(&mut document, parent), last) {
            (Value::Object(members), Step::Key(key)) => {
                members.remove(key);
                self.judge(
                    &name,
                    Kind::Delete,
                    &serde_json::to_vec(&document).unwrap(),
                    tally,
                );
                for renamed in [format!("{key}x"), key.to_uppercase(), key[1..].to_owned()] {
                    let mut document = self.document.clone();
                    let members = get_mut(&mut document, parent).as_object_mut().unwrap();
                    let value = members.remove(key).unwrap();
                    members.insert(renamed, value);
                    let text = serde_json::to_vec(&document).unwrap();
                    self.judge(&name, Kind::Key, &text, tally);
                }
                // A key twice in one object can only be written as text.
                for twin in [node.clone(), Value::Null] {
                    let twin = format!(
                        "{}:{twin},{}:",
                        Value::from(key.as_str()),
                        Value::from(key.as_str())
                    );
                    let marker = "\u{1}marker\u{1}";
                    let mut document = self.document.clone();
                    let members = get_mut(&mut document, parent).as_object_mut().unwrap();
                    let value = members.remove(key).unwrap();
                    members.insert(marker.to_owned(), value);
                    let text = serde_json::to_string(&document).unwrap();
                    let text = text.replacen(&format!("{}:", Value::from(marker)), &twin, 1);
                    self.judge(&name, Kind::Key, text.as_bytes(), tally);
                }
            }
            (Value::Array(items), Step::Index(at)) => {
                items.insert(*at, node.clone());
                let twice = serde_json::to_vec(&document).unwrap();
                self.judge(&name, Kind::Duplicate, &twice, tally);
                let mut document = self.document.clone();
                get_mut(&mut document, parent)
                    .as_array_mut()
                    .unwrap()
                    .remove(*at);
                self.judge(
                    &name,
                    Kind::Delete,
                    &serde_json::to_vec(&document).unwrap(),
                    tally,
                );
            }
            _ => unreachable!("a path leads through its parents"),
        }
    }

    // Flips bits of a string's bytes as they stand in the document.
    fn textual(&self, path: &[Step], bits: &[u8], tally: &mut Tally) {
        let Some(Value::String(text)) = get(&self.document, path) else {
            return;
        };
        let name = render(path);
        let marker = "\u{1}marker\u{1}";
        let mut document = self.document.clone();
        *get_mut(&mut document, path) = marker.into();
        let whole = serde_json::to_string(&document).unwrap();
        let (head, tail) = whole.split_once(&Value::from(marker).to_string()).unwrap();
        let quoted = Value::from(text.as_str()).to_string();
        for at in 1..quoted.len() - 1 {
            for bit in bits {
                let mut changed = quoted.clone().into_bytes();
                changed[at] ^= bit;
                let mutant = [head.as_bytes(), &changed, tail.as_bytes()].concat();
                self.judge(&name, Kind::Flip, &mutant, tally);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    tried: usize,
    neutral: Used,
    wrong: Vec<String>,
}

type Used = BTreeMap<(String, Kind), usize>;

impl Tally {
    #[allow(clippy::print_stdout, reason = "shown only if asked for")]
    fn report(&self, name: &str) {
        let some = &self.wrong[..self.wrong.len().min(40)];
        assert!(
            self.wrong.is_empty(),
            "{} wrong: {some:#?}",
            self.wrong.len()
        );
        println!(
            "{name}: {} mutants, neutral: {:?}",
            self.tried, self.neutral
        );
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

fn collect(node: &Value, at: &mut Vec<Step>, paths: &mut Vec<Vec<Step>>) {
    paths.push(at.clone());
    match node {
        Value::Object(members) => {
            for (key, value) in members {
                at.push(Step::Key(key.clone()));
                collect(value, at, paths);
                at.pop();
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                at.push(Step::Index(index));
                collect(value, at, paths);
                at.pop();
            }
        }
        _ => {}
    }
}

fn get<'v>(document: &'v Value, path: &[Step]) -> Option<&'v Value> {
    path.iter().try_fold(document, |node, step| match step {
        Step::Key(key) => node.get(key),
        Step::Index(index) => node.get(index),
    })
}

fn get_mut<'v>(document: &'v mut Value, path: &[Step]) -> &'v mut Value {
    path.iter().fold(document, |node, step| match step {
        Step::Key(key) => &mut node[key.as_str()],
        Step::Index(index) => &mut node[*index],
    })
}

fn render(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Index(index) => text.extend(["[", &index.to_string(), "]"]),
        }
    }
    text
}

fn pattern(path: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in path.chars() {
        inside = (inside || c == '[') && c != ']';
        if !inside || c == '[' {
            out.push(c);
        }
    }
    out
}

fn full() -> bool {
    #[allow(clippy::disallowed_methods, reason = "the switch of the deep run")]
    std::env::var_os("CUSTOS_TEST_FULL").is_some_and(|value| value == "1")
}

fn verify_case(case: &Case, types: &[&str], bytes: &[u8]) -> Option<String> {
    verify(&case.request(types, Material::Bundle(bytes)))
        .ok()
        .map(|verified| result(&verified))
}

#[test]
fn no_mutant_of_a_valid_bundle_is_accepted_as_something_else() {
    let kinds = if full() {
        KeyKind::CURVES.as_slice()
    } else {
        &[KeyKind::P256]
    };
    let mut trial = Trial::new(NEUTRAL, &[1, 2, 4, 8, 32]);
    for kind in kinds {
        mutate_all(*kind, &mut trial);
    }
    trial.end(normally_or_full(20_000, 100_000));
}

// Three bundles: key and log, certificate, OMS; to swap from, others of the same signer and log,
// and others of strangers.
fn mutate_all(kind: KeyKind, trial: &mut Trial) {
    let (key, key_signer, log) = logged_by_key(kind);
    let key = key.edit(|bundle| {
        bundle.dsse_envelope.as_mut().unwrap().signatures[0].keyid = Some("somebody".into());
    });
    let other = seal::sign_statement(&statement(b"other"), &key_signer, None).unwrap();
    let sibling = log.log(other, &key_signer).to_bytes().unwrap();
    let (stranger, _, _) = logged_by_key(kind);

    let (chain, chain_signer) =
        by_certificate(&Leaf::email(kind, "a@example.com"), "a@example.com");
    let other = seal::sign_statement(&statement(b"other"), &chain_signer, None).unwrap();
    let chain_sibling = other.to_bytes().unwrap();
    let (chain_stranger, _) = by_certificate(&Leaf::email(kind, "m@example.com"), "m@example.com");

    let (oms, oms_types) = oms_case(kind);
    trial.run(&Job {
        name: "key and log",
        bytes: &key.bytes,
        others: vec![&sibling, &stranger.bytes, &chain.bytes],
        check: &|bytes| verify_case(&key, &[PREDICATE], bytes),
    });
    trial.run(&Job {
        name: "certificate",
        bytes: &chain.bytes,
        others: vec![&chain_sibling, &chain_stranger.bytes, &key.bytes],
        check: &|bytes| verify_case(&chain, &[PREDICATE], bytes),
    });
    trial.run(&Job {
        name: "OMS",
        bytes: &oms.bytes,
        others: vec![&key.bytes, &stranger.bytes],
        check: &|bytes| verify_case(&oms, &oms_types, bytes),
    });
}

#[test]
fn no_mutant_of_a_public_bundle_is_accepted_as_something_else() {
    let bytes = include_bytes!("../../../../testdata/sigstore/conda-attestation.sigstore.json");
    let other = include_bytes!("../../../../testdata/sigstore/cosign-v3-blob.sigstore.json");
    let third =
        include_bytes!("../../../../testdata/sigstore/conda-attestation-rekor2.sigstore.json");
    let (root, signers, artifact) = (
        sigstore::production(),
        sigstore::conda_signer(),
        sigstore::conda_artifact(),
    );
    let check = |mutant: &[u8]| {
        let request = VerifyRequest {
            expect: PredicateTypes::new(&[
                "https://schemas.conda.org/attestations-publish-1.schema.json",
            ]),
            ..sigstore::statement_request(&artifact, mutant, &root, &signers)
        };
        verify(&request).ok().map(|verified| result(&verified))
    };
    let mut trial = Trial::new(NEUTRAL_SIGSTORE, &[1, 8]);
    trial.run(&Job {
        name: "sigstore",
        bytes,
        others: vec![other, third],
        check: &check,
    });
    trial.end(8_000);
}

// Unlogged, of the OMS predicate type: as `model_signing` writes them.
fn oms_case(key: KeyKind) -> (Case, Vec<&'static str>) {
    let kind = "https://model_signing/signature/v1.0";
    let signer = signer(key);
    let subject = custos_core::statement::Subject::new("m", crate::support::artifact(b"weights"));
    let predicate = serde_json::json!({
        "resources": [{"algorithm": "sha256", "digest": "00", "name": "weights"}],
        "serialization": {"allow_symlinks": false, "hash_type": "sha256", "method": "files"},
    });
    let statement = Statement::new(vec![subject], kind, &predicate).unwrap();
    let bundle = seal::sign_statement(&statement, &signer, None).unwrap();
    let case = Case {
        artifact: crate::support::artifact(b"weights"),
        bytes: bundle.to_bytes().unwrap(),
        root: custos_trust::TrustRoot::trusting_nothing(),
        signers: vec![expect_key("k", &signer)],
        required: false,
        now: crate::support::NOW,
    };
    (case, vec![kind])
}

// A bundle of an instance, and how it is judged.
struct Vouched {
    bytes: Vec<u8>,
    root: TrustRoot,
    signers: Vec<ExpectedSigner>,
    log: LogRequirement<'static>,
}

impl Vouched {
    fn judge<E: Expectation>(&self, artifact: &DigestSet, bytes: &[u8], expect: E) -> Option<String>
    where
        E::Content: Debug,
    {
        verify(&VerifyRequest {
            artifact,
            material: Material::Bundle(bytes),
            trust_root: &self.root,
            signers: &self.signers,
            log: self.log,
            expect,
            now: NOW,
        })
        .ok()
        .map(|verified| result(&verified))
    }

    fn file(&self, bytes: &[u8]) -> Option<String> {
        self.judge(&file(), bytes, Message)
    }

    fn statement(&self, bytes: &[u8]) -> Option<String> {
        let expect = PredicateTypes::new(&[PREDICATE]);
        self.judge(&artifact(b"weights"), bytes, expect)
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a list of bundles")]
fn no_mutant_of_a_vouched_bundle_is_accepted_as_something_else() {
    let (instance, other) = (Instance::new(), Instance::new());
    let authority = Authority::new();
    let by = signer(KeyKind::P256);
    let brief = Leaf {
        valid: (THEN - 60, THEN + 60),
        ..Leaf::email(KeyKind::P256, "a@example.com")
    };
    let certified = authority.signer(&brief);
    let root = instance
        .root()
        .with_authorities(&authority.root_pem)
        .unwrap();
    let vouched = |bundle: custos_core::bundle::Bundle, log| Vouched {
        bytes: bundle.to_bytes().unwrap(),
        root: root.clone(),
        signers: vec![
            expect_key("maker", &by),
            ExpectedSigner::certificate("ann", "a@example.com", None),
        ],
        log,
    };
    let signed =
        |signer: &dyn Signer| seal::sign_statement(&statement(b"weights"), signer, None).unwrap();
    let v1 = |instance: &Instance, signer: &dyn Signer| {
        let bundle = instance.stamped(message(signer), THEN);
        instance.in_v1(bundle, signer, ("hashedrekord", "0.0.1"))
    };
    let file_v1 = vouched(v1(&instance, &by), LogRequirement::Required);
    let mut promise = instance.in_v1(message(&by), &by, ("hashedrekord", "0.0.1"));
    promise.media_type = MediaType::V01;
    promise.verification_material.tlog_entries[0].inclusion_proof = None;
    let promise = vouched(promise, LogRequirement::Required);
    let stamp = vouched(
        instance.stamped(message(&by), THEN),
        LogRequirement::OrTimestamp,
    );
    let tiles = vouched(
        instance.in_v2(instance.stamped(signed(&certified), THEN), &certified),
        LogRequirement::Required,
    );
    let dsse = instance.stamped(signed(&certified), THEN);
    let dsse = vouched(
        instance.in_v1(dsse, &certified, ("dsse", "0.0.1")),
        LogRequirement::Required,
    );
    // Another signature by the same key in the same log, and one of another world.
    let sibling = v1(&instance, &by).to_bytes().unwrap();
    let stranger = v1(&other, &signer(KeyKind::P256)).to_bytes().unwrap();
    let others = |more: &'_ Vouched| vec![sibling.clone(), stranger.clone(), more.bytes.clone()];
    let jobs: [(&'static str, &Vouched, bool, Vec<Vec<u8>>); 5] = [
        ("file in Rekor v1", &file_v1, true, others(&tiles)),
        ("promise alone", &promise, true, others(&file_v1)),
        ("timestamp alone", &stamp, true, others(&file_v1)),
        ("certificate in Rekor v2", &tiles, false, others(&dsse)),
        ("certificate in Rekor v1", &dsse, false, others(&tiles)),
    ];
    let mut trial = Trial::new(NEUTRAL_VOUCHED, &[1, 4, 32]);
    for (name, job, is_file, others) in &jobs {
        trial.run(&Job {
            name,
            bytes: &job.bytes,
            others: others.iter().map(Vec::as_slice).collect(),
            check: &|bytes| {
                if *is_file {
                    job.file(bytes)
                } else {
                    job.statement(bytes)
                }
            },
        });
    }
    trial.end(normally_or_full(20_000, 100_000));
}

// Real bundles: an attestation in Rekor v2 with a timestamp, and a file in Rekor v1 with one.
#[test]
fn no_mutant_of_a_public_bundle_in_tiles_or_of_a_file_is_accepted_as_something_else() {
    let tiles =
        include_bytes!("../../../../testdata/sigstore/conda-attestation-rekor2.sigstore.json");
    let blob = include_bytes!("../../../../testdata/sigstore/cosign-v3-blob.sigstore.json");
    let github = |subject: &str| {
        let issuer = Some("https://github.com/login/oauth".to_owned());
        vec![ExpectedSigner::certificate("publisher", subject, issuer)]
    };
    let of_tiles = Vouched {
        bytes: tiles.to_vec(),
        root: sigstore::staging(),
        signers: github("jku@goto.fi"),
        log: LogRequirement::Required,
    };
    let of_blob = Vouched {
        bytes: blob.to_vec(),
        root: sigstore::production(),
        signers: github("w.vollprecht@gmail.com"),
        log: LogRequirement::Required,
    };
    let conda = sigstore::conda_artifact();
    let text = include_bytes!("../../../../testdata/sigstore/cosign-v3-blob.txt");
    let text = DigestSet::from(Algorithm::Sha256.digest(text));
    let kinds = ["https://schemas.conda.org/attestations-publish-1.schema.json"];
    let check_tiles = |bytes: &[u8]| of_tiles.judge(&conda, bytes, PredicateTypes::new(&kinds));
    // Timestamp and log vouch for two times here. Without the earlier one the later is left, which
    // is as true and says less; so the time is not part of what must stay the same.
    let check_blob = |bytes: &[u8]| {
        let found = of_blob.judge(&text, bytes, Message)?;
        let (head, tail) = found.split_once("Trusted { at: ").unwrap();
        let (_, tail) = tail.split_once('}').unwrap();
        Some(format!("{head}{tail}"))
    };
    let jobs: [(_, &[u8], &[u8], &Check<'_>, _); 2] = [
        ("tiles", tiles, blob, &check_tiles, NEUTRAL_TILES),
        ("blob", blob, tiles, &check_blob, NEUTRAL_BLOB),
    ];
    for (name, bytes, other, check, neutral) in jobs {
        let mut trial = Trial::new(neutral, &[1]);
        trial.run(&Job {
            name,
            bytes,
            others: vec![other],
            check,
        });
        trial.end(7_000);
    }
}
