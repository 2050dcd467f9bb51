//! Chunks of Blosc.

use custos_core::finding::Severity;
use custos_scan::State;

use super::{harmless, payload, rules};
use crate::pickle::look;

fn header(flags: u8, element: u8, sizes: [usize; 3]) -> Vec<u8> {
    let mut out = vec![2, 1, flags, element];
    let sizes = sizes.map(|size| u32::try_from(size).unwrap());
    out.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
    out
}

fn stored(values: &[u8]) -> Vec<u8> {
    let sizes = [values.len(), values.len(), values.len() + 16];
    [header(0x23, 1, sizes), values.to_vec()].concat()
}

// One block of LZ4: of one stream, or of one for each byte of an element.
fn packed(values: &[u8], element: usize, split: bool) -> Vec<u8> {
    let count = values.len() / element;
    let mut sorted: Vec<u8> = (0..element)
        .flat_map(|byte| (0..count).map(move |index| (byte, index)))
        .map(|(byte, index)| values[index * element + byte])
        .collect();
    sorted.extend(&values[count * element..]);
    let streams = if split { element } else { 1 };
    let mut block = Vec::new();
    for stream in sorted.chunks(values.len() / streams) {
        let packed = lz4_flex::block::compress(stream);
        let shorter = if packed.len() < stream.len() {
            &packed
        } else {
            stream
        };
        block.extend(u32::try_from(shorter.len()).unwrap().to_le_bytes());
        block.extend(shorter);
    }
    let flags = if split { 0x21 } else { 0x31 };
    let sizes = [values.len(), values.len(), block.len() + 20];
    let start = 20_u32.to_le_bytes();
    let element = u8::try_from(element).unwrap();
    [header(flags, element, sizes), start.to_vec(), block].concat()
}

pub fn sample() -> Vec<u8> {
    packed(&values(4_096), 4, true)
}

fn values(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from(at / 64 % 256).unwrap())
        .collect()
}

#[test]
fn chunks_are_unpacked_and_what_they_hold_is_looked_at() {
    for chunk in [
        stored(&values(400)),
        packed(&values(4_096), 4, true),
        packed(&values(4_096), 8, false),
        packed(&values(4_099), 8, false),
    ] {
        let report = look(&chunk);
        assert_eq!(report.state(Severity::Low), State::Clean, "{report:#?}");
        assert_eq!(report.coverage.unknown, 0, "{report:#?}");
    }
    let mut hidden = payload();
    hidden.resize(hidden.len() + 2_000, b'.');
    for chunk in [
        stored(&payload()),
        packed(&hidden, 8, false),
        packed(&hidden[..2_000], 8, true),
    ] {
        let report = look(&chunk);
        assert_eq!(report.worst(), Some(Severity::Critical), "{report:#?}");
    }
    assert!(
        rules(&look(&stored(&harmless())))
            .iter()
            .all(|rule| rule.starts_with("scan/"))
    );
}

#[test]
fn chunks_that_are_damaged_are_never_clean() {
    let chunk = packed(&values(4_096), 4, true);
    for at in [16, 17, 20, 21] {
        let mut bytes = chunk.clone();
        bytes[at] = 0xee;
        let report = look(&bytes);
        assert_eq!(
            report.state(Severity::High),
            State::Incomplete,
            "{report:#?}"
        );
        assert!(rules(&report).contains(&"blosc/broken"), "{report:#?}");
    }
}
