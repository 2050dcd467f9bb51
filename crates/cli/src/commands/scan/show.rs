//! A scan as people read it: the worst first, why, what to do, and what was not looked at.
//!
//! Every word of a finding may come from whoever made the file: nothing of it moves the cursor, and
//! all of it is cut to a length.

use std::collections::BTreeSet;

use custos_core::finding::Severity;
use custos_core::text::{is_hidden, shown as sign};
use custos_scan::document::{Answer, FileResult, Listed, Report};
use custos_scan::standing::SuppressionOutcome;
use custos_scan::{State, rules};

use crate::report::Failure;
use crate::term::{Role, Term, count};

/// Most files that are shown with what is wrong with them.
const SHOWN_FILES: usize = 100;
/// Up to so many files, those are named too that are fine.
const FEW_FILES: u64 = 20;
/// Most findings of one file.
const SHOWN_FINDINGS: usize = 8;
/// Most gaps of one file, and most notes.
const SHOWN_GAPS: usize = 4;
/// Longest evidence, and longest name, in characters.
const LONG: usize = 240;

/// Returns the report as text.
pub fn human(report: &Report, term: &Term) -> String {
    let mut show = Show {
        report,
        term,
        advised: BTreeSet::new(),
        text: String::new(),
    };
    show.files();
    if !(term.is_quiet() && report.summary.answer == Answer::Pass) {
        show.totals();
    }
    show.text
}

/// Returns why the status is not 0.
pub fn failure(report: &Report) -> Failure {
    let sum = &report.summary;
    let level = report.settings.fail_on.name();
    if sum.findings > 0 {
        return Failure::no(
            "E1001",
            "something was found that may hurt whoever loads it",
        )
        .because(format!(
            "{} at or above `{level}`",
            count_of(sum.findings, "file has findings", "files have findings")
        ))
        .help("`custos scan --explain RULE` says more about each")
        .help("what is meant to be so goes into a file of suppressions or a baseline");
    }
    let undecided = |what| {
        if report.settings.strict {
            Failure::no("E1006", what)
        } else {
            Failure::undecided("E1006", what)
        }
    };
    if sum.files == 0 {
        return undecided("there was nothing to look at")
            .because("no file was found under what was named")
            .help("check what is named, and what `--exclude` leaves out");
    }
    let open = sum.incomplete.saturating_add(sum.errors);
    let why = count_of(
        open,
        "file was not looked into, or not understood, as a whole",
        "files were not looked into, or not understood, as a whole",
    );
    undecided("nothing that counts was found, and not everything was looked at")
        .because(why)
        .help("see the reasons above; `--exclude` leaves out what is no part of the model")
}

/// Returns what the baseline that was written means.
pub fn baseline(report: &Report, file: &str) -> String {
    let findings: u64 = report.summary.new.values().sum();
    let findings = findings.saturating_add(report.summary.known);
    format!(
        "baseline {file}: {}; `--baseline {file}` counts only what is new\n",
        count(findings, "finding")
    )
}

fn count_of(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Makes a text from a file fit into a line.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    for (at, c) in text.chars().enumerate() {
        if at >= LONG {
            plain.push_str("...");
            break;
        }
        match c {
            '\n' => plain.push_str("\\n"),
            '\r' => plain.push_str("\\r"),
            '\t' => plain.push_str("\\t"),
            c if is_hidden(c) => plain.push(sign(c)),
            c => plain.push(c),
        }
    }
    plain
}

struct Show<'a> {
    report: &'a Report,
    term: &'a Term,
    // What to do is said once for each rule.
    advised: BTreeSet<&'a str>,
    text: String,
}

impl<'a> Show<'a> {
    fn files(&mut self) {
        let mut files: Vec<&'a FileResult> = self.report.files.iter().collect();
        // The worst first; files of one kind stay in their order.
        files.sort_by_key(|file| std::cmp::Reverse((rank(file.state), file.worst())));
        let few = self.report.summary.files <= FEW_FILES && !self.term.is_quiet();
        let worth = |file: &&FileResult| few || file.state != State::Clean;
        let files: Vec<&FileResult> = files.into_iter().filter(worth).collect();
        for file in files.iter().take(SHOWN_FILES) {
            self.file(file);
        }
        let more = files.len().saturating_sub(SHOWN_FILES);
        if more > 0 {
            self.push(
                &format!("and {more} more; `--format json` has all of them"),
                0,
            );
        }
    }

