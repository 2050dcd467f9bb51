//! Verification beside its floor, and the log over HTTP, each by an example that measures itself.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::log::median;
use super::table::Table;
use crate::place::Scratch;
use crate::process;

/// `crates/trust/examples/verify`: one bundle warm, many bundles, bundles of keys.
pub fn verify(bench: &Bench<'_>) -> Result<Table> {
    let runs = json(bench, "examples/verify", |_| Vec::new())?;
    let number = |pointer: &str| median(&runs, pointer);
    let mut table = Table::new(
        &format!(
            "`crates/trust/examples/verify`: a bundle of the public staging instance (certificate, \
             its promise, Rekor v2, timestamp), warm, in one process. The floor is its signature \
             checks bare, with the same library. Many bundles and those of keys run on {:.0} \
             threads. Median of {} runs.",
            number("/threads")?,
            runs.len()
        ),
        &["what", "measured", "floor", "of the floor", "aim"],
    );
    let milli = |micros: f64| format!("{:.2} ms", micros / 1000.0);
    table.row([
        "one keyless bundle".to_owned(),
        milli(number("/keyless/micros")?),
        milli(number("/keyless/floorMicros")?),
        format!("{:.2}", number("/keyless/timesFloor")?),
        "<= 1.5, <= 1.5 ms".to_owned(),
    ]);
    table.row([
        format!(
            "{:.0} keyless bundles of one root",
            number("/manyKeyless/bundles")?
        ),
        format!("{:.0}/s", number("/manyKeyless/perSecond")?),
        format!("{:.0}/s", number("/manyKeyless/floorPerSecond")?),
        format!("{:.2}", number("/manyKeyless/ofFloor")?),
        ">= 0.8".to_owned(),
    ]);
    table.row([
        "bundles of keys".to_owned(),
        format!("{:.0}/s", number("/manyKeyed/perSecond")?),
        format!("{:.0}/s", number("/manyKeyed/floorPerSecond")?),
        format!("{:.2}", number("/manyKeyed/ofFloor")?),
        ">= 10,000/s".to_owned(),
    ]);
    Ok(table)
}

/// `crates/server/examples/load`: entries and signatures sent to a server on this machine.
pub fn http(bench: &Bench<'_>) -> Result<Table> {
    let dir = Scratch::below(&bench.place.cache, "load")?;
    let mut table = Table::new(
        &format!(
            "`crates/server/examples/load`: server and callers in one process on the same two \
             cores, the log on the disk of the cache folder; every request is answered once its \
             entry is durable. Median of {} runs of 10 s.",
            bench.runs
        ),
        &[
            "route",
            "connections",
            "requests a second",
            "p50",
            "p99",
            "aim",
        ],
    );
    for (route, name, aim) in [
        ("ADD", "`POST /add`", ">= 10,000/s, p99 <= 500 ms"),
        (
            "REKOR",
            "`POST /api/v2/log/entries`, signature checked, with proof",
            ">= 3,000/s, p50 <= 300 ms",
        ),
    ] {
        let runs = json(bench, "examples/load", |run| {
            let folder = dir.join(&format!("{route}-{run}"));
            vec![
                folder.display().to_string(),
                route.to_owned(),
                "10".to_owned(),
            ]
        })?;
        table.row([
            name.to_owned(),
            format!("{:.0}", median(&runs, "/connections")?),
            format!("{:.0}", median(&runs, "/perSecond")?),
            format!("{:.0} ms", median(&runs, "/p50Ms")?),
            format!("{:.0} ms", median(&runs, "/p99Ms")?),
            aim.to_owned(),
        ]);
    }
    Ok(table)
}

/// Runs an example as often as the bench says; answers what it printed.
fn json(
    bench: &Bench<'_>,
    example: &str,
    words: impl Fn(usize) -> Vec<String>,
) -> Result<Vec<Value>> {
    let program = bench.place.built(example);
    ensure!(program.is_file(), "`{example}` was not built");
    (0..bench.runs)
        .map(|run| {
            let mut command = Command::new(&program);
            command.args(words(run));
            let done = process::run(&mut command, Duration::from_mins(10))?.success()?;
            serde_json::from_str(&done.stdout).with_context(|| format!("{example} printed no JSON"))
        })
        .collect()
}
