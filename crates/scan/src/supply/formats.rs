//! The files that list dependencies, and how each is recognised: by its first lines. A name such as
//! `uv.lock` adds a reader where these say too little, and never takes one away.

mod commands;
mod documents;
mod lines;
mod python;
mod tables;
mod yaml;

pub(super) use commands::{command, words};

use custos_core::finding::Location;
use memchr::memmem;

use crate::route::{Format, Head};
use crate::source::read_all;
use crate::supply::check;
use crate::supply::dependency::Manifest;
use crate::text;
use crate::work::{Input, Look};

pub(crate) static FORMATS: &[Format] = &[
    Format {
        name: "pip requirements",
        extensions: &["txt", "in"],
        recognises: python::is_requirements,
        examine: python::requirements,
    },
    Format {
        name: "Python package metadata",
        extensions: &[],
        recognises: |head, _| head.starts_with(b"Metadata-Version: "),
        examine: python::metadata,
    },
    Format {
        name: "installed files of a Python package",
        extensions: &[],
        recognises: python::is_record,
        examine: python::record,
    },
    Format {
        name: "setuptools configuration",
        extensions: &["cfg"],
        recognises: |head, _| {
            has_line(head, "[options]")
                && (has_line(head, "[metadata]") || has(head, "install_requires"))
        },
        examine: python::setup_cfg,
    },
    Format {
        name: "Python project",
        extensions: &["toml"],
        recognises: |head, input| {
            let tables = [
                "[project]",
                "[build-system]",
                "[tool.poetry]",
                "[dependency-groups]",
            ];
            is_text(head)
                && (named(input, &["pyproject.toml"])
                    || is_toml(head) && tables.iter().any(|table| has_line(head, table)))
        },
        examine: tables::project,
    },
    Format {
        name: "lock file",
        extensions: &["toml", "lock"],
        recognises: |head, input| {
            let locks = [
                "uv.lock",
                "poetry.lock",
                "Cargo.lock",
                "pdm.lock",
                "pylock.toml",
            ];
            is_text(head)
                && (named(input, &locks)
                    || has_line(head, "[[packages]]") && has(head, "lock-version")
                    || has_line(head, "[[package]]") && has(head, "name = \""))
        },
        examine: tables::lock,
    },
    Format {
        name: "Pipfile",
        extensions: &[],
        recognises: |head, _| {
            has_line(head, "[packages]")
                && (has_line(head, "[[source]]") || has_line(head, "[requires]"))
        },
        examine: tables::pipfile,
    },
    Format {
        name: "Pipfile.lock",
        extensions: &[],
        recognises: |head, _| is_object(head) && has(head, "\"pipfile-spec\""),
        examine: documents::pipfile_lock,
    },
    Format {
        name: "npm lock file",
        extensions: &["json"],
        recognises: |head, _| is_object(head) && has(head, "\"lockfileVersion\""),
        examine: documents::package_lock,
    },
    Format {
        name: "npm package",
        extensions: &["json"],
        recognises: |head, input| {
            is_object(head) && named(input, &["package.json"]) && !has(head, "\"lockfileVersion\"")
        },
        examine: documents::package,
    },
    Format {
        name: "conda environment",
        extensions: &["yml", "yaml"],
        recognises: |head, _| {
            let names = [
                "channels:",
                "name:",
                "build_dependencies:",
                "prefix:",
                "python:",
            ];
            has_line(head, "dependencies:") && names.iter().any(|name| begins_line(head, name))
        },
        examine: yaml::environment,
    },
    Format {
        name: "conda lock file",
        extensions: &["yml", "yaml"],
        recognises: |head, _| begins_line(head, "metadata:") && has(head, "content_hash:"),
        examine: yaml::conda_lock,
    },
    Format {
        name: "pnpm lock file",
        extensions: &["yml", "yaml"],
        recognises: |head, _| head.starts_with(b"lockfileVersion:"),
        examine: yaml::pnpm,
    },
    Format {
        name: "conda package list",
        extensions: &["txt"],
        recognises: |head, _| has_line(head, "@EXPLICIT"),
        examine: lines::explicit,
    },
    Format {
        name: "yarn lock file",
        extensions: &[],
        recognises: |head, _| has(head, "# yarn lockfile v1") || begins_line(head, "__metadata:"),
        examine: lines::yarn,
    },
    Format {
        name: "go.mod",
        extensions: &[],
        recognises: |head, _| {
            is_text(head) && begins_line(head, "module ") && begins_line(head, "go 1")
        },
        examine: lines::go_mod,
    },
    Format {
        name: "go.sum",
        extensions: &[],
        recognises: lines::is_go_sum,
        examine: lines::go_sum,
    },
];

