//! `custos doctor`: what is set up, what is wrong, and the command that mends it.

mod trust;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use custos_evidence::recover;
use custos_policy::{PolicyLimits, PolicySet, TestOptions, test};
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::Exit;
use crate::home::Home;
use crate::keys::{PRIVATE, is_name};
use crate::settings::Settings;
use crate::term::{Role, count};
use crate::{Failure, Outcome, logs, policies, stores};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug)]
struct Finding {
    name: &'static str,
    state: State,
    detail: String,
    mend: Option<String>,
}

impl Finding {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Ok,
            detail: detail.into(),
            mend: None,
        }
    }

    fn warn(name: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Warn,
            detail: detail.into(),
            mend: Some(mend.into()),
        }
    }

    fn fail(name: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Fail,
            detail: detail.into(),
            mend: Some(mend.into()),
        }
    }

    fn to_json(&self) -> Value {
        let state = match self.state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "fail",
        };
        json!({ "name": self.name, "state": state, "detail": self.detail, "mend": self.mend })
    }
}

/// Runs the command.
pub fn run(context: &Context) -> Outcome {
    let mut findings = vec![Finding::ok(
        "version",
        format!("custos {}", env!("CARGO_PKG_VERSION")),
    )];
    let home = context.home()?;
    findings.push(check_home(&home));
    findings.extend(check_keys(&home));
    let settings = context.settings();
    findings.push(check_settings(settings.as_ref()));
    findings.extend(trust::check(context, &home));
    findings.push(check_log(context, &home));
    findings.push(check_store(context, &home));
    findings.extend(check_evidence(context));
    findings.push(check_policy(context, settings.as_ref().ok()));
    findings.push(check_space(&home));
    findings.push(check_git());
    findings.push(check_clock(context));
    report(context, &findings)
}

fn check_home(home: &Home) -> Finding {
    let place = format!("{} ({})", home.root().display(), home.origin().describe());
    match std::fs::metadata(home.root()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::warn("home", format!("{place} does not exist yet"), "custos init")
        }
        Err(error) => Finding::fail("home", format!("{place}: {error}"), "check its permissions"),
        Ok(metadata) if !metadata.is_dir() => Finding::fail(
            "home",
            format!("{place} is not a folder"),
            "pass --home DIR, or set CUSTOS_HOME to a folder",
        ),
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            let mend = format!("chmod 700 {}", home.root().display());
            Finding::warn("home", format!("{place} can be entered by others"), mend)
        }
        Ok(_) if !writable(home.root()) => Finding::warn(
            "home",
            format!("{place} is read-only: nothing can be recorded"),
            "mount it writable, or pass another --home DIR",
        ),
        Ok(_) => Finding::ok("home", place),
    }
}

fn writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

fn check_keys(home: &Home) -> Vec<Finding> {
    let Ok(entries) = std::fs::read_dir(home.keys()) else {
        return vec![Finding::warn(
            "keys",
            "there are none",
            "custos keys generate NAME",
        )];
    };
    let mut found = Vec::new();
    let mut private = 0_u64;
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.extension().is_none_or(|ending| ending != PRIVATE) {
            continue;
        }
        private = private.saturating_add(1);
        let mode = std::fs::metadata(&path).map_or(0, |m| m.permissions().mode());
        if mode & 0o077 != 0 {
            found.push(Finding::fail(
                "key file",
                format!(
                    "{} can be read by others (mode {:o})",
                    path.display(),
                    mode & 0o777
                ),
                format!("chmod 600 {}", path.display()),
            ));
        }
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if stem != "log" && is_name(&stem) && is_plain(&path) {
            found.push(Finding::warn(
                "key file",
                format!("{} is not encrypted", path.display()),
                "custos keys generate NAME, with a password, and let it take over",
            ));
        }
    }
    found.insert(0, Finding::ok("keys", count(private, "private key")));
    found
}

fn is_plain(path: &Path) -> bool {
    crate::files::read_text(path, 64 << 10).is_ok_and(|text| !text.contains("ENCRYPTED"))
}

fn check_settings(settings: Result<&Settings, &Failure>) -> Finding {
    match settings {
        Err(failure) => Finding::fail(
            "settings",
            told(failure),
            "mend custos.toml; docs/reference/settings.md lists every key",
        ),
        Ok(settings) => match &settings.file {
            None => Finding::warn("settings", "there is no custos.toml", "custos init"),
            Some(file) if settings.signers.is_empty() => Finding::warn(
                "settings",
                format!(
                    "{} names no [[signer]], so nothing verifies by default",
                    file.display()
                ),
                "add a [[signer]] with a public key",
            ),
            Some(file) => {
                let signers = u64::try_from(settings.signers.len()).unwrap_or(u64::MAX);
                let signers = count(signers, "expected signer");
                Finding::ok("settings", format!("{}, {signers}", file.display()))
            }
        },
    }
}

// What, where and why, in one line.
pub(super) fn told(failure: &Failure) -> String {
    let parts = [Some(failure.what()), failure.place()];
    let why = failure.reasons().iter().map(String::as_str);
    let parts: Vec<&str> = parts.into_iter().flatten().chain(why).collect();
    parts.join("; ")
}

fn check_log(context: &Context, home: &Home) -> Finding {
    if !home.log().exists() {
        return Finding::warn(
            "log",
            "there is none yet",
            "the first `custos sign` makes it",
        );
    }
    match logs::reader(context) {
        Ok((_, checkpoint)) => Finding::ok(
            "log",
            format!(
                "{} entries, origin {}",
                checkpoint.size(),
                checkpoint.origin()
            ),
        ),
        Err(failure) => Finding::fail("log", told(&failure), "custos log fsck"),
    }
}

