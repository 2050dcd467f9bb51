//! Programs in Python, as they lie beside models and in packages.
//!
//! What runs when a program is imported is told apart from what only a caller runs; what a module
//! calls at its top counts as run, and so on from there. Functions are known by their full names,
//! through imports, aliases, `getattr`, `__import__`, and names in pieces. Nothing that a program
//! says in its texts is a finding, unless it runs that text. The Python Language Reference, 7 and 8.

mod judge;
mod places;
mod sinks;
mod source;
mod values;
mod walk;

use custos_core::finding::{Finding, Location, Severity};

use crate::route::{Format, Head};
use crate::rules;
use crate::work::{Input, Look};

use super::{plain, shortened, unicode};
use walk::Sight;

pub(super) use sinks::DATA;

/// Longest program that is read.
const MAX_PROGRAM: usize = 8 << 20;
/// Most findings of one program.
const MAX_TOLD: usize = 100;

/// Programs: by their names, by their first line, or by what most lines begin with.
pub(super) const FORMAT: Format = Format {
    name: "python",
    extensions: &["py", "pyw", "pyi", "pyx"],
    recognises,
    examine: examine_file,
};

/// Lists of paths, of which Python runs the lines that begin with `import` whenever it starts.
pub(super) const PATHS: Format = Format {
    name: "python path file",
    extensions: &[],
    recognises: recognises_paths,
    examine: examine_paths,
};

/// Looks at a program that lies at a place.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>, at: &Location, source: &str) {
    if source.len() > MAX_PROGRAM {
        return look.gap("a program is longer than is read");
    }
    let name = look.input.name().to_ascii_lowercase();
    let installs = matches!(name.as_str(), "setup.py" | "conf.py");
    hides(look, at, source);
    defines(look, at, source);
    let source = source::lines(source);
    let source = source::letters(&source);
    let walk = walk::walk(&source, installs);
    if !walk.whole {
        look.gap("a program makes more of its constants than is followed");
    }
    tell(look, at, &source, walk.sights);
    for payload in walk.payloads {
        // A limit that is reached is told where it is.
        let _ = look.member(&format!("bytes-of-line-{}", payload.line), &payload.bytes);
    }
}

// Bytes that are no text as anyone reads them.
fn hides(look: &mut Look<'_, '_, '_>, at: &Location, source: &str) {
    if let Some(encoding) = source::hiding(source) {
        let message = format!(
            "the program says that its bytes are `{encoding}`, in which they need not mean what they \
             look like"
        );
        look.work
            .find(rules::text::PYTHON_HIDDEN.finding(at.clone(), message));
        look.gap("a program is in an encoding that hides what it does");
    }
}

// Names that are defined, and look like others.
fn defines(look: &mut Look<'_, '_, '_>, at: &Location, source: &str) {
    if source.is_ascii() {
        return;
    }
    for (line, number) in source.lines().zip(0_u32..) {
        let text = line.trim_start();
        let text = text.strip_prefix("async ").unwrap_or(text);
        let rest = text
            .strip_prefix("def ")
            .or_else(|| text.strip_prefix("class "));
        let name = rest.and_then(|rest| rest.split(['(', ':', ' ', '[']).next());
        if let Some(name) = name.filter(|name| !name.is_ascii()) {
            let location = Location {
                offset: None,
                line: Some(at.line.unwrap_or(1).saturating_add(number)),
                ..at.clone()
            };
            unicode::inspect_name(look, &location, name);
        }
    }
}

fn tell(look: &mut Look<'_, '_, '_>, at: &Location, source: &str, mut sights: Vec<Sight>) {
    // The worst first; a hundred that mean little say what a thousand do.
    sights.sort_by_key(|sight| std::cmp::Reverse(sight.severity));
    for (count, sight) in sights.into_iter().enumerate() {
        if count >= MAX_TOLD {
            if sight.severity >= Severity::Medium {
                look.gap("more was seen in a program than is kept");
            }
            return;
        }
        let line = at
            .line
            .unwrap_or(1)
            .saturating_add(sight.line.saturating_sub(1));
        let location = Location {
            offset: None,
            line: Some(line),
            ..at.clone()
        };
        let shown = source
            .lines()
            .nth(usize::try_from(sight.line).unwrap_or(1).saturating_sub(1));
        look.work.find(Finding {
            severity: sight.severity,
            confidence: sight.confidence,
            evidence: shown.map(shortened).filter(|text| !text.is_empty()),
            ..sight.rule.finding(location, sight.message)
        });
    }
}

/// Returns the worst that a program does, and how bad that is.
pub(crate) fn worst(source: &str) -> Option<(Severity, String)> {
    let sights = walk::walk(source, false).sights;
    let worst = sights.into_iter().max_by_key(|sight| sight.severity)?;
    Some((worst.severity, worst.message))
}

fn recognises(head: &Head, input: &Input<'_>) -> bool {
    if !plain::is_text(head) {
        return false;
    }
    if matches!(input.extension().as_str(), "py" | "pyw" | "pyi" | "pyx") {
        return true;
    }
    let text = String::from_utf8_lossy(head.bytes());
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().next().unwrap_or_default();
    first.starts_with("#!") && first.contains("python") || is_program(text)
}

/// Returns true if there are statements that only Python has, at the left of the page.
pub(crate) fn is_program(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_alphanumeric() || "._, ".contains(c))
    };
    text.lines().take(200).any(|line| {
        let line = line.split([';', '#']).next().unwrap_or_default().trim_end();
        let import = line.strip_prefix("import ").is_some_and(|rest| {
            let count = rest.split_whitespace().count();
            word(rest) && (count == 1 || rest.contains(',') || rest.contains(" as "))
        });
        let from = line
            .strip_prefix("from ")
            .and_then(|rest| rest.split_once(" import "));
        let from = from.is_some_and(|(module, _)| word(module) && !module.contains(' '));
        let def = (line.starts_with("def ")
            || line.starts_with("class ")
            || line.starts_with("async def "))
            && line.ends_with(':');
        let call = (line.starts_with("exec(")
            || line.starts_with("eval(")
            || line.starts_with("__import__("))
            && line.ends_with(')');
        import || from || def || call
    })
}

fn examine_file(look: &mut Look<'_, '_, '_>) {
    if let Some(text) = plain::whole(look, MAX_PROGRAM) {
        let here = look.here();
        examine(look, &here, &text);
    }
    plain::examine(look);
}

fn recognises_paths(head: &Head, input: &Input<'_>) -> bool {
    input.extension() == "pth" && plain::is_text(head)
}

fn examine_paths(look: &mut Look<'_, '_, '_>) {
    if let Some(text) = plain::whole(look, MAX_PROGRAM) {
        // Other lines are paths, and kept as empty ones so that lines are counted right.
        let program: String = text
            .lines()
            .map(|line| {
                let runs = line.starts_with("import ") || line.starts_with("import\t");
                if runs {
                    format!("{line}\n")
                } else {
                    "\n".to_owned()
                }
            })
            .collect();
        let here = look.here();
        examine(look, &here, &program);
    }
    plain::examine(look);
}
