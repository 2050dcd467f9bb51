//! Model signatures against the reference client of OpenSSF Model Signing: what one signs the
//! other verifies, and what one rejects the other rejects.
//!
//! The reference client has known defects in version 1.1.1, which is the pinned one. Where one
//! stands in the way the case says so, and asserts the defect, so that a repaired client shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Run, tree};
use crate::custos::{Answer, Custos};
use crate::peers::{Installed, Peer};
use crate::place::{Place, Scratch};
use crate::process;
use crate::tally::Suite;

/// The identity in the certificates of `oms_keys.py`.
const SIGNER: &str = "signer@models.example";
const CURVES: [&str; 3] = ["p256", "p384", "p521"];
const LIMIT: Duration = Duration::from_mins(5);

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let peer = match Peer::named("model-signing")?.ensure(run.place) {
        Ok(peer) => peer,
        Err(error) => {
            suite.skip("peer:model-signing", &format!("{error:#}"));
            return Ok(());
        }
    };
    let bench = Bench::new(run.place, peer)?;
    for curve in CURVES {
        bench.keys_both_ways(suite, curve);
        bench.certificates_both_ways(suite, curve);
    }
    bench.own_keys(suite);
    bench.wrong_signer(suite);
    bench.expired(suite);
    bench.logging(suite);
    bench.methods(suite);
    bench.names_with_colons(suite);
    bench.single_file(suite);
    bench.hostile_folders(suite);
    bench.changes(suite, "bytes", &tree::byte_changes());
    bench.changes(suite, "structure", &tree::structural_changes());
    Ok(())
}

/// Both implementations, keys for both, and a model.
struct Bench {
    scratch: Scratch,
    custos: Custos,
    peer: Installed,
    script: PathBuf,
}

impl Bench {
    fn new(place: &Place, peer: Installed) -> Result<Self> {
        let scratch = Scratch::new("oms")?;
        let custos = Custos::new(place, &scratch)?;
        let mut keys = peer.python();
        keys.arg(place.peer_file("oms_keys.py"))
            .arg(scratch.join("keys"));
        process::run(&mut keys, LIMIT)?
            .success()
            .context("cannot make the keys")?;
        tree::write(&scratch.join("model"), &tree::model_files())?;
        tree::write(&scratch.join("model"), &tree::ignored_files())?;
        Ok(Self {
            scratch,
            custos,
            peer,
            script: place.peer_file("oms_batch.py"),
        })
    }

    fn model(&self) -> PathBuf {
        self.scratch.join("model")
    }

    fn key(&self, name: &str) -> PathBuf {
        self.scratch.join("keys").join(name)
    }

    fn bundle(&self, name: &str) -> PathBuf {
        self.scratch.join(&format!("{name}.sig"))
    }

    /// The reference command line.
    fn reference(&self, words: &[&str], bundle: &Path, model: &Path) -> Result<()> {
        let mut command: Command = self.peer.python();
        command
            .args(["-m", "model_signing"])
            .args(words)
            .arg("--signature")
            .arg(bundle);
        let done = process::run(command.arg(model), LIMIT)?
            .success()
            .context("reference")?;
        ensure!(
            done.stdout.contains("succeeded"),
            "it did not say so: {}",
            done.words()
        );
        Ok(())
    }

    /// Many jobs of the reference library in one process: one answer each, `ok` or its error.
    fn batch(&self, jobs: &[Value]) -> Result<Vec<String>> {
        let file = self.scratch.join("jobs.json");
        fs::write(&file, serde_json::to_vec(jobs)?)?;
        let mut command = self.peer.python();
        let done = process::run(command.arg(&self.script).arg(&file), LIMIT)?.success()?;
        let answers: Vec<String> = serde_json::from_str(&done.stdout)?;
        ensure!(
            answers.len() == jobs.len(),
            "{} answers to {} jobs",
            answers.len(),
            jobs.len()
        );
        Ok(answers)
    }

    fn keys_both_ways(&self, suite: &mut Suite, curve: &str) {
        let (secret, public) = (
            self.key(&format!("{curve}.pem")),
            self.key(&format!("{curve}.pub")),
        );
        let (secret, public) = (text(&secret), text(&public));
        let model = self.model();
        suite.check(&format!("{curve}: custos signs, both verify"), || {
            let bundle = self.bundle(&format!("custos-{curve}"));
            self.custos.ok(sign(&model, &["--key", secret], &bundle))?;
            self.custos
                .ok(verify(&model, &["--key", public], &bundle))?;
            self.reference(&["verify", "key", "--public_key", public], &bundle, &model)
        });
        suite.check(&format!("{curve}: reference signs, both verify"), || {
            let bundle = self.bundle(&format!("reference-{curve}"));
            self.reference(&["sign", "key", "--private_key", secret], &bundle, &model)?;
            self.reference(&["verify", "key", "--public_key", public], &bundle, &model)?;
            self.custos
                .ok(verify(&model, &["--key", public], &bundle))
                .map(drop)
        });
    }

