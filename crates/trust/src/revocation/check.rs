//! Whether a signature lies on the right side of the boundaries of its key.

use custos_core::clock::Timestamp;
use custos_core::identity::Identity;

use super::{Boundary, Revocation, Revocations};
use crate::verify::{LogProof, SignedTime};

/// On which side of a boundary a signature is proven to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Side {
    /// A log index or a trusted time lies before it.
    Before,
    /// A log index or a trusted time lies behind it, and none before.
    Behind,
    /// Neither a log that the boundary knows nor a trusted time says anything.
    Unproven,
}

impl Boundary {
    /// Returns on which side a signature lies by its proven log indices and trusted time.
    ///
    /// One proof of lying before is enough: a signature that a timestamp authority saw on Monday
    /// is one of Monday, even if it was logged on Wednesday.
    pub fn side(&self, log: &[LogProof], time: SignedTime) -> Side {
        // A promise is no proof, and its index is another number.
        let proven = log.iter().filter(|proof| !proof.promise_only);
        let by_index = proven.filter_map(|proof| {
            let first = self.logs.get(&proof.origin)?;
            Some(proof.index < *first)
        });
        let by_time = match time {
            SignedTime::Trusted { at } => Some(at < self.time),
            _ => None,
        };
        let side = |before| if before { Side::Before } else { Side::Behind };
        by_index
            .chain(by_time)
            .map(side)
            .min()
            .unwrap_or(Side::Unproven)
    }
}

impl Revocations {
    /// Checks that a signature lies within the life of its key.
    pub fn check(
        &self,
        signer: &Identity,
        log: &[LogProof],
        time: SignedTime,
    ) -> Result<(), KeyFault> {
        for one in self.about(signer) {
            let side = one.boundary.side(log, time);
            if side != Side::Before {
                return Err(KeyFault::Revoked {
                    who: one.who.to_string(),
                    since: one.boundary.time,
                    reason: one.reason.clone(),
                    side,
                });
            }
        }
        for one in &self.rotations {
            let side = || one.boundary.side(log, time);
            let key = signer.key();
            if *key == one.old && side() != Side::Before {
                return Err(KeyFault::Retired {
                    key: one.old.short(),
                    at: one.boundary.time,
                    by: one.new.id().short(),
                    side: side(),
                });
            }
            // A key that nobody had yet cannot have signed; without any proof it may sign now.
            if *key == one.new.id() && side() == Side::Before {
                return Err(KeyFault::NotYetValid {
                    key: key.short(),
                    from: one.boundary.time,
                });
            }
        }
        Ok(())
    }

    /// Returns the revocations of this signer.
    pub fn about(&self, signer: &Identity) -> impl Iterator<Item = &Revocation> {
        let by_key = self.by_key.get(signer.key());
        let by_identity = match signer {
            Identity::Certificate { subject, .. } => self.by_identity.get(subject),
            _ => None,
        };
        let at = by_key.into_iter().chain(by_identity).flatten();
        at.filter_map(|at| self.revoked.get(*at))
            .filter(|one| one.who.is(signer))
    }
}

/// Why a signature is not within the life of its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// Made before the key took over.
    #[error("key:{key} counts from {from} on, and this signature is older")]
    NotYetValid {
        /// The key.
        key: String,
        /// From when on it counts.
        from: Timestamp,
    },
    /// Made after another key took over, or not proven to be older.
    #[error("key:{key} was replaced by key:{by} at {at}, and {}", told(*side))]
    Retired {
        /// The key.
        key: String,
        /// Until when it counts.
        at: Timestamp,
        /// The key that counts since.
        by: String,
        /// Where the signature lies.
        side: Side,
    },
    /// Made after the key was revoked, or not proven to be older.
    #[error("{who} was revoked since {since} ({reason}), and {}", told(*side))]
    Revoked {
        /// The key or identity.
        who: String,
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: String,
        /// Where the signature lies.
        side: Side,
    },
}

const fn told(side: Side) -> &'static str {
    match side {
        Side::Behind => "this signature came later",
        _ => "nothing proves that this signature came before",
    }
}
