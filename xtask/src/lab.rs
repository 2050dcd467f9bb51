//! A Sigstore of one's own on loopback: Fulcio, Rekor v2 and the timestamp authority as their
//! projects build them, with an OIDC issuer that gives tokens to anybody who asks.
//!
//! The certificate log that Fulcio needs is a stand-in (`xtask/peers/lab_servers.py`): the module
//! of the real one cannot be had from the Go proxy.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::peers::{Installed, Peer};
use crate::place::{Place, Scratch, Stopwatch};
use crate::process;

/// Time that a server has to accept its first connection.
const START: Duration = Duration::from_secs(30);
/// Time that one answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// Start of validity of everything in the trusted root.
const SINCE: &str = "2026-01-01T00:00:00Z";
const PASSWORD: &str = "lab";

/// Who asks for a certificate in the lab.
pub const IDENTITY: &str = "lab@example.com";

/// The running servers, and the files that describe them to clients.
#[derive(Debug)]
pub struct Lab {
    folder: Scratch,
    ports: Ports,
    // Ended when the lab goes.
    servers: Vec<(Part, Server)>,
}

/// A server of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Gives ID tokens.
    Issuer,
    /// Gives certificates.
    Fulcio,
    /// The log.
    Rekor,
    /// The timestamp authority.
    Tsa,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Fulcio => "fulcio",
            Self::Rekor => "rekor",
            Self::Tsa => "tsa",
        }
    }
}

/// The programs of the lab.
#[derive(Debug)]
pub struct Programs {
    fulcio: Installed,
    rekor: Installed,
    tsa: Installed,
    cosign: Installed,
    python: Installed,
}

impl Programs {
    /// Finds or installs them.
    pub fn ensure(place: &Place) -> Result<Self> {
        let peer = |name| Peer::named(name)?.ensure(place);
        Ok(Self {
            fulcio: peer("fulcio")?,
            rekor: peer("rekor-tiles")?,
            tsa: peer("timestamp-server")?,
            cosign: peer("cosign")?,
            python: peer("cosign-key")?,
        })
    }

    /// cosign.
    pub fn cosign(&self) -> PathBuf {
        self.cosign.folder().join("cosign")
    }
}

impl Lab {
    /// Starts everything.
    pub fn start(place: &Place, programs: &Programs) -> Result<Self> {
        let python = &programs.python;
        let folder = Scratch::new("lab")?;
        let mut make = python.python();
        make.arg(place.peer_file("lab_pki.py")).arg(folder.path());
        process::run(&mut make, ANSWER)?.success()?;

        let mut lab = Self {
            ports: Ports::free()?,
            folder,
            servers: Vec::new(),
        };
        for part in [Part::Issuer, Part::Fulcio, Part::Rekor, Part::Tsa] {
            lab.begin(part, place, programs)?;
        }
        lab.describe(&programs.cosign(), &lab.ports)?;
        Ok(lab)
    }

    /// Starts a server, where it was before if it was there.
    pub fn begin(&mut self, part: Part, place: &Place, programs: &Programs) -> Result<()> {
        let ports = &self.ports;
        let (mut command, at) = match part {
            Part::Issuer => {
                let mut issuer = programs.python.python();
                issuer
                    .arg(place.peer_file("lab_servers.py"))
                    .arg(self.folder.path())
                    .arg(ports.issuer.to_string());
                (issuer, ports.issuer)
            }
            Part::Fulcio => {
                let program = programs.fulcio.folder().join("fulcio");
                (self.fulcio(program, ports)?, ports.fulcio)
            }
            Part::Rekor => {
                let program = programs.rekor.folder().join("posix");
                (self.rekor(program, ports)?, ports.rekor)
            }
            Part::Tsa => {
                let program = programs.tsa.folder().join("timestamp-server");
                (self.tsa(program, ports), ports.tsa)
            }
        };
        let name = part.name();
        let log = self.folder.join(&format!("{name}.log"));
        let server =
            Server::start(&mut command, &log, at).with_context(|| format!("lab: {name}"))?;
        self.servers.push((part, server));
        Ok(())
    }

    /// Ends a server at once, as an outage does.
    pub fn end(&mut self, part: Part) {
        self.servers.retain(|(other, _)| *other != part);
    }

