//! Signatures in the older form of cosign: layers under the tags `.sig` and `.att`, with what
//! vouches for them in annotations.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Desk, LIMIT, PREDICATE, tag};
use crate::custos::Answer;
use crate::lab::{IDENTITY, Lab, Server, free_port};
use crate::process::{self, Finished};
use crate::suites::oms::text;

const OLDER: &str = "--new-bundle-format=false";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// A log in the form of Rekor v1, and a trusted root that has it.
struct Rekor {
    url: String,
    root: PathBuf,
    _server: Server,
}

impl Desk {
    pub(super) fn cosign_signs_older(&self) -> Result<()> {
        let image = self.registry.image("older", "v1", "weights")?;
        let other = self.registry.image("older", "v2", "other weights")?;
        self.cosign_signs_image(&image, &[OLDER])?;
        let said = self.verify_theirs(Answer::Yes, &image, &["--format", "json"])?;
        let said: Value = serde_json::from_str(&said.stdout)?;
        let name = image.split('@').next().unwrap_or_default();
        ensure!(said["signedAs"] == name, "{said}");
        // The twin: the same signatures under the tag of another image.
        let list = self.registry.get("older", &tag(&image, ".sig"))?;
        self.registry.put("older", &tag(&other, ".sig"), &list)?;
        let said = self.verify_theirs(Answer::No, &other, &[])?;
        ensure!(said.stderr.contains("E0909"), "{}", said.words());
        self.cosign_verifies(false, &self.theirs, &other)
    }

    // The layer does not say its hash: that of the curve by cosign 3, SHA-256 by those before.
    pub(super) fn older_kinds(&self) -> Result<()> {
        for (kind, curve, hash) in [
            ("p384", "secp384r1", "sha384"),
            ("p521", "secp521r1", "sha512"),
        ] {
            let repository = format!("older-{kind}");
            let image = self.registry.image(&repository, "v1", "weights")?;
            let key = self.imported(kind, curve)?;
            let file = format!("{kind}.key");
            let sign = [
                "sign",
                "--yes",
                "--key",
                &file,
                "--use-signing-config=false",
            ];
            let more = ["--tlog-upload=false", OLDER, &image];
            self.cosign_ok(&[&sign[..], &more].concat())?;
            let verify = |expected| {
                let words = ["--key", text(&key), "--allow-unlogged"];
                self.verify(expected, &image, &words).map(drop)
            };
            verify(Answer::Yes)?;
            let cosign = |hash: &str| {
                let words = ["verify", "--insecure-ignore-tlog=true", "--key", text(&key)];
                let hash = format!("--signature-digest-algorithm={hash}");
                self.cosign_says(true, &[&words[..], &[&hash, &image]].concat())
            };
            cosign(hash)?;
            // As cosign 2 would have signed it.
            let at = tag(&image, ".sig");
            let mut list = self.registry.get(&repository, &at)?;
            let layer = list["layers"][0]["digest"].as_str().context("no layer")?;
            let payload = self.registry.blob(&repository, layer)?;
            let by_sha256 = self.openssl_signs(kind, &payload)?;
            list["layers"][0]["annotations"][SIGNATURE] = json!(by_sha256);
            self.registry.put(&repository, &at, &list)?;
            verify(Answer::Yes)?;
            cosign("sha256")?;
            // The twin: a signature by the same key of something else.
            let other = self.openssl_signs(kind, b"something else")?;
            list["layers"][0]["annotations"][SIGNATURE] = json!(other);
            self.registry.put(&repository, &at, &list)?;
            verify(Answer::No)?;
        }
        Ok(())
    }

    /// A key made by OpenSSL and imported by cosign; returns its public half.
    fn imported(&self, name: &str, curve: &str) -> Result<PathBuf> {
        let pem = self.scratch.file(&format!("{name}.pem"));
        let group = format!("ec_paramgen_curve:{curve}");
        let make = ["genpkey", "-algorithm", "EC", "-pkeyopt", &group];
        self.openssl(&[&make[..], &["-out", &pem]].concat())?;
        let import = [
            "import-key-pair",
            "--key",
            &pem,
            "--output-key-prefix",
            name,
        ];
        self.cosign_ok(&import)?;
        Ok(self.scratch.join(&format!("{name}.pub")))
    }

    fn openssl(&self, words: &[&str]) -> Result<Finished> {
        let mut command = Command::new("openssl");
        command.args(words).current_dir(self.scratch.path());
        process::run(&mut command, LIMIT)?.success()
    }

    fn openssl_signs(&self, key: &str, bytes: &[u8]) -> Result<String> {
        fs::write(self.scratch.join("to-sign"), bytes)?;
        let (key, out) = (format!("{key}.pem"), "signature.der");
        self.openssl(&["dgst", "-sha256", "-sign", &key, "-out", out, "to-sign"])?;
        Ok(STANDARD.encode(fs::read(self.scratch.join(out))?))
    }

