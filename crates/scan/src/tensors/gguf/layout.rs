//! Descriptions of tensors, and where their bytes lie.

use std::collections::BTreeSet;
use std::ops::Range;

use super::types::{Type, Unfit};
use super::{File, Step, Stop};
use crate::rules::{self, Rule};
use crate::source::Part;
use crate::tensors::names;

/// Most dimensions (`GGML_MAX_DIMS`).
const MAX_DIMENSIONS: u32 = 4;
/// Most faults of one kind that are told one by one.
const TOLD: usize = 10;

// A description, as far as it is sound.
struct Tensor {
    name: String,
    at: u64,
    from: u64,
    bytes: u64,
}

/// Reads the descriptions, and compares them with the bytes behind them.
pub(super) fn tensors(file: &mut File<'_, '_, '_, '_>, count: u64) -> Step<()> {
    let mut tensors = Vec::new();
    let mut names = BTreeSet::new();
    let mut told = 0;
    let mut sound = true;
    for _ in 0..count {
        let path = &file.look.input.path;
        file.look.work.tick(path).map_err(|_| Stop::Told)?;
        let at = file.reader.cursor.position();
        let (tensor, fault) = tensor(file, at)?;
        if !names.insert(tensor.name.clone()) {
            let message = format!("two tensors are called `{}`", tensor.name);
            file.look.see(&rules::tensors::GGUF_DUPLICATE, at, message);
        }
        if let Some((severity, does)) = names::fault(&tensor.name) {
            let message = format!("a tensor is called {:?}, which {does}", tensor.name);
            let mut finding = rules::tensors::GGUF_NAME.finding(file.look.here(), message);
            finding.location.offset = Some(at);
            finding.severity = severity;
            file.look.work.find(finding);
        }
        match fault {
            Some(fault) => {
                sound = false;
                told = tell(file, told, &tensor, fault);
            }
            None => tensors.push(tensor),
        }
    }
    let header = file.reader.cursor.position();
    file.look.covered.parsed(0..header);
    let size = file.look.input.bytes.len();
    let data = header
        .checked_next_multiple_of(file.alignment)
        .unwrap_or(u64::MAX);
    file.look.covered.parsed(header..data.min(size));
    cover(file, tensors, (data, sound));
    Ok(())
}

