//! A project and a home of its own for each test.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

pub struct Sandbox {
    dir: tempfile::TempDir,
}

pub struct Said {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// The JSON result, which is all of standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Ended with this status and this error code.
    #[track_caller]
    pub fn failed(self, status: i32, code: &str) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.stdout, self.stderr);
        assert!(
            self.stderr.contains(&format!("error[{code}]")),
            "{}",
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text) || self.stdout.contains(text),
            "`{text}` is not in:\n{}\n{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

impl Sandbox {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        Self { dir }
    }

    /// With unencrypted keys of these names, all of which the settings expect.
    pub fn with_keys(names: &[&str]) -> Self {
        let sandbox = Self::new();
        let mut settings = String::new();
        for name in names {
            sandbox
                .run(&["keys", "generate", name, "--no-password"])
                .ok();
            settings.push_str(&format!(
                "[[signer]]\nname = \"{name}\"\nkey = \"home/keys/{name}.pub\"\n\n"
            ));
        }
        sandbox.write("custos.toml", &settings);
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A small model folder with names that sort differently by component and by code point.
    pub fn model(&self, name: &str) {
        self.write(&format!("{name}/weights.bin"), vec![7_u8; 300_000]);
        self.write(&format!("{name}/sub/x"), "in the folder");
        self.write(&format!("{name}/sub-x"), "beside the folder");
        self.write(&format!("{name}/config.json"), "{}");
    }

    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_custos"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("CUSTOS_HOME", self.path("home"))
            .env_remove("CLICOLOR_FORCE")
            .env_remove("COLUMNS")
            .stdin(Stdio::null());
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Said {
        finish(self.command(args))
    }

    /// Runs a command line as it would be typed, with words in single quotes kept together.
    pub fn line(&self, line: &str) -> Said {
        self.run(&words(line))
    }

    /// The same with `--format json`.
    pub fn json<S: AsRef<OsStr>>(&self, args: &[S]) -> Said {
        let mut all: Vec<&OsStr> = vec!["--format".as_ref(), "json".as_ref()];
        all.extend(args.iter().map(AsRef::as_ref));
        finish(self.command(&all))
    }

    pub fn log_size(&self) -> u64 {
        let said = self.json(&["log", "checkpoint"]);
        if said.status == 0 {
            said.json()["size"].as_u64().unwrap()
        } else {
            0
        }
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }
}

pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

pub fn finish(mut command: Command) -> Said {
    let output = command.output().unwrap();
    let said = Said {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    assert!(!said.stderr.contains("panicked at"), "{}", said.stderr);
    said
}
