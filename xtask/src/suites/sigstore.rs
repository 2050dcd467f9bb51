//! Bundles of the public Sigstore, verified offline with a given trusted root, by Custos and by
//! the Python reference client; and the same bundles with one thing wrong, which neither may
//! accept. `testdata/sigstore/README.md` says where they come from.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::Run;
use super::oms::text;
use crate::custos::{Answer, Custos};
use crate::peers::{Installed, Peer};
use crate::place::Scratch;
use crate::process;
use crate::tally::Suite;

/// A bundle as its signer made it.
struct Source {
    bundle: &'static str,
    artifact: &'static str,
    root: &'static str,
    identity: &'static str,
    issuer: &'static str,
    /// The predicate type of an attestation, which the caller must name.
    kind: Option<&'static str>,
}

const CONDA: &str = "https://schemas.conda.org/attestations-publish-1.schema.json";

const SOURCES: [Source; 3] = [
    Source {
        bundle: "cosign-v3-blob.sigstore.json",
        artifact: "cosign-v3-blob.txt",
        root: "public-good.json",
        identity: "w.vollprecht@gmail.com",
        issuer: "https://github.com/login/oauth",
        kind: None,
    },
    Source {
        bundle: "conda-attestation.sigstore.json",
        artifact: "signed-package-2.1.0-hb0f4dca_0.conda",
        root: "public-good.json",
        identity: "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml\
                   @refs/heads/main",
        issuer: "https://token.actions.githubusercontent.com",
        kind: Some(CONDA),
    },
    Source {
        bundle: "conda-attestation-rekor2.sigstore.json",
        artifact: "signed-package-2.1.0-hb0f4dca_0.conda",
        root: "staging.json",
        identity: "jku@goto.fi",
        issuer: "https://github.com/login/oauth",
        kind: Some(CONDA),
    },
];

/// A genuine log entry and signature of another artifact, as the 2022 advisory had it.
const ATTACHED: Source = Source {
    bundle: "cve-2022-36056.sigstore.json",
    artifact: "cosign-v3-blob.txt",
    root: "public-good.json",
    identity: "william@yossarian.net",
    issuer: "https://github.com/login/oauth",
    kind: None,
};

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let scratch = Scratch::new("sigstore")?;
    let custos = Custos::new(run.place, &scratch)?;
    let desk = Desk {
        data: run.place.root.join("testdata/sigstore"),
        scratch,
    };
    let cases = desk.cases()?;
    for case in &cases {
        suite.check(&format!("custos: {}", case.name), || {
            case.by_custos(&custos)
        });
    }
    match Peer::named("sigstore")?.ensure(run.place) {
        Ok(peer) => {
            let script = run.place.peer_file("sigstore_verify.py");
            for (case, answer) in cases.iter().zip(desk.ask(&peer, &script, &cases)?) {
                suite.check(&format!("sigstore-python: {}", case.name), || {
                    case.by_peer(&answer)
                });
            }
        }
        Err(error) => suite.skip("peer:sigstore", &format!("{error:#}")),
    }
    Ok(())
}

struct Desk {
    data: PathBuf,
    scratch: Scratch,
}

/// One question to both verifiers.
struct Case {
    name: String,
    bundle: PathBuf,
    artifact: PathBuf,
    root: PathBuf,
    identity: String,
    issuer: String,
    kind: Option<&'static str>,
    good: bool,
}

impl Desk {
    fn cases(&self) -> Result<Vec<Case>> {
        let mut cases = Vec::new();
        for source in &SOURCES {
            cases.push(self.case(source, "as it is", true));
            let wrong = |what: &str| self.case(source, what, false);
            let artifact = self.data.join("managed-key.txt");
            cases.push(Case {
                artifact,
                ..wrong("another artifact")
            });
            let identity = format!("{}x", source.identity);
            cases.push(Case {
                identity,
                ..wrong("another identity")
            });
            let issuer = "https://accounts.google.com".to_owned();
            cases.push(Case {
                issuer,
                ..wrong("another issuer")
            });
            let other = if source.root == "staging.json" {
                "public-good.json"
            } else {
                "staging.json"
            };
            cases.push(Case {
                root: self.data.join(other),
                ..wrong("another trusted root")
            });
            for (what, bundle) in self.mutants(source)? {
                cases.push(Case {
                    bundle,
                    ..wrong(&what)
                });
            }
        }
        cases.push(self.case(&ATTACHED, "as it is", false));
        Ok(cases)
    }

    fn case(&self, source: &Source, what: &str, good: bool) -> Case {
        let name = source.bundle.trim_end_matches(".sigstore.json");
        Case {
            name: format!("{name}, {what}"),
            bundle: self.data.join(source.bundle),
            artifact: self.data.join(source.artifact),
            root: self.data.join(source.root),
            identity: source.identity.to_owned(),
            issuer: source.issuer.to_owned(),
            kind: source.kind,
            good,
        }
    }