    pub(super) fn custos_signs_older(&self) -> Result<()> {
        let image = self.registry.image("ours-older", "v1", "weights")?;
        let other = self.registry.image("ours-older", "v2", "other weights")?;
        // Beside one of cosign, which stays.
        self.cosign_signs_image(&image, &[OLDER])?;
        let signed = self.sign_ours(&image, &["--signature-tag"])?;
        let at = tag(&image, ".sig");
        ensure!(signed["signed"][0]["signatureTag"] == at, "{signed}");
        let list = self.registry.get("ours-older", &at)?;
        ensure!(list["layers"].as_array().map(Vec::len) == Some(2), "{list}");
        let cosign = |good, key: &PathBuf, image: &str| {
            let words = ["verify", OLDER, "--insecure-ignore-tlog=true", "--key"];
            self.cosign_says(good, &[&words[..], &[text(key), image]].concat())
        };
        cosign(true, &self.ours, &image)?;
        cosign(true, &self.theirs, &image)?;
        // And cosign adds to what Custos wrote.
        let second = self.registry.image("ours-older", "v3", "more weights")?;
        self.sign_ours(&second, &["--signature-tag"])?;
        self.cosign_signs_image(&second, &[OLDER])?;
        cosign(true, &self.ours, &second)?;
        cosign(true, &self.theirs, &second)?;
        // Without the bundle beside it Custos finds it as well.
        let none = json!({"schemaVersion": 2, "mediaType": super::INDEX, "manifests": []});
        self.registry.put("ours-older", &tag(&image, ""), &none)?;
        self.verify_ours(Answer::Yes, &image, &["--allow-unlogged"])?;
        // The twins: another image under the same signatures, and a changed one.
        self.registry
            .put("ours-older", &tag(&other, ".sig"), &list)?;
        cosign(false, &self.ours, &other)?;
        self.verify_ours(Answer::No, &other, &["--allow-unlogged"])?;
        let mut twin = list;
        let theirs = twin["layers"][0]["annotations"][SIGNATURE].clone();
        twin["layers"][1]["annotations"][SIGNATURE] = theirs;
        self.registry.put("ours-older", &at, &twin)?;
        cosign(false, &self.ours, &image)?;
        self.verify_ours(Answer::No, &image, &["--allow-unlogged"])?;
        // A key whose signatures those verifiers would take for bad ones.
        let kind = ["--kind", "p384", "--no-password"];
        self.custos
            .ok([&["keys", "generate", "larger"][..], &kind].concat())?;
        let image = format!("oci://{image}");
        let words = ["sign", &image, "--key", "larger", "--signature-tag"];
        self.custos.answers(&[Answer::Usage], words).map(drop)
    }

    // The log's promise (SET) stands in an annotation.
    pub(super) fn older_logged(&self) -> Result<()> {
        let rekor = self.rekor("rekor1", None)?;
        let image = self.registry.image("logged", "v1", "weights")?;
        let (root, key) = (text(&rekor.root), text(&self.theirs));
        let trust = ["--trusted-root", root];
        let words = |command, more: &[&'static str]| {
            let words = [command, "--yes", "--key", "theirs.key", OLDER];
            [&words[..], &["--use-signing-config=false"], &trust, more].concat()
        };
        let at = format!("--rekor-url={}", rekor.url);
        self.cosign_ok(&[&words("sign", &[])[..], &[&at, &image]].concat())?;
        let predicate = ["--type", PREDICATE, "--predicate", "predicate.json"];
        self.cosign_ok(&[&words("attest", &predicate)[..], &[&at, &image]].concat())?;
        for (ending, more, command) in [
            (".sig", &[][..], "verify"),
            (".att", &["--type", PREDICATE], "verify-attestation"),
        ] {
            let verify = |expected| {
                let words = [&["--key", key][..], &trust, more].concat();
                self.verify(expected, &image, &words)
            };
            let cosign = |good| {
                let words = [&[command, OLDER, "--key", key][..], &trust, more, &[&image]];
                self.cosign_says(good, &words.concat())
            };
            verify(Answer::Yes)?;
            cosign(true)?;
            // Without the trusted root nobody vouches for the log.
            self.verify(Answer::No, &image, &[&["--key", key][..], more].concat())?;
            // The twins: a promise about another index, and an entry of another signature.
            self.with_entry("logged", &tag(&image, ending), |entry| {
                entry["Payload"]["logIndex"] = json!(7);
                Ok(())
            })?;
            verify(Answer::No)?;
            cosign(false)?;
            self.with_entry("logged", &tag(&image, ending), |entry| {
                entry["Payload"]["logIndex"] = json!(0);
                let body = entry["Payload"]["body"].as_str().unwrap_or_default();
                let body =
                    String::from_utf8(STANDARD.decode(body)?)?.replacen("\":\"M", "\":\"N", 1);
                entry["Payload"]["body"] = json!(STANDARD.encode(body));
                Ok(())
            })?;
            verify(Answer::No)?;
            cosign(false)?;
        }
        Ok(())
    }

