//! Runs `cargo test --release --workspace` and counts what it says.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::peers::Peer;
use crate::place::Place;
use crate::say;
use crate::servers::Server;
use crate::tally::Suite;

/// Runs all unit, integration and documentation tests of the workspace.
///
/// The release profile is the one that the demo and the benches use, so each dependency compiles
/// once. Everything printed goes to `xtask-test.log` in the build folder; shown are compiler
/// messages, one line a test binary, and what failed.
pub fn run(place: &Place, full: bool) -> Result<Vec<Suite>> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let mut command = Command::new("cargo");
    command
        .args([
            "test",
            "--release",
            "--workspace",
            "--no-fail-fast",
            "--color",
            "never",
        ])
        .current_dir(&place.root)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    if full {
        command.env("CUSTOS_TEST_FULL", "1");
    }
    // The tests of `custos-policy` compare with Open Policy Agent where they are given it.
    let mut peers = Suite::new("opa");
    match Peer::named("opa")?.ensure(place) {
        Ok(peer) => {
            command.env("CUSTOS_PEER_OPA", peer.folder());
        }
        Err(error) => peers.skip("peer:opa", &format!("{error:#}")),
    }
    let (servers, clouds) = clouds(place, &mut command);
    // And cosign looks at their Secrets, where there is an API server (KUBEBUILDER_ASSETS). That it
    // is missing, the suites that need it say.
    if let Ok(peer) = Peer::named("cosign")?.ensure(place) {
        command.env("CUSTOS_PEER_COSIGN", peer.folder());
    }
    let mut child = command.spawn().context("cannot start cargo")?;
    // The command keeps the writing ends of the pipe; without this the pipe never ends.
    drop(command);
    let path = place.target.join("xtask-test.log");
    let mut log =
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut parser = Parser::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        writeln!(log, "{line}")?;
        if let Some(shown) = parser.line(&line) {
            say::line(shown);
        }
    }
    let status = child.wait()?;
    drop(servers);
    let mut suites = parser.finish(status.success());
    suites.push(peers);
    suites.extend(clouds);
    Ok(suites)
}

// The tests of `custos-trust` sign with keys of AWS KMS, and others read buckets, as far as moto and
// Azurite are these.
fn clouds(place: &Place, command: &mut Command) -> (Vec<Server>, [Suite; 2]) {
    let mut suites = [Suite::new("kms"), Suite::new("buckets")];
    let started = [
        (Server::moto(place), "moto", "CUSTOS_PEER_MOTO"),
        (Server::azurite(place), "azurite", "CUSTOS_PEER_AZURITE"),
    ];
    let mut servers = Vec::new();
    for (suite, (server, name, variable)) in suites.iter_mut().zip(started) {
        match server {
            Ok(server) => {
                command.env(variable, &server.described);
                servers.push(server);
            }
            Err(error) => suite.skip(&format!("peer:{name}"), &format!("{error:#}")),
        }
    }
    (servers, suites)
}

/// Reads the merged output of `cargo test`, line by line.
#[derive(Debug, Default)]
struct Parser {
    done: Vec<Suite>,
    open: Option<Suite>,
    /// The crate whose unit tests ran last: integration tests follow them and do not name it.
    package: String,
    /// Inside the `failures:` part of a binary, which is shown in full.
    in_failures: bool,
}

impl Parser {
    /// Takes a line; answers what of it to show.
    fn line<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let trimmed = line.trim_start();
        if let Some(binary) = Binary::parse(trimmed) {
            self.close();
            self.open = Some(Suite::new(&binary.title(&self.package)));
            if let Binary::Unit { crate_name, .. } = binary {
                self.package = crate_name;
            }
            return None;
        }
        if let Some(result) = line.strip_prefix("test result: ") {
            self.result(result);
            return None;
        }
        if let Some(test) = line.strip_prefix("test ") {
            return self.test(test).then_some(line);
        }
        if line == "failures:" {
            self.in_failures = true;
        }
        if self.in_failures {
            return Some(line);
        }
        let noise = trimmed.is_empty()
            || trimmed.starts_with("running ")
            || trimmed.starts_with("Compiling ")
            || trimmed.starts_with("Finished ")
            || trimmed.starts_with("Blocking ")
            || trimmed.starts_with("Downloaded ")
            || trimmed.starts_with("all doctests ran in");
        (!noise).then_some(line)
    }

    /// Takes `NAME ... ok`; answers whether the line is worth showing.
    fn test(&mut self, test: &str) -> bool {
        let Some(suite) = &mut self.open else {
            return false;
        };
        if test.ends_with("... FAILED") || test.contains("... FAILED ") {
            suite.fail_silently(test.split(" ... ").next().unwrap_or(test));
            return true;
        }
        if let Some((name, verdict)) = test.split_once(" ... ignored") {
            let reason = verdict.trim_start_matches([',', ' ']);
            let reason = if reason.is_empty() {
                "no reason given"
            } else {
                reason
            };
            suite.skip(&name.replace(' ', ""), reason);
        }
        false
    }

    /// Takes `ok. 12 passed; 0 failed; ...`.
    fn result(&mut self, result: &str) {
        let Some(suite) = &mut self.open else { return };
        let passed = result
            .split_once(". ")
            .and_then(|(_, counts)| counts.split_once(" passed"))
            .and_then(|(count, _)| count.parse().ok());
        match passed {
            Some(count) => suite.pass(count),
            None => suite.fail("output", &format!("cannot read `test result: {result}`")),
        }
        self.close();
    }

    fn close(&mut self) {
        self.in_failures = false;
        self.done.extend(self.open.take().map(Suite::finish));
    }

    /// Ends the reading. A binary that died without a result, or a build that failed, is a
    /// failure of its own.
    fn finish(mut self, success: bool) -> Vec<Suite> {
        let cut_short = self.open.is_some();
        if let Some(suite) = &mut self.open {
            suite.fail("end", "the test binary ended without a result");
        }
        self.close();
        let mut whole = Suite::new("cargo");
        if !success {
            whole.fail("exit", "`cargo test` failed: see the messages above");
        }
        if self.done.is_empty() || cut_short || !success {
            self.done.push(whole.finish());
        }
        self.done
    }
}

