//! The attestations that Custos writes, read by the Python libraries of in-toto: the envelope's
//! signature, the statement, and each predicate that the libraries have a type for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::oms::{key_files, text};
use super::{Run, tree};
use crate::custos::Custos;
use crate::peers::{Installed, Peer};
use crate::place::Scratch;
use crate::process;
use crate::tally::Suite;

const LIMIT: Duration = Duration::from_mins(2);
const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
const ALLOW: &str = "package custos.gate\nimport rego.v1\n\ndefault allow := false\n\n\
                     allow if count(deny) == 0\n\n\
                     deny contains \"not a gate\" if input.request.action != \"gate\"\n";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
const OMS: &str = "https://model_signing/signature/v1.0";

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let peer = match Peer::named("in-toto")?.ensure(run.place) {
        Ok(peer) => peer,
        Err(error) => {
            suite.skip("peer:in-toto", &format!("{error:#}"));
            return Ok(());
        }
    };
    let scratch = Scratch::new("in-toto")?;
    let custos = Custos::new(run.place, &scratch)?;
    for kind in ["p256", "p384", "p521", "ed25519"] {
        let prefix = scratch.join(kind);
        let words = [
            "keys",
            "generate",
            "--kind",
            kind,
            "--no-password",
            "--output-prefix",
        ];
        custos.ok(words.into_iter().chain([text(&prefix)]))?;
    }
    let script = run.place.peer_file("intoto_check.py");
    let desk = Desk {
        scratch,
        custos,
        peer,
        script,
    };
    desk.attestations(suite);
    match Peer::named("cosign-key")?.ensure(run.place) {
        Ok(sodium) => desk.prehashed(suite, &sodium, &run.place.peer_file("ed25519ph.py")),
        Err(error) => suite.skip("peer:cosign-key", &format!("{error:#}")),
    }
    desk.step(suite);
    desk.gate(suite);
    desk.model(suite);
    desk.the_libraries_do_check(suite);
    Ok(())
}

struct Desk {
    scratch: Scratch,
    custos: Custos,
    peer: Installed,
    script: PathBuf,
}

impl Desk {
    fn keys(&self, kind: &str) -> Result<(PathBuf, PathBuf)> {
        key_files(&self.scratch.join(kind))
    }

    /// What the libraries say to bundles, in order.
    fn read(&self, kind: &str, bundles: &[PathBuf]) -> Result<Vec<Value>> {
        let mut command = self.peer.python();
        command
            .arg(&self.script)
            .arg(self.keys(kind)?.1)
            .args(bundles);
        let done = process::run(&mut command, LIMIT)?.success()?;
        Ok(serde_json::from_str(&done.stdout)?)
    }

    /// What the libraries say to one bundle, which they must accept.
    fn accept(&self, kind: &str, bundle: &Path) -> Result<Value> {
        let read = self
            .read(kind, &[bundle.to_path_buf()])?
            .pop()
            .context("one answer")?;
        match read.get("error") {
            Some(error) => bail!("in-toto: {error}"),
            None => Ok(read),
        }
    }

    fn attest(&self, kind: &str, predicate_type: &str, predicate: &Value) -> Result<PathBuf> {
        let artifact = self.scratch.join("data.csv");
        tree::put(&artifact, b"a,b\n1,2\n")?;
        let file = self.scratch.join("predicate.json");
        fs::write(&file, serde_json::to_vec(predicate)?)?;
        let bundle = self.scratch.join(&format!("attested-{kind}.sigstore.json"));
        let secret = self.keys(kind)?.0;
        let words = [
            "attest",
            text(&artifact),
            "--type",
            predicate_type,
            "--predicate",
        ];
        let rest = [
            text(&file),
            "--key",
            text(&secret),
            "--bundle",
            text(&bundle),
        ];
        self.custos.ok(words.into_iter().chain(rest))?;
        Ok(bundle)
    }

