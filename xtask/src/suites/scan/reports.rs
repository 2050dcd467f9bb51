//! Reports for those who read them: our own schema, SARIF with the rules that code hosts have for it,
//! CycloneDX. And that those who judge would have noticed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

use super::super::peers;
use super::{Desk, Run};
use crate::custos::Answer;
use crate::peers::Installed;
use crate::process;
use crate::suites::text;
use crate::tally::Suite;

const LIMIT: Duration = Duration::from_mins(3);
const MULTITOOL: &str = "node_modules/@microsoft/sarif-multitool-linux";
/// Its advice that does not fit: there is no page of the project to lead to.
const NOT_FOLLOWED: [&str; 1] = ["SARIF2005"];

/// Runs the part of the suite.
pub(super) fn run(desk: &Desk<'_>, run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let Some([schemas, sarif]) = peers(run, suite, ["scan-reports", "sarif"]) else {
        return Ok(());
    };
    let judges = Judges::new(desk, schemas, &sarif)?;
    let bad = desk.folder("reports")?;
    judges.python("scan_hostile.py", &["reports", text(&bad)])?;
    let good = desk.folder("good")?;
    fs::write(good.join("config.json"), "{\"layers\": 2}\n")?;
    let known = desk.scratch.join("known.json");
    let words = ["scan", text(&bad), "--write-baseline", text(&known)];
    desk.custos.ok(words)?;
    let suppressions = suppressions(desk, &known)?;
    let with = ["--suppressions", text(&suppressions)];
    let runs: [(&str, &Path, &[&str], Answer); 4] = [
        ("found", &bad, &[], Answer::No),
        ("suppressed", &bad, &with, Answer::No),
        (
            "known",
            &bad,
            &["--baseline", text(&known)],
            Answer::Undecided,
        ),
        ("nothing", &good, &["--strict"], Answer::Yes),
    ];
    for (name, folder, more, answer) in runs {
        suite.check(&format!("reports: {name}"), || {
            let files = write(desk, (name, folder), more, answer)?;
            judges.accept(&files)?;
            judges.multitool(&files.sarif).and_then(|faults| {
                ensure!(faults.is_empty(), "SARIF multitool: {}", faults.join("; "));
                Ok(())
            })
        });
    }
    suite.check("reports: what is wrong is noticed", || judges.refuse(desk));
    Ok(())
}

/// The reports of one run.
struct Files {
    sarif: PathBuf,
    json: PathBuf,
    cyclonedx: PathBuf,
}

impl Files {
    fn all(&self) -> [&Path; 3] {
        [&self.sarif, &self.json, &self.cyclonedx]
    }
}

fn write(
    desk: &Desk<'_>,
    (name, folder): (&str, &Path),
    more: &[&str],
    answer: Answer,
) -> Result<Files> {
    let file = |end: &str| desk.scratch.join(&format!("{name}.{end}"));
    let files = Files {
        sarif: file("sarif"),
        json: file("json"),
        cyclonedx: file("cdx.json"),
    };
    let words = [
        "scan",
        text(folder),
        "--sarif",
        text(&files.sarif),
        "--json",
        text(&files.json),
        "--cyclonedx",
        text(&files.cyclonedx),
    ];
    desk.custos
        .answers(&[answer], words.iter().chain(more))
        .map(|_| files)
}

// One entry that suppresses, one that has expired, and one about nothing.
fn suppressions(desk: &Desk<'_>, known: &Path) -> Result<PathBuf> {
    let report: Value = serde_json::from_str(&fs::read_to_string(known)?)?;
    let files = report.get("files").and_then(Value::as_array);
    let bad = files.into_iter().flatten().find(|file| {
        let findings = file.get("findings").and_then(Value::as_array);
        findings.is_some_and(|findings| !findings.is_empty())
    });
    let bad = bad.context("nothing was found")?;
    let word = |pointer: &str| bad.pointer(pointer).and_then(Value::as_str);
    let digest = word("/digest").and_then(|digest| digest.strip_prefix("sha256:"));
    let digest = digest.context("a file without a digest")?;
    let rule = word("/findings/0/rule").context("a finding without a rule")?;
    let nothing = "0".repeat(64);
    let entries = [
        (digest, rule, 2099),
        (digest, rule, 2020),
        (&nothing, rule, 2099),
    ];
    let texts = entries.map(|(digest, rule, year)| {
        format!(
            "[[suppress]]\nsha256 = \"{digest}\"\nrule = \"{rule}\"\nowner = \"a@example.com\"\n\
             reason = \"reviewed\"\nexpires = {year}-01-01\nanalysis = \"not_affected\"\n\n"
        )
    });
    let path = desk.scratch.join("suppressions.toml");
    fs::write(&path, texts.concat())?;
    Ok(path)
}

