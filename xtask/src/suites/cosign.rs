//! cosign's encrypted key files, read and written, against other libraries than those of Custos:
//! scrypt of OpenSSL and secretbox of libsodium.

use std::fs;
use std::path::{Path, PathBuf};
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
    fs::write(&password, "pass w\u{f6}rd\n")?;
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
}
