//! Keys in Secrets of Kubernetes, in cosign's layout: what Custos signs with one cosign verifies,
//! and the reverse.
//!
//! The API server is a real one where `KUBEBUILDER_ASSETS` names a folder with `kube-apiserver`
//! (etcd lies there too, or on the path); else a stand-in of the routes of Secrets, over TLS and in
//! JSON alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::oms::text;
use super::{Run, peers};
use crate::custos::{Answer, Custos, told};
use crate::lab::{Server, free_port};
use crate::peers::Installed;
use crate::place::{self, Place, Scratch};
use crate::process::{self, Finished};
use crate::tally::Suite;

const LIMIT: Duration = Duration::from_mins(2);
/// How often the cluster is asked until it has made its namespaces.
const TRIES: u32 = 120;
const KEY: &str = "k8s://default/cosign-key";

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let Some([cosign, python]) = peers(run, suite, ["cosign", "cosign-key"]) else {
        return Ok(());
    };
    let bench = Bench::new(run.place, cosign.folder().join("cosign"), &python)?;
    suite.check("a key is made in a Secret once", || bench.make());
    suite.check("custos signs, cosign verifies", || bench.custos_signs());
    suite.check("cosign signs, custos verifies", || bench.cosign_signs());
    if bench.is_real {
        suite.check("a key that cosign made", || bench.key_of_cosign());
    } else {
        let why = "KUBEBUILDER_ASSETS names none; a stand-in has taken its place";
        suite.skip("kube-apiserver", why);
    }
    suite.check("expected signers come from the settings", || {
        bench.settings()
    });
    suite.check("no secret reaches a step, an answer or a file", || {
        bench.secrets()
    });
    suite.check("what the cluster refuses is not signed", || {
        bench.refusals()
    });
    Ok(())
}

struct Bench {
    scratch: Scratch,
    custos: Custos,
    cosign: PathBuf,
    python: Installed,
    script: PathBuf,
    cluster: PathBuf,
    is_real: bool,
    // Ended when the bench goes.
    _servers: Vec<Server>,
}

impl Bench {
    fn new(place: &Place, cosign: PathBuf, python: &Installed) -> Result<Self> {
        let scratch = Scratch::new("kubernetes")?;
        let cluster = scratch.join("cluster");
        fs::create_dir_all(&cluster)?;
        let script = place.peer_file("k8s_secrets.py");
        let port = free_port()?;
        let mut pki = python.python();
        pki.arg(&script)
            .arg("pki")
            .arg(&cluster)
            .arg(port.to_string());
        process::run(&mut pki, LIMIT)?.success()?;
        let programs = place::kubernetes();
        let servers = if let Some((server, etcd)) = &programs {
            real(server, etcd, &cluster, port)?
        } else {
            let mut serve = python.python();
            serve.arg(&script).arg("serve");
            serve.arg(&cluster).arg(port.to_string());
            let log = cluster.join("server.log");
            vec![Server::start(&mut serve, &log, port)?]
        };
        fs::write(scratch.join("model.tar.gz"), vec![7_u8; 100_000])?;
        fs::write(scratch.join("other.tar.gz"), vec![8_u8; 100_000])?;
        Ok(Self {
            custos: Custos::new(place, &scratch)?
                .with_env("KUBECONFIG", cluster.join("kubeconfig")),
            scratch,
            cosign,
            python: python.clone(),
            script,
            cluster,
            is_real: programs.is_some(),
            _servers: servers,
        })
    }

    fn cosign(&self, words: &[&str]) -> Result<Finished> {
        let mut command = Command::new(&self.cosign);
        command
            .args(words)
            .current_dir(self.scratch.path())
            .env("KUBECONFIG", self.cluster.join("kubeconfig"))
            .env("HOME", self.scratch.path())
            .env("COSIGN_PASSWORD", "pa55word");
        process::run(&mut command, LIMIT)
    }

    // A new cluster has no namespace yet.
    fn make(&self) -> Result<()> {
        let words = ["keys", "generate", KEY];
        let mut done = self.custos.run(words)?;
        for _ in 0..TRIES {
            if done.status.success() {
                break;
            }
            thread::sleep(Duration::from_millis(500));
            done = self.custos.run(words)?;
        }
        done.success()?;
        told(self.custos.run(words)?, Answer::Usage, "E0008")?;
        let public = self.custos.ok(["keys", "public", KEY])?.stdout;
        fs::write(self.scratch.join("key.pub"), &public)?;
        let theirs = self.cosign(&["public-key", "--key", KEY])?.success()?;
        ensure!(
            theirs.stdout.trim() == public.trim(),
            "cosign reads another key"
        );
        Ok(())
    }

