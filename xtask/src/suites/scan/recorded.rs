//! What the tests of another scanner call bad: they run, the files that it fails are kept as they
//! are scanned, and Custos looks at each by itself.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::super::peers;
use super::files::Expected;
use super::{Desk, Run};
use crate::peers::Installed;
use crate::tally::Suite;
use crate::{process, samples, say};

const LIMIT: Duration = Duration::from_mins(5);
const LEAST: usize = 300;

/// Runs the part of the suite.
pub(super) fn run(desk: &Desk<'_>, run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let Some([hayward]) = peers(run, suite, ["hayward-tests"]) else {
        return Ok(());
    };
    let tests = match samples::listed(desk.place, "scan-tests") {
        Ok(tests) => tests,
        Err(error) => {
            suite.skip("peer:scan-tests", &format!("{error:#}"));
            return Ok(());
        }
    };
    let kept = record(desk, &hayward, &tests)?;
    ensure!(kept.len() >= LEAST, "{} files are few", kept.len());
    let argued = Expected::read(desk, "scan-tests-missed")?;
    let folder = desk.scratch.join("recorded");
    fs::remove_file(folder.join("index.json"))?;
    let scanned = desk.scan(&folder)?;
    let files = scanned.files()?;
    let mut found = 0;
    for (place, key, rules) in &kept {
        suite.check(key, || {
            let end = format!("/{place}");
            let mut looked = files.iter().filter(|file| file.path.ends_with(&end));
            let file = looked.next().context("it is not in the report")?;
            match (file.state, argued.has(key)) {
                ("findings", known) => {
                    found += 1;
                    argued.better(key, known);
                    Ok(())
                }
                (_, true) => Ok(()),
                (state, false) => {
                    bail!(
                        "{} fails it, and it is {state}: {}",
                        rules.join(", "),
                        file.why
                    )
                }
            }
        });
    }
    say::line(&format!(
        "      scan-tests: {found} of {} files found that hayward's tests call bad",
        kept.len()
    ));
    argued.all_in(&kept.into_iter().map(|(_, key, _)| key).collect(), suite);
    Ok(())
}

/// Where a file lies, which test made it, and what was held against it.
type Kept = (String, String, Vec<String>);

// Some of its tests fail where root runs them: what counts is what they had scanned.
fn record(desk: &Desk<'_>, hayward: &Installed, tests: &samples::Listed) -> Result<Vec<Kept>> {
    let folder = desk.folder("recorded")?;
    let script = desk.place.peer_file("scan_record.py");
    let base = desk.scratch.join("recorded-by-pytest");
    let mut pytest = hayward.python();
    pytest
        .args([&script, &folder, &base, &tests.folder])
        .args(&tests.files)
        .current_dir(&tests.folder);
    let done = process::run(&mut pytest, LIMIT)?;
    let index = fs::read(folder.join("index.json"));
    let index = index.with_context(|| format!("pytest recorded nothing: {}", done.words()))?;
    serde_json::from_slice(&index).context("index.json is not what the plugin writes")
}
