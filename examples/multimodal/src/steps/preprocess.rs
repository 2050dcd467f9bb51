//! `preprocess`: dataset folder -> decoded pictures, words, and the split.
//!
//! Output: `images.safetensors` (tensor `images`, U8 `[n, 24, 24, 4]`, premultiplied RGBA),
//! `records.jsonl` (one [`Prepared`] each, same order) and `preprocess.json`.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::StepError;
use crate::image::{CHANNELS, PIXELS, SIDE};
use crate::model::CLASSES;
use crate::steps::ingest::{self, Record};
use crate::tensors::{self, Tensor};
use crate::{StepIo, files, image, text};

/// The split in words, for the dataset statement.
pub(crate) const SPLIT_RULE: &str = "A record is held out if the first byte of SHA-256 of its \
    family is below 64 (about a quarter). The family is the sorted words of its name without words \
    for colour, size, number, direction, sex and shape of frame; so variants of one emoji, such as \
    the twelve clock faces or the coloured hearts, never stand on both sides.";

/// Words that tell variants of one emoji apart, and so do not count for its family.
const VARIANT_WORDS: &str = "man men woman women person people boy girl child baby male female mr \
    mrs old older black white red orange yellow green blue purple brown heavy light dark very \
    small medium large big one two three four five six seven eight nine ten eleven twelve thirty \
    oclock first last quarter left right up down upwards downwards leftwards rightwards north \
    south east west upper lower sign symbol face faced button squared negative with and of the in \
    a for number digit";

/// Which part a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    Train,
    HeldOut,
}

/// One line of the `records.jsonl` of this step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Prepared {
    pub(crate) id: String,
    pub(crate) tokens: Vec<String>,
    pub(crate) label: usize,
    pub(crate) family: String,
    pub(crate) part: Part,
}

/// `preprocess.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) schema: String,
    pub(crate) labels: Vec<String>,
    pub(crate) split: String,
    pub(crate) train: usize,
    pub(crate) held_out: usize,
    pub(crate) families: usize,
}

pub(crate) fn run(dataset: &Path, io: &StepIo) -> Result<Vec<String>, StepError> {
    let records: Vec<Record> = files::read_jsonl(&dataset.join("records.jsonl"))?;
    let labels: BTreeSet<&str> = records.iter().map(|r| r.label.as_str()).collect();
    let labels: Vec<String> = labels.into_iter().map(str::to_owned).collect();
    if labels.len() != CLASSES {
        return Err(StepError::Inconsistent {
            what: "classes in the dataset",
            expected: CLASSES.to_string(),
            found: labels.len().to_string(),
        });
    }
    let (pixels, prepared) = prepare(dataset, &records, &labels)?;
    let held_out = prepared.iter().filter(|p| p.part == Part::HeldOut).count();
    let families: BTreeSet<&str> = prepared.iter().map(|p| p.family.as_str()).collect();
    let summary = Summary {
        schema: "custos-multimodal.preprocess/1".to_owned(),
        labels,
        split: SPLIT_RULE.to_owned(),
        train: prepared.len() - held_out,
        held_out,
        families: families.len(),
    };
    let path = io.output.join("images.safetensors");
    let images = Tensor::u8(vec![prepared.len(), SIDE, SIDE, CHANNELS], pixels);
    files::write(
        &path,
        &tensors::encode(&path, vec![("images", images)], None)?,
    )?;
    files::write_jsonl(&io.output.join("records.jsonl"), &prepared)?;
    files::write_json(&io.output.join("preprocess.json"), &summary)?;
    Ok(vec![
        format!(
            "{} pictures decoded, {} families of names",
            prepared.len(),
            summary.families
        ),
        format!(
            "{} pairs to train on, {} held out",
            summary.train, summary.held_out
        ),
    ])
}

/// Decodes the pictures, one after the other into one list, and prepares the rest of the records.
fn prepare(
    dataset: &Path,
    records: &[Record],
    labels: &[String],
) -> Result<(Vec<u8>, Vec<Prepared>), StepError> {
    let mut pixels = Vec::with_capacity(records.len() * PIXELS);
    let mut prepared = Vec::with_capacity(records.len());
    for (at, record) in records.iter().enumerate() {
        if !ingest::is_plain_path(&record.image) {
            let (path, expected) = (dataset.join("records.jsonl"), "a picture in this folder");
            return Err(StepError::BadLine {
                path,
                line: at + 1,
                expected,
            });
        }
        let bytes = files::read(&dataset.join(&record.image))?;
        let found = files::sha256(&bytes);
        if found != record.image_sha256 {
            let (file, expected) = (record.image.clone(), record.image_sha256.clone());
            return Err(StepError::DigestChanged {
                file,
                expected,
                found,
            });
        }
        let wrong = |source| StepError::Image {
            record: record.id.clone(),
            source,
        };
        pixels.extend(image::decode(&bytes).map_err(wrong)?);
        let tokens = text::tokens(&record.text);
        let family = family(&tokens);
        let part = part(&family);
        let label = labels
            .iter()
            .position(|l| *l == record.label)
            .unwrap_or_default();
        prepared.push(Prepared {
            id: record.id.clone(),
            tokens,
            label,
            family,
            part,
        });
    }
    Ok((pixels, prepared))
}

/// Returns what an emoji and its variants have in common.
fn family(tokens: &[String]) -> String {
    let is_variant = |token: &String| VARIANT_WORDS.split_whitespace().any(|word| word == token);
    let mut words: Vec<&str> = tokens
        .iter()
        .filter(|t| !is_variant(t))
        .map(String::as_str)
        .collect();
    if words.is_empty() {
        words = tokens.iter().map(String::as_str).collect();
    }
    words.sort_unstable();
    words.join(" ")
}

fn part(family: &str) -> Part {
    match Sha256::digest(family.as_bytes()).first() {
        Some(0..64) => Part::HeldOut,
        _ => Part::Train,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_share_a_family() {
        let of = |name| family(&text::tokens(name));
        assert_eq!(of("Clock Face One-Thirty"), of("Clock Face Twelve Oclock"));
        assert_eq!(of("BLUE HEART"), of("Purple Heart"));
        assert_eq!(of("RABBIT"), of("RABBIT FACE"));
        assert_ne!(of("RABBIT"), of("RAT"));
        assert_eq!(of("MAN"), "man");
    }
}