    fn file(&mut self, file: &'a FileResult) {
        let (role, word) = match file.state {
            State::Clean => (Role::Good, "ok"),
            State::Findings => (Role::Bad, "FOUND"),
            State::Incomplete => (Role::Warn, "incomplete"),
            State::Error => (Role::Warn, "not read"),
        };
        let own = file.formats.iter().filter(|one| one.path == file.path);
        let formats: Vec<&str> = own.map(|one| one.format.as_str()).collect();
        let word = self.term.paint(role, &format!("{word:<10}"));
        let name = self.term.paint(Role::Strong, &plain(&file.path));
        self.text.push_str(&format!("{word}  {name}"));
        if !formats.is_empty() {
            let formats = self.term.paint(Role::Faint, &formats.join(", "));
            self.text.push_str(&format!("  {formats}"));
        }
        self.text.push('\n');
        if let Some(error) = &file.error {
            self.push(&plain(error), 12);
        }
        self.findings(file);
        for gap in file.gaps.iter().take(SHOWN_GAPS) {
            let inner = gap.path.strip_prefix(&file.path).unwrap_or(&gap.path);
            let inner = plain(inner.trim_start_matches('!'));
            let place = if inner.is_empty() {
                inner
            } else {
                format!("{inner}: ")
            };
            self.push(&format!("not covered: {place}{}", plain(&gap.reason)), 12);
        }
        let more = file.gaps.len().saturating_sub(SHOWN_GAPS);
        if more > 0 {
            self.push(
                &format!(
                    "and {} more",
                    count_of(wide(more), "such part", "such parts")
                ),
                12,
            );
        }
    }

    fn findings(&mut self, file: &'a FileResult) {
        let counts = |one: &&Listed| {
            let level = self.report.settings.fail_on.min(Severity::Medium);
            one.is_new() && one.finding.severity >= level
        };
        let (loud, quiet): (Vec<&Listed>, Vec<&Listed>) = file.findings.iter().partition(counts);
        for one in loud.iter().take(SHOWN_FINDINGS) {
            self.finding(file, one);
        }
        let more = loud.len().saturating_sub(SHOWN_FINDINGS);
        if more > 0 {
            self.push(
                &format!(
                    "and {}",
                    count_of(wide(more), "more finding", "more findings")
                ),
                12,
            );
        }
        let quiet = quiet.iter().filter(|one| one.is_new()).count();
        if quiet > 0 {
            let remark = count_of(wide(quiet), "remark", "remarks");
            self.push(&format!("{remark} below `medium`, in `--format json`"), 12);
        }
    }

    fn finding(&mut self, file: &FileResult, one: &'a Listed) {
        let finding = &one.finding;
        let role = if finding.severity >= Severity::High {
            Role::Bad
        } else {
            Role::Warn
        };
        let (severity, name) = (finding.severity.name(), format!("[{}]", finding.rule));
        let message = plain(&finding.message);
        let line = format!("{:12}{severity}  {message}  {name}\n", "");
        // Coloured when it is folded: colours take no room.
        let line = self.term.fold(&line, 14);
        let line = line.replacen(severity, &self.term.paint(role, severity), 1);
        let line = line.replacen(&name, &self.term.paint(Role::Literal, &name), 1);
        self.text.push_str(&line);
        let inner = &finding.location.path;
        let inner = inner.strip_prefix(&file.path).unwrap_or(inner);
        let mut place: Vec<String> = Vec::new();
        if !inner.is_empty() {
            place.push(format!("in {}", plain(inner.trim_start_matches('!'))));
        }
        if let Some(line) = finding.location.line {
            place.push(format!("line {line}"));
        } else if let Some(offset) = finding.location.offset {
            place.push(format!("byte {offset}"));
        }
        if let Some(pointer) = &finding.location.pointer {
            place.push(format!("at {}", plain(pointer)));
        }
        place.extend(finding.cves.iter().map(|cve| plain(cve)));
        if !place.is_empty() {
            self.push(&place.join(", "), 14);
        }
        if let Some(evidence) = &finding.evidence {
            self.push(&format!("> {}", plain(evidence)), 14);
        }
        if self.advised.insert(&finding.rule)
            && let Some(rule) = rules::find(&finding.rule)
        {
            self.push(&format!("what to do: {}", rule.advice), 14);
        }
    }