    fn certificates_both_ways(&self, suite: &mut Suite, curve: &str) {
        let files = [
            self.key(&format!("leaf-{curve}-key.pem")),
            self.key(&format!("leaf-{curve}.pem")),
            self.key("middle.pem"),
            self.key("root.pem"),
        ];
        let [secret, leaf, middle, root] = files.each_ref().map(|file| text(file));
        let model = self.model();
        let trust = [
            "--certificate-chain",
            root,
            "--certificate-identity",
            SIGNER,
        ];
        suite.check(
            &format!("{curve}: custos signs with a certificate, both verify"),
            || {
                let bundle = self.bundle(&format!("custos-cert-{curve}"));
                let with = [
                    "--key",
                    secret,
                    "--certificate",
                    leaf,
                    "--certificate-chain",
                    middle,
                ];
                self.custos.ok(sign(&model, &with, &bundle))?;
                self.custos.ok(verify(&model, &trust, &bundle))?;
                let reference = ["verify", "certificate", "--certificate_chain", root];
                self.reference(&reference, &bundle, &model)
            },
        );
        suite.check(
            &format!("{curve}: reference signs with a certificate, both verify"),
            || {
                let bundle = self.bundle(&format!("reference-cert-{curve}"));
                self.reference_certificate([secret, leaf, middle], &bundle)?;
                let reference = ["verify", "certificate", "--certificate_chain", root];
                self.reference(&reference, &bundle, &model)?;
                self.custos.ok(verify(&model, &trust, &bundle)).map(drop)
            },
        );
    }

    /// Signs with the certificates `[secret, leaf, intermediate]`.
    fn reference_certificate(&self, files: [&str; 3], bundle: &Path) -> Result<()> {
        let [secret, leaf, middle] = files;
        let words = [
            "sign",
            "certificate",
            "--private_key",
            secret,
            "--signing_certificate",
            leaf,
            "--certificate_chain",
            middle,
        ];
        self.reference(&words, bundle, &self.model())
    }

    /// Keys that Custos itself makes are good for the reference client.
    fn own_keys(&self, suite: &mut Suite) {
        for curve in CURVES {
            suite.check(&format!("{curve}: key made by custos, both ways"), || {
                let prefix = self.scratch.join(&format!("own-{curve}"));
                let make = ["keys", "generate", "--kind", curve, "--no-password"];
                self.custos.ok(make
                    .iter()
                    .copied()
                    .chain(["--output-prefix", text(&prefix)]))?;
                let (secret, public) = key_files(&prefix)?;
                let (secret, public, model) = (text(&secret), text(&public), self.model());
                let bundle = self.bundle(&format!("own-{curve}"));
                self.custos.ok(sign(&model, &["--key", secret], &bundle))?;
                self.reference(&["verify", "key", "--public_key", public], &bundle, &model)?;
                self.reference(&["sign", "key", "--private_key", secret], &bundle, &model)?;
                self.custos
                    .ok(verify(&model, &["--key", public], &bundle))
                    .map(drop)
            });
        }
    }

    fn wrong_signer(&self, suite: &mut Suite) {
        let model = self.model();
        let no = |words: &[&str], name: &str| {
            let bundle = self.bundle(name);
            ensure!(bundle.is_file(), "{} was not made", bundle.display());
            self.custos
                .answers(&[Answer::No], verify(&model, words, &bundle))
                .map(drop)
        };
        let (other, root, stranger) = (
            self.key("other.pub"),
            self.key("root.pem"),
            self.key("stranger-root.pem"),
        );
        let [other, root, stranger] = [&other, &root, &stranger].map(|path| text(path));
        let chain = |root| {
            [
                "--certificate-chain",
                root,
                "--certificate-identity",
                SIGNER,
            ]
        };
        for name in ["custos-p256", "reference-p256"] {
            suite.check(&format!("{name}: another key is not accepted"), || {
                no(&["--key", other], name)?;
                let bundle = self.bundle(name);
                let words = ["verify", "key", "--public_key", other];
                refuses(self.reference(&words, &bundle, &model))
            });
        }
        for name in ["custos-cert-p256", "reference-cert-p256"] {
            suite.check(
                &format!("{name}: a root of the same name is not accepted"),
                || {
                    no(&chain(stranger), name)?;
                    let bundle = self.bundle(name);
                    let words = ["verify", "certificate", "--certificate_chain", stranger];
                    refuses(self.reference(&words, &bundle, &model))
                },
            );
            suite.check(&format!("{name}: another identity is not accepted"), || {
                let mut words = chain(root);
                words[3] = "somebody@models.example";
                no(&words, name)
            });
        }
        suite.check("a key does not verify what a certificate signed", || {
            let leaf = self.key("leaf-p256-key.pub");
            no(&["--key", text(&leaf)], "custos-cert-p256")
        });
        suite.check(
            "a certificate chain does not verify what a key signed",
            || no(&chain(root), "custos-p256"),
        );
    }

