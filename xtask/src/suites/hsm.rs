//! Keys that stay in a PKCS#11 token: `SoftHSM` holds them, Custos and the reference client of
//! OpenSSF Model Signing sign with them, and each verifies what the other signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::oms::text;
use super::{Run, tree};
use crate::custos::{Answer, Custos, answer};
use crate::peers::{Installed, Peer};
use crate::place::{Place, Scratch};
use crate::process::{self, Finished};
use crate::tally::Suite;

const LIMIT: Duration = Duration::from_mins(2);
const TOKEN: &str = "custos";
const PIN: &str = "73519204";
const SIGNER: &str = "signer@models.example";
/// Kinds that all clients know.
const CURVES: [&str; 3] = ["p256", "p384", "p521"];

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let mut peers = Vec::new();
    for name in ["softhsm", "model-signing"] {
        match Peer::named(name)?.ensure(run.place) {
            Ok(peer) => peers.push(peer),
            Err(error) => {
                suite.skip(&format!("peer:{name}"), &format!("{error:#}"));
                return Ok(());
            }
        }
    }
    let [softhsm, reference] = <[Installed; 2]>::try_from(peers)
        .map_err(|_| anyhow::anyhow!("not the two peers that were asked for"))?;
    let bench = Bench::new(run.place, &softhsm, reference)?;
    for kind in ["p256", "p384", "p521", "ed25519", "rsa2048"] {
        suite.check(
            &format!("{kind}: custos signs a folder in the token"),
            || bench.folder(kind),
        );
    }
    for kind in CURVES {
        suite.check(&format!("{kind}: the reference verifies custos"), || {
            bench.reference_verifies(kind)
        });
        suite.check(&format!("{kind}: custos verifies the reference"), || {
            bench.reference_signs(kind)
        });
        suite.check(&format!("{kind}: with a certificate"), || {
            bench.certificates(kind)
        });
    }
    match Peer::named("cosign")?.ensure(run.place) {
        Ok(cosign) => {
            let cosign = cosign.folder().join("cosign");
            for kind in ["p256", "p384", "p521", "rsa2048"] {
                suite.check(&format!("{kind}: cosign verifies a file"), || {
                    bench.cosign_verifies(&cosign, kind)
                });
            }
        }
        Err(error) => suite.skip("peer:cosign", &format!("{error:#}")),
    }
    suite.check("a PIN is tried once, and never shown", || bench.pins());
    suite.check("a key is found by its id, or refused", || bench.names());
    suite.check("a step does not see the PIN", || bench.step());
    Ok(())
}

struct Bench {
    scratch: Scratch,
    custos: Custos,
    reference: Installed,
    script: PathBuf,
    module: PathBuf,
}

impl Bench {
    fn new(place: &Place, softhsm: &Installed, reference: Installed) -> Result<Self> {
        let scratch = Scratch::new("hsm")?;
        let tokens = scratch.join("tokens");
        fs::create_dir_all(&tokens)?;
        fs::write(
            scratch.join("softhsm2.conf"),
            format!(
                "directories.tokendir = {}\nlog.level = ERROR\n",
                text(&tokens)
            ),
        )?;
        fs::write(scratch.join("pin"), format!("{PIN}\n"))?;
        // The reference takes a line break for part of the PIN.
        fs::write(scratch.join("bare-pin"), PIN)?;
        fs::write(scratch.join("wrong"), "00000000\n")?;
        fs::write(scratch.join("model.tar.gz"), vec![7_u8; 100_000])?;
        tree::write(&scratch.join("model"), &tree::model_files())?;
        let module = softhsm.folder().join("usr/lib/softhsm/libsofthsm2.so");
        let bench = Self {
            custos: Custos::new(place, &scratch)?,
            reference,
            script: place.peer_file("hsm_keys.py"),
            module: fs::canonicalize(module)?,
            scratch,
        };
        let mut make = Command::new(softhsm.folder().join("usr/bin/softhsm2-util"));
        make.args(["--module", text(&bench.module), "--init-token", "--free"])
            .args(["--label", TOKEN, "--pin", PIN, "--so-pin", "12345678"]);
        bench.run(&mut make)?.success()?;
        let pin = bench.scratch.join("pin");
        bench.script(&["generate", text(&bench.module), TOKEN, text(&pin)])?;
        for kind in ["p256", "p384", "p521", "ed25519", "rsa2048"] {
            let public = bench.ok(&["keys", "public", &bench.key(kind)])?;
            fs::write(bench.public(kind), public.stdout)?;
        }
        Ok(bench)
    }

    fn run(&self, command: &mut Command) -> Result<Finished> {
        command.env("SOFTHSM2_CONF", self.scratch.join("softhsm2.conf"));
        process::run(command, LIMIT)
    }

    fn custos(&self, words: &[&str]) -> Result<Finished> {
        let mut command = self.custos.command(words);
        command.env("PKCS11_MODULE_PATH", &self.module);
        self.run(&mut command)
    }

    fn ok(&self, words: &[&str]) -> Result<Finished> {
        self.custos(words)?.success()
    }