    /// A file of the lab: `trusted_root.json`, `signing_config.json`, `trust_config.json`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The token issuer's address.
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.issuer)
    }

    /// An ID token for `email`.
    pub fn token(&self, email: &str) -> Result<String> {
        let target = format!("/token?email={email}");
        get(self.ports.issuer, &target)
    }

    fn fulcio(&self, program: PathBuf, ports: &Ports) -> Result<Command> {
        let issuer = self.issuer();
        let config = format!(
            "oidc-issuers:\n  {issuer}:\n    issuer-url: {issuer}\n    client-id: sigstore\n    \
             type: email\n"
        );
        fs::write(self.file("fulcio.yaml"), config)?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--ca", "fileca", "--fileca-cert", "fulcio.pem"])
            .args([
                "--fileca-key",
                "fulcio.key",
                "--fileca-key-passwd",
                PASSWORD,
            ])
            .args(["--fileca-watch=false", "--config-path", "fulcio.yaml"])
            .args([
                "--ct-log-public-key-path",
                "ct.pub",
                "--ct-log-url",
                &issuer,
            ])
            .args(["--host", "127.0.0.1", "--port", &ports.fulcio.to_string()])
            .args(["--grpc-host", "127.0.0.1"])
            .args(["--grpc-port", &ports.spare[0].to_string()])
            .args(["--metrics-port", &ports.spare[1].to_string()])
            .arg("--legacy-unix-domain-socket")
            .arg(self.file("fulcio.sock"))
            .current_dir(self.folder.path());
        Ok(command)
    }

    fn rekor(&self, program: PathBuf, ports: &Ports) -> Result<Command> {
        fs::create_dir_all(self.file("rekor-data"))?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--storage-dir", "rekor-data"])
            .args([
                "--signer-filepath",
                "rekor.key",
                "--signer-password",
                PASSWORD,
            ])
            // Clients of Go take the host name of the log's address for its origin.
            .args(["--hostname", "127.0.0.1"])
            .args(["--http-port", &ports.rekor.to_string()])
            .args(["--grpc-port", &ports.spare[2].to_string()])
            .args(["--http-metrics-port", &ports.spare[3].to_string()])
            .args(["--checkpoint-interval", "1s", "--batch-max-age", "100ms"])
            .current_dir(self.folder.path());
        Ok(command)
    }

    fn tsa(&self, program: PathBuf, ports: &Ports) -> Command {
        let mut command = Command::new(program);
        command
            .args([
                "serve",
                "--host",
                "127.0.0.1",
                "--port",
                &ports.tsa.to_string(),
            ])
            .args([
                "--timestamp-signer",
                "file",
                "--file-signer-key-path",
                "tsa.key",
            ])
            .args(["--file-signer-passwd", PASSWORD])
            .args([
                "--certificate-chain-path",
                "tsa.pem",
                "--disable-ntp-monitoring",
            ])
            .current_dir(self.folder.path());
        command
    }

    // cosign itself writes what describes the lab.
    fn describe(&self, cosign: &Path, ports: &Ports) -> Result<()> {
        let at = |port: u16| format!("url=http://127.0.0.1:{port}");
        let stamps = format!("{}/api/v1/timestamp", at(ports.tsa));
        let cosign = |words: &[String]| -> Result<()> {
            let mut command = Command::new(cosign);
            command.args(words).current_dir(self.folder.path());
            process::run(&mut command, ANSWER)?.success()?;
            Ok(())
        };
        cosign(&[
            "trusted-root".to_owned(),
            "create".to_owned(),
            format!("--fulcio={},certificate-chain=fulcio.pem", at(ports.fulcio)),
            format!(
                "--ctfe={},public-key=ct.pub,start-time={SINCE}",
                at(ports.issuer)
            ),
            format!(
                "--rekor={},public-key=rekor.pub,start-time={SINCE},origin=127.0.0.1",
                at(ports.rekor)
            ),
            format!("--tsa={stamps},certificate-chain=tsa.pem"),
            "--out=trusted_root.json".to_owned(),
        ])?;
        let service = |url: String, version: u8| {
            format!("{url},api-version={version},start-time={SINCE},operator=lab")
        };
        cosign(&[
            "signing-config".to_owned(),
            "create".to_owned(),
            format!("--fulcio={}", service(at(ports.fulcio), 1)),
            format!("--rekor={}", service(at(ports.rekor), 2)),
            "--rekor-config=ANY".to_owned(),
            format!("--tsa={}", service(stamps, 1)),
            "--tsa-config=ANY".to_owned(),
            format!("--oidc-provider={}", service(at(ports.issuer), 1)),
            "--out=signing_config.json".to_owned(),
        ])?;
        let read = |name: &str| -> Result<Value> {
            Ok(serde_json::from_slice(&fs::read(self.file(name))?)?)
        };
        let both = json!({
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": read("trusted_root.json")?,
            "signingConfig": read("signing_config.json")?,
        });
        fs::write(self.file("trust_config.json"), both.to_string())?;
        Ok(())
    }
}

