//! Keys that stay in a PKCS#11 token: `SoftHSM` holds them, Custos and the reference client of
//! OpenSSF Model Signing sign with them, and each verifies what the other signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::oms::text;
use super::{Run, peers, tree};
use crate::custos::{Answer, Custos, told};
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
    let Some([softhsm, reference]) = peers(run, suite, ["softhsm", "model-signing"]) else {
        return Ok(());
    };
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
    suite.check("a batch is one operation of the token", || {
        bench.batch(&softhsm)
    });
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
        let settings = scratch.join("softhsm2.conf");
        fs::write(
            &settings,
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
        let module = fs::canonicalize(softhsm.folder().join("usr/lib/softhsm/libsofthsm2.so"))?;
        let bench = Self {
            custos: Custos::new(place, &scratch)?
                .with_env("SOFTHSM2_CONF", settings)
                .with_env("PKCS11_MODULE_PATH", &module),
            reference,
            script: place.peer_file("hsm_keys.py"),
            module,
            scratch,
        };
        let mut make = Command::new(softhsm.folder().join("usr/bin/softhsm2-util"));
        make.args(["--module", text(&bench.module), "--init-token", "--free"])
            .args(["--label", TOKEN, "--pin", PIN, "--so-pin", "12345678"]);
        bench.run(&mut make)?.success()?;
        let pin = bench.scratch.join("pin");
        bench.script(&["generate", text(&bench.module), TOKEN, text(&pin)])?;
        for kind in ["p256", "p384", "p521", "ed25519", "rsa2048"] {
            let public = bench.custos.ok(["keys", "public", &bench.key(kind)])?;
            fs::write(bench.public(kind), public.stdout)?;
        }
        Ok(bench)
    }

    fn run(&self, command: &mut Command) -> Result<Finished> {
        command.env("SOFTHSM2_CONF", self.scratch.join("softhsm2.conf"));
        process::run(command, LIMIT)
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
        let bundle = self.scratch.file(&format!("{kind}.sig"));
        let key = self.key(kind);
        self.custos.ok([
            "sign",
            &self.scratch.file("model"),
            "--key",
            &key,
            "--bundle",
            &bundle,
        ])?;
        Ok(bundle)
    }

    fn folder(&self, kind: &str) -> Result<()> {
        let bundle = self.sign_folder(kind)?;
        let (model, public) = (self.scratch.file("model"), self.public(kind));
        let uri = self.key(kind);
        for key in [text(&public), &uri] {
            let words = ["verify", &model, "--key", key, "--bundle", &bundle];
            self.and_a_changed_one(|genuine| {
                let expected = if genuine { Answer::Yes } else { Answer::No };
                self.custos.answers(&[expected], words).map(drop)
            })?;
        }
        Ok(())
    }

    fn reference_verifies(&self, kind: &str) -> Result<()> {
        let bundle = self.sign_folder(kind)?;
        let (model, public) = (self.scratch.file("model"), self.public(kind));
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
        let bundle = self.scratch.file(&format!("reference-{kind}.sig"));
        let (model, public) = (self.scratch.file("model"), self.public(kind));
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
            self.custos.answers(&[expected], words).map(drop)
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
        let model = self.scratch.file("model");
        let (own, theirs) = (
            self.scratch.file("own-cert.sig"),
            self.scratch.file("their-cert.sig"),
        );
        self.custos.ok([
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
            self.custos
                .answers(&[expected], [&verify[..], &trust].concat())?;
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
            self.scratch.file("model.tar.gz"),
            self.scratch.file(&format!("{kind}.json")),
        );
        self.custos
            .ok(["sign", &file, "--key", &self.key(kind), "--bundle", &bundle])?;
        let public = self.public(kind);
        let other = self.scratch.file("softhsm2.conf");
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
            let words = ["verify", blob, "--key", text(&public), "--bundle", &bundle];
            self.custos.answers(&[expected], words)?;
        }
        Ok(())
    }

    // A spy between Custos and the token notes every call.
    fn batch(&self, softhsm: &Installed) -> Result<()> {
        let spy = fs::read_dir(softhsm.folder().join("usr/lib"))?
            .filter_map(|entry| Some(entry.ok()?.path().join("pkcs11-spy.so")))
            .find(|path| path.is_file())
            .context("there is no pkcs11-spy.so")?;
        let (list, proofs) = (self.scratch.file("list"), self.scratch.file("proofs"));
        let digest = |n: u32| hex::encode(Sha256::digest(n.to_be_bytes()));
        let lines = (0..1000).map(|n| format!("{}  artifact-{n}\n", digest(n)));
        fs::write(&list, lines.collect::<String>())?;
        let notes = self.scratch.join("notes");
        let key = self.key("p256");
        let sign = ["sign", &list, "--batch", &proofs, "--key", &key];
        let mut command = self.custos.command(sign);
        command
            .env("PKCS11_MODULE_PATH", &spy)
            .env("PKCS11SPY", &self.module)
            .env("PKCS11SPY_OUTPUT", &notes);
        told(
            process::run(&mut command, LIMIT)?,
            Answer::Yes,
            "1000 artifacts",
        )?;
        let notes = fs::read_to_string(notes)?;
        // `12: C_Sign`
        let calls = |name: &str| {
            let is_call = |line: &&str| line.split_once(": ").is_some_and(|(_, call)| call == name);
            notes.lines().filter(is_call).count()
        };
        ensure!(calls("C_OpenSession") > 0, "the spy has seen nothing");
        ensure!(
            (calls("C_SignInit"), calls("C_Login")) == (1, 1),
            "{} signatures, {} logins",
            calls("C_SignInit"),
            calls("C_Login")
        );
        let public = self.public("p256");
        for n in [0, 1, 511, 512, 999] {
            let digest = digest(n);
            let (artifact, proof) = (
                format!("sha256:{digest}"),
                format!("{proofs}/{digest}.json"),
            );
            let verify = [
                "verify",
                &artifact,
                "--bundle",
                &proof,
                "--key",
                text(&public),
            ];
            let part = format!("line {} of 1000", n + 1);
            told(self.custos.run(verify)?, Answer::Yes, &part)?;
        }
        let other = format!("sha256:{}", digest(1));
        let proof = format!("{proofs}/{}.json", digest(0));
        let verify = ["verify", &other, "--bundle", &proof, "--key", text(&public)];
        told(self.custos.run(verify)?, Answer::No, "E0106").map(drop)
    }

    fn pins(&self) -> Result<()> {
        let file = self.scratch.file("model.tar.gz");
        let bare = format!("pkcs11:token={TOKEN};object=p256");
        let (pin, wrong) = (self.scratch.file("pin"), self.scratch.file("wrong"));
        let sign = |key: &str, more: &[&str]| {
            let words = ["sign", &file, "--key", key];
            self.custos.run([&words[..], more].concat())
        };
        let answers = |expected, code: &str, done: Finished| -> Result<()> {
            let done = told(done, expected, code)?;
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
        let file = self.scratch.file("model.tar.gz");
        let pin = self.scratch.file("pin");
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
            told(self.custos.run(words)?, expected, code).context(name)?;
        }
        Ok(())
    }

    fn step(&self) -> Result<()> {
        let seen = self.scratch.file("seen");
        let script = format!("cat /proc/self/environ /proc/$PPID/cmdline > {seen}");
        let key = format!("pkcs11:token={TOKEN};object=p256");
        let done = self.custos.ok([
            "run",
            "--name",
            "look",
            "--product",
            &seen,
            "--key",
            &key,
            "--password-file",
            &self.scratch.file("pin"),
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
