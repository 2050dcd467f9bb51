//! The four attacks. Each works on a copy, tries what an attacker would, and reports which command
//! stopped it and with which reason.

use std::path::Path;

use serde_json::{Value, json};

use super::child::{Answer, Custos};
use super::project::{Project, copy_tree};
use crate::artifacts;
use crate::report::Failure;
use crate::term::{Role, Term};

/// One attack, tried.
#[derive(Debug)]
pub struct Attack {
    title: &'static str,
    command: String,
    status: i32,
    // What the reason has to name for the attack to count as stopped.
    named: String,
    reasons: Vec<String>,
    // What must not have happened, in words, and whether it did not.
    nothing_ran: bool,
}

/// Tries one attack.
type Attempt = fn(&Custos, &Project, u64) -> Result<Attack, Failure>;

/// The attacks, in order.
pub const ALL: [Attempt; 4] = [changed_byte, swapped_file, foreign_step, foreign_key];

impl Attack {
    /// Returns true if it ended with a no whose reason names what was done.
    pub fn was_stopped(&self) -> bool {
        self.status == 1
            && self.nothing_ran
            && self
                .reasons
                .iter()
                .any(|reason| reason.contains(&self.named))
    }

    /// Returns the JSON form.
    pub fn to_json(&self) -> Value {
        json!({
            "title": self.title,
            "command": self.command,
            "exit": self.status,
            "stopped": self.was_stopped(),
            "reasons": self.reasons,
        })
    }

    /// Returns the text for people.
    pub fn render(&self, term: &Term) -> String {
        let (role, word) = if self.was_stopped() {
            (Role::Good, "STOPPED")
        } else {
            (Role::Bad, "NOT STOPPED")
        };
        let mut text = format!(
            "  {} {}\n    {} (exit {})\n",
            term.paint(role, word),
            self.title,
            term.paint(Role::Faint, &self.command),
            self.status,
        );
        // The reason that names the attack first; the rest follows from it.
        let (first, rest): (Vec<_>, Vec<_>) = self
            .reasons
            .iter()
            .partition(|reason| reason.contains(&self.named));
        for reason in first.iter().chain(&rest).take(3) {
            let line = format!("    {}\n", crate::term::visible(reason));
            text.push_str(&term.fold(&line, 6));
        }
        text
    }
}

// One byte of the weights.
fn changed_byte(custos: &Custos, project: &Project, _: u64) -> Result<Attack, Failure> {
    let copy = project.root().join("attacks/1-changed-byte");
    copy_tree(&project.root().join("package"), &copy)?;
    let weights = copy.join("model.safetensors");
    flip_last_byte(&weights)?;
    let answer = custos.ask(&["verify", "attacks/1-changed-byte", "--key", "release"])?;
    Ok(Attack {
        title: "one byte of the weights changed",
        command: "custos verify attacks/1-changed-byte --key release".to_owned(),
        status: answer.status,
        named: "model.safetensors".to_owned(),
        reasons: reasons(&answer),
        nothing_ran: true,
    })
}

// A training file, after ingest recorded it.
fn swapped_file(custos: &Custos, project: &Project, _: u64) -> Result<Attack, Failure> {
    let copy = project.root().join("attacks/2-swapped-file");
    copy_tree(&project.root().join("ingest"), &copy)?;
    let swapped = swap_two_images(&copy.join("images"))?;
    let binary = custos.binary().display().to_string();
    let product = "attacks/2-preprocess";
    let answer = custos.ask(&[
        "run",
        "--name",
        "preprocess",
        "--require",
        "policy",
        "--key",
        "data",
        "--input",
        "ingest=attacks/2-swapped-file",
        "--product",
        &format!("preprocess={product}"),
        "--",
        &binary,
        "demo-step",
        "preprocess",
        "--in",
        "attacks/2-swapped-file",
        "--out",
        product,
    ])?;
    Ok(Attack {
        title: "two training files swapped after ingest",
        command: "custos run --name preprocess --require policy --input \
                  ingest=attacks/2-swapped-file ..."
            .to_owned(),
        status: answer.status,
        named: format!("images/{swapped}"),
        reasons: reasons(&answer),
        nothing_ran: !project.root().join(product).exists(),
    })
}

