//! Clients that sign with the services of one place, and verify what each other made: Custos,
//! cosign, the Python client and the verifier of npm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::oms::text;
use super::sigstore::flipped;
use crate::custos::{Answer, Custos};
use crate::lab::IDENTITY;
use crate::peers::{Installed, Peer};
use crate::place::{Place, Scratch};
use crate::process::{self, Finished};
use crate::tally::Suite;

const LIMIT: Duration = Duration::from_mins(1);
const SLSA: &str = "https://slsa.dev/provenance/v1";
/// Where a bundle has what the log holds.
const ENTRY: &str = "/verificationMaterial/tlogEntries/0/canonicalizedBody";

/// Where services are described, and where tokens come from.
pub struct Services {
    /// `signing_config.json`.
    pub config: PathBuf,
    /// `trusted_root.json`.
    pub root: PathBuf,
    /// Both in one file, as the Python client wants them.
    pub trust_config: PathBuf,
    /// The token issuer's address.
    pub issuer: String,
    /// Gets an ID token for [`IDENTITY`].
    pub token: Box<dyn Fn() -> Result<String>>,
}

/// Words of an attestation by Custos.
const ATTEST: [&str; 3] = ["attest", "--type", SLSA];

type Maker = fn(&Clients, &str) -> Result<Sample>;

/// A bundle, and what to ask about it.
#[derive(Clone)]
pub struct Sample {
    name: String,
    artifact: PathBuf,
    bundle: PathBuf,
    /// The public key, or nothing where the lab's identity signed.
    key: Option<PathBuf>,
    statement: bool,
}

/// The clients, and a folder to work in.
pub struct Clients {
    /// The folder.
    pub scratch: Scratch,
    services: Services,
    /// Custos, with a home of its own that no service knows.
    pub custos: Custos,
    cosign: PathBuf,
    python: Installed,
    npm: Option<Installed>,
    verifiers: [PathBuf; 2],
}

