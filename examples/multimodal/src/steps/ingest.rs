//! `ingest`: raw folder -> dataset folder.
//!
//! Checks every raw file against `SHA256SUMS`, both ways: a changed, a missing and an unlisted file
//! are errors. The list itself lies in the same folder, so this finds damage, not a forger who also
//! rewrites the list; that is what the signed chain around the step is for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::{StepIo, files};

/// The deepest folder of the raw data.
const MAX_DEPTH: usize = 4;

/// One line of `records.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// Code points of the emoji, in hex.
    pub id: String,
    /// Path of the picture in the dataset folder.
    pub image: String,
    /// SHA-256 of the picture.
    pub image_sha256: String,
    /// The name of the emoji.
    pub text: String,
    /// The class.
    pub label: String,
}

/// The digest of one record: SHA-256 of its line in `records.jsonl`, without the line end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Row {
    /// Identifier of the record.
    pub id: String,
    /// The digest, in hex.
    pub sha256: String,
}

/// A licence and the part of the data that it covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct License {
    /// What it covers.
    pub part: String,
    /// SPDX identifier.
    pub spdx: String,
    /// Who grants it.
    pub holder: String,
    /// Its text, in the dataset folder.
    pub file: String,
}

/// A package that the data come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Source {
    /// Registry and name.
    pub package: String,
    /// Version.
    pub version: String,
    /// SHA-256 of the package file.
    pub sha256: String,
    /// The files used of it.
    pub files: Vec<String>,
}

/// What `SOURCE.json` of the raw folder says of the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Origin {
    /// Name of the dataset.
    pub name: String,
    /// Version of the dataset.
    pub version: String,
    /// What it holds.
    pub description: String,
    /// Under which terms.
    pub licenses: Vec<License>,
    /// Where it comes from.
    pub sources: Vec<Source>,
    /// How pictures and texts were paired.
    pub pairing: String,
    /// What was changed since the source.
    pub changes: Vec<String>,
}

/// `dataset.json`: what a dataset statement needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dataset {
    /// `custos-multimodal.dataset/1`.
    pub schema: String,
    /// Name, version, licence, source and pairing.
    pub origin: Origin,
    /// How the held-out part is chosen (by the next step).
    pub split: String,
    /// Number of records.
    pub records: usize,
    /// Records of each class.
    pub classes: BTreeMap<String, usize>,
    /// A digest of every record, in the order of `records.jsonl`.
    pub rows: Vec<Row>,
}

pub(crate) fn run(raw: &Path, io: &StepIo) -> Result<Vec<String>, StepError> {
    let checked = check_digests(raw)?;
    let origin: Origin = files::read_json(&raw.join("SOURCE.json"))?;
    let records = read_records(raw, &checked)?;
    for record in &records {
        let bytes = files::read(&raw.join(&record.image))?;
        files::write(&io.output.join(&record.image), &bytes)?;
    }
    for license in &origin.licenses {
        if !checked.contains_key(&license.file) {
            return Err(StepError::FileMissing {
                file: license.file.clone(),
            });
        }
        let bytes = files::read(&raw.join(&license.file))?;
        files::write(&io.output.join(&license.file), &bytes)?;
    }
    let path = io.output.join("records.jsonl");
    files::write_jsonl(&path, &records)?;
    let lines = files::json_lines(&path, &records)?;
    let rows = records.iter().zip(&lines).map(|(record, line)| Row {
        id: record.id.clone(),
        sha256: files::sha256(line.as_bytes()),
    });
    let mut classes = BTreeMap::new();
    for record in &records {
        *classes.entry(record.label.clone()).or_insert(0) += 1;
    }
    let dataset = Dataset {
        schema: "custos-multimodal.dataset/1".to_owned(),
        split: super::preprocess::SPLIT_RULE.to_owned(),
        records: records.len(),
        rows: rows.collect(),
        classes,
        origin,
    };
    files::write_json(&io.output.join("dataset.json"), &dataset)?;
    Ok(vec![
        format!("{} files match SHA256SUMS", checked.len()),
        format!(
            "{} image-text pairs in {} classes",
            dataset.records,
            dataset.classes.len()
        ),
    ])
}

