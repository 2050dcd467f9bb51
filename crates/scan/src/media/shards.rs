//! Shards of datasets: tar archives whose members of one key are a sample, as `WebDataset` reads
//! them.
//!
//! webdataset, `tariterators.py` (`group_by_keys`): members of a sample follow one another, and the
//! key is what stands before the first dot behind the last slash. `autodecode.py`: what stands
//! behind the last dot chooses the decoder, and `pkl`, `pickle` and `pyd` are unpickled unless a
//! setting forbids it. What the members hold is looked at like any file; here it is what they are to
//! that reader, and captions that become cells of tables.

use std::ops::Range;

use custos_core::finding::{Finding, Location, Severity};
use serde_json::Value;

use super::table;
use crate::rules;
use crate::source::{Part, ReadAt as _, read_all};
use crate::text::unicode::show;
use crate::work::Look;

/// Longest caption, or description of a sample, that is read for formulas.
const MAX_CAPTION: u64 = 64 << 10;
/// Most formulas that are told.
const TOLD: usize = 20;

/// What is known of a shard so far.
#[derive(Default)]
pub(crate) struct Shard {
    last: Option<(String, String)>,
    // Members that belong to the one before; one of those has a picture, a sound or a caption.
    joined: bool,
    // The first member that is unpickled, where it is, and how many there are.
    unpickled: Option<(String, u64)>,
    count: u64,
    formulas: Vec<Finding>,
}

impl Shard {
    /// Takes the next member.
    pub(crate) fn add(&mut self, look: &Look<'_, '_, '_>, name: &str, range: Range<u64>) {
        let Some((key, extension)) = split(name) else {
            return;
        };
        let kind = extension
            .rsplit_once('.')
            .map_or(extension.as_str(), |(_, kind)| kind);
        if let Some((before, other)) = &self.last
            && *before == key
            && *other != extension
        {
            self.joined |= is_sample(kind) || is_sample(other);
        }
        match kind {
            "pkl" | "pickle" | "pyd" => {
                self.count = self.count.saturating_add(1);
                self.unpickled
                    .get_or_insert_with(|| (name.to_owned(), range.start));
            }
            "txt" | "text" | "caption" | "transcript" | "json" | "jsn" => {
                self.caption(look, name, range);
            }
            _ => {}
        }
        self.last = Some((key, extension));
    }

    /// Says what was seen, if it was a shard.
    pub(crate) fn finish(self, look: &mut Look<'_, '_, '_>) {
        if !self.joined {
            return;
        }
        if let Some((name, at)) = self.unpickled {
            let others = self.count.saturating_sub(1);
            let message = format!(
                "`{name}` and {others} others are samples that decoders of WebDataset unpickle"
            );
            look.see(&rules::media::DATA_PICKLED, at, message);
        }
        for formula in self.formulas {
            look.work.find(formula);
        }
    }

    fn caption(&mut self, look: &Look<'_, '_, '_>, name: &str, range: Range<u64>) {
        let part = Part::new(look.input.bytes, range);
        if part.len() > MAX_CAPTION || self.formulas.len() >= TOLD {
            return;
        }
        let bytes = read_all(&part).unwrap_or_default();
        let whole = String::from_utf8_lossy(&bytes).into_owned();
        let mut texts = Vec::new();
        match serde_json::from_slice(&bytes) {
            Ok(value) => strings(value, &mut texts),
            Err(_) => texts.push(whole),
        }
        for text in texts {
            let Some((what, severity)) = table::formula(text.as_bytes()) else {
                continue;
            };
            let place = Location {
                path: format!("{}!{name}", look.input.path),
                ..Location::default()
            };
            let message = format!("the caption of a sample is a formula that {what}");
            let mut finding = rules::media::DATA_FORMULA.finding(place, message);
            // It acts once it was written into a table, which not every reader does.
            finding.severity = severity.min(Severity::Medium);
            finding.evidence = Some(show(&text));
            self.formulas.push(finding);
        }
    }
}

// Key and extensions of a member, as the reader splits its name.
fn split(name: &str) -> Option<(String, String)> {
    let (folder, base) = name.rsplit_once('/').unwrap_or(("", name));
    let (stem, extension) = base.split_once('.')?;
    if stem.is_empty() || stem.starts_with("__") {
        return None;
    }
    Some((format!("{folder}/{stem}"), extension.to_lowercase()))
}

// What samples have, and files of models have not.
fn is_sample(kind: &str) -> bool {
    const KINDS: [&str; 24] = [
        "jpg",
        "jpeg",
        "png",
        "webp",
        "gif",
        "bmp",
        "tif",
        "tiff",
        "ppm",
        "pgm",
        "pbm",
        "flac",
        "wav",
        "mp3",
        "ogg",
        "opus",
        "mp4",
        "webm",
        "mkv",
        "avi",
        "mov",
        "txt",
        "cls",
        "transcript",
    ];
    KINDS.contains(&kind)
}

// All texts of a document, whose depth its reader bounds.
fn strings(value: Value, into: &mut Vec<String>) {
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        match value {
            Value::String(text) => into.push(text),
            Value::Array(values) => waiting.extend(values),
            Value::Object(members) => waiting.extend(members.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
}