    fn custos_signs(&self) -> Result<()> {
        let file = self.scratch.file("model.tar.gz");
        let said = self.custos.ok(["sign", "--key", KEY, &file])?;
        ensure!(said.stdout.contains("log #0"), "no index: {}", said.words());
        ensure!(
            said.stdout.contains("file://"),
            "no entry: {}",
            said.words()
        );
        let bundle = format!("{file}.sigstore.json");
        let root = self.trusted_root(Path::new(&bundle))?;
        for (blob, genuine) in [("model.tar.gz", true), ("other.tar.gz", false)] {
            let verify = ["verify-blob", "--key", KEY, "--bundle", &bundle];
            for trust in ["--insecure-ignore-tlog", root.as_str()] {
                let done = self.cosign(&[&verify[..], &[trust, blob]].concat())?;
                ensure!(done.status.success() == genuine, "{blob}: {}", done.words());
            }
            let (expected, code) = if genuine {
                (Answer::Yes, "PASS")
            } else {
                (Answer::No, "E01")
            };
            let blob = self.scratch.file(blob);
            let verify = ["verify", &blob, "--bundle", &bundle, "--key", KEY];
            told(self.custos.run(verify)?, expected, code)?;
        }
        Ok(())
    }

    /// A trusted root with the home's log, for cosign.
    fn trusted_root(&self, bundle: &Path) -> Result<String> {
        let vkey = self.custos.ok(["log", "key"])?.stdout;
        let (name, rest) = vkey.trim().split_once('+').context("no verifier key")?;
        let raw = rest.split_once('+').context("no verifier key")?.1;
        let raw = STANDARD.decode(raw)?;
        // DER of an Ed25519 key, without the type byte of the note.
        let mut der = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".to_vec();
        der.extend(raw.get(1..).context("an empty key")?);
        let bundle: Value = serde_json::from_slice(&fs::read(bundle)?)?;
        let entry = &bundle["verificationMaterial"]["tlogEntries"][0];
        let root = json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": format!("https://{name}"),
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(der),
                    "keyDetails": "PKIX_ED25519",
                    "validFor": {"start": "2026-01-01T00:00:00Z"},
                },
                "logId": {"keyId": entry["logId"]["keyId"]},
            }],
        });
        let path = self.scratch.join("root.json");
        fs::write(&path, root.to_string())?;
        Ok(format!("--trusted-root={}", text(&path)))
    }

    fn cosign_signs(&self) -> Result<()> {
        let sign = [
            "sign-blob",
            "--key",
            KEY,
            "--use-signing-config=false",
            "--tlog-upload=false",
        ];
        let more = ["--bundle=theirs.json", "--yes", "model.tar.gz"];
        self.cosign(&[&sign[..], &more].concat())?.success()?;
        let (bundle, public) = (
            self.scratch.file("theirs.json"),
            self.scratch.file("key.pub"),
        );
        for key in [KEY, public.as_str()] {
            let verify = |blob: &str, more: &[&str]| {
                let blob = self.scratch.file(blob);
                let words = ["verify", &blob, "--bundle", &bundle, "--key", key];
                self.custos.run([&words[..], more].concat())
            };
            let unlogged = ["--allow-unlogged"];
            told(verify("model.tar.gz", &unlogged)?, Answer::Yes, "PASS")?;
            told(verify("other.tar.gz", &unlogged)?, Answer::No, "E01")?;
            told(verify("model.tar.gz", &[])?, Answer::No, "E01")?;
        }
        Ok(())
    }

    fn key_of_cosign(&self) -> Result<()> {
        let key = "k8s://default/theirs";
        self.cosign(&["generate-key-pair", key])?.success()?;
        let (file, bundle) = (
            self.scratch.file("model.tar.gz"),
            self.scratch.file("with-theirs.json"),
        );
        self.custos
            .ok(["sign", "--key", key, &file, "--bundle", &bundle])?;
        for (blob, genuine) in [("model.tar.gz", true), ("other.tar.gz", false)] {
            let verify = ["verify-blob", "--key", key, "--bundle", &bundle];
            let done = self.cosign(&[&verify[..], &["--insecure-ignore-tlog", blob]].concat())?;
            ensure!(done.status.success() == genuine, "{blob}: {}", done.words());
        }
        Ok(())
    }

    fn settings(&self) -> Result<()> {
        let file = self.scratch.file("model.tar.gz");
        let verify = || self.custos.run(["verify", file.as_str()]);
        told(verify()?, Answer::Usage, "E0110")?;
        let settings = format!(
            "[signing]\nkey = \"{KEY}\"\n[[signer]]\nname = \"release\"\nkey = \"{}\"\n",
            self.scratch.file("key.pub")
        );
        let path = self.scratch.join("work/custos.toml");
        fs::write(&path, settings)?;
        let outcome = self
            .custos
            .ok(["sign", &file])
            .and_then(|_| told(verify()?, Answer::Yes, "signed by release"));
        fs::remove_file(path)?;
        outcome.map(drop)
    }

    fn secrets(&self) -> Result<()> {
        let mut ask = self.python.python();
        ask.arg(&self.script)
            .arg("password")
            .arg(&self.cluster)
            .arg("cosign-key");
        let password = process::run(&mut ask, LIMIT)?.success()?.stdout;
        let token = fs::read_to_string(self.cluster.join("token"))?;
        let seen = self.scratch.file("seen");
        let script = format!("cat /proc/self/environ /proc/$PPID/cmdline > {seen}");
        let bundles = self.scratch.file("bundles");
        let run = [
            "run",
            "--name",
            "look",
            "--product",
            &seen,
            "--key",
            KEY,
            "--bundles",
            &bundles,
            "--",
            "sh",
            "-c",
            &script,
        ];
        let mut shown = vec![self.custos.ok(run)?.words().into_bytes(), fs::read(&seen)?];
        ensure!(
            shown.iter().all(|text| !text.is_empty()),
            "nothing to look at"
        );
        for entry in fs::read_dir(&bundles)? {
            shown.push(fs::read(entry?.path())?);
        }
        for secret in [password.trim(), token.trim(), "KUBECONFIG"] {
            ensure!(secret.len() > 8, "no secret to look for");
            let found = shown.iter().any(|text| {
                text.windows(secret.len())
                    .any(|part| part == secret.as_bytes())
            });
            ensure!(!found, "a secret is shown");
        }
        Ok(())
    }

    fn refusals(&self) -> Result<()> {
        let file = self.scratch.file("model.tar.gz");
        let bundle = self.scratch.file("refused.json");
        for (key, expected, code) in [
            ("k8s://default/none", Answer::Usage, "E0701"),
            ("k8s://default", Answer::Usage, "E0707"),
            ("env://COSIGN_KEY", Answer::Usage, "E0707"),
            ("gitlab://1", Answer::Usage, "E0707"),
            ("github://o/r", Answer::Usage, "E0707"),
        ] {
            let words = ["sign", &file, "--key", key, "--bundle", &bundle];
            told(self.custos.run(words)?, expected, code)?;
        }
        // The same cluster, to somebody whom it does not know; and one that is not there.
        let config = fs::read_to_string(self.cluster.join("kubeconfig"))?;
        let token = fs::read_to_string(self.cluster.join("token"))?;
        let stranger = config.replace(token.trim(), "not-the-token");
        let mut nowhere: Value = serde_json::from_str(&config)?;
        nowhere["clusters"][0]["cluster"]["server"] =
            format!("https://127.0.0.1:{}", free_port()?).into();
        for (config, code) in [(stranger, "E0708"), (nowhere.to_string(), "E0709")] {
            let path = self.scratch.join("other-kubeconfig");
            fs::write(&path, config)?;
            let words = ["sign", &file, "--key", KEY, "--bundle", &bundle];
            let mut command = self.custos.command(words);
            let done = process::run(command.env("KUBECONFIG", &path), LIMIT)?;
            told(done, Answer::Undecided, code)?;
        }
        ensure!(!Path::new(&bundle).exists(), "a bundle was written");
        Ok(())
    }
}

/// Starts etcd and the API server.
fn real(server: &Path, etcd: &Path, folder: &Path, port: u16) -> Result<Vec<Server>> {
    let (clients, peers) = (free_port()?, free_port()?);
    let [url, peer] = [clients, peers].map(|port| format!("http://127.0.0.1:{port}"));
    let file = |name: &str| text(&folder.join(name)).to_owned();
    let mut command = Command::new(etcd);
    command.current_dir(folder).args([
        format!("--data-dir={}", file("etcd-data")),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
    ]);
    let etcd = Server::start(&mut command, &folder.join("etcd.log"), clients)?;
    let mut command = Command::new(server);
    command.current_dir(folder).args([
        format!("--etcd-servers={url}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--tls-cert-file={}", file("server.pem")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--client-ca-file={}", file("ca.pem")),
        format!("--cert-dir={}", text(folder)),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("accounts.key")),
        format!(
            "--service-account-signing-key-file={}",
            file("accounts.key")
        ),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ]);
    let server = Server::start(&mut command, &folder.join("apiserver.log"), port)?;
    // The server first: without etcd it would complain for long.
    Ok(vec![server, etcd])
}
