//! Signatures in a container registry, both ways between Custos and cosign, each with a twin that
//! neither may accept: a moved tag, a removed referrer, the list of another image, an index and
//! its members, a private registry, and registries that fail.

mod older;
mod registry;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::oms::text;
use super::{Run, peers};
use crate::custos::{Answer, Custos};
use crate::lab::{IDENTITY, Lab, Programs};
use crate::peers::{Installed, Peer};
use crate::place::{Place, Scratch};
use crate::process::{self, Finished};
use crate::tally::Suite;
use registry::{BUNDLE, INDEX, MANIFEST, Registry, USER};

const LIMIT: Duration = Duration::from_mins(1);
const PREDICATE: &str = "https://example.com/evaluated";
const MODELPACK: &str = "application/vnd.cncf.model.manifest.v1+json";

/// A case: its name, and what it does.
type Case = (&'static str, fn(&Desk) -> Result<()>);

const CASES: [Case; 19] = [
    ("cosign signs, custos verifies", Desk::cosign_signs),
    (
        "cosign signs the older way, custos verifies",
        Desk::cosign_signs_older,
    ),
    (
        "older signatures with keys of every kind",
        Desk::older_kinds,
    ),
    (
        "older signatures and statements in Rekor v1",
        Desk::older_logged,
    ),
    (
        "custos signs the older way, cosign verifies",
        Desk::custos_signs_older,
    ),
    ("cosign attests, custos verifies", Desk::cosign_attests),
    ("custos signs, cosign verifies", Desk::custos_signs),
    ("custos attests, cosign verifies", Desk::custos_attests),
    ("a tampered bundle", Desk::tampered),
    ("a tag that was moved", Desk::tag_moved),
    ("a referrer that was removed", Desk::referrer_removed),
    ("the list of another image", Desk::foreign_list),
    ("an index and its members", Desk::index),
    ("a model of ModelPack", Desk::model),
    ("signatures by both, side by side", Desk::side_by_side),
    ("a file of that name is a file", Desk::names),
    ("a bundle at hand needs no registry", Desk::at_hand),
    ("a private registry", Desk::private),
    ("registries that fail", Desk::failing),
];

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let Some(found) = peers(run, suite, ["cosign", "registry", "cosign-key"]) else {
        return Ok(());
    };
    let desk = Desk::new(run.place, found)?;
    for (name, case) in CASES {
        suite.check(name, || case(&desk));
    }
    match Peer::named("referrers")?.ensure(run.place) {
        Ok(peer) => suite.check("a registry with the referrers API", || {
            desk.referrers(&Registry::with_referrers(
                &peer,
                &desk.scratch.join("referrers"),
            )?)
        }),
        Err(error) => suite.skip("peer:referrers", &format!("{error:#}")),
    }
    match Programs::ensure(run.place) {
        Ok(programs) => suite.check("cosign signs keyless, custos verifies", || {
            let lab = Lab::start(run.place, &programs)?;
            desk.keyless(&lab)?;
            desk.older_keyless(&lab)
        }),
        Err(error) => suite.skip("keyless", &format!("{error:#}")),
    }
    Ok(())
}

struct Desk {
    custos: Custos,
    cosign: PathBuf,
    peer: Installed,
    registry: Registry,
    python: Installed,
    /// The stand-in for Rekor v1.
    rekor: PathBuf,
    /// cosign's public key.
    theirs: PathBuf,
    /// Custos' public key.
    ours: PathBuf,
    scratch: Scratch,
}

