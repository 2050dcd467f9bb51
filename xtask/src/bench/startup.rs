//! How long the binary takes to start, and a check of a tiny model.

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use super::Bench;
use super::measure::{Side, in_turns, program};
use super::table::{COMPARISON, Table};
use crate::suites::{key_files, text};

/// `custos --version`, and `custos verify` of a tiny model, beside a process that does nothing.
pub fn run(bench: &Bench<'_>) -> Result<Table> {
    let runs = bench.runs.max(20);
    let verify = tiny_model(bench)?;
    let mut sides: Vec<Side<'_>> = vec![
        program(|| Ok(Command::new("true"))),
        program(|| Ok(bench.custos.command(["--version"]))),
        program(|| Ok(bench.custos.command(&verify))),
    ];
    if let Ok(peer) = &bench.peer {
        sides.push(program(|| {
            let mut command = peer.python();
            command.args(["-m", "model_signing", "--version"]);
            Ok(command)
        }));
    }
    let samples = in_turns(runs, &sides)?;
    let [floor, version, verify, rest @ ..] = &samples[..] else {
        bail!("a side was not measured");
    };
    let mut table = Table::new(
        &format!(
            "Median of {runs} runs in turns, files in the page cache. `true` is a process that \
             does nothing, so the floor of this machine. The tiny model is one file of 3 bytes, \
             signed with P-256 and logged."
        ),
        &COMPARISON,
    );
    let beside = ("`true`", *floor);
    table.alone("`true`", *floor);
    table.beside(("`custos --version`", *version), beside, "wall < 10 ms");
    table.beside(
        ("`custos verify` of a tiny model", *verify),
        beside,
        "wall < 30 ms",
    );
    if let [peer] = rest {
        table.alone("`model_signing --version`", *peer);
    }
    Ok(table)
}

/// Signs a tiny model; answers the words that verify it.
fn tiny_model(bench: &Bench<'_>) -> Result<Vec<String>> {
    let model = bench.scratch.join("tiny");
    fs::create_dir_all(&model)?;
    fs::write(model.join("weights.bin"), b"abc")?;
    let prefix = bench.scratch.join("tiny-key");
    let make = ["keys", "generate", "--no-password", "--output-prefix"];
    bench.custos.ok(make.into_iter().chain([text(&prefix)]))?;
    let (secret, public) = key_files(&prefix)?;
    let bundle = bench.scratch.join("tiny.sig");
    let sign = [
        "sign",
        text(&model),
        "--key",
        text(&secret),
        "--bundle",
        text(&bundle),
    ];
    bench.custos.ok(sign)?;
    let verify = [
        "verify",
        text(&model),
        "--key",
        text(&public),
        "--bundle",
        text(&bundle),
    ];
    Ok(verify.map(str::to_owned).to_vec())
}
