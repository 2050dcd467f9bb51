//! Counts of what passed, failed and was skipped, and the list of skips that are allowed.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::place::Stopwatch;
use crate::say;

/// The results of one suite.
#[derive(Debug)]
pub struct Suite {
    name: String,
    passed: u64,
    failed: Vec<String>,
    skipped: Vec<Skip>,
    clock: Stopwatch,
    wall: Option<Duration>,
}

/// Something that was not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// `suite/case`.
    pub id: String,
    /// Why, in words.
    pub reason: String,
}

impl Suite {
    /// Starts a suite without results.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            passed: 0,
            failed: Vec::new(),
            skipped: Vec::new(),
            clock: Stopwatch::start(),
            wall: None,
        }
    }

    /// Runs one case and notes how it ended.
    pub fn check(&mut self, case: &str, run: impl FnOnce() -> Result<()>) {
        match run() {
            Ok(()) => self.pass(1),
            Err(error) => self.fail(case, &format!("{error:#}")),
        }
    }

    /// Notes `count` cases that passed.
    pub fn pass(&mut self, count: u64) {
        self.passed = self.passed.saturating_add(count);
    }

    /// Notes a failure and shows it at once.
    pub fn fail(&mut self, case: &str, why: &str) {
        say::line(&format!("FAIL  {}/{case}", self.name));
        say::line(say::indented_tail(why, 60).trim_end_matches('\n'));
        self.failed.push(case.to_owned());
    }

    /// Notes a failure that was shown already.
    pub fn fail_silently(&mut self, case: &str) {
        self.failed.push(case.to_owned());
    }

    /// Notes something that could not run, loudly.
    pub fn skip(&mut self, case: &str, reason: &str) {
        let id = format!("{}/{case}", self.name);
        say::line(&format!("SKIP  {id}: {reason}"));
        self.skipped.push(Skip {
            id,
            reason: reason.to_owned(),
        });
    }

    /// Ends the suite and prints its line.
    pub fn finish(mut self) -> Self {
        let wall = self.clock.elapsed();
        self.wall = Some(wall);
        let word = if self.failed.is_empty() {
            "ok  "
        } else {
            "FAIL"
        };
        say::line(&format!(
            "{word}  {:<44} {:>6} passed {:>3} failed {:>3} skipped  {:>9}",
            self.name,
            self.passed,
            self.failed.len(),
            self.skipped.len(),
            say::seconds(wall)
        ));
        self
    }
}

/// The results of the whole run.
#[derive(Debug, Default)]
pub struct Tally {
    suites: Vec<Suite>,
}

impl Tally {
    /// Adds finished suites.
    pub fn add(&mut self, suites: impl IntoIterator<Item = Suite>) {
        self.suites.extend(suites);
    }

    fn count(&self, of: impl Fn(&Suite) -> usize) -> usize {
        self.suites.iter().map(of).sum()
    }

    /// The closing text, whose last line is `N passed, N failed, N skipped`, and whether all is
    /// well: nothing failed, no skip that the list does not allow, and something ran.
    pub fn close(&self, allowed: &AllowedSkips, in_ci: bool) -> (String, bool) {
        let mut text = String::new();
        for suite in &self.suites {
            for case in &suite.failed {
                let _ = writeln!(text, "failed:  {}/{case}", suite.name);
            }
        }
        let skips: Vec<&Skip> = self
            .suites
            .iter()
            .flat_map(|suite| &suite.skipped)
            .collect();
        let mut unlisted = 0_usize;
        for skip in &skips {
            let listed = allowed.allows(&skip.id, in_ci);
            unlisted += usize::from(!listed);
            let word = if listed {
                "skipped:"
            } else {
                "skipped, and not allowed to be:"
            };
            let _ = writeln!(text, "{word} {}: {}", skip.id, skip.reason);
        }
        let passed: u64 = self.suites.iter().map(|suite| suite.passed).sum();
        let failed = self.count(|suite| suite.failed.len());
        let well = failed == 0 && unlisted == 0 && passed > 0;
        let _ = write!(
            text,
            "{passed} passed, {failed} failed, {} skipped",
            skips.len()
        );
        (text, well)
    }
}

/// The skips that `xtask/allowed-skips.txt` allows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AllowedSkips(Vec<Allowed>);

#[derive(Debug, PartialEq, Eq)]
struct Allowed {
    pattern: String,
    also_in_ci: bool,
}

impl AllowedSkips {
    /// Reads lines `ID WHERE REASON`, where an ID may end in `*`, WHERE is `anywhere` or `local`
    /// (not in continuous integration), and a line that starts with `#` is a comment.
    pub fn parse(text: &str) -> Result<Self> {
        let mut list = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let (Some(pattern), Some(place), Some(_reason)) =
                (words.next(), words.next(), words.next())
            else {
                bail!(
                    "allowed-skips.txt:{}: expected `ID WHERE REASON`",
                    index + 1
                );
            };
            let also_in_ci = match place {
                "anywhere" => true,
                "local" => false,
                other => bail!("allowed-skips.txt:{}: no place `{other}`", index + 1),
            };
            list.push(Allowed {
                pattern: pattern.to_owned(),
                also_in_ci,
            });
        }
        Ok(Self(list))
    }

    fn allows(&self, id: &str, in_ci: bool) -> bool {
        self.0.iter().any(|allowed| {
            let named = match allowed.pattern.strip_suffix('*') {
                Some(start) => id.starts_with(start),
                None => id == allowed.pattern,
            };
            named && (allowed.also_in_ci || !in_ci)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(fill: impl FnOnce(&mut Suite), allowed: &str, in_ci: bool) -> (String, bool) {
        let mut suite = Suite::new("s");
        fill(&mut suite);
        let mut tally = Tally::default();
        tally.add([suite.finish()]);
        let (text, well) = tally.close(&AllowedSkips::parse(allowed).unwrap(), in_ci);
        (text.lines().last().unwrap().to_owned(), well)
    }

    #[test]
    fn the_last_line_has_the_counts() {
        let (line, well) = closed(|suite| suite.pass(3), "", true);
        assert_eq!(
            (line.as_str(), well),
            ("3 passed, 0 failed, 0 skipped", true)
        );
    }

    #[test]
    fn a_failure_is_not_well() {
        let (line, well) = closed(
            |suite| {
                suite.pass(1);
                suite.check("case", || bail!("broken"));
            },
            "",
            false,
        );
        assert_eq!(
            (line.as_str(), well),
            ("1 passed, 1 failed, 0 skipped", false)
        );
    }

    #[test]
    fn a_run_of_nothing_is_not_well() {
        assert!(!closed(|_| {}, "", false).1);
    }

    #[test]
    fn a_skip_must_be_listed() {
        let fill = |suite: &mut Suite| {
            suite.pass(1);
            suite.skip("peer", "no network");
        };
        assert!(!closed(fill, "", false).1);
        assert!(closed(fill, "s/peer anywhere because", true).1);
        assert!(closed(fill, "s/* local because", false).1);
        assert!(
            !closed(fill, "s/* local because", true).1,
            "local skips end at CI"
        );
        assert!(!closed(fill, "s/pee anywhere because", false).1);
    }

    #[test]
    fn a_line_without_a_reason_is_refused() {
        assert!(AllowedSkips::parse("s/peer anywhere").is_err());
        assert!(AllowedSkips::parse("s/peer sometimes because").is_err());
        assert_eq!(
            AllowedSkips::parse("# all\n\n").unwrap(),
            AllowedSkips::default()
        );
    }
}