    fn totals(&mut self) {
        let sum = &self.report.summary;
        let parts = [
            (sum.findings, "with findings"),
            (sum.incomplete, "incomplete"),
            (sum.errors, "not read"),
            (sum.clean, "clean"),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| format!("{number} {what}"))
            .collect();
        let files = count(sum.files, "file");
        let bytes = size(sum.bytes);
        let parts = if parts.is_empty() {
            String::new()
        } else {
            format!(": {}", parts.join(", "))
        };
        self.push(&format!("{files}, {bytes}{parts}"), 0);
        let cover = &sum.coverage;
        self.push(
            &format!(
                "parsed {}, values with checked bounds {}, not understood {}",
                size(cover.parsed),
                size(cover.opaque),
                size(cover.unknown)
            ),
            0,
        );
        if sum.suppressed > 0 || sum.known > 0 {
            let (suppressed, known) = (count(sum.suppressed, "finding"), sum.known);
            self.push(&format!("{suppressed} suppressed, {known} known before"), 0);
        }
        self.suppressions();
        self.notes();
        let rules = self.report.engine.rules.short();
        let osv = self.report.settings.osv.as_ref();
        let osv = osv.map(|osv| {
            let (known, newest) = (osv.advisories, plain(&osv.newest));
            format!(", {known} known vulnerabilities up to {newest}")
        });
        let line = format!("rules {rules}{}", osv.unwrap_or_default());
        self.push(&line, 0);
    }

    fn suppressions(&mut self) {
        for one in &self.report.suppressions {
            let rule = plain(one.rule.as_deref().unwrap_or("no rule"));
            let number = one.number;
            let line = match one.outcome {
                SuppressionOutcome::Used => continue,
                SuppressionOutcome::Expired => {
                    let fault = plain(one.fault.as_deref().unwrap_or_default());
                    format!(
                        "suppression {number} ({rule}) has expired, and suppresses nothing: {fault}"
                    )
                }
                SuppressionOutcome::Unused => {
                    format!("suppression {number} ({rule}) is about nothing that was found")
                }
                SuppressionOutcome::Malformed => {
                    let fault = plain(one.fault.as_deref().unwrap_or_default());
                    format!("suppression {number} ({rule}) is not in order: {fault}")
                }
            };
            self.push(&line, 0);
        }
    }

    fn notes(&mut self) {
        let notes = &self.report.notes;
        for note in notes.iter().take(SHOWN_GAPS) {
            self.push(
                &format!("left out: {} ({})", plain(&note.path), plain(&note.reason)),
                0,
            );
        }
        let more = notes.len().saturating_sub(SHOWN_GAPS);
        if more > 0 {
            self.push(&format!("and {more} more left out, in `--format json`"), 0);
        }
    }

    fn push(&mut self, line: &str, indent: usize) {
        let text = format!("{}{line}\n", " ".repeat(indent));
        self.text
            .push_str(&self.term.fold(&text, indent.saturating_add(2)));
    }
}

const fn rank(state: State) -> u8 {
    match state {
        State::Findings => 3,
        State::Error => 2,
        State::Incomplete => 1,
        State::Clean => 0,
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

// A number of bytes for people, rounded down.
fn size(bytes: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        let whole = bytes >> shift;
        if whole > 0 {
            let tenth = (bytes >> (shift - 10) & 1023) * 10 / 1024;
            return format!("{whole}.{tenth} {unit}");
        }
    }
    count(bytes, "byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_file_moves_the_cursor_or_fills_the_screen() {
        assert_eq!(plain("a\nb\u{1b}[2J\u{202e}c"), "a\\nb\u{fffd}[2J\u{fffd}c");
        assert_eq!(plain(&"x".repeat(1000)).chars().count(), LONG + 3);
    }

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(size(1), "1 byte");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
    }
}
