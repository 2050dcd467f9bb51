//! Lists of Python packages that are lines: requirement files, metadata, and what was installed.
//!
//! [Core metadata](https://packaging.python.org/en/latest/specifications/core-metadata/),
//! [recording installed projects](https://packaging.python.org/en/latest/specifications/recording-installed-packages/).

use super::{judge, text};
use crate::archive::zip::leads_out;
use crate::route::Head;
use crate::rules;
use crate::supply::dependency::{Index, Manifest, Purpose};
use crate::supply::record::entry;
use crate::supply::requirement::{self, Line};
use crate::work::{Input, Look};

/// Largest list.
const MOST: u64 = 16 << 20;
/// Most lines that are told one by one.
const TOLD: usize = 20;

/// Returns true if the first lines are requirements and at least one bounds a version, or if the
/// name says so and they are not something else.
pub(super) fn is_requirements(head: &Head, input: &Input<'_>) -> bool {
    let Ok(text) = std::str::from_utf8(valid(head.bytes())) else {
        return false;
    };
    // Most of what is not such a list says so in its first letter.
    if text.starts_with(['{', '<', '[', '\0', '\u{1f}']) || text.contains('\0') {
        return false;
    }
    let name = input.name().to_ascii_lowercase();
    let is_list = ["txt", "in", "pip"].contains(&input.extension().as_str());
    if is_list && (name.contains("requirement") || name.contains("constraint")) {
        return true;
    }
    // The last line may be cut.
    let whole = match text.rsplit_once('\n') {
        Some((lines, _)) if head.bytes().len() >= 4096 => lines,
        _ => text,
    };
    let mut bounded = false;
    for (_, line) in joined(whole) {
        match requirement::line(&line) {
            Some(Line::Requirement(one)) => bounded |= one.bounded || one.hashed,
            Some(Line::Index(url) | Line::ExtraIndex(url)) => bounded |= url.contains("://"),
            Some(_) => {}
            None => return false,
        }
    }
    bounded
}

// Without a letter that the end of the head cuts.
fn valid(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => {
            bytes.get(..error.valid_up_to()).unwrap_or_default()
        }
        _ => bytes,
    }
}

// Lines with their numbers; one that ends with a backslash goes on in the next.
fn joined(text: &str) -> impl Iterator<Item = (u32, String)> {
    let mut lines = (1_u32..).zip(text.lines());
    std::iter::from_fn(move || {
        let (number, first) = lines.next()?;
        let mut line = first.to_owned();
        while let Some(begin) = line.strip_suffix('\\') {
            let Some((_, next)) = lines.next() else {
                break;
            };
            line = format!("{begin} {}", next.trim_start());
            // A comment does not go on, and neither does a line without end.
            if line.len() > LONGEST {
                break;
            }
        }
        Some((number, line))
    })
}

/// Longest line, continuations included; hashes of a package with many files are long.
const LONGEST: usize = 64 << 10;

pub(super) fn requirements(look: &mut Look<'_, '_, '_>) {
    let Some(text) = text(look, MOST) else {
        return;
    };
    let mut manifest = Manifest::new(Purpose::Wishes);
    let mut unread = 0_usize;
    for (number, line) in joined(&text) {
        if shell(look, number, &line) {
            continue;
        }
        if let Some(line) = requirement::line(&line) {
            take(look, number, line, &mut manifest);
            continue;
        }
        unread = unread.saturating_add(1);
        if unread <= TOLD {
            look.gap(format!("line {number} is no requirement"));
        }
    }
    judge(look, &manifest);
}

// Signs that a shell acts on. `;` begins a marker, and `${NAME}` is pip's own.
fn shell(look: &mut Look<'_, '_, '_>, number: u32, line: &str) -> bool {
    let text = line.split(" #").next().unwrap_or(line).trim();
    if text.starts_with('#') || requirement::line(text).is_some() && !text.contains("$(") {
        return false;
    }
    let signs = ["$(", "`", "&&", "||", "; ", ";", " | ", " > ", " < "];
    let Some(sign) = signs.iter().find(|sign| text.contains(*sign)) else {
        return false;
    };
    let mut place = look.here();
    place.line = Some(number);
    let message = format!(
        "a requirement holds `{}`, which a shell would act on",
        sign.trim()
    );
    let mut finding = rules::supply::SHELL.finding(place, message);
    finding.evidence = Some(text.chars().take(200).collect());
    look.work.find(finding);
    true
}

