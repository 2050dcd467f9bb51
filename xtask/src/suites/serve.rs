//! `custos trust init` and `custos serve` in place of a Sigstore: clients that know nothing of
//! Custos sign with it; what they made holds for all, and changed by one letter for nobody. Then
//! what a server meets: wrong tokens, requests twice, an end in the middle of work.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::Run;
use super::clients::{Clients, Services};
use super::oms::text;
use crate::custos::{Answer, Custos};
use crate::lab::{self, IDENTITY, Issuer, Server};
use crate::peers::Peer;
use crate::place::Scratch;
use crate::tally::Suite;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let cosign = match Peer::named("cosign")?.ensure(run.place) {
        Ok(cosign) => cosign.folder().join("cosign"),
        Err(error) => {
            suite.skip("peer:cosign", &format!("{error:#}"));
            return Ok(());
        }
    };
    let issuer = Issuer::start(run.place)?;
    let mut team = Team::start(run, &issuer)?;
    let issuer_url = issuer.url();
    let (expired, other) = (
        issuer.token(IDENTITY, "&life=-5")?,
        issuer.token(IDENTITY, "&aud=other")?,
    );
    let services = Services {
        config: team.file("signing_config.json"),
        root: team.file("trusted_root.json"),
        trust_config: team.trust_config()?,
        issuer: issuer_url,
        token: Box::new(move || issuer.token(IDENTITY, "")),
    };
    let clients = Clients::new(run.place, services, cosign)?;
    clients.prepare()?;
    clients.agree(suite)?;
    suite.check("routes that are not public need a token", || {
        team.needs_tokens()
    });
    suite.check("the same request twice is one entry", || team.replayed());
    for (name, token) in [("an expired token", expired), ("a wrong audience", other)] {
        suite.check(&format!("{name} gets no certificate"), || {
            team.refuses(&token, &clients)
        });
    }
    suite.check("commands of the home record through the server", || {
        team.shares_its_log()
    });
    suite.check("a stop under load loses nothing", || team.stops());
    suite.check("a stopped server is no answer, and no signature", || {
        team.is_gone(&clients)
    });
    Ok(())
}

/// A home with an authority of its own, and its server.
struct Team {
    scratch: Scratch,
    custos: Custos,
    port: u16,
    server: Option<Server>,
}