/// Reads a text of which only its lines are known, and looks at it as at any text.
fn text(look: &mut Look<'_, '_, '_>, most: u64) -> Option<String> {
    let text = plain(look, most)?;
    let at = Location {
        offset: Some(0),
        line: Some(1),
        ..look.here()
    };
    text::inspect(look, &at, &text);
    Some(text)
}

/// Reads a text of at most so many bytes; a larger one, or one that is no text, is a gap. JSON and
/// YAML have readers of their own that look at every string of them.
fn plain(look: &mut Look<'_, '_, '_>, most: u64) -> Option<String> {
    let size = look.input.bytes.len();
    if size > most {
        look.gap(format!(
            "a list of dependencies of {size} bytes is not read"
        ));
        return None;
    }
    let text = read_all(look.input.bytes).ok().map(String::from_utf8);
    let Some(Ok(text)) = text else {
        look.gap("a list of dependencies is no text");
        return None;
    };
    Some(
        text.strip_prefix('\u{feff}')
            .map(str::to_owned)
            .unwrap_or(text),
    )
}

/// Says that it cannot be read as what it looks like.
fn unread(look: &mut Look<'_, '_, '_>, what: &str) {
    look.gap(format!("it looks like {what}, and cannot be read as one"));
}

/// Judges what was read of the whole file.
fn judge(look: &mut Look<'_, '_, '_>, manifest: &Manifest) {
    let size = look.input.bytes.len();
    look.covered.parsed(0..size);
    let at = look.here();
    check::run(look, &at, manifest);
}

fn is_text(head: &Head) -> bool {
    !head.bytes().contains(&0)
}

fn is_object(head: &Head) -> bool {
    let first = head.bytes().iter().find(|byte| !byte.is_ascii_whitespace());
    first == Some(&b'{')
}

fn named(input: &Input<'_>, names: &[&str]) -> bool {
    names.contains(&input.name())
}

fn has(head: &Head, text: &str) -> bool {
    memmem::find(head.bytes(), text.as_bytes()).is_some()
}

// The first line that says something is a table or a key: other texts quote projects.
fn is_toml(head: &Head) -> bool {
    let mut lines = head
        .bytes()
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"#"));
    first.is_some_and(|line| {
        let key = line.split(|byte| *byte == b'=').next().unwrap_or_default();
        let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.\"' \t".contains(byte);
        line.starts_with(b"[") || key.len() < line.len() && key.iter().all(is_key)
    })
}

fn has_line(head: &Head, line: &str) -> bool {
    lines_with(head, line).any(|rest| {
        let rest = rest.split(|byte| *byte == b'\n').next();
        rest.is_some_and(|rest| rest.trim_ascii().is_empty())
    })
}

fn begins_line(head: &Head, begin: &str) -> bool {
    lines_with(head, begin).next().is_some()
}

// What follows a text wherever a line begins with it. Every file is asked for a dozen of them, and
// most have few lines.
fn lines_with<'h>(head: &'h Head, begin: &'h str) -> impl Iterator<Item = &'h [u8]> {
    let bytes = head.bytes();
    let behind = memchr::memchr_iter(b'\n', bytes).map(|at| at.saturating_add(1));
    let starts = std::iter::once(0).chain(behind);
    starts.filter_map(move |at| bytes.get(at..)?.strip_prefix(begin.as_bytes()))
}
