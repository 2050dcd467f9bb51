//! Other invocations of this binary, as a user would type them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::report::Failure;
use crate::system::env;

/// Runs `custos` in the demo's project.
#[derive(Debug)]
pub struct Custos {
    binary: PathBuf,
    project: PathBuf,
}

/// What one invocation said.
#[derive(Debug)]
pub struct Answer {
    /// Exit status.
    pub status: i32,
    /// Its JSON result, or its JSON failure.
    pub json: Value,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Answer {
    /// Returns the text at a JSON pointer, empty if there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.json
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Returns the number at a JSON pointer.
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.json.pointer(pointer).and_then(Value::as_u64)
    }
}

impl Custos {
    /// Returns invocations of the running binary in `project`, with the project's own home.
    pub fn new(project: &Path) -> Result<Self, Failure> {
        let binary =
            std::env::current_exe().map_err(|error| Failure::io("the running binary", &error))?;
        Ok(Self {
            binary,
            project: project.to_owned(),
        })
    }

    /// Returns the binary.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Runs a command and returns what it said, whatever its status.
    pub fn ask(&self, args: &[&str]) -> Result<Answer, Failure> {
        let output = Command::new(&self.binary)
            .args(["--format", "json", "--quiet"])
            .args(args)
            .current_dir(&self.project)
            // The demo must touch nothing of the user's.
            .env_remove(env::HOME)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Failure::io(self.binary.display().to_string(), &error))?;
        let status = output.status.code().unwrap_or(-1);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        // A step's own output precedes the result, so the document is looked for from the end.
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let json = last_document(&stdout);
        Ok(Answer {
            status,
            json,
            stderr,
        })
    }

    /// Runs a command that has to succeed.
    pub fn must(&self, args: &[&str]) -> Result<Answer, Failure> {
        let answer = self.ask(args)?;
        if answer.status == 0 {
            return Ok(answer);
        }
        Err(Failure::undecided("E0001", "a part of the demo failed")
            .at(format!("custos {}", args.join(" ")))
            .because(answer.stderr.trim_end().to_owned()))
    }
}

// The last JSON object that begins at the start of a line.
fn last_document(text: &str) -> Value {
    let start = text
        .rfind("\n{\n")
        .map(|at| at.saturating_add(1))
        .or_else(|| text.starts_with("{\n").then_some(0));
    start
        .and_then(|at| text.get(at..))
        .and_then(|tail| serde_json::from_str(tail).ok())
        .unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_result_behind_other_output() {
        assert_eq!(last_document("epoch 1\n{\n \"a\": 1\n}\n")["a"], 1);
        assert_eq!(
            last_document("{\n \"a\": {\n  \"b\": 2 }\n}\n")["a"]["b"],
            2
        );
        assert_eq!(last_document("nothing"), Value::Null);
    }
}