impl Clients {
    /// Finds or installs them.
    pub fn new(place: &Place, services: Services, cosign: PathBuf) -> Result<Self> {
        let scratch = Scratch::new("clients")?;
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
            npm: Peer::named("sigstore-js")?.ensure(place).ok(),
            verifiers: [
                place.peer_file("sigstore_verify.py"),
                place.peer_file("sigstore_js_verify.cjs"),
            ],
            scratch,
            services,
        })
    }

    /// Makes what the samples need.
    pub fn prepare(&self) -> Result<()> {
        self.cosign(&["generate-key-pair", "--output-key-prefix", "peer"])?
            .success()
            .map(drop)
    }

    /// Makes a bundle of every kind, and asks everybody about it and about its twins.
    pub fn agree(&self, suite: &mut Suite) -> Result<()> {
        let mut samples = Vec::new();
        for (name, make) in Self::makers() {
            let mut made = None;
            suite.check(&format!("made: {name}"), || {
                made = Some(make(self, name)?);
                Ok(())
            });
            samples.extend(made);
        }
        let mut cases = Vec::new();
        for sample in samples {
            let twins = self.twins(&sample)?;
            cases.push((sample, true));
            cases.extend(twins.into_iter().map(|twin| (twin, false)));
        }
        for (sample, good) in &cases {
            suite.check(&format!("custos: {}", sample.name), || {
                self.custos_says(sample, *good)
            });
            // cosign builds the entry of a Rekor v2 anew from the rest of the bundle, and of the
            // one that is there only asks that it can be read: a matter of which letter changed.
            if !sample.name.contains(ENTRY) {
                suite.check(&format!("cosign: {}", sample.name), || {
                    self.cosign_says(sample, *good)
                });
            }
        }
        let known: Vec<&(Sample, bool)> =
            cases.iter().filter(|(one, _)| one.key.is_none()).collect();
        self.ask("sigstore-python", suite, &known)?;
        // npm's verifier does not know entries of version 2 for statements yet
        // (sigstore/sigstore-js#1677).
        let known: Vec<&(Sample, bool)> = known
            .into_iter()
            .filter(|(one, _)| !one.statement)
            .collect();
        self.ask("sigstore-js", suite, &known)
    }

    // Asks a client with one call about everything that it can judge.
    fn ask(&self, client: &str, suite: &mut Suite, asked: &[&(Sample, bool)]) -> Result<()> {
        let [python, npm] = &self.verifiers;
        let mut command = match (client, &self.npm) {
            ("sigstore-python", _) => {
                let mut command = self.python.python();
                command.arg(python);
                command
            }
            (_, Some(modules)) => {
                let mut command = Command::new("node");
                command.arg(npm).arg(modules.folder());
                command
            }
            (_, None) => {
                suite.skip("peer:sigstore-js", "it is not installed");
                return Ok(());
            }
        };
        let questions: Vec<Value> = asked
            .iter()
            .map(|(sample, _)| {
                json!({
                    "bundle": sample.bundle, "artifact": sample.artifact,
                    "trusted_root": self.services.root,
                    "identity": IDENTITY, "issuer": self.services.issuer,
                })
            })
            .collect();
        let file = self.scratch.join("cases.json");
        fs::write(&file, serde_json::to_vec(&questions)?)?;
        command.arg(&file);
        let done = process::run(&mut command, LIMIT)?.success()?;
        let answers: Vec<String> = serde_json::from_str(&done.stdout)?;
        ensure!(
            answers.len() == asked.len(),
            "{client} answers another number"
        );
        for ((sample, good), answer) in asked.iter().zip(answers) {
            suite.check(&format!("{client}: {}", sample.name), || {
                match (*good, answer == "ok") {
                    (true, false) => bail!("it rejects: {answer}"),
                    (false, true) => bail!("it accepts"),
                    _ => Ok(()),
                }
            });
        }
        Ok(())
    }

    fn makers() -> Vec<(&'static str, Maker)> {
        vec![
            ("keyless signature by cosign", Self::sign_keyless),
            ("keyless attestation by cosign", |clients, name| {
                clients.attest(name, false)
            }),
            ("signature by a key of cosign", Self::sign_with_key),
            ("attestation by a key of cosign", |clients, name| {
                clients.attest(name, true)
            }),
            ("keyless signature by sigstore-python", Self::sign_in_python),
            ("keyless signature by Custos", |clients, name| {
                clients.by_custos(name, &["sign"], false)
            }),
            ("keyless attestation by Custos", |clients, name| {
                clients.by_custos(name, &ATTEST, false)
            }),
            ("signature by a key of Custos", |clients, name| {
                clients.by_custos(name, &["sign"], true)
            }),
            ("attestation by a key of Custos", |clients, name| {
                clients.by_custos(name, &ATTEST, true)
            }),
        ]
    }

    fn by_custos(&self, name: &str, words: &[&str], key: bool) -> Result<Sample> {
        let statement = words.first() == Some(&"attest");
        let sample = self.sample(name, key, statement);
        let (config, root) = self.descriptions();
        let token = self.scratch.join("token");
        fs::write(&token, (self.services.token)()?)?;
        let secret = self.scratch.join("peer.key");
        let password = self.scratch.join("password");
        fs::write(&password, "lab\n")?;
        let signer: &[&str] = if key {
            &["--key", text(&secret), "--password-file", text(&password)]
        } else {
            &["--identity-token", text(&token)]
        };
        let predicate = self.scratch.join("predicate.json");
        let rest: &[&str] = if statement {
            &["--predicate", text(&predicate)]
        } else {
            &[]
        };
        let services = [
            "--signing-config",
            &config,
            "--trusted-root",
            &root,
            "--bundle",
            text(&sample.bundle),
        ];
        let (verb, options) = words.split_first().unwrap_or((&"sign", &[]));
        let artifact = [*verb, text(&sample.artifact)];
        self.custos
            .ok([&artifact[..], options, signer, rest, &services].concat())?;
        Ok(sample)
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

    /// Signs with cosign in the name of a token.
    pub fn sign_keyless(&self, name: &str) -> Result<Sample> {
        let sample = self.sample(name, false, false);
        let token = (self.services.token)()?;
        self.make(&sample, &["sign-blob", "--identity-token", &token])
    }

    fn sign_with_key(&self, name: &str) -> Result<Sample> {
        let sample = self.sample(name, true, false);
        self.make(&sample, &["sign-blob", "--key", "peer.key"])
    }

    fn attest(&self, name: &str, key: bool) -> Result<Sample> {
        let sample = self.sample(name, key, true);
        let token = (self.services.token)()?;
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
            .arg(&self.services.trust_config)
            .args(["sign", "--identity-token", &(self.services.token)()?])
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
            } else if pointer.ends_with("envelope") {
                // The root hash. Below it stands a name that the signature does not cover.
                0.25
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
        let issuer = self.services.issuer.clone();
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
        let issuer = self.services.issuer.clone();
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

    /// Signing configuration and trusted root, as words.
    pub fn descriptions(&self) -> (String, String) {
        let path = |file: &PathBuf| file.display().to_string();
        (path(&self.services.config), path(&self.services.root))
    }

    /// Runs cosign.
    pub fn cosign(&self, words: &[&str]) -> Result<Finished> {
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