    /// The reference client judges the leaf at the leaf's own first day, and accepts it.
    fn expired(&self, suite: &mut Suite) {
        suite.check("an expired certificate is not accepted", || {
            let (key, leaf) = (
                self.key("leaf-expired-key.pem"),
                self.key("leaf-expired.pem"),
            );
            let (middle, root) = (self.key("middle.pem"), self.key("root.pem"));
            let (bundle, model) = (self.bundle("expired"), self.model());
            self.reference_certificate([text(&key), text(&leaf), text(&middle)], &bundle)?;
            let words = ["verify", "certificate", "--certificate_chain", text(&root)];
            self.reference(&words, &bundle, &model)?;
            let trust = [
                "--certificate-chain",
                text(&root),
                "--certificate-identity",
                SIGNER,
            ];
            self.custos
                .answers(&[Answer::No], verify(&model, &trust, &bundle))
                .map(drop)
        });
    }

    /// A signature is logged unless the signer says otherwise, and must be logged unless the
    /// verifier says otherwise. The reference client takes both.
    fn logging(&self, suite: &mut Suite) {
        let (secret, public) = (self.key("p256.pem"), self.key("p256.pub"));
        let (model, bundle) = (self.model(), self.bundle("unlogged"));
        let strict = |bundle: &Path| {
            let words = [
                "verify",
                text(&model),
                "--key",
                text(&public),
                "--bundle",
                text(bundle),
            ];
            words.map(str::to_owned)
        };
        suite.check("a logged signature verifies as such", || {
            self.custos
                .ok(strict(&self.bundle("custos-p256")))
                .map(drop)
        });
        suite.check("an unlogged signature is accepted by name only", || {
            self.custos
                .ok(sign(&model, &["--key", text(&secret), "--no-log"], &bundle))?;
            self.custos.answers(&[Answer::No], strict(&bundle))?;
            self.custos
                .answers(&[Answer::No], strict(&self.bundle("reference-p256")))?;
            self.custos
                .ok(verify(&model, &["--key", text(&public)], &bundle))?;
            let words = ["verify", "key", "--public_key", text(&public)];
            self.reference(&words, &bundle, &model)
        });
    }

    /// Hash functions and shards, which the reference offers in its library only.
    fn methods(&self, suite: &mut Suite) {
        let secret = self.key("p256.pem");
        let public = self.key("p256.pub");
        let model = self.model();
        let cases = [
            ("blake2b", json!({"hash": "blake2"})),
            ("blake3", json!({"hash": "blake3"})),
            ("shards", json!({"shard_size": 4096})),
            ("shards-one", json!({"shard_size": 1_000_000_000})),
        ];
        for (name, extra) in cases {
            suite.check(
                &format!("reference signs with {name}, custos verifies"),
                || {
                    let bundle = self.bundle(&format!("reference-{name}"));
                    let mut job = job("sign", &model, &bundle, &secret);
                    merge(&mut job, &extra);
                    ensure_ok(&self.batch(&[job])?)?;
                    self.custos
                        .ok(verify(&model, &["--key", text(&public)], &bundle))
                        .map(drop)
                },
            );
        }
        suite.check("custos signs with blake3, both verify", || {
            let bundle = self.bundle("custos-blake3");
            let words = ["--key", text(&secret), "--hash", "blake3"];
            self.custos.ok(sign(&model, &words, &bundle))?;
            self.custos
                .ok(verify(&model, &["--key", text(&public)], &bundle))?;
            let mut job = job("verify", &model, &bundle, &public);
            merge(&mut job, &json!({"guess": true}));
            ensure_ok(&self.batch(&[job])?)
        });
        for (name, words) in [
            ("blake2b", &["--hash", "blake2b"][..]),
            ("shards", &["--shard-size", "4096"]),
            (
                "shards-blake3",
                &["--shard-size", "65536", "--hash", "blake3"],
            ),
        ] {
            // The reference client 1.1.1 cannot verify these, not even its own.
            suite.check(&format!("custos signs with {name} and verifies"), || {
                let bundle = self.bundle(&format!("custos-{name}"));
                let mut with = vec!["--key", text(&secret)];
                with.extend(words);
                self.custos.ok(sign(&model, &with, &bundle))?;
                self.custos
                    .ok(verify(&model, &["--key", text(&public)], &bundle))
                    .map(drop)
            });
        }
    }

