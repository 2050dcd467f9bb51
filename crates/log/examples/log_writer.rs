//! Appends batches to the log in DIR until it is killed, and tells each acknowledgement.
//!
//! `log_writer DIR [BATCHES] [server]`, with the settings of the command line or of a server. Each
//! line of its output, written at once with one call, is a JSON object: `first` and `last` number
//! of the leaves, the index of the first, and the checkpoint.
//! `log_check` reads them after the kill. Runs on where an earlier run ended.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;

use custos_core::crypto::KeyPair;
use custos_log::disk::OsDisk;
use custos_log::note::KeyPairSigner;
use custos_log::{Log, LogOptions, Recorder as _};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args
        .next()
        .ok_or("usage: log_writer DIR [BATCHES] [server]")?;
    let batches: u64 = args.next().map_or(Ok(u64::MAX), |text| text.parse())?;
    let signer = Box::new(KeyPairSigner::new(ORIGIN, test_key()?)?);
    let options = match args.next().as_deref() {
        Some("server") => LogOptions::life(),
        Some(_) => return Err("the settings are `server` or nothing".into()),
        None => LogOptions::batch(),
    };
    let options = options.with_segment_bytes(512 << 10);
    let log = Log::open_or_create(Arc::new(OsDisk::new(dir)), signer, options)?;
    let mut next = log.head()?.size;
    for batch in 0..batches {
        // Mostly small, at times enough to fill tiles and, before long, a segment.
        let count = if batch % 7 == 3 { 300 } else { 1 + batch % 5 };
        let leaves: Vec<Vec<u8>> = (next..next + count).map(leaf).collect();
        let recorded = log.record(&leaves)?;
        let (Some(first), Some(last)) = (recorded.first(), recorded.last()) else {
            break;
        };
        let line = serde_json::json!({
            "first": next, "last": next + count - 1,
            "index": first.index, "checkpoint": last.checkpoint,
        });
        std::io::stdout().write_all(format!("{line}\n").as_bytes())?;
        next += count;
    }
    Ok(())
}

const ORIGIN: &str = "example.com/kill-test";

// A key that everybody knows: this log is for tests only.
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