    /// The bundle with one thing wrong, each written to a file.
    fn mutants(&self, source: &Source) -> Result<Vec<(String, PathBuf)>> {
        let read = |name: &str| -> Result<Value> {
            let bytes = fs::read(self.data.join(name)).with_context(|| name.to_owned())?;
            Ok(serde_json::from_slice(&bytes)?)
        };
        let bundle = read(source.bundle)?;
        let stranger = if source.bundle == SOURCES[0].bundle {
            &SOURCES[1]
        } else {
            &SOURCES[0]
        };
        let stranger = read(stranger.bundle)?;
        let mut mutants = Vec::new();
        for pointer in [
            "/messageSignature/signature",
            "/dsseEnvelope/payload",
            "/dsseEnvelope/signatures/0/sig",
            "/verificationMaterial/certificate/rawBytes",
            "/verificationMaterial/tlogEntries/0/canonicalizedBody",
            "/verificationMaterial/tlogEntries/0/inclusionProof/rootHash",
            "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0",
        ] {
            if let Some(changed) = flipped(&bundle, pointer, 0.5) {
                mutants.push((format!("a bit of {pointer} flipped"), changed));
            }
        }
        for pointer in [
            "/verificationMaterial/tlogEntries/0",
            "/verificationMaterial/certificate",
        ] {
            let mut changed = bundle.clone();
            if let (Some(place), Some(other)) =
                (changed.pointer_mut(pointer), stranger.pointer(pointer))
            {
                *place = other.clone();
                mutants.push((format!("{pointer} of another bundle"), changed));
            }
        }
        let mut without = bundle.clone();
        *without
            .pointer_mut("/verificationMaterial/tlogEntries")
            .context("no entries")? = json!([]);
        mutants.push(("without log entry".to_owned(), without));
        ensure!(
            mutants.len() >= 7,
            "{}: too few of its fields are there",
            source.bundle
        );
        mutants
            .into_iter()
            .map(|(what, value)| {
                let file = format!("{}-{}.json", source.bundle, what.replace(['/', ' '], "-"));
                let path = self.scratch.join(&file);
                fs::write(&path, serde_json::to_vec(&value)?)?;
                Ok((what, path))
            })
            .collect()
    }

    /// What the reference client says to all cases, in one process.
    fn ask(&self, peer: &Installed, script: &PathBuf, cases: &[Case]) -> Result<Vec<String>> {
        let list: Vec<Value> = cases
            .iter()
            .map(|case| {
                json!({
                    "bundle": case.bundle, "artifact": case.artifact, "trusted_root": case.root,
                    "identity": case.identity, "issuer": case.issuer,
                })
            })
            .collect();
        let file = self.scratch.join("cases.json");
        fs::write(&file, serde_json::to_vec(&list)?)?;
        let mut command = peer.python();
        let done = process::run(command.arg(script).arg(&file), Duration::from_mins(2))?;
        let answers: Vec<String> = serde_json::from_str(&done.success()?.stdout)?;
        ensure!(answers.len() == cases.len(), "not one answer for each case");
        Ok(answers)
    }
}

impl Case {
    fn by_custos(&self, custos: &Custos) -> Result<()> {
        let mut words = vec![
            "verify",
            text(&self.artifact),
            "--bundle",
            text(&self.bundle),
            "--trusted-root",
            text(&self.root),
            "--certificate-identity",
            &self.identity,
            "--certificate-oidc-issuer",
            &self.issuer,
        ];
        words.extend(self.kind.iter().flat_map(|kind| ["--type", kind]));
        let expected: &[Answer] = if self.good {
            &[Answer::Yes]
        } else {
            &[Answer::No, Answer::Alarm]
        };
        custos.answers(expected, words).map(drop)
    }

    fn by_peer(&self, answer: &str) -> Result<()> {
        match (self.good, answer) {
            (true, "ok") => Ok(()),
            (false, "ok") => bail!("the reference accepts it"),
            (true, error) => bail!("the reference rejects it: {error}"),
            (false, _) => Ok(()),
        }
    }
}

/// The bundle with one letter changed in the base64 text at `pointer`, this part of the way from
/// its begin (0) to its end (1); not at the very end, so that it stays base64.
pub fn flipped(bundle: &Value, pointer: &str, part: f64) -> Option<Value> {
    let mut changed = bundle.clone();
    let place = changed.pointer_mut(pointer)?;
    let mut letters: Vec<char> = place.as_str()?.chars().collect();
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a position in a text of some kilobytes"
    )]
    let at = (letters.len() as f64 * part) as usize;
    let letter = letters.get_mut(at)?;
    *letter = if *letter == 'A' { 'B' } else { 'A' };
    *place = json!(letters.into_iter().collect::<String>());
    Some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_changes_the_text() {
        let bundle = json!({"a": {"b": "QUFBQQ=="}});
        assert_ne!(flipped(&bundle, "/a/b", 0.5).unwrap(), bundle);
        assert!(flipped(&bundle, "/a/c", 0.5).is_none());
    }
}