/// Those who judge reports.
struct Judges<'a> {
    desk: &'a Desk<'a>,
    schemas: Installed,
    multitool: PathBuf,
}

impl<'a> Judges<'a> {
    fn new(desk: &'a Desk<'a>, schemas: Installed, sarif: &Installed) -> Result<Self> {
        let multitool = sarif.folder().join(MULTITOOL);
        // npm makes executable only what a package declares as a command.
        let program = multitool.join("Sarif.Multitool");
        fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            desk,
            schemas,
            multitool,
        })
    }

    fn python(&self, script: &str, words: &[&str]) -> Result<String> {
        let mut command = self.schemas.python();
        command.arg(self.desk.place.peer_file(script)).args(words);
        Ok(process::run(&mut command, LIMIT)?.success()?.stdout)
    }

    // What the schemas hold against these files.
    fn faults(&self, files: &[&Path]) -> Result<Map<String, Value>> {
        let ours = self
            .desk
            .place
            .root
            .join("docs/reference/scan-report.schema.json");
        let sarif = self.multitool.join("sarif-2.1.0.json");
        let words: Vec<&str> = [text(&ours), text(&sarif)]
            .into_iter()
            .chain(files.iter().map(|file| text(file)))
            .collect();
        let said = self.python("scan_reports.py", &words)?;
        serde_json::from_str(&said).with_context(|| format!("no answer but `{said}`"))
    }

    fn accept(&self, files: &Files) -> Result<()> {
        let faults = self.faults(&files.all())?;
        if faults.is_empty() {
            return Ok(());
        }
        bail!("{}", serde_json::to_string_pretty(&faults)?)
    }

    // Errors and warnings, also by the rules of GitHub.
    fn multitool(&self, log: &Path) -> Result<Vec<String>> {
        let said = log.with_extension("judged.sarif");
        let mut command = Command::new(self.multitool.join("Sarif.Multitool"));
        command
            .args(["validate", text(log), "--output", text(&said)])
            .args(["--rule-kind", "Sarif;Gh", "--level", "Error;Warning"])
            .args(["--log", "ForceOverwrite"])
            .env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1")
            .env("DOTNET_BUNDLE_EXTRACT_BASE_DIR", self.desk.scratch.path());
        // It would ask for the page of each address in the log.
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            command.env(name, "http://127.0.0.1:9");
        }
        process::run(&mut command, LIMIT)?.success()?;
        let said: Value = serde_json::from_str(&fs::read_to_string(said)?)?;
        let results = said.pointer("/runs/0/results").and_then(Value::as_array);
        let rule = |one: &'_ Value| Some(one.get("ruleId")?.as_str()?.to_owned());
        let faults = results.into_iter().flatten().filter_map(|one| {
            let rule = rule(one)?;
            let message = one.get("message")?;
            (!NOT_FOLLOWED.contains(&rule.as_str())).then(|| format!("{rule} {message}"))
        });
        Ok(faults.collect())
    }

    // Each report with one thing wrong in it.
    fn refuse(&self, desk: &Desk<'_>) -> Result<()> {
        for (name, pointer, wrong) in [
            ("found.json", "/files/0/state", Value::from("fine")),
            ("found.sarif", "/runs/0/results/0/level", Value::from("bad")),
            ("found.cdx.json", "/components/0/type", Value::from("bad")),
        ] {
            let twin = twin(desk, name, pointer, wrong)?;
            ensure!(
                !self.faults(&[&twin])?.is_empty(),
                "{name}: the schema accepts it"
            );
        }
        let twin = twin(
            desk,
            "found.sarif",
            "/runs/0/results/0/ruleIndex",
            9999.into(),
        )?;
        ensure!(
            !self.multitool(&twin)?.is_empty(),
            "SARIF multitool accepts it"
        );
        Ok(())
    }
}

fn twin(desk: &Desk<'_>, name: &str, pointer: &str, wrong: Value) -> Result<PathBuf> {
    let written = fs::read_to_string(desk.scratch.join(name))?;
    let mut report: Value = serde_json::from_str(&written)?;
    let place = report.pointer_mut(pointer);
    *place.with_context(|| format!("{name} has no {pointer}"))? = wrong;
    let twin = desk.scratch.join(&format!("wrong-{name}"));
    fs::write(&twin, serde_json::to_vec(&report)?)?;
    Ok(twin)
}