    fn answers(&self, expected: Answer, words: &[&str]) -> Result<Finished> {
        let done = self.custos(words)?;
        ensure!(answer(&done)? == expected, "{}", done.words());
        Ok(done)
    }

    fn script(&self, words: &[&str]) -> Result<Finished> {
        let mut command = self.reference.python();
        self.run(command.arg(&self.script).args(words))?.success()
    }

    fn reference(&self, words: &[&str]) -> Result<Finished> {
        let mut command = self.reference.python();
        self.run(command.args(["-m", "model_signing"]).args(words))
    }

    fn key(&self, name: &str) -> String {
        let pin = self.scratch.join("pin");
        format!(
            "pkcs11:token={TOKEN};object={name}?pin-source=file:{}",
            text(&pin)
        )
    }

    fn public(&self, kind: &str) -> PathBuf {
        self.scratch.join(&format!("{kind}.pub"))
    }

    fn file(&self, name: &str) -> String {
        text(&self.scratch.join(name)).to_owned()
    }

    /// Calls `judge` for the model, and for one with a byte changed.
    fn and_a_changed_one(&self, judge: impl Fn(bool) -> Result<()>) -> Result<()> {
        judge(true)?;
        let (path, _) = tree::model_files().into_iter().next().context("no files")?;
        let file = self.scratch.join("model").join(path);
        let before = fs::read(&file)?;
        let mut changed = before.clone();
        changed.push(0);
        fs::write(&file, changed)?;
        let judged = judge(false);
        fs::write(&file, before)?;
        judged.context("with a byte added")
    }

    fn sign_folder(&self, kind: &str) -> Result<String> {
        let bundle = self.file(&format!("{kind}.sig"));
        let key = self.key(kind);
        self.ok(&[
            "sign",
            &self.file("model"),
            "--key",
            &key,
            "--bundle",
            &bundle,
        ])?;
        Ok(bundle)
    }

    fn folder(&self, kind: &str) -> Result<()> {
        let bundle = self.sign_folder(kind)?;
        let (model, public) = (self.file("model"), self.public(kind));
        let uri = self.key(kind);
        for key in [text(&public), &uri] {
            let words = ["verify", &model, "--key", key, "--bundle", &bundle];
            self.and_a_changed_one(|genuine| {
                let expected = if genuine { Answer::Yes } else { Answer::No };
                self.answers(expected, &words).map(drop)
            })?;
        }
        Ok(())
    }

    fn reference_verifies(&self, kind: &str) -> Result<()> {
        let bundle = self.sign_folder(kind)?;
        let (model, public) = (self.file("model"), self.public(kind));
        let words = [
            "verify",
            "key",
            "--public_key",
            text(&public),
            "--signature",
            &bundle,
        ];
        self.and_a_changed_one(|genuine| {
            let done = self.reference(&[&words[..], &[model.as_str()]].concat())?;
            ensure!(done.status.success() == genuine, "{}", done.words());
            Ok(())
        })
    }

    // It finds no module by itself.
    fn reference_key(&self, kind: &str) -> String {
        let pin = self.scratch.join("bare-pin");
        let (pin, module) = (text(&pin), text(&self.module));
        format!("pkcs11:token={TOKEN};object={kind}?pin-source=file:{pin}&module-path={module}")
    }

    fn reference_signs(&self, kind: &str) -> Result<()> {
        let bundle = self.file(&format!("reference-{kind}.sig"));
        let (model, public) = (self.file("model"), self.public(kind));
        let uri = self.reference_key(kind);
        let sign = [
            "sign",
            "pkcs11-key",
            "--pkcs11_uri",
            &uri,
            "--signature",
            &bundle,
            &model,
        ];
        self.reference(&sign)?.success()?;
        let words = [
            "verify",
            &model,
            "--key",
            text(&public),
            "--bundle",
            &bundle,
            "--allow-unlogged",
        ];
        self.and_a_changed_one(|genuine| {
            let expected = if genuine { Answer::Yes } else { Answer::No };
            self.answers(expected, &words).map(drop)
        })
    }

    fn certificates(&self, kind: &str) -> Result<()> {
        let folder = self.scratch.join(&format!("certificates-{kind}"));
        fs::create_dir_all(&folder)?;
        self.script(&["certify", text(&self.public(kind)), text(&folder)])?;
        let [leaf, middle, root] = ["leaf.pem", "middle.pem", "root.pem"].map(|name| {
            let path = folder.join(name);
            text(&path).to_owned()
        });
        let model = self.file("model");
        let (own, theirs) = (self.file("own-cert.sig"), self.file("their-cert.sig"));
        self.ok(&[
            "sign",
            &model,
            "--key",
            &self.key(kind),
            "--bundle",
            &own,
            "--certificate",
            &leaf,
            "--certificate-chain",
            &middle,
        ])?;
        let verify = ["verify", &model, "--bundle", &own];
        let trust = [
            "--certificate-chain",
            &root,
            "--certificate-identity",
            SIGNER,
        ];
        let words = ["verify", "certificate", "--certificate_chain", &root];
        let bundle = ["--signature", &own, &model];
        self.and_a_changed_one(|genuine| {
            let expected = if genuine { Answer::Yes } else { Answer::No };
            self.answers(expected, &[&verify[..], &trust].concat())?;
            let done = self.reference(&[&words[..], &bundle].concat())?;
            ensure!(done.status.success() == genuine, "{}", done.words());
            Ok(())
        })?;
        // The reference puts DER where its own bundle type wants base64, and writes nothing.
        let done = self.reference(&[
            "sign",
            "pkcs11-certificate",
            "--pkcs11_uri",
            &self.reference_key(kind),
            "--signing_certificate",
            &leaf,
            "--certificate_chain",
            &middle,
            "--signature",
            &theirs,
            &model,
        ])?;
        ensure!(
            done.words().contains("validation error"),
            "it is mended: verify what it writes here: {}",
            done.words()
        );
        Ok(())
    }