impl Team {
    fn start(run: &Run<'_>, issuer: &Issuer) -> Result<Self> {
        let scratch = Scratch::new("team")?;
        let custos = Custos::new(run.place, &scratch)?;
        let port = lab::free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        let (password, tokens) = (scratch.join("password"), scratch.join("tokens"));
        fs::write(&password, "correct horse battery staple\n")?;
        fs::write(&tokens, format!("{TOKEN}\n"))?;
        let settings = format!("[[issuer]]\nurl = \"{}\"\ntype = \"email\"\n", issuer.url());
        fs::write(scratch.join("work").join("custos.toml"), settings)?;
        custos.ok([
            "trust",
            "init",
            "--url",
            &url,
            "--password-file",
            text(&password),
        ])?;
        // Nothing that is there is ever written over.
        custos.answers(
            &[Answer::Usage],
            [
                "trust",
                "init",
                "--url",
                &url,
                "--password-file",
                text(&password),
            ],
        )?;
        let mut serve = custos.command(["serve", "--token-file", text(&tokens)]);
        let server = Server::start(&mut serve, &scratch.join("serve.log"), port)?;
        Ok(Self {
            scratch,
            custos,
            port,
            server: Some(server),
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.join("home").join("trust").join(name)
    }

    fn trust_config(&self) -> Result<PathBuf> {
        let read = |name: &str| -> Result<Value> {
            Ok(serde_json::from_slice(&fs::read(self.file(name))?)?)
        };
        let both = json!({
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": read("trusted_root.json")?,
            "signingConfig": read("signing_config.json")?,
        });
        let file = self.scratch.join("trust_config.json");
        fs::write(&file, both.to_string())?;
        Ok(file)
    }

    fn size(&self) -> Result<u64> {
        let health: Value = serde_json::from_str(&lab::get(self.port, "/healthz")?)?;
        health["log_entries"].as_u64().context("it tells no size")
    }

    fn add(&self, token: &str, entry: &str) -> Result<(u16, String)> {
        let header = format!("Authorization: Bearer {token}\r\n");
        lab::call(self.port, "POST /add", &header, entry.as_bytes())
    }

    fn needs_tokens(&self) -> Result<()> {
        for what in ["POST /add", "GET /metrics"] {
            for header in [
                "",
                "Authorization: Bearer 0123456789abcdef0123456789abcdeg\r\n",
            ] {
                let (status, _) = lab::call(self.port, what, header, b"entry")?;
                ensure!(status == 401, "{what} answers {status}");
            }
        }
        let size = self.size()?;
        let (status, index) = self.add(TOKEN, "an entry")?;
        ensure!(
            status == 200 && index.parse() == Ok(size),
            "{status} {index}"
        );
        let header = format!("Authorization: Bearer {TOKEN}\r\n");
        let (status, metrics) = lab::call(self.port, "GET /metrics", &header, b"")?;
        ensure!(
            status == 200 && metrics.contains("custos_"),
            "{status} {metrics}"
        );
        Ok(())
    }

    fn replayed(&self) -> Result<()> {
        let first = self.add(TOKEN, "the same entry")?;
        let size = self.size()?;
        let again = self.add(TOKEN, "the same entry")?;
        ensure!(first == again, "{first:?} and {again:?}");
        ensure!(self.size()? == size, "the log grew");
        Ok(())
    }

    // By cosign, and by hand: Custos would not even send such a token.
    fn refuses(&self, token: &str, clients: &Clients) -> Result<()> {
        let (config, root) = clients.descriptions();
        let bundle = clients.scratch.join("refused.json");
        let artifact = clients.scratch.join("artifact");
        let done = clients.cosign(&[
            "sign-blob",
            "--yes",
            "--identity-token",
            token,
            "--signing-config",
            &config,
            "--trusted-root",
            &root,
            "--bundle",
            text(&bundle),
            text(&artifact),
        ])?;
        ensure!(!done.status.success(), "cosign signs");
        ensure!(!bundle.exists(), "there is a bundle");
        let body = json!({ "credentials": { "oidcIdentityToken": token } }).to_string();
        let header = "Content-Type: application/json\r\n";
        let what = "POST /api/v2/signingCert";
        let (status, said) = lab::call(self.port, what, header, body.as_bytes())?;
        ensure!(status == 401, "it answers {status}: {said}");
        let log = fs::read_to_string(self.scratch.join("serve.log"))?;
        for part in token.split('.') {
            ensure!(
                !said.contains(part) && !log.contains(part),
                "the token is repeated"
            );
        }
        let file = clients.scratch.join("refused.token");
        fs::write(&file, token)?;
        let words = [
            "sign",
            text(&artifact),
            "--identity-token",
            text(&file),
            "--signing-config",
            &config,
            "--trusted-root",
            &root,
            "--bundle",
            text(&bundle),
        ];
        let done = clients.custos.answers(&[Answer::No], words)?;
        ensure!(done.stderr.contains("E0721"), "{}", done.words());
        for part in token.split('.') {
            ensure!(!done.words().contains(part), "the token is repeated");
        }
        Ok(())
    }

    fn shares_its_log(&self) -> Result<()> {
        let file = self.scratch.join("work").join("model.bin");
        fs::write(&file, "weights")?;
        self.custos
            .ok(["keys", "generate", "team", "--no-password"])?;
        let size = self.size()?;
        self.custos.ok(["sign", "model.bin", "--key", "team"])?;
        ensure!(self.size()? == size + 1, "the log did not grow by one");
        self.custos.ok(["verify", "model.bin", "--key", "team"])?;
        // A second server has no log to serve.
        let done = self.custos.run(["serve", "--listen", "127.0.0.1:0"])?;
        ensure!(done.code() == Some(3), "{}", done.words());
        Ok(())
    }

    fn stops(&mut self) -> Result<()> {
        let server = self.server.take().context("it does not run")?;
        let (stop, known) = (AtomicBool::new(false), AtomicUsize::new(0));
        let mut acknowledged: Vec<(u64, String)> = Vec::new();
        let status = thread::scope(|scope| -> Result<_> {
            let callers: Vec<_> = (0..4)
                .map(|caller| {
                    let (this, stop, known) = (&*self, &stop, &known);
                    scope.spawn(move || {
                        let mut mine = Vec::new();
                        for number in 0.. {
                            let entry = format!("entry {caller} {number}");
                            // Once the server is gone, nothing is acknowledged any more.
                            let Ok((200, index)) = this.add(TOKEN, &entry) else {
                                break;
                            };
                            if let Ok(index) = index.parse() {
                                mine.push((index, entry));
                            }
                            known.fetch_add(1, Ordering::SeqCst);
                            if stop.load(Ordering::SeqCst) && number > 100_000 {
                                break;
                            }
                        }
                        mine
                    })
                })
                .collect();
            while known.load(Ordering::SeqCst) < 200 {
                thread::sleep(Duration::from_millis(5));
            }
            let status = server.terminate();
            stop.store(true, Ordering::SeqCst);
            for caller in callers {
                match caller.join() {
                    Ok(mine) => acknowledged.extend(mine),
                    Err(_) => bail!("a caller died"),
                }
            }
            status
        })?;
        ensure!(status.code() == Some(0), "it ended with {status}");
        ensure!(
            !self.scratch.join("home").join("serve.json").exists(),
            "it left its address"
        );
        self.custos.ok(["log", "fsck"])?;
        // The first, the last, and some between.
        let stride = (acknowledged.len() / 20).max(1);
        let last = acknowledged.iter().max().cloned();
        for (index, entry) in acknowledged.iter().step_by(stride).chain(&last) {
            let found = self.custos.ok(["log", "get", &index.to_string()])?;
            ensure!(
                found.stdout.contains(entry.as_str()),
                "entry {index} is another"
            );
        }
        Ok(())
    }

    fn is_gone(&self, clients: &Clients) -> Result<()> {
        let (config, root) = clients.descriptions();
        let artifact = clients.scratch.join("artifact");
        let token = clients.scratch.join("token");
        let bundle = clients.scratch.join("gone.json");
        let done = clients.custos.answers(
            &[Answer::Undecided],
            [
                "sign",
                text(&artifact),
                "--identity-token",
                text(&token),
                "--signing-config",
                &config,
                "--trusted-root",
                &root,
                "--bundle",
                text(&bundle),
            ],
        )?;
        ensure!(done.stderr.contains("E0722"), "{}", done.words());
        ensure!(!bundle.exists(), "there is a bundle");
        // The home itself goes on without its server.
        self.custos
            .ok(["sign", "model.bin", "--key", "team"])
            .map(drop)
    }
}
