//! What a key or identity signed: in the log, in other logs, in none, and what waits for the log.

use std::collections::BTreeMap;
use std::path::PathBuf;

use custos_core::bundle::Bundle;
use custos_core::crypto::KeyId;
use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::entry::Verifier;
use custos_core::identity::ExpectedSigner;
use custos_core::predicate::batch::{self, Batch};
use custos_core::predicate::{self, Predicate as _};
use custos_evidence::parts::Parts;
use custos_log::reader::LogReader;
use custos_log::recorder::RecordError;
use custos_trust::revocation::Who;
use custos_trust::verify::{Material, unverified_statement};

use super::{How, Search, Statement};
use crate::context::Context;
use crate::files::read_bytes;
use crate::keys::PUBLIC;
use crate::log_signers::{LogSigner, LogSigners};
use crate::{Failure, spool, stores};

/// Largest list of a batch, in bytes.
const MAX_LIST: u64 = 64 << 20;

/// Reads lists of batches that the command line names.
pub(super) fn lists(
    files: &[PathBuf],
    context: &Context,
) -> Result<BTreeMap<Digest, Vec<u8>>, Failure> {
    let read = |file: &PathBuf| {
        let bytes = read_bytes(&context.resolve(file), MAX_LIST)?;
        Ok((Algorithm::Sha256.digest(&bytes), bytes))
    };
    files.iter().map(read).collect()
}