    /// Names that look like shards. The reference client 1.1.1 signs them and then cannot verify
    /// its own signature.
    fn names_with_colons(&self, suite: &mut Suite) {
        let (secret, public) = (self.key("p256.pem"), self.key("p256.pub"));
        let model = self.scratch.join("colons");
        suite.check(
            "names with colons, signed by either, verified by custos",
            || {
                let names = ["a:0:10", "a", "b:1", ":", "c:0:3:0:3"];
                let files: Vec<_> = names
                    .iter()
                    .map(|name| (*name, name.as_bytes().to_vec()))
                    .collect();
                tree::write(&model, &files)?;
                let verify_it = |bundle: &Path| {
                    self.custos
                        .ok(verify(&model, &["--key", text(&public)], bundle))
                        .map(drop)
                };
                let own = self.bundle("colons-custos");
                self.custos
                    .ok(sign(&model, &["--key", text(&secret)], &own))?;
                verify_it(&own)?;
                let theirs = self.bundle("colons-reference");
                ensure_ok(&self.batch(&[job("sign", &model, &theirs, &secret)])?)?;
                verify_it(&theirs)?;
                tree::put(&model.join("a:0:10"), b"changed")?;
                let words = verify(&model, &["--key", text(&public)], &theirs);
                self.custos.answers(&[Answer::No], words).map(drop)
            },
        );
    }

    /// A model that is one file. The specification names it by its basename; the reference client
    /// 1.1.1 by a dot, so that it finds a file of that name only inside of a folder.
    fn single_file(&self, suite: &mut Suite) {
        let (secret, public) = (self.key("p384.pem"), self.key("p384.pub"));
        suite.check(
            "one file as a model, signed by the reference, verified by custos",
            || {
                let model = self.scratch.join("one.safetensors");
                tree::put(&model, &tree::pattern(3000))?;
                let bundle = self.bundle("one-reference");
                ensure_ok(&self.batch(&[job("sign", &model, &bundle, &secret)])?)?;
                let check = || verify(&model, &["--key", text(&public)], &bundle);
                self.custos.ok(check())?;
                tree::put(&model, &tree::pattern(3001))?;
                self.custos.answers(&[Answer::No], check()).map(drop)
            },
        );
        suite.check(
            "one file as a model, signed by custos, verified by the reference in its folder",
            || {
                let folder = self.scratch.join("one");
                let model = folder.join("one.safetensors");
                tree::put(&model, &tree::pattern(3000))?;
                tree::put(&folder.join("beside"), b"not signed")?;
                let bundle = self.bundle("one-custos");
                let words = sign(&model, &["--key", text(&secret), "--oms"], &bundle);
                self.custos.ok(words)?;
                let check = || verify(&model, &["--key", text(&public)], &bundle);
                self.custos.ok(check())?;
                let words = ["verify", "key", "--public_key", text(&public)];
                refuses(self.reference(&words, &bundle, &model))?;
                let inside = [&words[..], &["--ignore_unsigned_files"]].concat();
                self.reference(&inside, &bundle, &folder)?;
                tree::put(&model, &tree::pattern(3001))?;
                self.custos.answers(&[Answer::No], check())?;
                refuses(self.reference(&inside, &bundle, &folder))
            },
        );
    }

