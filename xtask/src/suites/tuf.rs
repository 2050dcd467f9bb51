//! Trust roots against python-tuf, the reference implementation of The Update Framework: each
//! follows what the other publishes, and neither follows a changed twin.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Run;
use super::oms::text;
use crate::custos::Custos;
use crate::peers::{Installed, Peer};
use crate::place::Scratch;
use crate::process;
use crate::tally::Suite;

const LIMIT: Duration = Duration::from_mins(2);
const LIST: &[u8] = br#"{"revoked":[],"schema":"custos.revocations/1","version":1}"#;

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let peer = match Peer::named("sigstore")?.ensure(run.place) {
        Ok(peer) => peer,
        Err(error) => {
            suite.skip("peer:sigstore", &format!("{error:#}"));
            return Ok(());
        }
    };
    let scratch = Scratch::new("tuf")?;
    let custos = Custos::new(run.place, &scratch)?;
    let desk = Desk {
        script: run.place.peer_file("tuf_check.py"),
        scratch,
        custos,
        peer,
    };
    let published = desk.publish()?;
    suite.check("python-tuf follows what custos publishes", || {
        let read = desk.read(&published)?;
        ensure!(read["content"] == hex(LIST), "{read}");
        Ok(())
    });
    suite.check("python-tuf refuses a changed twin", || {
        for name in [
            "timestamp.json",
            "1.snapshot.json",
            "1.targets.json",
            "targets",
        ] {
            let twin = desk.twin(&published, name)?;
            let read = desk.read(&twin)?;
            ensure!(read["error"].is_string(), "{name}: {read}");
        }
        Ok(())
    });
    let theirs = desk.scratch.join("theirs");
    let file = desk.scratch.join("revocations.json");
    fs::write(&file, LIST)?;
    desk.python(&["write", text(&theirs), text(&file)])?;
    suite.check("custos follows what python-tuf publishes", || {
        let home = desk.follow(&theirs)?;
        ensure!(fs::read(home.join("trust/revocations.json"))? == LIST);
        Ok(())
    });
    suite.check("custos refuses a changed twin", || {
        for name in [
            "timestamp.json",
            "1.snapshot.json",
            "1.targets.json",
            "targets",
        ] {
            let twin = desk.twin(&theirs, name)?;
            let done = desk.try_follow(&twin)?;
            ensure!(done.status.code() == Some(4), "{name}: {}", done.stderr);
        }
        Ok(())
    });
    Ok(())
}

struct Desk {
    script: PathBuf,
    scratch: Scratch,
    custos: Custos,
    peer: Installed,
}

impl Desk {
    fn python(&self, words: &[&str]) -> Result<Value> {
        let mut command = self.peer.python();
        command.arg(&self.script).args(words);
        let done = process::run(&mut command, LIMIT)?.success()?;
        Ok(serde_json::from_str(&done.stdout)?)
    }

    fn read(&self, repository: &Path) -> Result<Value> {
        let root = repository.join("1.root.json");
        self.python(&["read", text(&root), text(repository), "revocations.json"])
    }

    // Two of three keys, as a team would do it.
    fn publish(&self) -> Result<PathBuf> {
        let key = |name: &str| self.scratch.join(name);
        for name in ["a", "b", "c", "online"] {
            let prefix = key(name);
            let words = ["keys", "generate", "--no-password", "--output-prefix"];
            self.custos.ok(words.into_iter().chain([text(&prefix)]))?;
        }
        let (repository, list) = (key("ours"), key("delivered/revocations.json"));
        fs::create_dir_all(list.parent().context("a folder")?)?;
        fs::write(&list, LIST)?;
        let online = key("online.key");
        let publish = [
            "trust",
            "publish",
            text(&repository),
            "--key",
            text(&online),
        ];
        let target = ["--target", text(&list)];
        let public: Vec<PathBuf> = ["a", "b", "c"]
            .iter()
            .map(|n| key(&format!("{n}.pub")))
            .collect();
        let mut first: Vec<&str> = publish.to_vec();
        for file in &public {
            first.extend(["--root-key", text(file)]);
        }
        first.extend(["--threshold", "2"]);
        self.custos.ok(first)?;
        for staged in ["root.json", "targets.json"] {
            let file = repository.join("staged").join(staged);
            for name in ["a", "b"] {
                let secret = key(&format!("{name}.key"));
                self.custos
                    .ok(["keys", "approve", text(&file), "--key", text(&secret)])?;
            }
            self.custos.ok(publish.into_iter().chain(target))?;
        }
        Ok(repository)
    }

    fn try_follow(&self, repository: &Path) -> Result<process::Finished> {
        let home = repository.with_extension("home");
        let root = repository.join("1.root.json");
        let at = ["--home", text(&home)];
        let add = ["trust", "add-root", text(&root), "--from", text(repository)];
        self.custos.ok(at.into_iter().chain(add))?;
        self.custos.run(at.into_iter().chain(["trust", "update"]))
    }

    fn follow(&self, repository: &Path) -> Result<PathBuf> {
        self.try_follow(repository)?.success()?;
        Ok(repository.with_extension("home"))
    }

    // A copy in which one file differs in one letter.
    fn twin(&self, repository: &Path, changed: &str) -> Result<PathBuf> {
        let name = repository.file_name().context("a name")?.to_string_lossy();
        let twin = self
            .scratch
            .join(&format!("{name}-{}", changed.replace('.', "-")));
        fs::create_dir_all(twin.join("targets"))?;
        for folder in ["", "targets"] {
            for entry in fs::read_dir(repository.join(folder))? {
                let path = entry?.path();
                if !path.is_file() {
                    continue;
                }
                let mut bytes = fs::read(&path)?;
                let file = path.file_name().context("a name")?;
                if file == changed || folder == changed {
                    let text = String::from_utf8(bytes)?;
                    // A version that nobody signed; in the delivered file another number.
                    let other = text.replacen("\"version\": 1", "\"version\": 2", 1);
                    let other = other.replacen("\"version\":1", "\"version\":2", 1);
                    ensure!(other != text, "{changed} did not change");
                    bytes = other.into_bytes();
                }
                fs::write(twin.join(folder).join(file), bytes)?;
            }
        }
        Ok(twin)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