    /// Changes what the first layer under a tag says about its entry in a log.
    fn with_entry(
        &self,
        repository: &str,
        at: &str,
        change: impl Fn(&mut Value) -> Result<()>,
    ) -> Result<()> {
        let mut list = self.registry.get(repository, at)?;
        let annotation = &mut list["layers"][0]["annotations"][BUNDLE];
        let mut entry: Value = serde_json::from_str(annotation.as_str().context("no entry")?)?;
        change(&mut entry)?;
        *annotation = json!(entry.to_string());
        self.registry.put(repository, at, &list)
    }

    // A certificate, its chain, a timestamp and a promise of the log: all four annotations.
    pub(super) fn older_keyless(&self, lab: &Lab) -> Result<()> {
        let rekor = self.rekor("rekor1-lab", Some(lab))?;
        let image = self.registry.image("older-keyless", "v1", "weights")?;
        let config: Value = serde_json::from_slice(&fs::read(lab.file("signing_config.json"))?)?;
        let url = |services: &str| {
            let url = config[services][0]["url"].as_str();
            url.with_context(|| format!("no URL among {services}"))
        };
        let root = text(&rekor.root);
        self.cosign_ok(&[
            "sign",
            "--yes",
            OLDER,
            "--use-signing-config=false",
            "--identity-token",
            &lab.token(IDENTITY)?,
            "--fulcio-url",
            url("caUrls")?,
            "--timestamp-server-url",
            url("tsaUrls")?,
            "--rekor-url",
            &rekor.url,
            "--trusted-root",
            root,
            &image,
        ])?;
        let at = tag(&image, ".sig");
        let list = self.registry.get("older-keyless", &at)?;
        for name in [SIGNATURE, CERTIFICATE, BUNDLE, TIMESTAMP] {
            let there = list["layers"][0]["annotations"][name].is_string();
            ensure!(there, "{name}: {list}");
        }
        let issuer = lab.issuer();
        let verify = |expected, image: &str, identity: &str| {
            let who = ["--certificate-identity", identity];
            let by = ["--certificate-oidc-issuer", &issuer];
            let trust = ["--trusted-root", root];
            self.verify(expected, image, &[who, by, trust].concat())
                .map(drop)
        };
        verify(Answer::Yes, &image, IDENTITY)?;
        verify(Answer::No, &image, "somebody@example.com")?;
        let twin = self.twin("older-keyless", &image, list)?;
        verify(Answer::No, &twin, IDENTITY)
    }

    /// Another image, with all that vouches for a signature of the first one beside a payload that
    /// is about this one.
    fn twin(&self, repository: &str, image: &str, mut list: Value) -> Result<String> {
        let other = self.registry.image(repository, "v2", "other weights")?;
        let digest = |image: &'_ str| image.split('@').nth(1).unwrap_or_default().to_owned();
        let layer = list["layers"][0]["digest"].as_str().context("no layer")?;
        let payload = String::from_utf8(self.registry.blob(repository, layer)?)?;
        let payload = payload.replace(&digest(image), &digest(&other));
        let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
        let mut layer = self
            .registry
            .put_blob(repository, kind, payload.as_bytes())?;
        layer["annotations"] = list["layers"][0]["annotations"].clone();
        list["layers"] = json!([layer]);
        self.registry.put(repository, &tag(&other, ".sig"), &list)?;
        Ok(other)
    }

    /// Starts the stand-in for Rekor v1; what else its trusted root has is that of the lab.
    fn rekor(&self, name: &str, lab: Option<&Lab>) -> Result<Rekor> {
        let folder = self.scratch.join(name);
        fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let mut command = self.python.python();
        command.arg(&self.rekor).arg(&folder).arg(port.to_string());
        let server = Server::start(&mut command, &folder.join("log"), port)?;
        let url = format!("http://127.0.0.1:{port}");
        let public = folder.join("rekor1.pub");
        let log = format!(
            "--rekor=url={url},public-key={},start-time=2026-01-01T00:00:00Z",
            text(&public)
        );
        let root = folder.join("trusted_root.json");
        let out = format!("--out={}", text(&root));
        self.cosign_ok(&["trusted-root", "create", &log, &out])?;
        if let Some(lab) = lab {
            let read =
                |path: PathBuf| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
            let mut both = read(lab.file("trusted_root.json"))?;
            both["tlogs"] = read(root.clone())?["tlogs"].clone();
            fs::write(&root, both.to_string())?;
        }
        Ok(Rekor {
            url,
            root,
            _server: server,
        })
    }
}