    fn attestations(&self, suite: &mut Suite) {
        let predicate = json!({
            "result": "PASSED",
            "configuration": [{"name": "tests", "digest": {"sha256": "00".repeat(32)}}],
            "passedTests": ["all"],
        });
        for kind in ["p256", "p384", "p521"] {
            suite.check(&format!("a test result, signed with {kind}"), || {
                let bundle = self.attest(kind, TEST_RESULT, &predicate)?;
                let read = self.accept(kind, &bundle)?;
                expect(&read, "/predicate_type", &json!(TEST_RESULT))?;
                expect(&read, "/typed", &json!(true))?;
                expect(&read, "/predicate", &predicate)?;
                expect(&read, "/subjects/0/name", &json!("data.csv"))?;
                // SHA-256 of the eight bytes written above, by another program.
                let digest = self.sha256(&self.scratch.join("data.csv"))?;
                expect(&read, "/subjects/0/digest/sha256", &json!(digest))
            });
        }
    }

    /// What an Ed25519 key signs is logged, and the log entry is over a digest: so the signature
    /// is Ed25519ph. The in-toto libraries know only Ed25519 of the whole message and must refuse;
    /// libsodium verifies it.
    fn prehashed(&self, suite: &mut Suite, sodium: &Installed, script: &Path) {
        suite.check("a test result, signed with ed25519", || {
            let predicate = json!({"result": "PASSED",
                "configuration": [{"name": "t", "digest": {"sha256": "00".repeat(32)}}]});
            let bundle = self.attest("ed25519", TEST_RESULT, &predicate)?;
            let public = self.keys("ed25519")?.1;
            let verify = |bundle: &Path| {
                let mut command = sodium.python();
                process::run(command.arg(script).arg(&public).arg(bundle), LIMIT)?.success()
            };
            verify(&bundle)?;
            let read = self.read("ed25519", std::slice::from_ref(&bundle))?;
            ensure!(
                read[0].get("error").is_some(),
                "in-toto reads Ed25519ph now: compare fully"
            );
            let other = self.attest("p256", TEST_RESULT, &predicate)?;
            ensure!(verify(&other).is_err(), "another key was accepted");
            Ok(())
        });
    }

    /// A step under `custos run`: provenance with inputs and products that can be recomputed.
    fn step(&self, suite: &mut Suite) {
        suite.check("the statements of a step", || {
            let (input, product) = (self.scratch.join("in.txt"), self.scratch.join("out.txt"));
            tree::put(&input, b"b\na\n")?;
            let out = self.scratch.join("bundles");
            let secret = self.keys("p256")?.0;
            let sort = format!("sort {} > {}", text(&input), text(&product));
            let (named_in, named_out) = (
                format!("raw={}", text(&input)),
                format!("sorted={}", text(&product)),
            );
            let words = [
                "run",
                "--name",
                "prepare",
                "--input",
                &named_in,
                "--product",
                &named_out,
            ];
            let rest = [
                "--key",
                text(&secret),
                "--bundles",
                text(&out),
                "--",
                "sh",
                "-c",
                sort.as_str(),
            ];
            self.custos.ok(words.into_iter().chain(rest))?;
            let bundles = files(&out)?;
            let read = self.read("p256", &bundles)?;
            for (bundle, one) in bundles.iter().zip(&read) {
                if let Some(error) = one.get("error") {
                    bail!("{}: {error}", bundle.display());
                }
            }
            let provenance = read
                .iter()
                .find(|one| one.pointer("/predicate_type") == Some(&json!(PROVENANCE)))
                .context("no provenance among the bundles")?;
            expect(provenance, "/typed", &json!(true))?;
            expect(provenance, "/subjects/0/name", &json!("sorted"))?;
            let digest = self.sha256(&product)?;
            expect(provenance, "/subjects/0/digest/sha256", &json!(digest))?;
            let materials = provenance
                .pointer("/predicate/buildDefinition/resolvedDependencies")
                .and_then(Value::as_array)
                .context("no resolvedDependencies")?;
            let digest = json!(self.sha256(&input)?);
            ensure!(
                materials
                    .iter()
                    .any(|one| one.pointer("/digest/sha256") == Some(&digest)),
                "the input is not among the materials: {materials:?}"
            );
            ensure!(read.len() >= 2, "a step has provenance and resource usage");
            Ok(())
        });
    }

