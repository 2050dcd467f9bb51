//! The log engine beside the bare cost of what it promises: a hash for every entry and inner node,
//! a write and one `fdatasync` a batch.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::measure::middle;
use super::table::Table;
use crate::place::Scratch;
use crate::process;

/// Runs `crates/log/examples/append`, which measures the bare loop, the log, and the log with
/// de-duplication and search index one after the other.
pub fn append(bench: &Bench<'_>) -> Result<Table> {
    let program = bench.place.built("examples/append");
    ensure!(program.is_file(), "crates/log has no example `append`");
    // On the disk of the cache, not on a memory file system that `fdatasync` costs nothing on.
    let dir = Scratch::below(&bench.place.cache, "log")?;
    let mut runs = Vec::new();
    for run in 0..bench.runs {
        let mut command = Command::new(&program);
        command.arg(dir.join(&format!("run-{run}")));
        let done = process::run(&mut command, Duration::from_mins(15))?.success()?;
        let value: Value = serde_json::from_str(&done.stdout).context("append printed no JSON")?;
        runs.push(value);
    }
    let number = |name: &str| median(&runs, &format!("/{name}"));
    let mut table = Table::new(
        &format!(
            "`crates/log/examples/append` on the disk of the cache folder: {:.0} entries of {:.0} \
             bytes in batches of {:.0}, from {:.0} callers as a server has, each batch durable and \
             published before its caller goes on. The bare loop, on one thread, hashes the same \
             entries and inner nodes with the same library, writes each batch with one call and \
             calls `fdatasync`. Median of {} runs.",
            number("entries")?,
            number("entry_bytes")?,
            number("batch")?,
            number("callers")?,
            bench.runs
        ),
        &["what", "entries a second", "of the bare loop", "aim"],
    );
    for (what, rate, ratio, aim) in [
        ("bare loop", "baseline_per_s", None, "-"),
        ("log", "log_per_s", Some("log_ratio"), ">= 100,000"),
        (
            "log with de-duplication and index",
            "dedup_per_s",
            Some("dedup_ratio"),
            ">= 40,000",
        ),
    ] {
        let ratio = match ratio {
            Some(name) => format!("{:.2}", number(name)?),
            None => "1".to_owned(),
        };
        table.row([
            what.to_owned(),
            format!("{:.0}", number(rate)?),
            ratio,
            aim.to_owned(),
        ]);
    }
    Ok(table)
}

/// The middle of what all runs printed at this place (RFC 6901).
pub fn median(runs: &[Value], pointer: &str) -> Result<f64> {
    let values: Vec<f64> = runs
        .iter()
        .filter_map(|run| run.pointer(pointer)?.as_f64())
        .collect();
    ensure!(values.len() == runs.len(), "`{pointer}` was not printed");
    // Thousandths order well; the medians are of whole numbers.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rates lie far below the limit"
    )]
    let median = middle(values.iter().map(|value| (value * 1000.0) as i64))?;
    #[expect(clippy::cast_precision_loss, reason = "a number for people")]
    Ok(median as f64 / 1000.0)
}