/// Compares every file below `raw` with `SHA256SUMS`; returns the digests by path.
fn check_digests(raw: &Path) -> Result<BTreeMap<String, String>, StepError> {
    let listed = read_sums(&raw.join("SHA256SUMS"))?;
    let mut found = BTreeSet::new();
    list(raw, "", MAX_DEPTH, &mut found)?;
    found.remove("SHA256SUMS");
    if let Some(file) = found.iter().find(|f| !listed.contains_key(*f)) {
        return Err(StepError::FileUnlisted { file: file.clone() });
    }
    for (file, expected) in &listed {
        if !found.contains(file) {
            return Err(StepError::FileMissing { file: file.clone() });
        }
        let digest = files::sha256(&files::read(&raw.join(file))?);
        if digest != *expected {
            let (file, expected) = (file.clone(), expected.clone());
            return Err(StepError::DigestChanged {
                file,
                expected,
                found: digest,
            });
        }
    }
    Ok(listed)
}

/// Reads lines of `<sha256 hex>  <path>`, the output of `sha256sum`.
fn read_sums(path: &Path) -> Result<BTreeMap<String, String>, StepError> {
    let text = files::read_text(path)?;
    let mut listed = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let bad = |expected| StepError::BadLine {
            path: path.to_owned(),
            line: at + 1,
            expected,
        };
        if at >= files::MAX_LINES {
            return Err(bad("no more than 100,000 lines"));
        }
        let (digest, file) = line
            .split_once("  ")
            .ok_or(bad("a digest, two spaces, a path"))?;
        if digest.len() != 64
            || !digest
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(bad("a SHA-256 digest in lower-case hex"));
        }
        if !is_plain_path(file) {
            return Err(bad("a path inside this folder"));
        }
        if listed.insert(file.to_owned(), digest.to_owned()).is_some() {
            return Err(bad("each path once"));
        }
    }
    Ok(listed)
}

/// Accepts relative paths of plain names only, so that no record reaches outside its folder.
pub(crate) fn is_plain_path(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    path.split('/')
        .all(|name| !name.is_empty() && name != "." && name != ".." && name.chars().all(plain))
}

fn list(
    folder: &Path,
    prefix: &str,
    depth: usize,
    found: &mut BTreeSet<String>,
) -> Result<(), StepError> {
    let io = |source| StepError::Io {
        path: folder.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        // `file_type` does not follow links: a link to a folder counts as a file, unlisted.
        if entry.file_type().map_err(io)?.is_dir() && depth > 0 {
            list(&entry.path(), &format!("{name}/"), depth - 1, found)?;
        } else {
            found.insert(name);
        }
    }
    Ok(())
}

/// Reads `records.csv`; the format has no quoting, and no field needs it.
fn read_records(raw: &Path, sums: &BTreeMap<String, String>) -> Result<Vec<Record>, StepError> {
    let path: PathBuf = raw.join("records.csv");
    let text = files::read_text(&path)?;
    let mut lines = text.lines().enumerate();
    let bad = |at: usize, expected| StepError::BadLine {
        path: path.clone(),
        line: at + 1,
        expected,
    };
    if lines.next().map(|(_, header)| header) != Some("id,image,text,label") {
        return Err(bad(0, "the header id,image,text,label"));
    }
    let (mut records, mut ids) = (Vec::new(), BTreeSet::new());
    for (at, line) in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let [id, image, text, label] = fields[..] else {
            return Err(bad(at, "four fields"));
        };
        if line.contains('"') || [id, text, label].iter().any(|f| f.is_empty()) {
            return Err(bad(at, "fields without quotes, none empty"));
        }
        if !ids.insert(id) {
            return Err(bad(at, "an id that no other line has"));
        }
        let image_sha256 = sums
            .get(image)
            .ok_or(bad(at, "a picture named in SHA256SUMS"))?;
        records.push(Record {
            id: id.to_owned(),
            image: image.to_owned(),
            image_sha256: image_sha256.clone(),
            text: text.to_owned(),
            label: label.to_owned(),
        });
    }
    Ok(records)
}