    fn cosign_verifies(&self, cosign: &Path, kind: &str) -> Result<()> {
        let (file, bundle) = (
            self.file("model.tar.gz"),
            self.file(&format!("{kind}.json")),
        );
        self.ok(&["sign", &file, "--key", &self.key(kind), "--bundle", &bundle])?;
        let public = self.public(kind);
        let other = self.file("softhsm2.conf");
        for (blob, genuine) in [(&file, true), (&other, false)] {
            let mut command = Command::new(cosign);
            command
                .args(["verify-blob", "--key", text(&public), "--bundle", &bundle])
                .args(["--insecure-ignore-tlog", blob])
                .env("HOME", self.scratch.path());
            // cosign takes SHA-256 for granted where a key is given.
            match kind {
                "p384" => command.arg("--signature-digest-algorithm=sha384"),
                "p521" => command.arg("--signature-digest-algorithm=sha512"),
                _ => &mut command,
            };
            let done = self.run(&mut command)?;
            ensure!(done.status.success() == genuine, "{}", done.words());
            let expected = if genuine { Answer::Yes } else { Answer::No };
            self.answers(
                expected,
                &["verify", blob, "--key", text(&public), "--bundle", &bundle],
            )?;
        }
        Ok(())
    }

    fn pins(&self) -> Result<()> {
        let file = self.file("model.tar.gz");
        let bare = format!("pkcs11:token={TOKEN};object=p256");
        let (pin, wrong) = (self.file("pin"), self.file("wrong"));
        let sign = |key: &str, more: &[&str]| {
            let words = ["sign", &file, "--key", key];
            self.custos(&[&words[..], more].concat())
        };
        let answers = |expected, code: &str, done: Finished| -> Result<()> {
            ensure!(
                answer(&done)? == expected && done.stderr.contains(code),
                "{}",
                done.words()
            );
            ensure!(
                !done.words().contains(PIN),
                "the PIN is shown: {}",
                done.words()
            );
            Ok(())
        };
        answers(Answer::Usage, "E0704", sign(&bare, &[])?)?;
        answers(
            Answer::No,
            "E0703",
            sign(&bare, &["--password-file", &wrong])?,
        )?;
        let in_uri = format!("{bare}?pin-value={PIN}");
        answers(Answer::Usage, "E0707", sign(&in_uri, &[])?)?;
        answers(Answer::Yes, "", sign(&bare, &["--password-file", &pin])?)
    }

    fn names(&self) -> Result<()> {
        let file = self.file("model.tar.gz");
        let pin = self.file("pin");
        for (name, expected, code) in [
            ("object=twice", Answer::Usage, "E0707"),
            ("object=twice;id=%14", Answer::Yes, ""),
            ("id=%15", Answer::Yes, ""),
            ("object=nobody", Answer::Usage, "E0701"),
            ("object=p256;token=other", Answer::Usage, "E0701"),
        ] {
            let token = if name.contains("token=") {
                ""
            } else {
                "token=custos;"
            };
            let key = format!("pkcs11:{token}{name}");
            let words = ["sign", &file, "--key", &key, "--password-file", &pin];
            let done = self.answers(expected, &words)?;
            ensure!(done.stderr.contains(code), "{name}: {}", done.words());
        }
        Ok(())
    }

    fn step(&self) -> Result<()> {
        let seen = self.file("seen");
        let script = format!("cat /proc/self/environ /proc/$PPID/cmdline > {seen}");
        let key = format!("pkcs11:token={TOKEN};object=p256");
        let done = self.ok(&[
            "run",
            "--name",
            "look",
            "--product",
            &seen,
            "--key",
            &key,
            "--password-file",
            &self.file("pin"),
            "--",
            "sh",
            "-c",
            &script,
        ])?;
        let seen = fs::read(&seen)?;
        ensure!(!seen.is_empty(), "the step saw nothing");
        let shown = |bytes: &[u8]| bytes.windows(PIN.len()).any(|part| part == PIN.as_bytes());
        ensure!(
            !shown(&seen) && !shown(done.words().as_bytes()),
            "the PIN is shown"
        );
        Ok(())
    }
}