impl Desk {
    fn new(place: &Place, [cosign, peer, python]: [Installed; 3]) -> Result<Self> {
        let scratch = Scratch::new("oci")?;
        let custos = Custos::new(place, &scratch)?;
        custos.ok(["keys", "generate", "ours", "--no-password"])?;
        let ours = scratch.join("ours.pub");
        fs::write(&ours, custos.ok(["keys", "public", "ours"])?.stdout)?;
        fs::write(scratch.join("predicate.json"), r#"{"score": 1}"#)?;
        let registry = Registry::start(&peer, &scratch.join("registry"), false)?;
        let desk = Self {
            custos,
            cosign: cosign.folder().join("cosign"),
            peer,
            registry,
            python,
            rekor: place.peer_file("rekor1.py"),
            theirs: scratch.join("theirs.pub"),
            ours,
            scratch,
        };
        desk.cosign_ok(&["generate-key-pair", "--output-key-prefix", "theirs"])?;
        Ok(desk)
    }

    fn cosign(&self, words: &[&str]) -> Result<Finished> {
        let mut command = Command::new(&self.cosign);
        command
            .args(words)
            .current_dir(self.scratch.path())
            // No configuration of the caller, and no trust root from the network.
            .env("HOME", self.scratch.path())
            .env_remove("DOCKER_CONFIG")
            .env("COSIGN_PASSWORD", "password");
        process::run(&mut command, LIMIT)
    }

    fn cosign_ok(&self, words: &[&str]) -> Result<Finished> {
        self.cosign(words)?.success().context("cosign")
    }

    /// cosign's verdict, by its exit status.
    fn cosign_says(&self, good: bool, words: &[&str]) -> Result<()> {
        let done = self.cosign(words)?;
        ensure!(done.status.success() == good, "cosign: {}", done.words());
        Ok(())
    }

    fn cosign_signs_image(&self, image: &str, more: &[&str]) -> Result<()> {
        let words = [
            &["sign", "--yes", "--key", "theirs.key"][..],
            &["--use-signing-config=false", "--tlog-upload=false"],
            more,
            &[image],
        ];
        self.cosign_ok(&words.concat()).map(drop)
    }

    fn cosign_verifies(&self, good: bool, key: &Path, image: &str) -> Result<()> {
        let words = [
            "verify",
            "--insecure-ignore-tlog=true",
            "--key",
            text(key),
            image,
        ];
        self.cosign_says(good, &words)
    }

    fn verify(&self, expected: Answer, image: &str, more: &[&str]) -> Result<Finished> {
        let image = format!("oci://{image}");
        let words = [&["verify", image.as_str()][..], more].concat();
        self.custos.answers(&[expected], words)
    }

    fn verify_theirs(&self, expected: Answer, image: &str, more: &[&str]) -> Result<Finished> {
        let key = ["--key", text(&self.theirs), "--allow-unlogged"];
        self.verify(expected, image, &[&key[..], more].concat())
    }

    fn verify_ours(&self, expected: Answer, image: &str, more: &[&str]) -> Result<Finished> {
        let key = ["--key", text(&self.ours)];
        self.verify(expected, image, &[&key[..], more].concat())
    }

    fn sign_ours(&self, image: &str, more: &[&str]) -> Result<Value> {
        let image = format!("oci://{image}");
        let words = [
            &["--format", "json", "sign", &image, "--key", "ours"][..],
            more,
        ];
        let done = self.custos.ok(words.concat())?;
        Ok(serde_json::from_str(&done.stdout)?)
    }

    fn cosign_signs(&self) -> Result<()> {
        let image = self.registry.image("theirs", "v1", "weights")?;
        let other = self.registry.image("theirs", "v2", "other weights")?;
        self.cosign_signs_image(&image, &[])?;
        self.verify_theirs(Answer::Yes, &image, &[])?;
        // The twins: nobody signed that one; somebody else is expected; a log is required.
        self.verify_theirs(Answer::No, &other, &[])?;
        self.verify(
            Answer::No,
            &image,
            &["--key", text(&self.ours), "--allow-unlogged"],
        )?;
        self.verify(Answer::No, &image, &["--key", text(&self.theirs)])?;
        self.verify(Answer::Usage, &image, &[]).map(drop)
    }

    fn cosign_attests(&self) -> Result<()> {
        for (repository, more) in [
            ("atts", &[][..]),
            ("old-atts", &["--new-bundle-format=false"]),
        ] {
            let image = self.registry.image(repository, "v1", "weights")?;
            let other = self.registry.image(repository, "v2", "other weights")?;
            let words = [
                &[
                    "attest",
                    "--yes",
                    "--key",
                    "theirs.key",
                    "--type",
                    PREDICATE,
                ][..],
                &["--predicate", "predicate.json"],
                &["--use-signing-config=false", "--tlog-upload=false"],
                more,
                &[&image],
            ];
            self.cosign_ok(&words.concat())?;
            self.verify_theirs(Answer::Yes, &image, &["--type", PREDICATE])?;
            // The twins: another type, a signature, another image.
            self.verify_theirs(Answer::No, &image, &["--type", "https://example.com/other"])?;
            self.verify_theirs(Answer::No, &image, &[])?;
            self.verify_theirs(Answer::No, &other, &["--type", PREDICATE])?;
        }
        Ok(())
    }

    fn custos_signs(&self) -> Result<()> {
        let image = self.registry.image("ours", "v1", "weights")?;
        let other = self.registry.image("ours", "v2", "other weights")?;
        let signed = self.sign_ours(&image, &[])?;
        // This registry has no referrers API: the list lies under the tag of the specification.
        ensure!(
            signed["signed"][0]["fallbackTag"] == tag(&image, ""),
            "{signed}"
        );
        self.verify_ours(Answer::Yes, &image, &[])?;
        self.cosign_verifies(true, &self.ours, &image)?;
        self.verify_ours(Answer::No, &other, &[])?;
        self.cosign_verifies(false, &self.ours, &other)?;
        self.cosign_verifies(false, &self.theirs, &image)
    }

    fn custos_attests(&self) -> Result<()> {
        let image = self.registry.image("our-atts", "v1", "weights")?;
        let other = self.registry.image("our-atts", "v2", "other weights")?;
        let words = [
            "attest",
            &format!("oci://{image}"),
            "--key",
            "ours",
            "--type",
            PREDICATE,
        ];
        let predicate = self.scratch.join("predicate.json");
        self.custos
            .ok(words.into_iter().chain(["--predicate", text(&predicate)]))?;
        self.verify_ours(Answer::Yes, &image, &["--type", PREDICATE])?;
        self.verify_ours(Answer::No, &image, &[])?;
        self.verify_ours(Answer::No, &other, &["--type", PREDICATE])?;
        let cosign = |good, kind: &str, image: &str| {
            let key = ["--insecure-ignore-tlog=true", "--key", text(&self.ours)];
            let words = [&["verify-attestation"][..], &key, &["--type", kind, image]].concat();
            self.cosign_says(good, &words)
        };
        cosign(true, PREDICATE, &image)?;
        cosign(false, "https://example.com/other", &image)?;
        cosign(false, PREDICATE, &other)
    }

    fn tampered(&self) -> Result<()> {
        let image = self.registry.image("tampered", "v1", "weights")?;
        self.sign_ours(&image, &[])?;
        let list = self.registry.get("tampered", &tag(&image, ""))?;
        let referrer = list["manifests"][0]["digest"]
            .as_str()
            .context("no entry")?;
        let mut manifest = self.registry.get("tampered", referrer)?;
        let layer = manifest["layers"][0]["digest"]
            .as_str()
            .context("no layer")?;
        let mut bundle: Value = serde_json::from_slice(&self.registry.blob("tampered", layer)?)?;
        let sig = &mut bundle["dsseEnvelope"]["signatures"][0]["sig"];
        let changed = sig
            .as_str()
            .context("no signature")?
            .replacen("ME", "MF", 1);
        *sig = json!(changed);
        let layer = self
            .registry
            .put_blob("tampered", BUNDLE, bundle.to_string().as_bytes())?;
        manifest["layers"] = json!([layer]);
        let entry = self.registry.put_manifest("tampered", None, &manifest)?;
        let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        self.registry.put("tampered", &tag(&image, ""), &list)?;
        self.verify_ours(Answer::No, &image, &[])?;
        self.cosign_verifies(false, &self.ours, &image)
    }

    fn tag_moved(&self) -> Result<()> {
        let image = self.registry.image("moved", "v1", "weights")?;
        let name = image.split('@').next().unwrap_or_default();
        let tagged = format!("{name}:v1");
        // Signed by its tag; what that stands for is said.
        let done = self
            .custos
            .ok(["sign", &format!("oci://{tagged}"), "--key", "ours"])?;
        let digest = image.split('@').nth(1).unwrap_or_default();
        ensure!(done.stderr.contains(digest), "{}", done.words());
        self.verify_ours(Answer::Yes, &tagged, &[])?;
        let moved = self.registry.image("moved", "v1", "poisoned weights")?;
        ensure!(moved != image, "the same image");
        self.verify_ours(Answer::No, &tagged, &[])?;
        self.cosign_verifies(false, &self.ours, &tagged)?;
        self.verify_ours(Answer::Yes, &image, &[]).map(drop)
    }

    fn referrer_removed(&self) -> Result<()> {
        let image = self.registry.image("removed", "v1", "weights")?;
        self.sign_ours(&image, &[])?;
        let list = self.registry.get("removed", &tag(&image, ""))?;
        let referrer = list["manifests"][0]["digest"]
            .as_str()
            .context("no entry")?;
        self.registry.delete("removed", referrer)?;
        // It is listed and cannot be had: it may have been a good one.
        let said = self.verify_ours(Answer::Undecided, &image, &[])?;
        ensure!(said.stderr.contains("E0907"), "{}", said.words());
        self.cosign_verifies(false, &self.ours, &image)?;
        let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
        self.registry.put("removed", &tag(&image, ""), &list)?;
        let said = self.verify_ours(Answer::No, &image, &[])?;
        ensure!(said.stderr.contains("E0906"), "{}", said.words());
        Ok(())
    }

    fn foreign_list(&self) -> Result<()> {
        let image = self.registry.image("foreign", "v1", "weights")?;
        let other = self.registry.image("foreign", "v2", "other weights")?;
        self.sign_ours(&image, &[])?;
        let list = self.registry.get("foreign", &tag(&image, ""))?;
        self.registry.put("foreign", &tag(&other, ""), &list)?;
        let said = self.verify_ours(Answer::No, &other, &[])?;
        ensure!(said.stderr.contains("E0909"), "{}", said.words());
        self.cosign_verifies(false, &self.ours, &other)?;
        self.verify_ours(Answer::Yes, &image, &[]).map(drop)
    }

    fn index(&self) -> Result<()> {
        let platforms = [("amd64", "for amd64"), ("arm64", "for arm64")];
        let (index, members) = self.registry.index("multi", "v1", &platforms)?;
        self.sign_ours(&index, &[])?;
        self.verify_ours(Answer::Yes, &index, &[])?;
        self.cosign_verifies(true, &self.ours, &index)?;
        // A signature of the index is not one of its members.
        for member in &members {
            self.verify_ours(Answer::No, member, &[])?;
            self.cosign_verifies(false, &self.ours, member)?;
        }
        let signed = self.sign_ours(&index, &["--recursive"])?;
        let count = signed["signed"].as_array().map_or(0, Vec::len);
        ensure!(count == 3, "{signed}");
        for image in members.iter().chain([&index]) {
            self.verify_ours(Answer::Yes, image, &[])?;
            self.cosign_verifies(true, &self.ours, image)?;
        }
        // And what cosign signs in this way.
        let (index, members) = self.registry.index("multi2", "v1", &platforms)?;
        self.cosign_signs_image(&index, &["--recursive"])?;
        for image in members.iter().chain([&index]) {
            self.verify_theirs(Answer::Yes, image, &[])?;
        }
        Ok(())
    }

    fn model(&self) -> Result<()> {
        let repository = "model";
        let config = json!({"descriptor": {"name": "tiny-llm", "version": "1.0"},
            "modelfs": {"type": "layers", "diffIds": []},
            "config": {"architecture": "transformer", "format": "safetensors"}});
        let put = |kind: &str, bytes: &[u8]| self.registry.put_blob(repository, kind, bytes);
        let mut layer = put("application/vnd.cncf.model.weight.v1.raw", b"weights")?;
        layer["annotations"] = json!({"org.cncf.model.filepath": "model.safetensors"});
        let config = put(
            "application/vnd.cncf.model.config.v1+json",
            config.to_string().as_bytes(),
        )?;
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "artifactType": MODELPACK, "config": config, "layers": [layer]});
        let model = self
            .registry
            .put_manifest(repository, Some("v1"), &manifest)?;
        let model = self.registry.name(repository, &model)?;
        self.sign_ours(&model, &[])?;
        let said = self.verify_ours(Answer::Yes, &model, &[])?;
        for part in ["tiny-llm", "model.safetensors"] {
            ensure!(said.stdout.contains(part), "{}", said.words());
        }
        self.cosign_verifies(true, &self.ours, &model)?;
        // The twin: the same manifest with other weights.
        let mut twin = manifest;
        twin["layers"] = json!([put("application/vnd.cncf.model.weight.v1.raw", b"poison")?]);
        let twin = self.registry.put_manifest(repository, None, &twin)?;
        let twin = self.registry.name(repository, &twin)?;
        self.verify_ours(Answer::No, &twin, &[])?;
        self.cosign_verifies(false, &self.ours, &twin)
    }

    fn side_by_side(&self) -> Result<()> {
        let image = self.registry.image("both", "v1", "weights")?;
        self.sign_ours(&image, &[])?;
        self.cosign_signs_image(&image, &[])?;
        self.sign_ours(&image, &[])?;
        let list = self.registry.get("both", &tag(&image, ""))?;
        let count = list["manifests"].as_array().map_or(0, Vec::len);
        ensure!(count == 3, "somebody's entry is lost: {list}");
        self.verify_ours(Answer::Yes, &image, &[])?;
        self.verify_theirs(Answer::Yes, &image, &[])?;
        self.cosign_verifies(true, &self.ours, &image)?;
        self.cosign_verifies(true, &self.theirs, &image)
    }

    fn names(&self) -> Result<()> {
        let image = self.registry.image("names", "v1", "weights")?;
        self.sign_ours(&image, &[])?;
        let bare = |expected| {
            let words = ["verify", image.as_str(), "--key", text(&self.ours)];
            self.custos.answers(&[expected], words).map(drop)
        };
        bare(Answer::Yes)?;
        // In the working folder of `custos` lies a file of that very name.
        let file = self.scratch.join("work").join(&image);
        fs::create_dir_all(file.parent().context("no folder")?)?;
        fs::write(&file, "a file")?;
        bare(Answer::Usage)?;
        self.verify_ours(Answer::Yes, &image, &[])?;
        fs::remove_file(&file)?;
        bare(Answer::Yes)
    }

    fn at_hand(&self) -> Result<()> {
        let image = self.registry.image("at-hand", "v1", "weights")?;
        let bundle = self.scratch.join("at-hand.json");
        self.sign_ours(&image, &["--bundle", text(&bundle)])?;
        // No such host: nobody is asked.
        let gone = image.replace("127.0.0.1", "gone.invalid");
        self.verify_ours(
            Answer::Yes,
            &gone,
            &["--bundle", text(&bundle), "--offline"],
        )?;
        let other = self.registry.image("at-hand", "v2", "other weights")?;
        self.verify_ours(Answer::No, &other, &["--bundle", text(&bundle)])?;
        self.verify_ours(Answer::Usage, &image, &["--offline"])
            .map(drop)
    }

    fn private(&self) -> Result<()> {
        let folder = self.scratch.join("private");
        let registry = Registry::start(&self.peer, &folder, true)?;
        let image = registry.image("secret", "v1", "weights")?;
        let config = |name: &str, content: &Value| -> Result<PathBuf> {
            let dir = self.scratch.join(name);
            fs::create_dir_all(&dir)?;
            fs::write(dir.join("config.json"), content.to_string())?;
            Ok(dir)
        };
        let host = registry.host();
        let auth =
            |password: &str| json!({"auths": {&host: {"username": USER.0, "password": password}}});
        let good = config("good", &auth(USER.1))?;
        let wrong = config("wrong", &auth("not-the-password"))?;
        let empty = config("empty", &json!({}))?;
        let helped = config("helped", &json!({"credHelpers": {&host: "test"}}))?;
        Self::helper(&helped, &host)?;
        let run = |dir: &Path, expected, words: &[&str]| -> Result<()> {
            let mut command = self.custos.command(words);
            let path = format!("{}:/usr/bin:/bin", helped.display());
            command.env("DOCKER_CONFIG", dir).env("PATH", path);
            let done = process::run(&mut command, LIMIT)?;
            let answer = crate::custos::answer(&done)?;
            ensure!(answer == expected, "{answer:?}: {}", done.words());
            let shown = done.words();
            ensure!(
                !shown.contains(USER.1) && !shown.contains("not-the-password"),
                "{shown}"
            );
            Ok(())
        };
        let name = format!("oci://{image}");
        let sign = ["sign", name.as_str(), "--key", "ours"];
        let verify = ["verify", name.as_str(), "--key", text(&self.ours)];
        run(&empty, Answer::Undecided, &sign)?;
        run(&good, Answer::Yes, &sign)?;
        for dir in [&good, &helped] {
            run(dir, Answer::Yes, &verify)?;
        }
        for dir in [&wrong, &empty] {
            run(dir, Answer::Undecided, &verify)?;
        }
        Ok(())
    }

    // A credential helper that knows one server.
    fn helper(folder: &Path, host: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let file = folder.join("docker-credential-test");
        let (user, password) = USER;
        let script = format!(
            "#!/bin/sh\nread server\ntest \"$1 $server\" = \"get {host}\" || exit 1\n\
             echo '{{\"ServerURL\":\"{host}\",\"Username\":\"{user}\",\"Secret\":\"{password}\"}}'\n"
        );
        fs::write(&file, script)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    fn failing(&self) -> Result<()> {
        let image = self.registry.image("failing", "v1", "weights")?;
        self.sign_ours(&image, &[])?;
        let (_, below) = image.split_once('/').context("no host")?;
        // A gateway in front of a registry that is down, and nobody at all.
        for answer in [
            "503 Service Unavailable",
            "502 Bad Gateway",
            "404 Not Found",
            "200 OK",
        ] {
            let port = answering(answer)?;
            self.verify_ours(Answer::Undecided, &format!("127.0.0.1:{port}/{below}"), &[])?;
        }
        let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        self.verify_ours(
            Answer::Undecided,
            &format!("127.0.0.1:{closed}/{below}"),
            &[],
        )?;
        // The list alone fails, while the image is there.
        self.registry.put(
            "failing",
            &tag(&image, ""),
            &self.registry.get("failing", "v1")?,
        )?;
        let said = self.verify_ours(Answer::Undecided, &image, &[])?;
        ensure!(said.stderr.contains("E0907"), "{}", said.words());
        Ok(())
    }

    // Where the registry keeps the list, nothing stands under a tag.
    fn referrers(&self, registry: &Registry) -> Result<()> {
        let image = registry.image("native", "v1", "weights")?;
        let other = registry.image("native", "v2", "other weights")?;
        let signed = self.sign_ours(&image, &[])?;
        ensure!(signed["signed"][0]["fallbackTag"].is_null(), "{signed}");
        self.verify_ours(Answer::Yes, &image, &[])?;
        self.cosign_verifies(true, &self.ours, &image)?;
        self.verify_ours(Answer::No, &other, &[])?;
        self.cosign_verifies(false, &self.ours, &other)?;
        self.cosign_signs_image(&image, &[])?;
        self.verify_theirs(Answer::Yes, &image, &[])?;
        self.verify_theirs(Answer::No, &other, &[])?;
        let tags = registry.tags("native")?;
        ensure!(tags == json!(["v1", "v2"]), "{tags}");
        // A removed referrer is not listed: this registry knows that there is nothing more.
        let referrer = signed["signed"][0]["referrer"].as_str();
        registry.delete("native", referrer.context("no referrer")?)?;
        let said = self.verify_ours(Answer::No, &image, &[])?;
        ensure!(!said.stderr.contains("E0907"), "{}", said.words());
        self.verify_theirs(Answer::Yes, &image, &[]).map(drop)
    }

    fn keyless(&self, lab: &Lab) -> Result<()> {
        let image = self.registry.image("keyless", "v1", "weights")?;
        let other = self.registry.image("keyless", "v2", "other weights")?;
        let (config, root) = (
            lab.file("signing_config.json"),
            lab.file("trusted_root.json"),
        );
        let token = lab.token(IDENTITY)?;
        let words = ["sign", "--yes", "--identity-token", &token];
        let lab_files = [
            "--signing-config",
            text(&config),
            "--trusted-root",
            text(&root),
        ];
        self.cosign_ok(&[&words[..], &lab_files, &[&image]].concat())?;
        let issuer = lab.issuer();
        let verify = |expected, identity: &str, image: &str| {
            let words = [
                "--certificate-identity",
                identity,
                "--certificate-oidc-issuer",
                &issuer,
            ];
            let root = ["--trusted-root", text(&root)];
            self.verify(expected, image, &[&words[..], &root].concat())
        };
        verify(Answer::Yes, IDENTITY, &image)?;
        verify(Answer::No, "somebody@example.com", &image)?;
        verify(Answer::No, IDENTITY, &other).map(drop)
    }
}

/// The tag that stands for what belongs to an image.
fn tag(image: &str, ending: &str) -> String {
    let digest = image.split('@').nth(1).unwrap_or_default();
    format!("{}{ending}", digest.replace(':', "-"))
}

/// A server that answers everything with one status and a page for people.
fn answering(status: &'static str) -> Result<u16> {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            // A request without a body comes in one piece on loopback, and what it says is no matter.
            let _ = stream.read(&mut head);
            let body = "<html>sorry</html>";
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    Ok(port)
}
