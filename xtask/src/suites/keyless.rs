//! Bundles that Sigstore's clients make in a lab of real servers, verified by Custos and by
//! cosign; and each of them with one thing wrong, which neither may accept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use super::Run;
use super::oms::text;
use super::sigstore::flipped;
use crate::custos::{Answer, Custos};
use crate::lab::{IDENTITY, Lab, Programs};
use crate::peers::Peer;
use crate::place::{Place, Scratch};
use crate::process::{self, Finished};
use crate::tally::Suite;

const LIMIT: Duration = Duration::from_mins(1);
const SLSA: &str = "https://slsa.dev/provenance/v1";

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let programs = match Programs::ensure(run.place) {
        Ok(programs) => programs,
        Err(error) => {
            suite.skip("lab", &format!("{error:#}"));
            return Ok(());
        }
    };
    let lab = Lab::start(run.place, &programs)?;
    let bench = Bench::new(run.place, lab, programs.cosign())?;
    // A first entry: the Python client cannot read bundles of cosign with the index 0.
    bench.sign_keyless("first")?;
    let samples = bench.samples()?;
    for sample in &samples {
        suite.check(&format!("custos: {}", sample.name), || {
            bench.custos_says(sample, true)
        });
        suite.check(&format!("cosign: {}", sample.name), || {
            bench.cosign_says(sample, true)
        });
        for twin in bench.twins(sample)? {
            suite.check(&format!("custos: {}", twin.name), || {
                bench.custos_says(&twin, false)
            });
            // cosign builds the entry of a Rekor v2 anew from the rest of the bundle, and of the
            // one that is there only asks that it can be read: a matter of which letter changed.
            if !twin.name.contains(ENTRY) {
                suite.check(&format!("cosign: {}", twin.name), || {
                    bench.cosign_says(&twin, false)
                });
            }
        }
    }
    Ok(())
}

/// Where a bundle has what the log holds.
const ENTRY: &str = "/verificationMaterial/tlogEntries/0/canonicalizedBody";

/// A bundle, and what to ask about it.
#[derive(Clone)]
struct Sample {
    name: String,
    artifact: PathBuf,
    bundle: PathBuf,
    /// The public key, or nothing where the lab's identity signed.
    key: Option<PathBuf>,
    statement: bool,
}

struct Bench {
    scratch: Scratch,
    lab: Lab,
    custos: Custos,
    cosign: PathBuf,
    python: crate::peers::Installed,
}

