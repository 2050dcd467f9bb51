//! The demo's project: raw data, layout, settings, and the predicates that people would write.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::json;
use custos_core::limits::Limits;
use custos_core::predicate::dataset::{Dataset, Pairing, RowKind, RowTree};
use custos_core::predicate::evaluation::{Evaluation, Interval, Metric, PlanReference};
use custos_core::predicate::evaluation_plan::{Direction, EvaluationPlan, PlannedMetric};
use custos_core::predicate::{self, Predicate};
use custos_core::statement::ResourceDescriptor;
use custos_multimodal::{RAW, Score, Step};
use custos_provenance::hash::{self, HashOptions};

use super::child::Custos;
use crate::files::{read_bytes, write_new};
use crate::report::Failure;
use crate::settings::PROJECT_FILE;
use crate::system::environment;

/// Everybody who has a key; `intruder` is nobody's expected signer.
pub const KEYS: [&str; 6] = [
    "owner",
    "data",
    "trainer",
    "evaluator",
    "release",
    "intruder",
];

const LAYOUT: &str = include_str!("pipeline.toml");

/// The demo's folder.
#[derive(Debug)]
pub struct Project {
    root: PathBuf,
    raw_files: usize,
}

impl Project {
    /// Lays out a project in `dir`: raw data, layout, starter policy.
    pub fn create(dir: &Path) -> Result<Self, Failure> {
        let root = dir.join("project");
        let raw = custos_multimodal::write_raw_data(&root.join(RAW)).map_err(|error| {
            Failure::undecided("E0004", "the demo's data cannot be written")
                .because(error.to_string())
        })?;
        for folder in ["attacks", ".custos", "statements"] {
            std::fs::create_dir_all(root.join(folder))
                .map_err(|error| Failure::io(root.display().to_string(), &error))?;
        }
        for starter in custos_policy::starter::FILES {
            let file = root.join("policy").join(starter.path);
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent)
                    .map_err(|error| Failure::io(parent.display().to_string(), &error))?;
            }
            write_new(&file, starter.text.as_bytes(), 0o644)?;
        }
        write_new(&root.join("pipeline.toml"), LAYOUT.as_bytes(), 0o644)?;
        Ok(Self {
            root,
            raw_files: raw.files,
        })
    }

    /// Returns the project's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the number of raw files.
    pub const fn raw_files(&self) -> usize {
        self.raw_files
    }

    /// Writes `custos.toml` once the keys are there.
    pub fn write_settings(&self) -> Result<(), Failure> {
        let mut text = String::new();
        for name in KEYS.iter().filter(|name| **name != "intruder") {
            text.push_str(&format!(
                "[[signer]]\nname = \"{name}\"\nkey = \".custos/keys/{name}.pub\"\n\n"
            ));
        }
        text.push_str(
            "[pipeline]\nlayout = \"pipeline.toml\"\nsigners = [\"owner\"]\n\n\
             [policy]\ngate = \"policy\"\nrequire = \"policy\"\n",
        );
        write_new(&self.root.join(PROJECT_FILE), text.as_bytes(), 0o644)
    }

    /// Commits the project to Git, so that the steps have a revision to record. Without git on the
    /// machine the statements say that the revision is unknown, which is no reason to stop.
    pub fn commit(&self) {
        let ignore = "raw/\ningest/\npreprocess/\nfeatures/\ntrain/\nevaluate/\npackage/\n\
                      attacks/\nstatements/\n.custos/\n";
        let _ = std::fs::write(self.root.join(".gitignore"), ignore);
        let identity = [
            "-c",
            "user.name=owner",
            "-c",
            "user.email=owner@example.com",
        ];
        for args in [
            &["init", "-q"][..],
            &["add", "."],
            &["commit", "-qm", "Declare the pipeline"],
        ] {
            let done = Command::new("git")
                // The user's own repository, hooks and signing keys are none of the demo's.
                .env_clear()
                .envs(environment().into_iter().filter(|(name, _)| name == "PATH"))
                .env("HOME", &self.root)
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .args(identity)
                .args(args)
                .current_dir(&self.root)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if !done.is_ok_and(|status| status.success()) {
                return;
            }
        }
    }

    /// Returns the command line that runs a step.
    pub fn step_command(step: &Step, custos: &Custos, seed: u64) -> Vec<String> {
        let key = match step.name {
            "ingest" | "preprocess" => "data",
            "features" | "train" => "trainer",
            "evaluate" => "evaluator",
            _ => "release",
        };
        let mut line: Vec<String> = ["run", "--name", step.name, "--key", key]
            .map(str::to_owned)
            .to_vec();
        for input in step.inputs {
            line.extend(["--input".to_owned(), (*input).to_owned()]);
        }
        line.extend(["--product".to_owned(), step.name.to_owned()]);
        // The chain of every input is checked before the step starts.
        line.extend(["--require".to_owned(), "policy".to_owned(), "--".to_owned()]);
        line.extend([
            custos.binary().display().to_string(),
            "demo-step".to_owned(),
        ]);
        line.push(step.name.to_owned());
        for input in step.inputs {
            line.extend(["--in".to_owned(), (*input).to_owned()]);
        }
        line.extend(["--out".to_owned(), step.name.to_owned()]);
        line.extend(["--seed".to_owned(), seed.to_string()]);
        line
    }

    /// Writes the statement about the raw data, and returns its file.
    pub fn raw_dataset(&self) -> Result<PathBuf, Failure> {
        let origin: custos_multimodal::Origin = self.read("raw/SOURCE.json")?;
        let sums = read_bytes(&self.root.join("raw/SHA256SUMS"), 1 << 20)?;
        let rows = String::from_utf8_lossy(&sums)
            .lines()
            .filter_map(|line| line.split_once("  "))
            .map(|(hex, _)| Digest::from_hex(Algorithm::Sha256, hex).map_err(|e| unsound(&e)))
            .collect::<Result<Vec<_>, _>>()?;
        let rows = Rows {
            what: "raw files",
            kind: RowKind::File,
            digests: rows,
        };
        let dataset = describe(&origin, &rows)?;
        self.write("raw-dataset.json", &dataset)
    }

    /// Writes the statement about the ingested dataset, and returns its file.
    pub fn dataset(&self) -> Result<PathBuf, Failure> {
        let found: custos_multimodal::Dataset = self.read("ingest/dataset.json")?;
        let rows = found
            .rows
            .iter()
            .map(|row| {
                Digest::from_hex(Algorithm::Sha256, &row.sha256).map_err(|error| unsound(&error))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let rows = Rows {
            what: "records",
            kind: RowKind::Record,
            digests: rows,
        };
        let dataset = describe(&found.origin, &rows)?;
        self.write("dataset.json", &dataset)
    }

    /// Writes the evaluation plan, and returns its file.
    pub fn evaluation_plan(&self) -> Result<PathBuf, Failure> {
        let at_least = |name: &str, threshold: f64| PlannedMetric {
            name: name.to_owned(),
            slice: None,
            direction: Direction::HigherIsBetter,
            threshold,
            min_n: Some(100),
        };
        let plan = EvaluationPlan {
            name: "release".to_owned(),
            dataset: self.artifact("features")?,
            method: "top-1 accuracy over the held-out pairs; margin is accuracy less the best of \
                     four settings with one modality"
                .to_owned(),
            metrics: vec![at_least("accuracy", 0.62), at_least("margin", 0.02)],
        };
        self.write("evaluation-plan.json", &plan)
    }

    /// Writes the evaluation as measured, and returns its file.
    pub fn evaluation(&self) -> Result<PathBuf, Failure> {
        let found: custos_multimodal::Evaluation = self.read("evaluate/evaluation.json")?;
        let plan: EvaluationPlan = self.read("statements/evaluation-plan.json")?;
        let digest = predicate::digest(&plan).map_err(|error| unsound(&error))?;
        let metric = |name: &str, score: &Score| Metric {
            name: name.to_owned(),
            value: score.accuracy,
            n: u64::try_from(score.n).unwrap_or(u64::MAX),
            interval: Some(Interval {
                level: 0.95,
                low: score.interval95[0],
                high: score.interval95[1],
                method: "wilson".to_owned(),
            }),
        };
        let evaluation = Evaluation {
            plan: PlanReference {
                digest: DigestSet::from(digest),
                log_index: None,
            },
            model: self.artifact("train")?,
            dataset: self.artifact("features")?,
            metrics: vec![
                metric("accuracy", &found.both),
                metric("accuracy-image-only", &found.image_only),
                metric("accuracy-text-only", &found.text_only),
                Metric {
                    name: "margin".to_owned(),
                    value: found.margin,
                    n: u64::try_from(found.both.n).unwrap_or(u64::MAX),
                    interval: None,
                },
            ],
            slices: Vec::new(),
        };
        self.write("evaluation.json", &evaluation)
    }

    /// Returns the measured accuracies, for people.
    pub fn accuracy_table(&self) -> Result<String, Failure> {
        let found: custos_multimodal::Evaluation = self.read("evaluate/evaluation.json")?;
        Ok(found
            .lines()
            .iter()
            .map(|line| format!("            {line}\n"))
            .collect())
    }

    fn artifact(&self, name: &str) -> Result<ResourceDescriptor, Failure> {
        let found = hash::artifact_digest(&self.root.join(name), &HashOptions::default(), &())
            .map_err(|error| {
                Failure::undecided("E0202", "the demo's files cannot be hashed")
                    .because(error.to_string())
            })?;
        Ok(ResourceDescriptor::new(name, found.digest))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, Failure> {
        let file = self.root.join(name);
        let bytes = read_bytes(&file, 64 << 20)?;
        json::from_slice(&bytes, &Limits::STATEMENT).map_err(|error| {
            Failure::undecided("E0001", "a step of the demo wrote something unexpected")
                .at(file.display().to_string())
                .because(error.to_string())
        })
    }

    fn write<P: Predicate>(&self, name: &str, predicate: &P) -> Result<PathBuf, Failure> {
        let file = self.root.join("statements").join(name);
        let bytes = json::to_pretty(predicate).map_err(|error| unsound(&error))?;
        write_new(&file, &bytes, 0o644)?;
        Ok(file)
    }
}

struct Rows {
    what: &'static str,
    kind: RowKind,
    digests: Vec<Digest>,
}

fn describe(origin: &custos_multimodal::Origin, rows: &Rows) -> Result<Dataset, Failure> {
    let records = u64::try_from(rows.digests.len()).unwrap_or(u64::MAX);
    let licences: Vec<&str> = origin
        .licenses
        .iter()
        .map(|licence| licence.spdx.as_str())
        .collect();
    let sources = origin
        .sources
        .iter()
        .map(|source| {
            Digest::from_hex(Algorithm::Sha256, &source.sha256)
                .map(|digest| {
                    ResourceDescriptor::new(
                        format!("{}@{}", source.package, source.version),
                        digest,
                    )
                })
                .map_err(|error| unsound(&error))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Dataset {
        name: format!("{} ({})", origin.name, rows.what),
        version: origin.version.clone(),
        licence: licences.join(" AND "),
        sources,
        records,
        modalities: vec!["image".to_owned(), "text".to_owned()],
        pairing: Some(Pairing {
            constructed: false,
            description: origin.pairing.clone(),
        }),
        splits: Vec::new(),
        rows: Some(RowTree::over(rows.kind, &rows.digests).map_err(|error| unsound(&error))?),
    })
}

fn unsound(error: &dyn std::error::Error) -> Failure {
    Failure::undecided("E0001", "a step of the demo wrote something unexpected")
        .because(error.to_string())
}

/// Copies a folder of plain files.
pub fn copy_tree(from: &Path, to: &Path) -> Result<(), Failure> {
    let io = |error: std::io::Error| Failure::io(from.display().to_string(), &error);
    std::fs::create_dir_all(to).map_err(io)?;
    for entry in std::fs::read_dir(from).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_tree(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).map_err(io)?;
        }
    }
    Ok(())
}
