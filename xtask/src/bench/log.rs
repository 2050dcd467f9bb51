//! The log engine beside the bare cost of what it promises: a hash for every entry, a write and
//! one `fdatasync` a batch.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::table::Table;
use crate::place::Scratch;
use crate::process;

/// Runs `crates/log/examples/append`, which measures both sides in one process and in turns, and
/// prints one JSON object a measure: `{"what", "entries_per_s", "ratio", "aim"}`.
pub fn append(bench: &Bench<'_>) -> Result<Table> {
    let program = bench.place.built("examples/append");
    ensure!(program.is_file(), "crates/log has no example `append`");
    // On the disk of the cache, not on a memory file system that `fdatasync` costs nothing on.
    let dir = Scratch::below(&bench.place.cache, "log")?;
    let mut command = Command::new(program);
    let done = process::run(command.arg(dir.path()), Duration::from_mins(15))?.success()?;
    let mut table = Table::new(
        &format!(
            "`crates/log/examples/append` on the disk of the cache folder: entries of 1 KiB, in \
             batches, each batch durable before it is acknowledged. The bare loop hashes the same \
             entries with the same library, writes them with one call a batch and calls \
             `fdatasync`. Median of {} runs.",
            bench.runs
        ),
        &["what", "entries a second", "beside the bare loop", "aim"],
    );
    for line in done.stdout.lines().filter(|line| line.starts_with('{')) {
        let value: Value = serde_json::from_str(line).context("append printed no JSON")?;
        let cell = |name: &str| match value.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => "-".to_owned(),
        };
        table.row(["what", "entries_per_s", "ratio", "aim"].map(cell));
    }
    Ok(table)
}
