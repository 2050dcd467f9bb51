//! `features`: decoded pictures and words -> what the network reads.
//!
//! Output: `train.safetensors` and `heldout.safetensors`, each with `images` (U8 `[n, views,
//! 784]`, see [`crate::image::features`]; a training picture has a second view, mirrored), `labels`
//! (U32 `[n]`) and the hashed texts as `buckets` (U32) cut at `offsets` (U32 `[n + 1]`); and
//! `features.json` with the names of the classes and the ids in order.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::image::{CHANNELS, FEATURES, PIXELS, SIDE};
use crate::model::{Bag, CLASSES};
use crate::steps::preprocess::{Part, Prepared, Summary};
use crate::tensors::{self, Tensor, TensorFile};
use crate::training::Example;
use crate::{StepIo, files, image, text};

/// `features.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) schema: String,
    pub(crate) labels: Vec<String>,
    pub(crate) image_features: usize,
    pub(crate) text_buckets: u32,
    pub(crate) train: Vec<String>,
    pub(crate) held_out: Vec<String>,
}

pub(crate) fn run(prepared: &Path, io: &StepIo) -> Result<Vec<String>, StepError> {
    let summary: Summary = files::read_json(&prepared.join("preprocess.json"))?;
    let records: Vec<Prepared> = files::read_jsonl(&prepared.join("records.jsonl"))?;
    let path = prepared.join("images.safetensors");
    let bytes = files::read(&path)?;
    let file = TensorFile::parse(&path, &bytes)?;
    let pixels = file.u8("images", &[SIDE, SIDE, CHANNELS])?;
    let pictures: Vec<&[u8]> = pixels.chunks_exact(PIXELS).collect();
    if pictures.len() != records.len() {
        return Err(file.bad("images", format!("{} pictures", records.len())));
    }
    let pairs: Vec<(&Prepared, &[u8])> = records.iter().zip(pictures).collect();
    let write = |name: &str, part, mirror: bool| -> Result<Vec<String>, StepError> {
        let chosen: Vec<_> = pairs
            .iter()
            .copied()
            .filter(|(r, _)| r.part == part)
            .collect();
        let path = io.output.join(name);
        files::write(&path, &encode(&path, &chosen, mirror)?)?;
        Ok(chosen.into_iter().map(|(r, _)| r.id.clone()).collect())
    };
    let index = Index {
        schema: "custos-multimodal.features/1".to_owned(),
        labels: summary.labels,
        image_features: FEATURES,
        text_buckets: text::BUCKETS,
        train: write("train.safetensors", Part::Train, true)?,
        held_out: write("heldout.safetensors", Part::HeldOut, false)?,
    };
    files::write_json(&io.output.join("features.json"), &index)?;
    Ok(vec![
        format!("pictures: {FEATURES} numbers each, also mirrored for training"),
        format!(
            "texts: word and character pieces in {} buckets",
            text::BUCKETS
        ),
    ])
}

fn encode(path: &Path, records: &[(&Prepared, &[u8])], mirror: bool) -> Result<Vec<u8>, StepError> {
    let (mut images, mut labels, mut buckets, mut offsets) = (vec![], vec![], vec![], vec![0]);
    for (record, pixels) in records {
        images.extend(image::features(pixels));
        if mirror {
            images.extend(image::features(&image::mirrored(pixels)));
        }
        labels.push(u32::try_from(record.label).unwrap_or(u32::MAX));
        buckets.extend(text::buckets(&record.tokens));
        offsets.push(u32::try_from(buckets.len()).unwrap_or(u32::MAX));
    }
    let views = if mirror { 2 } else { 1 };
    let tensors = vec![
        (
            "images",
            Tensor::u8(vec![records.len(), views, FEATURES], images),
        ),
        ("labels", Tensor::u32(&labels)),
        ("buckets", Tensor::u32(&buckets)),
        ("offsets", Tensor::u32(&offsets)),
    ];
    tensors::encode(path, tensors, None)
}

/// Reads one part back: `views` views of each picture.
pub(crate) fn read_part(path: &Path, views: usize) -> Result<Vec<Example>, StepError> {
    let bytes = files::read(path)?;
    let file = TensorFile::parse(path, &bytes)?;
    let images = file.u8("images", &[views, FEATURES])?;
    let (labels, buckets) = (file.u32("labels")?, file.u32("buckets")?);
    let offsets = file.u32("offsets")?;
    if let Some(label) = labels
        .iter()
        .find(|l| usize::try_from(**l).is_ok_and(|l| l >= CLASSES))
    {
        return Err(file.bad("labels", format!("classes below {CLASSES}, not {label}")));
    }
    if buckets.iter().any(|b| *b >= text::BUCKETS) {
        return Err(file.bad("buckets", format!("numbers below {}", text::BUCKETS)));
    }
    let n = labels.len();
    if offsets.len() != n + 1 || images.len() != n * views * FEATURES || n == 0 {
        return Err(file.bad(
            "offsets",
            format!("{n} records in every tensor, at least one"),
        ));
    }
    let span = |pair: &[u32]| match pair {
        [a, b] => buckets.get(usize::try_from(*a).ok()?..usize::try_from(*b).ok()?),
        _ => None,
    };
    let mut examples = Vec::with_capacity(n);
    let pictures = images.chunks_exact(views * FEATURES);
    for ((label, pair), picture) in labels.iter().zip(offsets.windows(2)).zip(pictures) {
        let bag = span(pair).ok_or_else(|| file.bad("offsets", "ascending numbers".to_owned()))?;
        examples.push(Example {
            views: picture.chunks_exact(FEATURES).map(<[u8]>::to_vec).collect(),
            text: Bag::new(bag.to_vec()),
            label: usize::try_from(*label).unwrap_or_default(),
        });
    }
    Ok(examples)
}
