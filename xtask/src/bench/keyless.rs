//! One bundle of the public Sigstore, verified offline by whole processes: Custos, cosign and the
//! Python client, with the same trusted root.

use std::process::Command;

use anyhow::{Result, bail};

use super::Bench;
use super::measure::{Side, in_turns, program};
use super::table::{COMPARISON, Table};
use crate::peers::Peer;
use crate::suites::text;

const IDENTITY: &str = "w.vollprecht@gmail.com";
const ISSUER: &str = "https://github.com/login/oauth";

/// `custos verify` of a keyless bundle beside cosign and sigstore-python.
pub fn run(bench: &Bench<'_>) -> Result<Table> {
    let runs = bench.runs.max(20);
    let data = bench.place.root.join("testdata/sigstore");
    let artifact = data.join("cosign-v3-blob.txt");
    let bundle = data.join("cosign-v3-blob.sigstore.json");
    let root = data.join("public-good.json");
    let cosign = Peer::named("cosign")?.ensure(bench.place)?;
    let python = Peer::named("sigstore")?.ensure(bench.place)?;
    let expected = [
        "--trusted-root",
        text(&root),
        "--certificate-identity",
        IDENTITY,
        "--certificate-oidc-issuer",
        ISSUER,
        "--bundle",
        text(&bundle),
        text(&artifact),
    ];
    let sides: Vec<Side<'_>> = vec![
        program(|| Ok(bench.custos.command(["verify"].iter().chain(&expected)))),
        program(|| {
            let mut command = Command::new(cosign.folder().join("cosign"));
            command.arg("verify-blob").args(expected);
            Ok(command)
        }),
        program(|| {
            let mut command = python.python();
            command
                .args(["-m", "sigstore", "verify", "identity", "--offline"])
                .args(["--cert-identity", IDENTITY, "--cert-oidc-issuer", ISSUER])
                .args(["--bundle", text(&bundle), text(&artifact)]);
            Ok(command)
        }),
    ];
    let samples = in_turns(runs, &sides)?;
    let [ours, go, py] = &samples[..] else {
        bail!("a side was not measured");
    };
    let mut table = Table::new(
        &format!(
            "`testdata/sigstore/cosign-v3-blob.sigstore.json`: certificate chain and its promise \
             of logging, Rekor v1 entry, signature. Whole processes, offline, files in the page \
             cache; median of {runs} runs in turns. The Python client takes the same root from its \
             own package."
        ),
        &COMPARISON,
    );
    table.beside(
        ("`custos verify`", *ours),
        ("`cosign verify-blob`", *go),
        "wall <= 1",
    );
    table.beside(
        ("`custos verify`", *ours),
        ("`sigstore verify`", *py),
        "wall <= 0.1",
    );
    table.alone("`cosign verify-blob`", *go);
    table.alone("`sigstore verify`", *py);
    Ok(table)
}
