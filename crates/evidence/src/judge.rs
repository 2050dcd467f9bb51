//! Verification of stored bundles.
//!
//! [`Judge`] hands each bundle to `custos_trust::verify` and remembers the answer, in this
//! process only, under the digest of everything that the answer depends on: bundle, artifact,
//! trust root, expected signers, log requirement, predicate type. An answer that may depend on the
//! time is remembered for that very time only.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use custos_core::clock::Timestamp;
use custos_core::digest::{Digest, DigestSet};
use custos_core::facts::Signer;
use custos_core::identity::{ExpectedSigner, Identity};
use custos_core::statement::Statement;
use custos_trust::verify::{
    LogRequirement, Material, PredicateTypes, VerifyError, VerifyRequest, unverified_statement,
};
use custos_trust::{TrustRoot, Verified, verify};

/// Most answers that are remembered.
pub const MAX_ANSWERS: usize = 8_192;
/// Most bytes of bundles whose statements are remembered.
pub const MAX_ANSWER_BYTES: usize = 128 << 20;

/// Whom to trust, and when. There is no default for any of it.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct TrustContext<'a> {
    /// Logs and authorities.
    pub trust_root: &'a TrustRoot,
    /// Who may have signed.
    pub signers: &'a [ExpectedSigner],
    /// What is required of the log.
    pub log: LogRequirement<'a>,
    /// The log whose indexes say what came before what. A statement that does not stand in it has
    /// no index.
    pub origin: &'a str,
    /// Size of that log when the question was asked.
    pub log_size: u64,
    /// The time of judgement.
    pub now: Timestamp,
}

/// A verified statement.
pub type VerifiedStatement = Arc<Verified<Statement>>;
type Answer = Result<VerifiedStatement, VerifyError>;

/// Verifies bundles, and remembers what came of it.
#[derive(Debug, Default)]
pub struct Judge {
    memory: Mutex<Memory>,
}

impl Judge {
    /// Returns a judge who remembers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Verifies that a bundle is a statement about `artifact` by an expected signer.
    pub fn verify(
        &self,
        bundle: &[u8],
        artifact: &DigestSet,
        context: &TrustContext<'_>,
    ) -> Result<VerifiedStatement, VerifyError> {
        // Any statement may be evidence: the claimed type is asked for, and then verified.
        let claimed = unverified_statement(Material::Bundle(bundle))?;
        let types = [claimed.predicate_type()];
        let request = VerifyRequest {
            artifact,
            material: Material::Bundle(bundle),
            trust_root: context.trust_root,
            signers: context.signers,
            log: context.log,
            expect: PredicateTypes::new(&types),
            now: context.now,
        };
        let key = request.digest();
        if let Some(answer) = self.lock().recall(&key, context.now) {
            return answer;
        }
        let answer: Answer = verify(&request).map(Arc::new);
        self.lock()
            .remember(key, (context.now, bundle.len()), answer.clone());
        answer
    }

    /// Returns how many answers are remembered.
    pub fn remembered(&self) -> usize {
        self.lock().answers.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        // Each change of the memory is whole before anything can panic.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the signer of a verified statement, as facts name it.
pub fn signer_of<T>(verified: &Verified<T>) -> Signer {
    Signer {
        name: verified.signer_name().to_owned(),
        identity: verified.signer().clone(),
    }
}

#[derive(Debug, Default)]
struct Memory {
    answers: HashMap<Digest, Remembered>,
    // When each was last used, oldest first.
    order: BTreeMap<u64, Digest>,
    clock: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Remembered {
    answer: Answer,
    at: Timestamp,
    used: u64,
    size: usize,
}

impl Memory {
    fn recall(&mut self, key: &Digest, now: Timestamp) -> Option<Answer> {
        let remembered = self.answers.get_mut(key)?;
        // A bare key does not expire; a certificate does, and a failure may have been one of time.
        let timeless = remembered.answer.as_ref().is_ok_and(|verified| {
            verified
                .signers()
                .all(|signer| matches!(signer.identity, Identity::Key { .. }))
        });
        if !(remembered.at == now || timeless && now >= remembered.at) {
            return None;
        }
        self.clock = self.clock.saturating_add(1);
        self.order.remove(&remembered.used);
        remembered.used = self.clock;
        self.order.insert(self.clock, *key);
        Some(remembered.answer.clone())
    }

    fn remember(&mut self, key: Digest, (at, size): (Timestamp, usize), answer: Answer) {
        self.forget(&key);
        if size > MAX_ANSWER_BYTES {
            return;
        }
        self.clock = self.clock.saturating_add(1);
        self.bytes = self.bytes.saturating_add(size);
        self.order.insert(self.clock, key);
        self.answers.insert(
            key,
            Remembered {
                answer,
                at,
                used: self.clock,
                size,
            },
        );
        while self.answers.len() > MAX_ANSWERS || self.bytes > MAX_ANSWER_BYTES {
            let Some(oldest) = self.order.first_key_value().map(|(_, key)| *key) else {
                return;
            };
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, key: &Digest) {
        if let Some(remembered) = self.answers.remove(key) {
            self.order.remove(&remembered.used);
            self.bytes = self.bytes.saturating_sub(remembered.size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use custos_core::digest::Algorithm;

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let mut memory = Memory::default();
        let now = Timestamp::from_seconds(1);
        let key = |i: usize| Algorithm::Sha256.digest(&i.to_le_bytes());
        for i in 0..MAX_ANSWERS + 10 {
            memory.remember(key(i), (now, 1), Err(VerifyError::NoExpectedSigner));
            // The first one is used all the time, and stays.
            assert!(memory.recall(&key(0), now).is_some());
        }
        assert_eq!(memory.answers.len(), MAX_ANSWERS);
        assert_eq!(memory.order.len(), MAX_ANSWERS);
        assert!(memory.recall(&key(1), now).is_none());
        memory.remember(
            key(5),
            (now, MAX_ANSWER_BYTES),
            Err(VerifyError::NoExpectedSigner),
        );
        assert_eq!(memory.answers.len(), 1);
        memory.remember(
            key(6),
            (now, MAX_ANSWER_BYTES + 1),
            Err(VerifyError::NoExpectedSigner),
        );
        assert!(memory.recall(&key(6), now).is_none());
    }

    #[test]
    fn a_failure_is_remembered_for_its_time_only() {
        let mut memory = Memory::default();
        let (now, later) = (Timestamp::from_seconds(1), Timestamp::from_seconds(2));
        let key = Algorithm::Sha256.digest(b"k");
        memory.remember(key, (now, 1), Err(VerifyError::NoExpectedSigner));
        assert!(memory.recall(&key, now).is_some());
        assert!(memory.recall(&key, later).is_none());
    }
}
