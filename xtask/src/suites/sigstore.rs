//! Bundles of the public Sigstore, verified offline with the trusted root that lies beside them,
//! by Custos and by the Python reference client; and bundles that neither may accept.
//!
//! A case is a folder of `testdata/sigstore` with `expect.json`:
//! `{"bundle", "artifact", "identity", "issuer", "trusted_root", "verdict": "ok"|"fail"}`, files
//! named relative to the folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::Run;
use super::oms::text;
use crate::custos::{Answer, Custos};
use crate::peers::Peer;
use crate::place::Scratch;
use crate::process;
use crate::tally::Suite;

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let scratch = Scratch::new("sigstore")?;
    let custos = Custos::new(run.place, &scratch)?;
    let cases = cases(&run.place.root.join("testdata/sigstore"))?;
    ensure!(
        cases.iter().any(|case| case.good),
        "no good bundle in testdata/sigstore"
    );
    ensure!(
        cases.iter().any(|case| !case.good),
        "no bad bundle in testdata/sigstore"
    );
    for case in &cases {
        suite.check(&format!("custos: {}", case.name), || {
            case.by_custos(&custos)
        });
    }
    let peer = match Peer::named("sigstore")?.ensure(run.place) {
        Ok(peer) => peer,
        Err(error) => {
            suite.skip("peer:sigstore", &format!("{error:#}"));
            return Ok(());
        }
    };
    let mut command = peer.python();
    command.arg(run.place.peer_file("sigstore_verify.py"));
    for case in &cases {
        command.arg(case.folder.join("expect.json"));
    }
    let done = process::run(&mut command, Duration::from_mins(2))?.success()?;
    let answers: Vec<String> = serde_json::from_str(&done.stdout)?;
    ensure!(answers.len() == cases.len(), "not one answer for each case");
    for (case, answer) in cases.iter().zip(&answers) {
        suite.check(&format!("sigstore-python: {}", case.name), || {
            match (case.good, answer.as_str()) {
                (true, "ok") => Ok(()),
                (false, "ok") => bail!("the reference accepts it"),
                (true, error) => bail!("the reference rejects it: {error}"),
                (false, _) => Ok(()),
            }
        });
    }
    Ok(())
}

struct Case {
    name: String,
    folder: PathBuf,
    expect: Value,
    good: bool,
}

impl Case {
    fn text(&self, key: &str) -> Result<&str> {
        self.expect
            .get(key)
            .and_then(Value::as_str)
            .with_context(|| format!("{}/expect.json has no `{key}`", self.name))
    }

    fn file(&self, key: &str) -> Result<PathBuf> {
        let path = self.folder.join(self.text(key)?);
        ensure!(path.is_file(), "{} is not there", path.display());
        Ok(path)
    }

    fn by_custos(&self, custos: &Custos) -> Result<()> {
        let (artifact, bundle, root) = (
            self.file("artifact")?,
            self.file("bundle")?,
            self.file("trusted_root")?,
        );
        let words = [
            "verify",
            text(&artifact),
            "--bundle",
            text(&bundle),
            "--trusted-root",
            text(&root),
            "--certificate-identity",
            self.text("identity")?,
            "--certificate-oidc-issuer",
            self.text("issuer")?,
        ];
        let expected: &[Answer] = if self.good {
            &[Answer::Yes]
        } else {
            &[Answer::No]
        };
        custos.answers(expected, words).map(drop)
    }
}

fn cases(dir: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("{} is not there", dir.display()))? {
        let folder = entry?.path();
        let Ok(bytes) = fs::read(folder.join("expect.json")) else {
            continue;
        };
        let expect: Value = serde_json::from_slice(&bytes)
            .with_context(|| format!("{}/expect.json", folder.display()))?;
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut case = Case {
            name,
            folder,
            expect,
            good: false,
        };
        case.good = match case.text("verdict")? {
            "ok" => true,
            "fail" => false,
            other => bail!("{}: no verdict `{other}`", case.name),
        };
        cases.push(case);
    }
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(cases)
}