impl Search<'_> {
    /// Takes every signature in the home's log from `first` on.
    pub(super) fn signed_in_log(&mut self, log: &LogReader, first: u64) -> Result<(), Failure> {
        let mut found: Vec<(u64, LogSigner)> = Vec::new();
        let end = self.checkpoint.size();
        log.for_each(first..end, self.checkpoint, |index, leaf| {
            let signers = LogSigners::of_leaf(leaf).known;
            let by = signers.into_iter().find(|one| one.is(self.who));
            found.extend(by.map(|signer| (index, signer)));
            Ok::<(), RecordError>(())
        })
        .map_err(|error| self.log_failure(&error))?;
        let places = self.store.places(self.checkpoint.origin(), first..end);
        let places = places.map_err(|error| stores::failure(&error))?;
        let mut claims: BTreeMap<u64, Vec<Digest>> = BTreeMap::new();
        for (index, bundle) in places {
            claims.entry(index).or_default().push(bundle);
        }
        for (index, signer) in found {
            let claims = claims.remove(&index).unwrap_or_default();
            if claims.is_empty() {
                self.missing.push(format!(
                    "log entry #{index} is by {}, and its statement is not in the store",
                    self.who
                ));
            } else {
                self.take_logged(index, &signer, &claims)?;
            }
        }
        Ok(())
    }

    // Anybody can say that a bundle stands there; the one that does verifies.
    fn take_logged(
        &mut self,
        index: u64,
        signer: &LogSigner,
        claims: &[Digest],
    ) -> Result<(), Failure> {
        let expected: Vec<ExpectedSigner> = signer.expected().into_iter().collect();
        let mut why = String::new();
        for bundle in claims {
            let Some((bytes, parts)) = self.read(bundle)? else {
                continue;
            };
            match self.check((&bytes, &parts), &expected, true) {
                Ok(Some(found)) if found == index => {
                    self.take(&bytes, parts, Some(index));
                    return Ok(());
                }
                Ok(_) => "it stands elsewhere".clone_into(&mut why),
                Err(error) => why = error.to_string(),
            }
        }
        self.missing.push(format!(
            "the statement of log entry #{index} does not verify: {why}"
        ));
        Ok(())
    }

    /// Takes every signature that the home's log does not have. A bundle that only says that it is
    /// by the one asked about proves nothing against anybody, so each is verified.
    pub(super) fn signed_elsewhere(&mut self) -> Result<(), Failure> {
        let key = self.public_key()?;
        let unplaced = self.store.unplaced(self.checkpoint.origin());
        for digest in unplaced.map_err(|error| stores::failure(&error))? {
            if let Some((bytes, parts)) = self.read(&digest)? {
                self.take_unlogged(&bytes, parts, key.as_ref());
            }
        }
        for pending in spool::list(&self.context.home()?)? {
            let bytes = pending.current()?;
            match Parts::read(&bytes) {
                Ok(parts) => self.take_unlogged(&bytes, parts, key.as_ref()),
                Err(error) => {
                    let leaf = pending.leaf();
                    let text = format!("the statement that waits as {leaf} is not read: {error}");
                    self.missing.push(text);
                }
            }
        }
        Ok(())
    }

    fn take_unlogged(&mut self, bytes: &[u8], parts: Parts, key: Option<&ExpectedSigner>) {
        let signer = match certified(bytes) {
            Some(signer) if !signer.is(self.who) => return,
            Some(signer) => signer.expected(),
            None => key.cloned(),
        };
        let Some(signer) = signer else {
            if claims(&parts, self.who) {
                self.missing.push(format!(
                    "the statement {} says that it is by {}, whose public key is not here to find out",
                    parts.bundle_digest, self.who
                ));
            }
            return;
        };
        if self.check((bytes, &parts), &[signer], false).is_ok() {
            self.take(bytes, parts, None);
        }
    }

    // The public key with the id that is asked about: one that the settings expect, or of the home.
    fn public_key(&self) -> Result<Option<ExpectedSigner>, Failure> {
        let Who::Key(id) = self.who else {
            return Ok(None);
        };
        let mut expected = self.trusting.signers.iter();
        if let Some(signer) = expected.find(|signer| is_key(signer, id)) {
            return Ok(Some(signer.clone()));
        }
        let files = std::fs::read_dir(self.context.home()?.keys());
        let files = files.into_iter().flatten().filter_map(Result::ok);
        let public = files
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == PUBLIC));
        Ok(public
            .filter_map(|path| custos_trust::keys::load_public(&path).ok())
            .find(|key| key.id() == *id)
            .map(|key| ExpectedSigner::key("signer", key)))
    }

    // Notes a verified statement and what it is about.
    fn take(&mut self, bytes: &[u8], parts: Parts, index: Option<u64>) {
        self.seen.insert(parts.bundle_digest);
        let mut subjects = Vec::new();
        for subject in &parts.subjects {
            let how = How::Signed { index };
            subjects.push(self.add(&subject.name, &subject.digest, (how, true)));
        }
        if let Some(digest) = &parts.signed_file {
            subjects.push(self.add("a signed file", digest, (How::Signed { index }, true)));
        }
        if parts.predicate_type == Batch::TYPE {
            self.take_batch(bytes, &parts, index);
        }
        self.statements.push(Statement {
            index,
            bundle: parts.bundle_digest,
            kind: parts.predicate_type,
            subjects,
        });
    }

    // A batch is one signature over a list; what it is about is each line of that.
    fn take_batch(&mut self, bytes: &[u8], parts: &Parts, index: Option<u64>) {
        for subject in &parts.subjects {
            let digest = subject.digest.get(Algorithm::Sha256);
            let list = digest.and_then(|digest| match self.lists.get(&digest) {
                Some(list) => Some(list.clone()),
                None => self.store.document(&digest).ok(),
            });
            let Some(list) = list.and_then(|list| String::from_utf8(list).ok()) else {
                let size = unverified_statement(Material::Bundle(bytes))
                    .ok()
                    .and_then(|statement| predicate::read::<Batch>(&statement).ok())
                    .map_or(0, |batch| batch.artifacts.tree_size);
                self.missing.push(format!(
                    "the {size} artifacts of the batch `{}` are named in its list alone; pass it with --list",
                    subject.name
                ));
                continue;
            };
            for (digest, name) in list.lines().filter_map(batch::parse_line) {
                let how = How::Signed { index };
                self.add(name, &DigestSet::from(digest), (how, true));
            }
        }
    }
}

// Who a bundle's certificate names, if it has one.
fn certified(bytes: &[u8]) -> Option<LogSigner> {
    let material = Bundle::parse(bytes).ok()?.verification_material;
    let leaf = match material.certificate {
        Some(leaf) => leaf,
        None => material
            .x509_certificate_chain?
            .certificates
            .into_iter()
            .next()?,
    };
    LogSigner::of(&Verifier::Certificate(leaf.raw_bytes.0))
}

fn claims(parts: &Parts, who: &Who) -> bool {
    matches!(who, Who::Key(id) if parts.key_id.as_deref() == Some(id.to_string().as_str()))
}

fn is_key(signer: &ExpectedSigner, id: &KeyId) -> bool {
    matches!(signer, ExpectedSigner::Key { key, .. } if key.id() == *id)
}