// Weights that no recorded step made, packaged by somebody who may package.
fn foreign_step(custos: &Custos, project: &Project, seed: u64) -> Result<Attack, Failure> {
    let binary = custos.binary().display().to_string();
    let other = seed.wrapping_add(1).to_string();
    let trained = project.root().join("attacks/3-train");
    let status = std::process::Command::new(custos.binary())
        .args([
            "--quiet",
            "demo-step",
            "train",
            "--in",
            "features",
            "--out",
            "attacks/3-train",
        ])
        .args(["--seed", &other])
        .current_dir(project.root())
        .stdout(std::process::Stdio::null())
        .status()
        .map_err(|error| Failure::io(binary.clone(), &error))?;
    if !status.success() || !trained.exists() {
        return Err(
            Failure::undecided("E0001", "a part of the demo failed").at("custos demo-step train")
        );
    }
    evaluate_outside(custos, project)?;
    custos.must(&[
        "run",
        "--name",
        "package",
        "--key",
        "release",
        "--input",
        "train=attacks/3-train",
        "--input",
        "evaluate=attacks/3-evaluate",
        "--product",
        "package=attacks/3-foreign-step",
        "--",
        &binary,
        "demo-step",
        "package",
        "--in",
        "attacks/3-train",
        "--in",
        "attacks/3-evaluate",
        "--out",
        "attacks/3-foreign-step",
    ])?;
    custos.must(&["sign", "attacks/3-foreign-step", "--key", "release"])?;
    gate(
        custos,
        "attacks/3-foreign-step",
        "a model trained outside of Custos",
        "train",
    )
}

fn evaluate_outside(custos: &Custos, project: &Project) -> Result<(), Failure> {
    let status = std::process::Command::new(custos.binary())
        .args([
            "--quiet",
            "demo-step",
            "evaluate",
            "--in",
            "attacks/3-train",
            "--in",
            "features",
        ])
        .args(["--out", "attacks/3-evaluate"])
        .current_dir(project.root())
        .stdout(std::process::Stdio::null())
        .status()
        .map_err(|error| Failure::io(custos.binary().display().to_string(), &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::undecided("E0001", "a part of the demo failed")
            .at("custos demo-step evaluate"))
    }
}

// A step that is recorded, signed and logged, by a key that nobody expects.
fn foreign_key(custos: &Custos, _: &Project, _: u64) -> Result<Attack, Failure> {
    custos.must(&[
        "run",
        "--name",
        "package",
        "--key",
        "intruder",
        "--input",
        "train=train",
        "--input",
        "evaluate=evaluate",
        "--product",
        "package=attacks/4-foreign-key",
        "--",
        "sh",
        "-c",
        "cp -r package attacks/4-foreign-key && rm attacks/4-foreign-key/model.sig \
         && echo 'Approved by release.' >> attacks/4-foreign-key/README.md",
    ])?;
    custos.must(&["sign", "attacks/4-foreign-key", "--key", "intruder"])?;
    gate(
        custos,
        "attacks/4-foreign-key",
        "a step signed by a key that is not expected",
        "E0108",
    )
}

fn gate(
    custos: &Custos,
    path: &str,
    title: &'static str,
    named: &'static str,
) -> Result<Attack, Failure> {
    let answer = custos.ask(&["gate", path, "--key", "release"])?;
    Ok(Attack {
        title,
        command: format!("custos gate {path} --key release"),
        status: answer.status,
        named: named.to_owned(),
        reasons: reasons(&answer),
        nothing_ran: true,
    })
}

// The reasons of a decision, or of a failure.
fn reasons(answer: &Answer) -> Vec<String> {
    let mut all: Vec<String> = answer.json["reasons"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|reason| reason["message"].as_str().map(str::to_owned))
        .collect();
    if let Some(what) = answer.json["what"].as_str() {
        all.push(what.to_owned());
    }
    let why = answer.json["why"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    all.extend(why.map(str::to_owned));
    all
}

fn flip_last_byte(file: &Path) -> Result<(), Failure> {
    let io = |error: std::io::Error| Failure::io(file.display().to_string(), &error);
    let mut bytes = std::fs::read(file).map_err(io)?;
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    std::fs::write(file, bytes).map_err(io)
}

// Returns the name of one of the two.
fn swap_two_images(dir: &Path) -> Result<String, Failure> {
    let io = |error: std::io::Error| Failure::io(dir.display().to_string(), &error);
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .map_err(io)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    match (files.first(), files.last()) {
        (Some(one), Some(other)) if one != other => {
            let (a, b) = (
                std::fs::read(one).map_err(io)?,
                std::fs::read(other).map_err(io)?,
            );
            std::fs::write(one, b)
                .and_then(|()| std::fs::write(other, a))
                .map_err(io)?;
            Ok(artifacts::name_of(one))
        }
        _ => Err(Failure::internal(
            "the demo's dataset has fewer than two images",
        )),
    }
}
