//! Keys in AWS KMS, as far as moto is one: the command line signs with them, cosign and Custos
//! verify, and a step that is run does not see the credentials.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Run;
use crate::custos::{Answer, Custos, answer, told};
use crate::peers::{Installed, Peer};
use crate::place::Scratch;
use crate::process::{self, Finished};
use crate::servers::Server;
use crate::tally::Suite;

const LIMIT: Duration = Duration::from_mins(2);
/// Makes a key and an alias for it, and prints the key's ARN.
const MAKE: &str = "
import boto3, json, sys
at = json.loads(sys.argv[1])
kms = boto3.client('kms', region_name='us-east-1', endpoint_url=at['url'],
                   aws_access_key_id=at['key'], aws_secret_access_key=at['secret'])
key = kms.create_key(KeySpec=sys.argv[2], KeyUsage='SIGN_VERIFY')['KeyMetadata']
kms.create_alias(AliasName='alias/' + sys.argv[3], TargetKeyId=key['KeyId'])
print(key['Arn'])
";

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let started = Peer::named("moto")?
        .ensure(run.place)
        .and_then(|peer| Ok((peer, Server::moto(run.place)?)));
    let (peer, moto) = match started {
        Ok(started) => started,
        Err(error) => {
            suite.skip("peer:moto", &format!("{error:#}"));
            return Ok(());
        }
    };
    let scratch = Scratch::new("kms")?;
    fs::write(scratch.join("model.tar.gz"), vec![7_u8; 100_000])?;
    fs::write(scratch.join("other.tar.gz"), vec![8_u8; 100_000])?;
    let bench = Bench {
        custos: Custos::new(run.place, &scratch)?,
        cosign: Peer::named("cosign")?.ensure(run.place).ok(),
        at: serde_json::from_str(&moto.described).context("moto says nothing of itself")?,
        described: moto.described.clone(),
        peer,
        scratch,
    };
    for (spec, name) in [
        ("ECC_NIST_P256", "p256"),
        ("ECC_NIST_P384", "p384"),
        ("RSA_2048", "rsa"),
    ] {
        suite.check(&format!("{spec}: signs, and others verify"), || {
            bench.signs(spec, name)
        });
    }
    suite.check("credentials stay out of steps and answers", || {
        bench.secrets()
    });
    suite.check("what the service refuses is not signed", || {
        bench.refusals()
    });
    Ok(())
}

struct Bench {
    scratch: Scratch,
    custos: Custos,
    cosign: Option<Installed>,
    peer: Installed,
    at: Value,
    described: String,
}

impl Bench {
    fn command(&self, words: &[&str], secret: &str) -> Command {
        let mut command = self.custos.command(words);
        command
            .env(
                "AWS_ACCESS_KEY_ID",
                self.at["key"].as_str().unwrap_or_default(),
            )
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("AWS_REGION", "us-east-1")
            .env(
                "AWS_ENDPOINT_URL_KMS",
                self.at["url"].as_str().unwrap_or_default(),
            );
        command
    }

    fn secret(&self) -> &str {
        self.at["secret"].as_str().unwrap_or_default()
    }

    fn run(&self, words: &[&str]) -> Result<Finished> {
        process::run(&mut self.command(words, self.secret()), LIMIT)
    }

    fn make(&self, spec: &str, alias: &str) -> Result<String> {
        let mut python = self.peer.python();
        python.args(["-c", MAKE, &self.described, spec, alias]);
        let arn = process::run(&mut python, LIMIT)?.success()?.stdout;
        Ok(arn.trim().to_owned())
    }

