//! Opens a log that `log_writer` was killed over, and checks every acknowledgement.
//!
//! `log_check DIR ACKFILE`. ACKFILE holds the output of all runs of the writer, in sequence; its
//! last line may be cut. Exit status 0 if nothing that was acknowledged is lost or contradicted;
//! prints the numbers as JSON.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;

use custos_core::crypto::KeyPair;
use custos_log::checkpoint::SignedCheckpoint;
use custos_log::disk::{Disk, OsDisk};
use custos_log::note::{KeyPairSigner, NoteSigner as _};
use custos_log::{Log, LogOptions, LogReader, RecordError, fsck};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(dir), Some(acks)) = (args.next(), args.next()) else {
        return Err("usage: log_check DIR ACKFILE".into());
    };
    let signer = Box::new(KeyPairSigner::new(ORIGIN, test_key()?)?);
    let key = signer.verifier_key().clone();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(dir));
    drop(Log::open_or_create(
        Arc::clone(&disk),
        signer,
        LogOptions::batch(),
    )?);
    let reader = LogReader::new(Arc::clone(&disk), key.clone());
    let latest = reader.latest()?;
    let mut entries = Vec::new();
    reader.for_each(0..latest.size(), &latest, |_, entry| {
        entries.push(entry.to_vec());
        Ok::<(), RecordError>(())
    })?;
    let text = std::fs::read_to_string(acks)?;
    let (mut checked, mut lines) = (0_u64, 0_u64);
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        let ack: serde_json::Value = serde_json::from_str(line)?;
        let number = |name: &str| ack[name].as_u64().ok_or("not an acknowledgement");
        let (first, last, index) = (number("first")?, number("last")?, number("index")?);
        for (n, at) in (first..=last).zip(index..) {
            if entries.get(usize::try_from(at)?) != Some(&leaf(n)) {
                return Err(format!("leaf {n} was acknowledged at {at} and is not there").into());
            }
            checked += 1;
        }
        let note = ack["checkpoint"].as_str().ok_or("not an acknowledgement")?;
        let known = SignedCheckpoint::open(note.as_bytes(), std::slice::from_ref(&key))?;
        reader.extends(&known, &latest)?;
        lines += 1;
    }
    let report = fsck::check(&disk, &key)?;
    if let Some(fault) = report.faults.first() {
        return Err(format!("{fault}").into());
    }
    let size = latest.size();
    writeln!(
        std::io::stdout(),
        "{{\"acknowledged\":{checked},\"batches\":{lines},\"size\":{size}}}"
    )?;
    Ok(())
}

const ORIGIN: &str = "example.com/kill-test";

// The key of `log_writer`.
fn test_key() -> Result<KeyPair, Box<dyn Error>> {
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend_from_slice(&[9; 32]);
    Ok(KeyPair::from_pkcs8_der(&der)?)
}

fn leaf(n: u64) -> Vec<u8> {
    format!(
        "leaf {n} {}",
        "x".repeat(usize::try_from(n * 7919 % 900).unwrap_or(0))
    )
    .into_bytes()
}
