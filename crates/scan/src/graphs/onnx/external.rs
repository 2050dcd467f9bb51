//! Values in other files: what the names that a model gives lead to.
//!
//! `external_data` of a tensor has the keys `location` (relative to the model's folder), `offset`,
//! `length` and `checksum`. A name that leads out of the folder makes whoever loads the model read,
//! and whoever saves it write, files of the machine: CVE-2022-25882, its second fix CVE-2024-27318,
//! CVE-2025-51480 for writing, and CVE-2026-34447 for links. Before onnx 1.21, each key became an
//! attribute of an object of the loader, whatever it was called: CVE-2026-34445.

use std::collections::BTreeMap;
use std::ops::Range;

use custos_core::finding::{Finding, Location, Severity};

use crate::archive::zip::leads_out;
use crate::neighbours::Neighbour;
use crate::rules;
use crate::text;
use crate::wire::proto::Wire;
use crate::work::Look;

/// Longest key or value that is read.
const MAX_VALUE: usize = 4 << 10;
/// Most entries of a tensor; there are four keys.
const MAX_ENTRIES: usize = 64;
/// Most files whose answers are kept.
const MAX_FILES: usize = 10_000;
/// Most faults about sizes that are told.
const TOLD: u32 = 10;

/// Keys that writers use; the last is one that the Python package keeps for itself.
const KEYS: [&str; 5] = ["location", "offset", "length", "checksum", "basepath"];
/// What keys of ONNX Runtime begin with, which tell of values that are laid out for it.
const PREPACKED: &str = "prepacked";

const OUT: [&str; 3] = ["CVE-2022-25882", "CVE-2024-27318", "CVE-2025-51480"];
const LINK: [&str; 1] = ["CVE-2026-34447"];

/// A tensor whose values are elsewhere.
pub(super) struct Tensor<'a> {
    /// Where it lies.
    pub(super) at: u64,
    /// Its name.
    pub(super) name: &'a str,
    /// Keys and values.
    pub(super) entries: &'a [Range<u64>],
    /// How many bytes it needs, if that can be told.
    pub(super) needed: Option<u64>,
}

/// The files that a model refers to.
#[derive(Default)]
pub(super) struct Files {
    // How many bytes each has, if it is known.
    seen: BTreeMap<String, Option<u64>>,
    told: u32,
}

impl Files {
    /// Looks at where a tensor's values are said to be.
    pub(super) fn check(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        tensor: &Tensor<'_>,
    ) {
        let mut values = BTreeMap::new();
        if tensor.entries.len() > MAX_ENTRIES {
            self.fault(
                look,
                "has more external data than there are keys for",
                tensor,
            );
            look.gap("the external data of a tensor has more entries than are looked at");
        }
        for entry in tensor.entries.iter().take(MAX_ENTRIES) {
            let key = wire.text_of(entry, 1, MAX_VALUE);
            let value = wire.text_of(entry, 2, MAX_VALUE);
            match (key, value) {
                (Some(key), value) => {
                    let value = value.unwrap_or_default();
                    self.key(look, (&key, &value), tensor);
                    if values.insert(key, value).is_some() {
                        self.fault(look, "gives a key of its external data twice", tensor);
                    }
                }
                (None, _) => self.fault(look, "has external data without a key", tensor),
            }
        }
        let Some(location) = values.get("location") else {
            self.fault(look, "has external data without a location", tensor);
            return;
        };
        let size = match self.seen.get(location) {
            Some(size) => *size,
            None => self.file(look, location, tensor),
        };
        self.place(look, (&values, size), tensor);
    }

    // A key that is none becomes an attribute all the same.
    fn key(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        (key, value): (&str, &str),
        tensor: &Tensor<'_>,
    ) {
        if KEYS.contains(&key) || key.starts_with(PREPACKED) {
            return;
        }
        self.told = self.told.saturating_add(1);
        if self.told > TOLD {
            return;
        }
        let here = Location {
            offset: Some(tensor.at),
            ..look.here()
        };
        let message = format!("`{}` has external data with the key `{key}`", tensor.name);
        let mut finding = rules::graphs::ONNX_EXTERNAL_KEY.finding(here, message);
        finding.evidence = Some(format!("{key}={value:?}"));
        if key.starts_with('_') {
            finding.severity = Severity::High;
            finding.cves.push("CVE-2026-34445".to_owned());
        }
        look.work.find(finding);
    }

    // Looks at a file that is named for the first time, and returns its size.
    fn file(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        location: &str,
        tensor: &Tensor<'_>,
    ) -> Option<u64> {
        let name = tensor.name;
        let here = Location {
            offset: Some(tensor.at),
            ..look.here()
        };
        text::inspect(look, &here, location);
        let path = Path::of(location);
        if let Some(finding) = judged((name, location), path, here.clone()) {
            look.work.find(finding);
        }
        let found = match path {
            Path::Below | Path::Turns => look.work.neighbour(location),
            Path::Out | Path::Nothing => None,
        };
        let size = match found {
            Some(Neighbour::File(size)) => Some(size),
            Some(Neighbour::Link) => {
                let message = format!("`{location}`, which holds `{name}`, is a link");
                told(look, &here, (Severity::High, message, location), &LINK);
                None
            }
            Some(Neighbour::Outside) => {
                let message =
                    format!("`{location}`, which holds `{name}`, is outside of the folder");
                told(look, &here, (Severity::High, message, location), &OUT);
                None
            }
            Some(Neighbour::Missing | Neighbour::Folder) => {
                let message =
                    format!("`{location}`, which holds `{name}`, is no file beside the model");
                told(look, &here, (Severity::Low, message, location), &[]);
                None
            }
            None => None,
        };
        if self.seen.len() < MAX_FILES {
            self.seen.insert(location.to_owned(), size);
        }
        size
    }

