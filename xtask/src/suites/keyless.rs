//! Bundles made with a lab of real servers by every client there is, Custos among them, and
//! verified by all of them; and each bundle with one thing wrong, which nobody may accept. Then the
//! servers go away while Custos signs, and come back.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::Run;
use super::clients::{Clients, Services, run_cosign};
use super::oms::text;
use crate::custos::{Answer, Custos};
use crate::lab::{IDENTITY, Lab, Part, Programs};
use crate::place::Scratch;
use crate::tally::Suite;

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let programs = match Programs::ensure(run.place) {
        Ok(programs) => programs,
        Err(error) => {
            suite.skip("lab", &format!("{error:#}"));
            return Ok(());
        }
    };
    suite.check("what is signed while servers are away", || {
        outages(run, &programs)
    });
    let lab = Lab::start(run.place, &programs)?;
    let services = Services {
        config: lab.file("signing_config.json"),
        root: lab.file("trusted_root.json"),
        trust_config: lab.file("trust_config.json"),
        issuer: lab.issuer(),
        // It ends the servers when it goes.
        token: Box::new(move || lab.token(IDENTITY)),
    };
    let clients = Clients::new(run.place, services, programs.cosign())?;
    clients.prepare()?;
    // A first entry: the Python client cannot read bundles of cosign with the index 0.
    clients.sign_keyless("first")?;
    clients.agree(suite)
}

// Without the log everything waits, without the authority what a key signs; and what a certificate
// of some minutes signed does not, as no later time would do.
fn outages(run: &Run<'_>, programs: &Programs) -> Result<()> {
    let scratch = Scratch::new("outage")?;
    let mut signer = Signer {
        custos: Custos::new(run.place, &scratch)?,
        lab: Lab::start(run.place, programs)?,
        scratch,
    };
    let settings = "[signing]\npending_hours = 1\n";
    fs::write(signer.file("work/custos.toml"), settings)?;
    fs::write(signer.file("artifact"), "weights of a model\n")?;
    signer
        .custos
        .ok(["keys", "generate", "k", "--no-password"])?;
    signer.lab.end(Part::Rekor);
    signer.waits("keyless", &signer.keyless()?)?;
    signer.waits("key", &["--key", "k"].map(str::to_owned))?;
    signer.lab.end(Part::Tsa);
    signer.waits("unstamped", &["--key", "k"].map(str::to_owned))?;
    let refused = signer.sign("untimed", &signer.keyless()?);
    signer.custos.answers(&[Answer::Undecided], refused)?;
    ensure!(!signer.file("untimed").exists(), "a bundle without a time");
    signer
        .custos
        .answers(&[Answer::Undecided], ["log", "flush"])?;
    for part in [Part::Tsa, Part::Rekor] {
        signer.lab.begin(part, run.place, programs)?;
    }
    signer.custos.ok(["log", "flush"])?;
    let issuer = signer.lab.issuer();
    let identity = ["--certificate-identity", IDENTITY];
    let by = ["--certificate-oidc-issuer", &issuer];
    signer.holds(programs, "keyless", &[identity, by].concat())?;
    let key = signer.file("home/keys/k.pub");
    let key = ["--use-signed-timestamps", "--key", text(&key)];
    signer.holds(programs, "key", &key)?;
    signer.holds(programs, "unstamped", &key)
}

struct Signer {
    custos: Custos,
    lab: Lab,
    scratch: Scratch,
}

impl Signer {
    fn file(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    fn keyless(&self) -> Result<[String; 2]> {
        let token = self.file("token");
        fs::write(&token, self.lab.token(IDENTITY)?)?;
        Ok(["--identity-token".to_owned(), text(&token).to_owned()])
    }

    fn sign(&self, bundle: &str, signer: &[String]) -> Vec<String> {
        let mut words = vec!["--format".to_owned(), "json".to_owned(), "sign".to_owned()];
        words.push(text(&self.file("artifact")).to_owned());
        words.extend_from_slice(signer);
        for (option, file) in [
            ("--signing-config", self.lab.file("signing_config.json")),
            ("--trusted-root", self.lab.file("trusted_root.json")),
            ("--bundle", self.file(bundle)),
        ] {
            words.extend([option.to_owned(), text(&file).to_owned()]);
        }
        words
    }

    fn waits(&self, bundle: &str, signer: &[String]) -> Result<()> {
        let done = self.custos.ok(self.sign(bundle, signer))?;
        let said: Value = serde_json::from_str(&done.stdout)?;
        ensure!(said["status"] == "pending", "{bundle}: {said}");
        Ok(())
    }

    // cosign has the last word.
    fn holds(&self, programs: &Programs, bundle: &str, expected: &[&str]) -> Result<()> {
        let (root, file) = (self.lab.file("trusted_root.json"), self.file(bundle));
        let artifact = self.file("artifact");
        let rest = [
            "--trusted-root",
            text(&root),
            "--bundle",
            text(&file),
            text(&artifact),
        ];
        let words = [&["verify-blob"], expected, &rest].concat();
        run_cosign(&programs.cosign(), self.scratch.path(), &words)?
            .success()
            .map(drop)
    }
}