fn tell(
    file: &mut File<'_, '_, '_, '_>,
    told: usize,
    tensor: &Tensor,
    (rule, message, cves): (&'static Rule, String, &[&str]),
) -> usize {
    if told < TOLD {
        let mut place = file.look.here();
        place.offset = Some(tensor.at);
        place.pointer = Some(tensor.name.clone());
        let mut finding = rule.finding(place, message.clone());
        finding.cves = cves.iter().map(|cve| (*cve).to_owned()).collect();
        file.look.work.find(finding);
        file.look.gap(message);
    }
    told.saturating_add(1)
}

type Fault = (&'static Rule, String, &'static [&'static str]);

fn tensor(file: &mut File<'_, '_, '_, '_>, at: u64) -> Step<(Tensor, Option<Fault>)> {
    let name = file.text(at)?;
    let count = file.reader.u32()?;
    if count > MAX_DIMENSIONS {
        let message = format!("`{name}` has {count} dimensions; there are at most four");
        file.look.broken(&rules::tensors::GGUF_TENSOR, at, message);
        return Err(Stop::Told);
    }
    let mut dimensions = Vec::new();
    for _ in 0..count {
        dimensions.push(file.reader.count()?);
    }
    let (number, from) = (file.reader.u32()?, file.reader.u64()?);
    let mut tensor = Tensor {
        name,
        at,
        from,
        bytes: 0,
    };
    let name = &tensor.name;
    let fault: Option<Fault> = match Type::of(number).map(|kind| (kind, kind.bytes(&dimensions))) {
        None => {
            let message = format!("`{name}` has the unknown type {number}");
            Some((&rules::tensors::GGUF_TYPE, message, &[]))
        }
        Some((_, Err(Unfit::Overflow))) => {
            let message =
                format!("the size of `{name}` with the dimensions {dimensions:?} exceeds 64 bits");
            Some((&rules::tensors::GGUF_OVERFLOW, message, &["CVE-2026-33298"]))
        }
        Some((kind, Err(Unfit::Block))) => {
            let row = dimensions.first().copied().unwrap_or(0);
            let message = format!(
                "`{name}` has rows of {row} elements, which are no whole blocks of {}",
                kind.name()
            );
            Some((&rules::tensors::GGUF_TENSOR, message, &[]))
        }
        Some((_, Ok(bytes))) => {
            tensor.bytes = bytes;
            None
        }
    };
    Ok((tensor, fault))
}

// Marks the bytes of tensors, and says what does not fit.
fn cover(file: &mut File<'_, '_, '_, '_>, mut tensors: Vec<Tensor>, (data, sound): (u64, bool)) {
    let size = file.look.input.bytes.len();
    let space = size.saturating_sub(data);
    sum(file, &tensors);
    tensors.sort_by_key(|tensor| tensor.from);
    let (mut told, mut next) = (0, 0_u64);
    for tensor in &tensors {
        let end = tensor.from.checked_add(tensor.bytes);
        let (from, name) = (tensor.from, &tensor.name);
        let Some(end) = end.filter(|end| *end <= space) else {
            let message = format!(
                "`{name}` has {} bytes at {from}, outside of the {space} bytes of data",
                tensor.bytes
            );
            told = tell(
                file,
                told,
                tensor,
                (&rules::tensors::GGUF_TENSOR, message, &[]),
            );
            continue;
        };
        if !from.is_multiple_of(file.alignment) {
            let message = format!("`{name}` lies at {from}, which is not aligned");
            told = tell(
                file,
                told,
                tensor,
                (&rules::tensors::GGUF_LAYOUT, message, &[]),
            );
        }
        if from < next && tensor.bytes > 0 {
            let message = format!("`{name}` shares bytes with another tensor");
            told = tell(
                file,
                told,
                tensor,
                (&rules::tensors::GGUF_LAYOUT, message, &[]),
            );
        }
        let padding = from.saturating_sub(next);
        if padding < file.alignment {
            let from = data.saturating_add(next);
            fill(file, from..from.saturating_add(padding));
        } else {
            let message = format!("{padding} bytes before `{name}` belong to no tensor");
            told = tell(
                file,
                told,
                tensor,
                (&rules::tensors::GGUF_LAYOUT, message, &[]),
            );
        }
        let place = |offset: u64| data.saturating_add(offset);
        file.look.covered.opaque(place(from)..place(end));
        next = next.max(end);
    }
    if sound && told == 0 {
        trailing(file, data.saturating_add(next));
    }
}

// What old loaders add up to know how much memory they need.
fn sum(file: &mut File<'_, '_, '_, '_>, tensors: &[Tensor]) {
    /// What a loader needs for each besides its bytes, about.
    const OVERHEAD: u64 = 512;
    let mut sum = Some(0_u64);
    for tensor in tensors {
        let padded = tensor.bytes.checked_next_multiple_of(file.alignment);
        sum = sum
            .and_then(|sum| sum.checked_add(padded?))
            .and_then(|sum| sum.checked_add(OVERHEAD));
    }
    if sum.is_none_or(|sum| i64::try_from(sum).is_err()) {
        let message = "the sizes of its tensors together exceed 64 bits".to_owned();
        let mut finding = rules::tensors::GGUF_OVERFLOW.finding(file.look.here(), message.clone());
        finding.cves = vec!["CVE-2025-53630".to_owned(), "CVE-2026-27940".to_owned()];
        file.look.work.find(finding);
        file.look.gap(message);
    }
}

// Bytes that fill up a tensor are as good as values.
fn fill(file: &mut File<'_, '_, '_, '_>, range: Range<u64>) {
    if range.is_empty() {
        return;
    }
    file.look.covered.opaque(range.clone());
    let input = file.look.input;
    let name = format!("padding@{}", range.start);
    let part = Part::new(input.bytes, range);
    // A limit is noted where it fired.
    let _ = file.look.work.opaque_member(input, &name, &part);
}

fn trailing(file: &mut File<'_, '_, '_, '_>, end: u64) {
    let size = file.look.input.bytes.len();
    // Writers fill up the last tensor as well.
    let padded = end
        .checked_next_multiple_of(file.alignment)
        .unwrap_or(size)
        .min(size);
    fill(file, end..padded);
    // A limit is noted where it fired.
    let _ = file
        .look
        .trailing_by(&rules::tensors::GGUF_TRAILING, padded..size);
}