    // Offset and length have to lie in the file, and to fit the tensor.
    fn place(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        (values, size): (&BTreeMap<String, String>, Option<u64>),
        tensor: &Tensor<'_>,
    ) {
        let number = |key: &str| match values.get(key) {
            None => Ok(None),
            Some(value) => value.parse::<u64>().map(Some).map_err(|_| ()),
        };
        let (Ok(offset), Ok(length)) = (number("offset"), number("length")) else {
            self.fault(look, "has an offset or length that is no number", tensor);
            return;
        };
        let offset = offset.unwrap_or(0);
        let needed = length.or(tensor.needed).unwrap_or(0);
        let Some(end) = offset.checked_add(needed) else {
            self.fault(look, "ends behind all numbers", tensor);
            return;
        };
        if let Some(location) = values.get("location") {
            let path = &look.input.path;
            look.work.named().add(path, location, offset..end);
        }
        if size.is_some_and(|size| end > size) {
            self.fault(look, "ends behind the file that holds it", tensor);
        }
        if length.is_some() && tensor.needed.is_some() && length != tensor.needed {
            self.fault(
                look,
                "has a length that its dimensions and type do not",
                tensor,
            );
        }
    }

    fn fault(&mut self, look: &mut Look<'_, '_, '_>, what: &str, tensor: &Tensor<'_>) {
        self.told = self.told.saturating_add(1);
        if self.told <= TOLD {
            let message = format!("`{}` {what}", tensor.name);
            look.see(&rules::graphs::ONNX_EXTERNAL_DATA, tensor.at, message);
        }
    }
}

/// Returns what is to be said of a place of values, whatever they are the values of.
pub(in crate::graphs) fn place(location: &str, here: Location) -> Option<Finding> {
    judged(("", location), Path::of(location), here)
}

fn judged((name, location): (&str, &str), path: Path, here: Location) -> Option<Finding> {
    let (severity, what, cves): (_, _, &[&str]) = match path {
        Path::Below => return None,
        Path::Out if location.contains("://") => (
            Severity::High,
            "an address: a loader that follows it fetches it",
            &OUT,
        ),
        Path::Out => (Severity::High, "outside of the folder", &OUT),
        Path::Turns => (Severity::Medium, "which has `..`", &OUT),
        Path::Nothing => (Severity::Medium, "which is no file", &[]),
    };
    let message = if name.is_empty() {
        format!("values are in `{location}`, {what}")
    } else {
        format!("the values of `{name}` are in `{location}`, {what}")
    };
    let mut finding = rules::graphs::ONNX_EXTERNAL_PATH.finding(here, message);
    finding.severity = severity;
    finding.evidence = Some(location.to_owned());
    finding.cves = cves.iter().map(|cve| (*cve).to_owned()).collect();
    Some(finding)
}

fn told(
    look: &mut Look<'_, '_, '_>,
    here: &Location,
    (severity, message, location): (Severity, String, &str),
    cves: &[&str],
) {
    let mut finding = rules::graphs::ONNX_EXTERNAL_PATH.finding(here.clone(), message);
    finding.severity = severity;
    finding.evidence = Some(location.to_owned());
    finding.cves = cves.iter().map(|cve| (*cve).to_owned()).collect();
    look.work.find(finding);
}

/// Where the name of a file leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::graphs) enum Path {
    /// Below the folder.
    Below,
    /// Below it, by a way that goes up again.
    Turns,
    /// Out of the folder.
    Out,
    /// To no file.
    Nothing,
}

impl Path {
    /// Follows a name component by component, under the rules of every system.
    pub(in crate::graphs) fn of(location: &str) -> Self {
        if location.is_empty() {
            return Self::Nothing;
        }
        let drive = matches!(location.as_bytes(), [l, b':', ..] if l.is_ascii_alphabetic());
        let from_root = drive || location.starts_with(['/', '\\', '~']);
        if from_root || location.contains(['\0', '%', '$']) && leads_out(location) {
            return Self::Out;
        }
        // `file:///x`, `http://x`, and what a loader of addresses makes of `file:x`.
        if location.contains("://") || location.starts_with("file:") {
            return Self::Out;
        }
        let (mut depth, mut turns) = (0_u64, false);
        for part in location.split(['/', '\\']) {
            match part.trim() {
                "" | "." => {}
                ".." => {
                    turns = true;
                    let Some(up) = depth.checked_sub(1) else {
                        return Self::Out;
                    };
                    depth = up;
                }
                _ => depth = depth.saturating_add(1),
            }
        }
        match (turns, depth, location.contains('\0')) {
            (_, _, true) => Self::Out,
            (_, 0, _) => Self::Nothing,
            (true, ..) => Self::Turns,
            (false, ..) => Self::Below,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_followed_component_by_component() {
        let cases = [
            ("weights.bin", Path::Below),
            ("./sub/weights..bin", Path::Below),
            ("a/b/../w", Path::Turns),
            ("../w", Path::Out),
            ("a/../../w", Path::Out),
            ("a/.. /../w", Path::Out),
            ("/etc/passwd", Path::Out),
            ("\\\\server\\share", Path::Out),
            ("C:w", Path::Out),
            ("a\\..\\..\\w", Path::Out),
            ("w\0/x", Path::Out),
            ("http://x.example/w", Path::Out),
            ("file:///etc/passwd", Path::Out),
            ("file:w", Path::Out),
            ("//host.example/share/w", Path::Out),
            ("~/w", Path::Out),
            ("", Path::Nothing),
            (".", Path::Nothing),
        ];
        for (location, expected) in cases {
            assert_eq!(Path::of(location), expected, "{location:?}");
        }
    }
}
