//! The timestamp authority: says when it saw a digest.
//!
//! Spec: RFC 3161 (requests and answers), RFC 5652 (the signed token), RFC 5816 (`ESSCertIDv2`).
//! The hash of a request is SHA-256, SHA-384 or SHA-512. Time never goes backwards: if the clock
//! does by a little, the last time given is given again; if it does by more, no time is given.
//!
//! What it is not: it sees no document, only a digest, and keeps nothing of a request.

mod token;
mod wire;

use std::sync::{Mutex, PoisonError};

use custos_core::clock::Timestamp;
use der::asn1::ObjectIdentifier;

use crate::authority::{AuthorityError, CertificateError, Member, Role, certificate_pem};

pub use wire::Failure;

/// Longest request, in bytes.
pub const MAX_REQUEST: usize = 4_096;

/// The policy of tokens: that of Sigstore's timestamp authority.
pub const DEFAULT_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2");

// Longest nonce, in bytes; clients use 8, some 20.
const MAX_NONCE: usize = 32;
// How far the clock may go back before no time is given.
const MAX_STEP_BACK: i64 = 5 * 1_000_000;

/// A timestamp authority.
pub struct TimestampAuthority {
    member: Member,
    root: Vec<u8>,
    policy: ObjectIdentifier,
    last: Mutex<Timestamp>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The DER of the `TimeStampResp`.
    pub der: Vec<u8>,
    /// Why there is no token in it, if there is none.
    pub failure: Option<Failure>,
}

impl TimestampAuthority {
    pub(crate) fn new(member: Member, root: Vec<u8>) -> Result<Self, AuthorityError> {
        // The token is hashed with SHA-256, whatever the key.
        if token::digest_algorithm(member.signer.scheme()).is_none() {
            return Err(AuthorityError::UnsupportedKey {
                role: Role::Timestamp,
            });
        }
        Ok(Self {
            member,
            root,
            policy: DEFAULT_POLICY,
            last: Mutex::new(Timestamp::default()),
        })
    }

    /// Answers a request (the DER of a `TimeStampReq`) at `now`. A request that is not granted
    /// has an answer as well.
    pub fn reply(&self, request: &[u8], now: Timestamp) -> Result<Reply, AuthorityError> {
        let granted = wire::Request::parse(request).and_then(|request| {
            if request.policy.is_some_and(|policy| policy != self.policy) {
                return Err(Failure::UnacceptedPolicy);
            }
            let time = self.time(now)?;
            Ok((request, time))
        });
        match granted {
            Err(failure) => Ok(Reply {
                der: wire::refusal(failure).map_err(CertificateError::from)?,
                failure: Some(failure),
            }),
            Ok((request, time)) => {
                let info = wire::TstInfo::new(&request, self.policy, time)?;
                let token = token::sign(&self.member, &info, request.wants_certificate)?;
                Ok(Reply {
                    der: wire::granted(&token).map_err(CertificateError::from)?,
                    failure: None,
                })
            }
        }
    }

    /// Returns the certificate in DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.member.der
    }

    /// Returns the chain in PEM, leaf first, root last.
    pub fn chain_pem(&self) -> String {
        [
            certificate_pem(&self.member.der),
            certificate_pem(&self.root),
        ]
        .concat()
    }

    // The time to give: not before any that was given.
    fn time(&self, now: Timestamp) -> Result<Timestamp, Failure> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.micros_since(now) > MAX_STEP_BACK {
            return Err(Failure::TimeNotAvailable);
        }
        let time = now.max(*last);
        if !self.member.is_valid_at(time) {
            return Err(Failure::TimeNotAvailable);
        }
        *last = time;
        Ok(time)
    }
}

impl std::fmt::Debug for TimestampAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "TimestampAuthority({:?})",
            self.member.signer.public_key()
        )
    }
}

#[doc(hidden)]
pub fn parses(request: &[u8]) -> bool {
    wire::Request::parse(request).is_ok()
}

#[cfg(test)]
pub(crate) mod tests;