    fn signs(&self, spec: &str, name: &str) -> Result<()> {
        let arn = self.make(spec, name)?;
        let public = self.scratch.file(&format!("{name}.pub"));
        let (file, bundle) = (
            self.scratch.file("model.tar.gz"),
            self.scratch.file(&format!("{name}.json")),
        );
        for key in [
            format!("awskms:///{arn}"),
            format!("awskms:///alias/{name}"),
        ] {
            let printed = self.run(&["keys", "public", &key])?.success()?.stdout;
            fs::write(&public, printed)?;
            let sign = ["sign", &file, "--key", &key, "--bundle", &bundle];
            self.run(&sign)?.success()?;
            for (blob, genuine) in [("model.tar.gz", true), ("other.tar.gz", false)] {
                let blob = self.scratch.file(blob);
                for with in [key.as_str(), &public] {
                    let words = ["verify", &blob, "--bundle", &bundle, "--key", with];
                    let done = self.run(&words)?;
                    let expected = if genuine { Answer::Yes } else { Answer::No };
                    ensure!(answer(&done)? == expected, "{}", done.words());
                }
                let Some(cosign) = self.cosign.as_ref().filter(|_| name != "p384") else {
                    continue;
                };
                let mut command = Command::new(cosign.folder().join("cosign"));
                command
                    .args(["verify-blob", "--key", &public, "--bundle", &bundle])
                    .args(["--insecure-ignore-tlog", &blob])
                    .env("HOME", self.scratch.path());
                let done = process::run(&mut command, LIMIT)?;
                ensure!(done.status.success() == genuine, "{}", done.words());
            }
        }
        Ok(())
    }

    fn secrets(&self) -> Result<()> {
        let arn = self.make("ECC_NIST_P256", "step")?;
        let (seen, bundles) = (self.scratch.file("seen"), self.scratch.file("bundles"));
        let script = format!("cat /proc/self/environ /proc/$PPID/cmdline > {seen}");
        let key = format!("awskms:///{arn}");
        let done = self
            .run(&[
                "run",
                "--name",
                "look",
                "--product",
                &seen,
                "--key",
                &key,
                "--bundles",
                &bundles,
                "--",
                "sh",
                "-c",
                &script,
            ])?
            .success()?;
        let mut shown = vec![
            done.words(),
            String::from_utf8_lossy(&fs::read(&seen)?).into(),
        ];
        for entry in fs::read_dir(&bundles)? {
            shown.push(fs::read_to_string(entry?.path())?);
        }
        ensure!(
            shown.iter().all(|text| !text.is_empty()),
            "nothing to look at"
        );
        for secret in [self.secret(), "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"] {
            ensure!(secret.len() > 8, "no secret to look for");
            ensure!(
                !shown.iter().any(|text| text.contains(secret)),
                "a secret is shown"
            );
        }
        Ok(())
    }

    fn refusals(&self) -> Result<()> {
        let (file, bundle) = (
            self.scratch.file("model.tar.gz"),
            self.scratch.file("refused.json"),
        );
        let key = "awskms:///alias/p256";
        let sign = |key: &str, secret: &str| {
            let words = ["sign", &file, "--key", key, "--bundle", &bundle];
            process::run(&mut self.command(&words, secret), LIMIT)
        };
        let told = |done: Finished, expected: Answer, code: &str| -> Result<()> {
            let done = told(done, expected, code)?;
            ensure!(!done.words().contains(self.secret()), "a secret is shown");
            Ok(())
        };
        let none = "awskms:///ffffffff-12ab-34cd-56ef-1234567890ab";
        told(sign(none, self.secret())?, Answer::Usage, "E0701")?;
        told(sign(key, "another secret")?, Answer::Undecided, "E0708")?;
        told(sign("awskms:///", self.secret())?, Answer::Usage, "E0707")?;
        let words = ["sign", &file, "--key", key, "--bundle", &bundle];
        let mut nowhere = self.command(&words, self.secret());
        nowhere.env("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9");
        told(
            process::run(&mut nowhere, LIMIT)?,
            Answer::Undecided,
            "E0709",
        )?;
        let mut unset = self.custos.command(words);
        unset
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_REGION", "us-east-1")
            .env("HOME", self.scratch.path());
        told(process::run(&mut unset, LIMIT)?, Answer::Usage, "E0710")?;
        ensure!(
            !std::path::Path::new(&bundle).exists(),
            "a bundle was written"
        );
        Ok(())
    }
}
