//! Writes bundles into a store and prints each digest once it is acknowledged; for the tests of
//! several processes and of `kill -9`.
//!
//! `hammer DATABASE SEED COUNT`; with the word `read` for COUNT it prints what is there.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::io::Write as _;
use std::path::Path;

use custos_core::bundle::{Bundle, VerificationMaterial};
use custos_core::clock::Timestamp;
use custos_core::digest::Algorithm;
use custos_core::dsse::{Envelope, INTOTO_PAYLOAD_TYPE, Signature};
use custos_core::statement::{Statement, Subject};
use custos_evidence::store::{Store, StoreOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, seed, count] = arguments.as_slice() else {
        return Err("usage: hammer DATABASE SEED COUNT".into());
    };
    let now = Timestamp::from_seconds(1_800_000_000);
    let mut out = std::io::stdout().lock();
    if count == "read" {
        let store = Store::open(Path::new(path), StoreOptions::read_only(), now)?;
        for digest in store.bundles()? {
            writeln!(out, "{digest} {}", store.bundle(&digest)?.len())?;
        }
        return Ok(());
    }
    let store = Store::open(Path::new(path), StoreOptions::read_write(), now)?;
    for number in 0..count.parse::<u64>()? {
        let content = format!("{seed}-{number}");
        let subject = Subject::new(
            content.as_str(),
            Algorithm::Sha256.digest(content.as_bytes()),
        );
        let statement = Statement::new(vec![subject], "https://example.com/p", &number)?;
        let envelope = Envelope::new(
            INTOTO_PAYLOAD_TYPE,
            statement.to_bytes()?,
            vec![Signature::new(vec![1])],
        );
        let bundle = Bundle::new(VerificationMaterial::key("k"), envelope).to_bytes()?;
        for digest in store.commit(vec![bundle.into()], now)? {
            writeln!(out, "{digest}")?;
            out.flush()?;
        }
    }
    Ok(())
}