/// A test binary as Cargo announces it.
enum Binary {
    /// `Running unittests src/lib.rs (target/release/deps/custos_core-0123)`.
    Unit { crate_name: String, file: String },
    /// `Running tests/it/main.rs (target/release/deps/it-0123)`.
    Integration { file: String },
    /// `Doc-tests custos_core`.
    Doc { crate_name: String },
}

impl Binary {
    fn parse(line: &str) -> Option<Self> {
        if let Some(name) = line.strip_prefix("Doc-tests ") {
            return Some(Self::Doc {
                crate_name: name.to_owned(),
            });
        }
        let (what, binary) = line.strip_prefix("Running ")?.rsplit_once(" (")?;
        let stem = binary.trim_end_matches(')').rsplit('/').next()?;
        let name = stem.rsplit_once('-').map_or(stem, |(name, _)| name);
        Some(match what.strip_prefix("unittests ") {
            Some(file) => Self::Unit {
                crate_name: name.to_owned(),
                file: file.to_owned(),
            },
            None => Self::Integration {
                file: what.to_owned(),
            },
        })
    }

    fn title(&self, package: &str) -> String {
        match self {
            Self::Unit { crate_name, file } => format!("{crate_name} {file}"),
            Self::Integration { file } => format!("{package} {file}"),
            Self::Doc { crate_name } => format!("{crate_name} doc tests"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::{AllowedSkips, Tally};

    fn close(output: &str, success: bool) -> (String, bool) {
        let mut parser = Parser::default();
        for line in output.lines() {
            parser.line(line);
        }
        let mut tally = Tally::default();
        tally.add(parser.finish(success));
        let (text, well) = tally.close(&AllowedSkips::default(), false);
        (text.lines().last().unwrap().to_owned(), well)
    }

    const GOOD: &str = "   Compiling a v0.1.0
     Running unittests src/lib.rs (target/release/deps/custos_core-0123abcd)

running 2 tests
test digest::tests::empty ... ok
test json::tests::depth ... ok

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

   Doc-tests custos_core

running 1 test
test crates/core/src/json.rs - json::from_slice (line 22) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    #[test]
    fn counts_units_and_doc_tests() {
        assert_eq!(
            close(GOOD, true),
            ("3 passed, 0 failed, 0 skipped".to_owned(), true)
        );
    }

    #[test]
    fn a_failed_exit_is_a_failure_even_when_all_tests_passed() {
        assert_eq!(
            close(GOOD, false),
            ("3 passed, 1 failed, 0 skipped".to_owned(), false)
        );
    }

    #[test]
    fn failures_and_ignored_tests_are_named() {
        let output = "     Running tests/it/main.rs (target/release/deps/it-99)
test a::b ... FAILED
test a::c ... ignored, needs a cluster

failures:
    a::b

test result: FAILED. 7 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s
";
        let (line, well) = close(output, false);
        assert_eq!(
            (line.as_str(), well),
            ("7 passed, 2 failed, 1 skipped", false)
        );
    }

    #[test]
    fn a_binary_that_dies_is_a_failure() {
        let output = "     Running unittests src/main.rs (target/release/deps/custos-99)
test a::b ... ok
";
        assert!(!close(output, false).1);
        assert!(!close("", true).1, "no test at all is not well");
    }

    #[test]
    fn names_of_suites() {
        let title = |line| Binary::parse(line).unwrap().title("custos_log");
        let unit = "Running unittests src/lib.rs (t/release/deps/custos_core-0a)";
        assert_eq!(title(unit), "custos_core src/lib.rs");
        let integration = "Running tests/it/main.rs (t/release/deps/it-0a)";
        assert_eq!(title(integration), "custos_log tests/it/main.rs");
        assert_eq!(title("Doc-tests custos_log"), "custos_log doc tests");
    }
}
