//! cosign's encrypted key files, read and written, against other libraries than those of Custos:
//! scrypt of OpenSSL and secretbox of libsodium; and, where it is there, against cosign itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::oms::{key_files, text};
use super::{Run, tree};
use crate::custos::{Answer, Custos};
use crate::peers::{Installed, Peer};
use crate::place::Scratch;
use crate::process::{self, Finished};
use crate::tally::Suite;

const LIMIT: Duration = Duration::from_mins(2);
const PASSWORD: &str = "pass w\u{f6}rd";

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let peer = match Peer::named("cosign-key")?.ensure(run.place) {
        Ok(peer) => peer,
        Err(error) => {
            suite.skip("peer:cosign-key", &format!("{error:#}"));
            return Ok(());
        }
    };
    let scratch = Scratch::new("cosign")?;
    let custos = Custos::new(run.place, &scratch)?;
    let script = run.place.peer_file("cosign_key.py");
    let (password, wrong) = (scratch.join("password"), scratch.join("wrong"));
    // A password with a space, and a letter that is not ASCII; the newline is not part of it.
    fs::write(&password, format!("{PASSWORD}\n"))?;
    fs::write(&wrong, "password\n")?;
    tree::put(&scratch.join("model.bin"), b"weights")?;
    let desk = Desk {
        scratch,
        custos,
        peer,
        script,
        password,
        wrong,
    };
    for kind in ["p256", "p384", "p521", "ed25519"] {
        suite.check(&format!("{kind}: custos writes, others read"), || {
            desk.written(kind)
        });
        suite.check(&format!("{kind}: others write, custos signs"), || {
            desk.read(kind)
        });
    }
    match Peer::named("cosign")?.ensure(run.place) {
        Ok(cosign) => {
            let cosign = cosign.folder().join("cosign");
            suite.check("cosign makes a key, custos signs", || {
                desk.key_of_cosign(&cosign)
            });
            for kind in ["p256", "p384", "p521", "rsa2048"] {
                suite.check(&format!("{kind}: custos makes a key, cosign signs"), || {
                    desk.key_for_cosign(&cosign, kind)
                });
            }
        }
        Err(error) => suite.skip("peer:cosign", &format!("{error:#}")),
    }
    Ok(())
}

struct Desk {
    scratch: Scratch,
    custos: Custos,
    peer: Installed,
    script: PathBuf,
    password: PathBuf,
    wrong: PathBuf,
}

impl Desk {
    fn script(&self, words: &[&str]) -> Result<Finished> {
        let mut command = self.peer.python();
        process::run(command.arg(&self.script).args(words), LIMIT)?.success()
    }

    fn written(&self, kind: &str) -> Result<()> {
        let prefix = self.scratch.join(&format!("custos-{kind}"));
        let words = [
            "keys",
            "generate",
            "--kind",
            kind,
            "--output-prefix",
            text(&prefix),
        ];
        let password = ["--password-file", text(&self.password)];
        self.custos.ok(words.into_iter().chain(password))?;
        let (secret, public) = key_files(&prefix)?;
        let read = |password: &Path| self.script(&["decrypt", text(&secret), text(password)]);
        ensure!(
            read(&self.password)?.stdout == fs::read_to_string(public)?,
            "another key"
        );
        ensure!(read(&self.wrong).is_err(), "a wrong password opens it");
        Ok(())
    }