impl Bench {
    fn new(place: &Place, lab: Lab, cosign: PathBuf) -> Result<Self> {
        let scratch = Scratch::new("keyless")?;
        fs::write(scratch.join("artifact"), "weights of a model\n")?;
        fs::write(scratch.join("other"), "weights of another model\n")?;
        fs::write(
            scratch.join("predicate.json"),
            r#"{"buildDefinition":{"buildType":"https://example.com/t","externalParameters":{}},
                "runDetails":{"builder":{"id":"https://example.com/b"}}}"#,
        )?;
        Ok(Self {
            custos: Custos::new(place, &scratch)?,
            cosign,
            python: Peer::named("sigstore")?.ensure(place)?,
            scratch,
            lab,
        })
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        self.cosign(&["generate-key-pair", "--output-key-prefix", "peer"])?
            .success()?;
        Ok(vec![
            self.sign_keyless("keyless signature by cosign")?,
            self.attest("keyless attestation by cosign", false)?,
            self.sign_with_key("signature by a key of cosign")?,
            self.attest("attestation by a key of cosign", true)?,
            self.sign_in_python("keyless signature by sigstore-python")?,
        ])
    }

    fn sample(&self, name: &str, key: bool, statement: bool) -> Sample {
        Sample {
            name: name.to_owned(),
            artifact: self.scratch.join("artifact"),
            bundle: self
                .scratch
                .join(&format!("{}.json", name.replace(' ', "-"))),
            key: key.then(|| self.scratch.join("peer.pub")),
            statement,
        }
    }

    fn sign_keyless(&self, name: &str) -> Result<Sample> {
        let sample = self.sample(name, false, false);
        let token = self.lab.token(IDENTITY)?;
        self.make(&sample, &["sign-blob", "--identity-token", &token])
    }

    fn sign_with_key(&self, name: &str) -> Result<Sample> {
        let sample = self.sample(name, true, false);
        self.make(&sample, &["sign-blob", "--key", "peer.key"])
    }

    fn attest(&self, name: &str, key: bool) -> Result<Sample> {
        let sample = self.sample(name, key, true);
        let token = self.lab.token(IDENTITY)?;
        let signer = if key {
            ["--key", "peer.key"]
        } else {
            ["--identity-token", &token]
        };
        let words = [
            "attest-blob",
            "--predicate",
            "predicate.json",
            "--type",
            SLSA,
        ];
        self.make(&sample, &[&words[..], &signer[..]].concat())
    }

    fn make(&self, sample: &Sample, words: &[&str]) -> Result<Sample> {
        let (config, root) = self.descriptions();
        let rest = [
            "--yes",
            "--signing-config",
            &config,
            "--trusted-root",
            &root,
            "--bundle",
            text(&sample.bundle),
            text(&sample.artifact),
        ];
        self.cosign(&[words, &rest[..]].concat())?.success()?;
        Ok(sample.clone())
    }

    fn sign_in_python(&self, name: &str) -> Result<Sample> {
        let sample = self.sample(name, false, false);
        let mut command = self.python.python();
        command
            .args(["-m", "sigstore", "--trust-config"])
            .arg(self.lab.file("trust_config.json"))
            .args(["sign", "--identity-token", &self.lab.token(IDENTITY)?])
            .args(["--bundle", text(&sample.bundle), text(&sample.artifact)]);
        process::run(&mut command, LIMIT)?.success()?;
        Ok(sample)
    }

    /// The sample with one thing wrong.
    fn twins(&self, sample: &Sample) -> Result<Vec<Sample>> {
        let bundle: Value = serde_json::from_slice(&fs::read(&sample.bundle)?)?;
        let mut twins = vec![Sample {
            name: format!("{}, of another file", sample.name),
            artifact: self.scratch.join("other"),
            ..sample.clone()
        }];
        for (at, pointer) in [
            "/messageSignature/signature",
            "/dsseEnvelope/payload",
            "/dsseEnvelope/signatures/0/sig",
            "/verificationMaterial/certificate/rawBytes",
            ENTRY,
            "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0",
            "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope",
            "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp",
        ]
        .iter()
        .enumerate()
        {
            // A timestamp token ends with its signature; in its middle lie certificates, which
            // nobody needs who has the authority's own.
            let part = if pointer.ends_with("signedTimestamp") {
                0.97
            } else {
                0.5
            };
            let Some(changed) = flipped(&bundle, pointer, part) else {
                continue;
            };
            let path = self.scratch.join(&format!("{}-{at}.json", sample.name));
            fs::write(&path, serde_json::to_vec(&changed)?)?;
            twins.push(Sample {
                name: format!("{}, {pointer} changed", sample.name),
                bundle: path,
                ..sample.clone()
            });
        }
        Ok(twins)
    }

    fn custos_says(&self, sample: &Sample, good: bool) -> Result<()> {
        let (_, root) = self.descriptions();
        let mut words = vec![
            "verify",
            text(&sample.artifact),
            "--bundle",
            text(&sample.bundle),
            "--trusted-root",
            &root,
        ];
        let issuer = self.lab.issuer();
        words.extend(expectation(sample, &issuer));
        if sample.statement {
            words.extend(["--type", SLSA]);
        }
        let expected: &[Answer] = if good {
            &[Answer::Yes]
        } else {
            &[Answer::No, Answer::Alarm]
        };
        self.custos.answers(expected, words).map(drop)
    }

    fn cosign_says(&self, sample: &Sample, good: bool) -> Result<()> {
        let (_, root) = self.descriptions();
        let issuer = self.lab.issuer();
        let verb: &[&str] = if sample.statement {
            &["verify-blob-attestation", "--type", SLSA]
        } else {
            &["verify-blob"]
        };
        let rest = [
            "--trusted-root",
            &root,
            "--bundle",
            text(&sample.bundle),
            text(&sample.artifact),
        ];
        // With a key cosign looks at timestamps only if it is told to.
        let times: &[&str] = match sample.key {
            Some(_) => &["--use-signed-timestamps"],
            None => &[],
        };
        let words = [verb, times, &expectation(sample, &issuer), &rest].concat();
        let done = self.cosign(&words)?;
        match (good, done.status.success()) {
            (true, false) => bail!("cosign rejects it: {}", done.words()),
            (false, true) => bail!("cosign accepts it"),
            _ => Ok(()),
        }
    }

    fn descriptions(&self) -> (String, String) {
        let path = |name| self.lab.file(name).display().to_string();
        (path("signing_config.json"), path("trusted_root.json"))
    }

    fn cosign(&self, words: &[&str]) -> Result<Finished> {
        run_cosign(&self.cosign, self.scratch.path(), words)
    }
}

fn expectation<'a>(sample: &'a Sample, issuer: &'a str) -> Vec<&'a str> {
    match &sample.key {
        Some(key) => vec!["--key", text(key)],
        None => vec![
            "--certificate-identity",
            IDENTITY,
            "--certificate-oidc-issuer",
            issuer,
        ],
    }
}

/// Runs cosign in `folder`, with the password of its keys and nothing of the caller's settings.
pub fn run_cosign(program: &Path, folder: &Path, words: &[&str]) -> Result<Finished> {
    let mut command = Command::new(program);
    command
        .args(words)
        .current_dir(folder)
        .env("COSIGN_PASSWORD", "lab")
        .env("HOME", folder);
    process::run(&mut command, LIMIT)
}