fn check_store(context: &Context, home: &Home) -> Finding {
    if !home.root().join(stores::DATABASE).exists() {
        return Finding::warn(
            "store",
            "there is none yet",
            "the first `custos run` makes it",
        );
    }
    let inspected = stores::readable(context)
        .and_then(|store| store.inspect().map_err(|error| stores::failure(&error)));
    match inspected {
        Ok(faults) if faults.is_empty() => {
            let file = home.root().join(stores::DATABASE);
            if writable(&file) {
                Finding::ok("store", "sound")
            } else {
                let mend = format!("chmod u+w {}", file.display());
                Finding::warn(
                    "store",
                    "sound, and read-only: nothing can be recorded",
                    mend,
                )
            }
        }
        Ok(faults) => Finding::fail(
            "store",
            faults.join("; "),
            "keep a copy, and restore custos.db from a backup",
        ),
        Err(failure) => Finding::fail("store", told(&failure), "custos explain E0601"),
    }
}

// Whether the store has what the log says was recorded; nothing if one of them cannot be read,
// which is said elsewhere.
fn check_evidence(context: &Context) -> Option<Finding> {
    let store = stores::readable(context).ok()?;
    let (log, checkpoint) = logs::reader(context).ok()?;
    let matters = stores::matters(context);
    let lacking = recover::lacking(&store, &log, &checkpoint, &matters).ok()?;
    let drafts = store.staged().ok()?.len();
    let interrupted = count(u64::try_from(drafts).unwrap_or(u64::MAX), "draft");
    Some(match lacking.first.first() {
        Some(first) => Finding::fail(
            "evidence",
            format!(
                "{} of {} log entries have no statement in the store, #{first} the first; \
                 {interrupted} of interrupted commands",
                lacking.count,
                checkpoint.size()
            ),
            "custos evidence check",
        ),
        None if drafts > 0 => Finding::warn(
            "evidence",
            format!("{interrupted} of interrupted commands"),
            "custos evidence reindex",
        ),
        None if lacking.others > 0 => Finding::ok(
            "evidence",
            format!(
                "every log entry by expected signers has its statement; {} more by others",
                lacking.others
            ),
        ),
        None => Finding::ok("evidence", "every log entry has its statement"),
    })
}

fn check_policy(context: &Context, settings: Option<&Settings>) -> Finding {
    let Some(settings) = settings else {
        let mend = "mend the settings, which name it";
        return Finding::warn("policy", "not looked at", mend);
    };
    let Some(path) = settings.gate_policy.as_ref() else {
        return Finding::warn("policy", "no `[policy] gate` is set", "custos init");
    };
    let named = path.display().to_string();
    let files = match policies::files(std::slice::from_ref(&named), context) {
        Ok(files) => files,
        Err(failure) => return Finding::fail("policy", told(&failure), "custos init"),
    };
    match PolicySet::load(files, &PolicyLimits::default()) {
        Err(errors) => Finding::fail(
            "policy",
            format!("{} errors", errors.len()),
            format!("custos policy check {named}"),
        ),
        Ok(set) => {
            let report = test(&set, &TestOptions::at(context.now()));
            if report.passed() {
                Finding::ok("policy", format!("{} tests pass", report.results.len()))
            } else {
                Finding::fail(
                    "policy",
                    "tests fail",
                    format!("custos policy test {named}"),
                )
            }
        }
    }
}

fn check_space(home: &Home) -> Finding {
    let existing = home
        .root()
        .ancestors()
        .find(|dir| dir.exists())
        .unwrap_or(home.root());
    match rustix::fs::statvfs(existing) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize) >> 20;
            if free < 256 {
                let mend = "free some space; a full disk stops every recording command";
                Finding::warn("disk", format!("{free} MiB free"), mend)
            } else {
                Finding::ok("disk", format!("{free} MiB free"))
            }
        }
        Err(error) => Finding::warn("disk", error.to_string(), "check the file system"),
    }
}

fn check_git() -> Finding {
    let version = std::process::Command::new("git").arg("--version").output();
    match version {
        Ok(output) if output.status.success() => Finding::ok(
            "git",
            String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        ),
        _ => Finding::warn("git", "not found; steps record no revision", "install git"),
    }
}

// The newest file of the log was written by this machine's kernel; a clock behind it went back.
fn check_clock(context: &Context) -> Finding {
    let now = context.now();
    let newest = context
        .home()
        .ok()
        .and_then(|home| std::fs::metadata(home.log().join("checkpoint")).ok())
        .and_then(|metadata| metadata.modified().ok())
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map(|since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    match newest {
        Some(newest) if newest > now.as_micros().saturating_add(300_000_000) => Finding::fail(
            "clock",
            format!("{now} is before the log's newest checkpoint"),
            "set this machine's clock",
        ),
        _ => Finding::ok("clock", now.to_string()),
    }
}

fn report(context: &Context, findings: &[Finding]) -> Outcome {
    let mut text = String::new();
    for finding in findings {
        let (role, word) = match finding.state {
            State::Ok => (Role::Good, "ok  "),
            State::Warn => (Role::Warn, "warn"),
            State::Fail => (Role::Bad, "FAIL"),
        };
        text.push_str(&format!(
            "{} {:<9} {}\n",
            context.term.paint(role, word),
            finding.name,
            context
                .term
                .fold(&crate::term::visible(&finding.detail), 15),
        ));
        if let Some(mend) = &finding.mend {
            text.push_str(&format!(
                "               {}\n",
                context.term.paint(Role::Literal, mend)
            ));
        }
    }
    let failed = findings.iter().any(|finding| finding.state == State::Fail);
    context.term.result(
        &text,
        &json!({
            "schema": "custos.doctor/1",
            "ok": !failed,
            "checks": findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
        }),
    )?;
    Ok(if failed { Exit::No } else { Exit::Yes })
}