    fn read(&self, kind: &str) -> Result<()> {
        let model = self.scratch.join("model.bin");
        let secret = self.scratch.join(&format!("{kind}.key"));
        let public = self.scratch.join(&format!("{kind}.pub"));
        let password = text(&self.password);
        self.script(&["encrypt", kind, password, text(&secret), text(&public)])?;
        let bundle = self.scratch.join(&format!("{kind}.sig"));
        let sign = |password: &Path| {
            let mut command = vec!["sign", text(&model), "--key", text(&secret)];
            command.extend(["--bundle", text(&bundle), "--password-file"]);
            command
                .into_iter()
                .chain([text(password)])
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        self.custos.answers(&[Answer::No], sign(&self.wrong))?;
        ensure!(
            !bundle.exists(),
            "a bundle was written with a wrong password"
        );
        self.custos.ok(sign(&self.password))?;
        let verify = [
            "verify",
            text(&model),
            "--key",
            text(&public),
            "--bundle",
            text(&bundle),
        ];
        self.custos.ok(verify).map(drop)
    }

    fn cosign(&self, program: &Path, words: &[&str]) -> Result<Finished> {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(self.scratch.path())
            .env("HOME", self.scratch.path())
            .env("COSIGN_PASSWORD", PASSWORD);
        process::run(&mut command, LIMIT)
    }

    /// Both clients judge a bundle of `model.bin`, and the same for another file.
    fn both_verify(&self, cosign: &Path, public: &Path, bundle: &str) -> Result<()> {
        tree::put(&self.scratch.join("other.bin"), b"other weights")?;
        let bundle = self.scratch.join(bundle);
        for (file, genuine) in [("model.bin", true), ("other.bin", false)] {
            let words = ["verify-blob", "--insecure-ignore-tlog", file];
            let with = ["--key", text(public), "--bundle", text(&bundle)];
            let mut words = [&words[..], &with].concat();
            // Where a key is given, cosign takes SHA-256 for granted.
            let curves = [("p384.json", "sha384"), ("p521.json", "sha512")];
            let curve = curves.iter().find(|(end, _)| text(&bundle).ends_with(end));
            let hash = curve.map(|(_, hash)| format!("--signature-digest-algorithm={hash}"));
            words.extend(hash.as_deref());
            let done = self.cosign(cosign, &words)?;
            ensure!(done.status.success() == genuine, "{file}: {}", done.words());
            let file = self.scratch.join(file);
            let words = ["verify", text(&file), "--allow-unlogged"];
            let expected = if genuine { Answer::Yes } else { Answer::No };
            self.custos
                .answers(&[expected], words.into_iter().chain(with))?;
        }
        Ok(())
    }

    fn key_of_cosign(&self, cosign: &Path) -> Result<()> {
        let make = ["generate-key-pair", "--output-key-prefix", "theirs"];
        self.cosign(cosign, &make)?.success()?;
        let (key, public) = (
            self.scratch.join("theirs.key"),
            self.scratch.join("theirs.pub"),
        );
        let (model, bundle) = (
            self.scratch.join("model.bin"),
            self.scratch.join("own.json"),
        );
        let sign = |password: &Path| {
            [
                "sign",
                text(&model),
                "--key",
                text(&key),
                "--bundle",
                text(&bundle),
                "--password-file",
                text(password),
            ]
            .map(str::to_owned)
        };
        self.custos.answers(&[Answer::No], sign(&self.wrong))?;
        ensure!(!bundle.exists(), "signed with a wrong password");
        self.custos.ok(sign(&self.password))?;
        self.both_verify(cosign, &public, "own.json")
    }

    fn key_for_cosign(&self, cosign: &Path, kind: &str) -> Result<()> {
        let prefix = self.scratch.join(&format!("for-cosign-{kind}"));
        let make = ["keys", "generate", "--kind", kind, "--password-file"];
        let to = [text(&self.password), "--output-prefix", text(&prefix)];
        self.custos.ok(make.into_iter().chain(to))?;
        let (key, public) = key_files(&prefix)?;
        let bundle = format!("theirs-{kind}.json");
        let sign = ["sign-blob", "--key", text(&key), "--bundle", &bundle];
        let offline = ["--use-signing-config=false", "--tlog-upload=false", "--yes"];
        self.cosign(cosign, &[&sign[..], &offline, &["model.bin"]].concat())?
            .success()?;
        self.both_verify(cosign, &public, &bundle)
    }
}