pub(super) fn take(look: &mut Look<'_, '_, '_>, number: u32, line: Line, into: &mut Manifest) {
    let line_number = Some(number);
    let index = |url, extra| Index {
        url,
        extra,
        line: line_number,
    };
    match line {
        Line::Requirement(mut one) => {
            one.line = line_number;
            into.dependencies.push(one);
        }
        Line::Index(url) => into.indexes.push(index(url, false)),
        Line::ExtraIndex(url) => into.indexes.push(index(url, true)),
        Line::NoIndex => into.no_index = true,
        Line::TrustedHost(host) => {
            let mut place = look.here();
            place.line = line_number;
            let message = format!("the certificate of `{host}` is not checked");
            look.work
                .see(&rules::supply::INSECURE_INDEX, place, message);
        }
        Line::Include(from) if from.contains("://") => {
            let mut place = look.here();
            place.line = line_number;
            let message = format!("requirements are fetched from `{from}`");
            look.work.see(&rules::supply::REMOTE_LIST, place, message);
        }
        Line::Empty | Line::Include(_) | Line::Other => {}
    }
}

pub(super) fn metadata(look: &mut Look<'_, '_, '_>) {
    let Some(text) = text(look, MOST) else {
        return;
    };
    let mut manifest = Manifest::new(Purpose::Metadata);
    // Headers end at the first empty line; the description follows.
    for (number, line) in (1_u32..)
        .zip(text.lines())
        .take_while(|(_, line)| !line.is_empty())
    {
        let Some(requirement) = line.strip_prefix("Requires-Dist:") else {
            continue;
        };
        match requirement::parse(requirement) {
            Some(mut one) => {
                one.line = Some(number);
                manifest.dependencies.push(one);
            }
            None => {
                if !shell(look, number, requirement) {
                    look.gap(format!("line {number} is no requirement"));
                }
            }
        }
    }
    judge(look, &manifest);
}

/// Returns true if the first line is a path, a digest and a size.
pub(super) fn is_record(head: &Head, _: &Input<'_>) -> bool {
    let line = head.bytes().split(|byte| *byte == b'\n').next();
    line.and_then(|line| std::str::from_utf8(line).ok())
        .is_some_and(|line| entry(line).is_some_and(|(_, digest)| !digest.is_empty()))
}

pub(super) fn record(look: &mut Look<'_, '_, '_>) {
    let Some(text) = text(look, MOST) else {
        return;
    };
    for (number, line) in (1_u32..)
        .zip(text.lines())
        .filter(|(_, line)| !line.is_empty())
    {
        let Some((path, _)) = entry(line) else {
            look.gap(format!("line {number} names no file"));
            return;
        };
        // Scripts and manual pages lie three levels up: `../../../bin/name`.
        let up = path
            .strip_prefix("../../../")
            .or_else(|| path.strip_prefix("../../"));
        let inside = up.unwrap_or(path);
        let usual = [
            "bin/", "share/", "etc/", "Scripts/", "scripts/", "include/", "lib/", "man/",
        ];
        if leads_out(inside)
            || (up.is_some() && !usual.iter().any(|place| inside.starts_with(place)))
        {
            let mut place = look.here();
            place.line = Some(number);
            let message = format!("`{path}` lies outside of where the package is installed");
            look.work.see(&rules::supply::RECORD_PATH, place, message);
        }
    }
    let size = look.input.bytes.len();
    look.covered.parsed(0..size);
}

pub(super) fn setup_cfg(look: &mut Look<'_, '_, '_>) {
    let Some(text) = text(look, MOST) else {
        return;
    };
    let mut manifest = Manifest::new(Purpose::Metadata);
    let (mut section, mut key) = (String::new(), String::new());
    for (number, line) in (1_u32..).zip(text.lines()) {
        let trimmed = line.trim();
        let mut value = trimmed;
        if trimmed.starts_with('[') && line.starts_with('[') {
            trimmed.trim_matches(['[', ']']).clone_into(&mut section);
            key.clear();
            continue;
        }
        if !line.starts_with([' ', '\t'])
            && let Some((name, rest)) = trimmed.split_once('=')
        {
            name.trim().clone_into(&mut key);
            value = rest.trim();
        }
        let lists = section == "options.extras_require"
            || (section == "options"
                && ["install_requires", "setup_requires", "tests_require"].contains(&key.as_str()));
        if !lists || value.is_empty() || value.starts_with(['#', ';']) {
            continue;
        }
        for part in value.split('\n') {
            if let Some(mut one) = requirement::parse(part) {
                one.line = Some(number);
                manifest.dependencies.push(one);
            } else {
                shell(look, number, part);
            }
        }
    }
    judge(look, &manifest);
}