    /// Folders that must not be signed at all.
    fn hostile_folders(&self, suite: &mut Suite) {
        let secret = self.key("p256.pem");
        let refuse = |name: &str, fill: &dyn Fn(&Path) -> Result<()>| -> Result<()> {
            let model = self.scratch.join(&format!("hostile-{name}"));
            fs::create_dir_all(&model)?;
            fill(&model)?;
            let bundle = self.bundle(&format!("hostile-{name}"));
            let words = sign(&model, &["--key", text(&secret)], &bundle);
            self.custos.answers(&[Answer::No, Answer::Usage], words)?;
            ensure!(!bundle.exists(), "a bundle was written all the same");
            Ok(())
        };
        suite.check("a link out of the folder is not signed", || {
            refuse("link", &|model| {
                tree::put(&model.join("file"), b"x")?;
                Ok(std::os::unix::fs::symlink(
                    "/etc/passwd",
                    model.join("link"),
                )?)
            })
        });
        suite.check("a loop of links is not signed", || {
            refuse("loop", &|model| {
                tree::put(&model.join("file"), b"x")?;
                Ok(std::os::unix::fs::symlink(".", model.join("loop"))?)
            })
        });
        suite.check("an empty folder is not signed", || {
            refuse("empty", &|_| Ok(()))
        });
        suite.check("a folder of only ignored files is not signed", || {
            refuse("ignored", &|model| {
                tree::write(model, &tree::ignored_files())
            })
        });
    }

    /// Every change must be rejected by both, under a signature of either.
    fn changes(&self, suite: &mut Suite, kind: &str, changes: &[tree::Change]) {
        let public = self.key("p256.pub");
        let mut jobs = Vec::new();
        for (number, change) in changes.iter().enumerate() {
            suite.check(&format!("custos rejects: {}", change.name), || {
                let model = self.scratch.join(&format!("{kind}-{number}"));
                tree::write(&model, &tree::model_files())?;
                (change.apply)(&model)?;
                for signer in ["custos-p256", "reference-p256"] {
                    let bundle = self.bundle(signer);
                    jobs.push(job("verify", &model, &bundle, &public));
                    let words = verify(&model, &["--key", text(&public)], &bundle);
                    self.custos.answers(&[Answer::No], words)?;
                }
                Ok(())
            });
        }
        suite.check(&format!("reference rejects all changes of {kind}"), || {
            // The unchanged model stands among them, to see that it is the change that counts.
            let good = job(
                "verify",
                &self.model(),
                &self.bundle("custos-p256"),
                &public,
            );
            jobs.push(good);
            let answers = self.batch(&jobs)?;
            let (unchanged, rest) = answers.split_last().context("there are jobs")?;
            ensure!(unchanged == "ok", "the unchanged model: {unchanged}");
            ensure!(rest.len() == changes.len() * 2, "a change was not tried");
            match rest.iter().position(|answer| answer == "ok") {
                Some(index) => bail!("it accepts {}", changes[index / 2].name),
                None => Ok(()),
            }
        });
    }
}

/// A job of `oms_batch.py`.
fn job(what: &str, model: &Path, bundle: &Path, key: &Path) -> Value {
    json!({"do": what, "model": model, "signature": bundle, "key": key})
}

/// The words of `custos sign`.
fn sign<'a>(model: &'a Path, with: &[&'a str], bundle: &'a Path) -> Vec<&'a str> {
    let mut words = vec!["sign", text(model), "--bundle", text(bundle)];
    words.extend(with);
    words
}

/// The words of `custos verify`. What the reference client signs is in no log.
fn verify<'a>(model: &'a Path, with: &[&'a str], bundle: &'a Path) -> Vec<&'a str> {
    let mut words = vec![
        "verify",
        text(model),
        "--bundle",
        text(bundle),
        "--allow-unlogged",
    ];
    words.extend(with);
    words
}

/// The secret and the public key that `keys generate --output-prefix` wrote.
pub fn key_files(prefix: &Path) -> Result<(PathBuf, PathBuf)> {
    let (secret, public) = (prefix.with_extension("key"), prefix.with_extension("pub"));
    ensure!(
        secret.is_file() && public.is_file(),
        "no keys at {}",
        prefix.display()
    );
    Ok((secret, public))
}

/// Paths of the suites are ASCII.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap_or("a path that is not text")
}

fn refuses(outcome: Result<()>) -> Result<()> {
    match outcome {
        Ok(()) => bail!("the reference accepts it"),
        Err(error) if format!("{error:#}").contains("Verification failed") => Ok(()),
        Err(error) => Err(error),
    }
}

fn ensure_ok(answers: &[String]) -> Result<()> {
    for answer in answers {
        ensure!(answer == "ok", "reference: {answer}");
    }
    Ok(())
}

fn merge(job: &mut Value, extra: &Value) {
    if let (Some(job), Some(extra)) = (job.as_object_mut(), extra.as_object()) {
        job.extend(extra.clone());
    }
}