/// The ports of the lab, free when they were asked for.
#[derive(Debug)]
struct Ports {
    issuer: u16,
    fulcio: u16,
    rekor: u16,
    tsa: u16,
    spare: [u16; 4],
}

impl Ports {
    fn free() -> Result<Self> {
        // All are held at once, so that no two are the same.
        let held: Vec<TcpListener> = (0..8)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<Result<_, _>>()?;
        let port = |at: usize| Ok::<_, anyhow::Error>(held[at].local_addr()?.port());
        Ok(Self {
            issuer: port(0)?,
            fulcio: port(1)?,
            rekor: port(2)?,
            tsa: port(3)?,
            spare: [port(4)?, port(5)?, port(6)?, port(7)?],
        })
    }
}

/// The token issuer alone.
#[derive(Debug)]
pub struct Issuer {
    port: u16,
    // Both end with it.
    _server: Server,
    _folder: Scratch,
}

impl Issuer {
    /// Starts it.
    pub fn start(place: &Place) -> Result<Self> {
        let python = Peer::named("cosign-key")?.ensure(place)?;
        let folder = Scratch::new("issuer")?;
        let mut make = python.python();
        make.arg(place.peer_file("lab_pki.py")).arg(folder.path());
        process::run(&mut make, ANSWER)?.success()?;
        let port = free_port()?;
        let mut serve = python.python();
        serve
            .arg(place.peer_file("lab_servers.py"))
            .arg(folder.path())
            .arg(port.to_string());
        let server = Server::start(&mut serve, &folder.join("issuer.log"), port)?;
        Ok(Self {
            port,
            _server: server,
            _folder: folder,
        })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// An ID token for `email`; `more` are further words of the query, such as `&life=-5`.
    pub fn token(&self, email: &str, more: &str) -> Result<String> {
        get(self.port, &format!("/token?email={email}{more}"))
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// A server that ends with this value.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// Starts it with its output in `log`, and waits until it accepts connections on `port`.
    pub fn start(command: &mut Command, log: &Path, port: u16) -> Result<Self> {
        let output = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("it does not start")?;
        let mut server = Self(child);
        let clock = Stopwatch::start();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            let ended = server.0.try_wait()?;
            if ended.is_some() || clock.elapsed() > START {
                let words = fs::read_to_string(log).unwrap_or_default();
                bail!(
                    "it does not answer: {}",
                    crate::say::indented_tail(&words, 20)
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Asks it to end, as a supervisor does, and waits for that.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        let id = self.0.id().to_string();
        process::run(Command::new("kill").args(["-TERM", &id]), ANSWER)?.success()?;
        let clock = Stopwatch::start();
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            ensure!(clock.elapsed() < START, "it does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Gets a text from a server on loopback.
pub fn get(port: u16, target: &str) -> Result<String> {
    let (status, body) = call(port, &format!("GET {target}"), "", b"")?;
    ensure!(status == 200, "{target}: {status}");
    Ok(body)
}

/// Calls a server on loopback, and returns status and body of its answer. `what` is method and
/// target, `headers` end with a line break each.
pub fn call(port: u16, what: &str, headers: &str, body: &[u8]) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(
        stream,
        "{what} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("the answer is not of HTTP")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .context("the answer has no status")?;
    Ok((status, body.to_owned()))
}