    /// A decision of the gate: the summary for other tools, and the one to evaluate again.
    fn gate(&self, suite: &mut Suite) {
        suite.check("the decision of a gate", || {
            // The gate knows whom to expect from the settings of its folder.
            let folder = self.scratch.join("gated");
            let (artifact, out) = (self.scratch.join("data.csv"), folder.join("out"));
            let (secret, public) = self.keys("p256")?;
            let settings = format!("[[signer]]\nname = \"p256\"\nkey = {:?}\n", text(&public));
            // Something to rest on: an attestation that the summary has to name.
            let attested = json!({"result": "PASSED",
                "configuration": [{"name": "t", "digest": {"sha256": "00".repeat(32)}}]});
            self.attest("p256", TEST_RESULT, &attested)?;
            tree::put(&folder.join("policy/gate.rego"), ALLOW.as_bytes())?;
            tree::put(&folder.join("custos.toml"), settings.as_bytes())?;
            let words = [
                "gate",
                text(&artifact),
                "--policy",
                "policy",
                "--bundles",
                "out",
            ];
            let mut command = self
                .custos
                .command(words.into_iter().chain(["--key", text(&secret)]));
            process::run(command.current_dir(&folder), LIMIT)?.success()?;
            let summary = out.join("data.csv.verification-summary.sigstore.json");
            let read = self.accept("p256", &summary)?;
            expect(&read, "/predicate_type", &json!(SUMMARY))?;
            expect(&read, "/typed", &json!(true))?;
            expect(&read, "/predicate/verificationResult", &json!("PASSED"))?;
            let digest = self.sha256(&artifact)?;
            expect(&read, "/subjects/0/digest/sha256", &json!(digest))?;
            let used = read
                .pointer("/predicate/inputAttestations")
                .and_then(Value::as_array);
            ensure!(
                used.is_some_and(|all| !all.is_empty()),
                "it rests on nothing"
            );
            let decision = out.join("data.csv.decision.sigstore.json");
            let read = self.accept("p256", &decision)?;
            expect(&read, "/predicate/verdict", &json!("allow"))
        });
    }

    /// A model signature is an in-toto statement as well.
    fn model(&self, suite: &mut Suite) {
        suite.check("a model signature is a statement", || {
            let model = self.scratch.join("model");
            tree::write(&model, &tree::model_files())?;
            let (secret, bundle) = (self.keys("p256")?.0, self.scratch.join("model.sig"));
            let words = [
                "sign",
                text(&model),
                "--key",
                text(&secret),
                "--bundle",
                text(&bundle),
            ];
            self.custos.ok(words)?;
            let read = self.accept("p256", &bundle)?;
            expect(&read, "/predicate_type", &json!(OMS))?;
            expect(&read, "/subjects/0/name", &json!("model"))
        });
    }

    /// The peer is a check only if it can say no.
    fn the_libraries_do_check(&self, suite: &mut Suite) {
        suite.check(
            "the libraries refuse a changed payload and another key",
            || {
                let bundle = self.attest(
                    "p256",
                    TEST_RESULT,
                    &json!({"result": "PASSED",
                "configuration": [{"name": "t", "digest": {"sha256": "00".repeat(32)}}]}),
                )?;
                let mut value: Value = serde_json::from_slice(&fs::read(&bundle)?)?;
                let payload = value
                    .pointer_mut("/dsseEnvelope/payload")
                    .context("no payload")?;
                let mut text = payload.as_str().context("not text")?.to_owned();
                let changed = if text.starts_with('e') { "f" } else { "e" };
                text.replace_range(..1, changed);
                *payload = json!(text);
                let bad = self.scratch.join("changed.json");
                fs::write(&bad, serde_json::to_vec(&value)?)?;
                let changed = self.read("p256", &[bad, bundle.clone()])?;
                ensure!(
                    changed[0].get("error").is_some(),
                    "a changed payload was accepted"
                );
                ensure!(
                    changed[1].get("error").is_none(),
                    "the unchanged one: {}",
                    changed[1]
                );
                let other = self.read("p384", &[bundle])?;
                ensure!(other[0].get("error").is_some(), "another key was accepted");
                Ok(())
            },
        );
    }

    /// SHA-256 of a file, by the peer's Python.
    fn sha256(&self, path: &Path) -> Result<String> {
        let program = "import hashlib, sys; \
                       print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())";
        let mut command = self.peer.python();
        let done = process::run(command.args(["-c", program]).arg(path), LIMIT)?.success()?;
        Ok(done.stdout.trim().to_owned())
    }
}

fn expect(value: &Value, pointer: &str, expected: &Value) -> Result<()> {
    let found = value.pointer(pointer).unwrap_or(&Value::Null);
    ensure!(
        found == expected,
        "{pointer}: found {found}, expected {expected}"
    );
    Ok(())
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("{} is not there", dir.display()))? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}
