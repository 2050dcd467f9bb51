//! Container registries on loopback, and what is put into them: Debian's, which has no referrers
//! API, and one that has.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::lab::{Server, free_port};
use crate::peers::Installed;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Who may use the private registry.
pub const USER: (&str, &str) = ("carla", "geheim");
/// The same, as the registry reads it (bcrypt).
const HTPASSWD: &str = "carla:$2y$05$abcdefghijklmnopqrstuuVWu8RjbNovPZWAMRdd7iqaaG0mI53Uu\n";
/// The same, as HTTP carries it.
const BASIC: &str = "Y2FybGE6Z2VoZWlt";

/// A running registry.
pub struct Registry {
    port: u16,
    private: bool,
    // Ended when this goes.
    _server: Server,
}

impl Registry {
    /// Starts a registry that keeps everything in `folder`.
    pub fn start(peer: &Installed, folder: &Path, private: bool) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let port = free_port()?;
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
             delete: {{enabled: true}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
            folder.join("data").display()
        );
        if private {
            let users = folder.join("htpasswd");
            fs::write(&users, HTPASSWD)?;
            let users = users.display();
            config += format!("auth:\n  htpasswd: {{realm: test, path: {users}}}\n").as_str();
        }
        let file = folder.join("config.yml");
        fs::write(&file, config)?;
        let mut command = Command::new(peer.folder().join("usr/bin/docker-registry"));
        command.arg("serve").arg(&file);
        Ok(Self {
            port,
            private,
            _server: Server::start(&mut command, &folder.join("log"), port)?,
        })
    }

    /// Starts a registry with the referrers API, which keeps everything in memory.
    pub fn with_referrers(peer: &Installed, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let port = free_port()?;
        let mut command = Command::new(peer.folder().join("referrers"));
        command.arg(format!("127.0.0.1:{port}"));
        Ok(Self {
            port,
            private: false,
            _server: Server::start(&mut command, &folder.join("log"), port)?,
        })
    }

    /// Host and port.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Pushes an image of one layer, and returns its name by digest.
    pub fn image(&self, repository: &str, tag: &str, content: &str) -> Result<String> {
        let descriptor = self.push(repository, Some(tag), ("amd64", content))?;
        self.name(repository, &descriptor)
    }

    /// Pushes an index over images for several architectures, and returns its name and theirs.
    pub fn index(
        &self,
        repository: &str,
        tag: &str,
        platforms: &[(&str, &str)],
    ) -> Result<(String, Vec<String>)> {
        let mut manifests = Vec::new();
        let mut names = Vec::new();
        for platform in platforms {
            let mut descriptor = self.push(repository, None, *platform)?;
            names.push(self.name(repository, &descriptor)?);
            descriptor["platform"] = json!({"os": "linux", "architecture": platform.0});
            manifests.push(descriptor);
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        let descriptor = self.put_manifest(repository, Some(tag), &index)?;
        Ok((self.name(repository, &descriptor)?, names))
    }

    fn push(
        &self,
        repository: &str,
        tag: Option<&str>,
        (architecture, content): (&str, &str),
    ) -> Result<Value> {
        let config = json!({"architecture": architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": []}});
        let config = self.put_blob(repository, CONFIG, config.to_string().as_bytes())?;
        let layer = self.put_blob(repository, LAYER, content.as_bytes())?;
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": [layer]});
        self.put_manifest(repository, tag, &manifest)
    }

    /// The name by digest of what a descriptor describes.
    pub fn name(&self, repository: &str, descriptor: &Value) -> Result<String> {
        let digest = descriptor["digest"].as_str().context("no digest")?;
        Ok(format!("{}/{repository}@{digest}", self.host()))
    }

    /// Pushes a blob, and returns its descriptor.
    pub fn put_blob(&self, repository: &str, kind: &str, bytes: &[u8]) -> Result<Value> {
        let descriptor = descriptor(kind, bytes);
        let begun = self.call(
            "POST",
            &format!("/v2/{repository}/blobs/uploads/"),
            ("", b""),
        )?;
        let location = begun.header("location").context("no location")?;
        // A URL, or a path.
        let target = match location.split_once(&self.host()) {
            Some((_, target)) => target,
            None => location,
        };
        ensure!(target.starts_with('/'), "an upload elsewhere: {location}");
        let sign = if target.contains('?') { '&' } else { '?' };
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        let target = format!("{target}{sign}digest={digest}");
        self.call("PUT", &target, ("application/octet-stream", bytes))?;
        Ok(descriptor)
    }

    /// Pushes a manifest under a tag or its digest, and returns its descriptor.
    pub fn put_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        document: &Value,
    ) -> Result<Value> {
        let kind = document["mediaType"].as_str().unwrap_or(MANIFEST);
        let descriptor = descriptor(kind, document.to_string().as_bytes());
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        self.put(repository, tag.unwrap_or(digest), document)?;
        Ok(descriptor)
    }

    /// Puts a manifest under a name.
    pub fn put(&self, repository: &str, name: &str, document: &Value) -> Result<()> {
        let kind = document["mediaType"].as_str().unwrap_or(MANIFEST);
        let target = format!("/v2/{repository}/manifests/{name}");
        self.call("PUT", &target, (kind, document.to_string().as_bytes()))
            .map(drop)
    }

    /// Lists the tags of a repository.
    pub fn tags(&self, repository: &str) -> Result<Value> {
        let answer = self.call("GET", &format!("/v2/{repository}/tags/list"), ("", b""))?;
        let answer: Value = serde_json::from_slice(&answer.body)?;
        Ok(answer["tags"].clone())
    }

    /// Gets a manifest.
    pub fn get(&self, repository: &str, name: &str) -> Result<Value> {
        let answer = self.call(
            "GET",
            &format!("/v2/{repository}/manifests/{name}"),
            ("", b""),
        )?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Gets a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> Result<Vec<u8>> {
        let answer = self.call(
            "GET",
            &format!("/v2/{repository}/blobs/{digest}"),
            ("", b""),
        )?;
        Ok(answer.body)
    }

    /// Removes a manifest.
    pub fn delete(&self, repository: &str, digest: &str) -> Result<()> {
        let target = format!("/v2/{repository}/manifests/{digest}");
        self.call("DELETE", &target, ("", b"")).map(drop)
    }

    fn call(&self, method: &str, target: &str, (kind, body): (&str, &[u8])) -> Result<Answer> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut head = format!(
            "{method} {target} HTTP/1.0\r\nHost: {}\r\nAccept: {MANIFEST}, {INDEX}\r\n\
             Content-Length: {}\r\n",
            self.host(),
            body.len()
        );
        if !kind.is_empty() {
            head += format!("Content-Type: {kind}\r\n").as_str();
        }
        if self.private {
            head += format!("Authorization: Basic {BASIC}\r\n").as_str();
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        stream.write_all(body)?;
        let mut bytes = Vec::new();
        stream.take(16 << 20).read_to_end(&mut bytes)?;
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .context("not an answer of HTTP")?;
        let (head, body) = bytes.split_at(end);
        let answer = Answer {
            head: String::from_utf8_lossy(head).into_owned(),
            body: body.get(4..).unwrap_or_default().to_vec(),
        };
        let status = answer.head.split(' ').nth(1).unwrap_or_default();
        ensure!(
            status.starts_with('2'),
            "{method} {target}: {}",
            answer.head
        );
        Ok(answer)
    }
}

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    let digest = hex::encode(Sha256::digest(bytes));
    json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len()})
}
