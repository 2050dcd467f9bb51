//! Checkpoints: the signed head of a log (C2SP tlog-checkpoint).
//!
//! [`Checkpoint`] is the text, [`VerifiedCheckpoint`] one that an accepted log key has signed.
//! What it is not: a check that two checkpoints belong to one history; that is
//! [`crate::proof::verify_consistency`].
//!
//! Spec: <https://c2sp.org/tlog-checkpoint>.

use std::fmt;

use custos_core::merkle::{self, Hash};

use crate::note::{Note, NoteError, NoteSigner, SignatureType, VerifiedSignature, VerifierKey};
use crate::text;

/// Most extension lines of a checkpoint.
pub const MAX_EXTENSIONS: usize = 16;

/// The body of a checkpoint.
///
/// ```
/// use custos_log::checkpoint::Checkpoint;
/// let body = Checkpoint::new("example.com/log", 0, custos_core::merkle::empty_root()).unwrap();
/// assert_eq!(Checkpoint::parse(&body.to_string()).unwrap(), body);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Which log: a URL without scheme, by convention.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
    /// Further lines; not recommended, never interpreted here.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// Returns a checkpoint without extension lines.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        let checkpoint = Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions: Vec::new(),
        };
        // Printing and parsing again keeps one definition of what is well-formed.
        Self::parse(&checkpoint.to_string())
    }

    /// Parses a checkpoint body: the text of a note.
    pub fn parse(body: &str) -> Result<Self, CheckpointError> {
        let body = body.strip_suffix('\n').ok_or(CheckpointError::Malformed)?;
        let mut lines = body.split('\n');
        let origin = lines
            .next()
            .filter(|line| is_line(line))
            .ok_or(CheckpointError::Origin)?;
        let size = lines
            .next()
            .and_then(text::decimal)
            .ok_or(CheckpointError::Size)?;
        let root = lines
            .next()
            .and_then(text::base64_hash)
            .ok_or(CheckpointError::Root)?;
        let mut extensions = Vec::new();
        for line in lines {
            if !is_line(line) || extensions.len() == MAX_EXTENSIONS {
                return Err(CheckpointError::Extension);
            }
            extensions.push(line.to_owned());
        }
        if size == 0 && root != merkle::empty_root() {
            return Err(CheckpointError::Root);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions,
        })
    }

    /// Signs it and returns the text of the note.
    pub fn sign(&self, signer: &dyn NoteSigner) -> Result<String, CheckpointError> {
        if signer.verifier_key().name() != self.origin {
            return Err(CheckpointError::OriginIsNotKeyName);
        }
        let note = Note::sign(&self.to_string(), &[signer]).map_err(CheckpointError::Note)?;
        Ok(note.to_string())
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}\n{}\n{}",
            self.origin,
            self.size,
            text::to_base64(&self.root)
        )?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn is_line(line: &str) -> bool {
    !line.is_empty() && !line.bytes().any(|b| b < 0x20)
}

/// A checkpoint as published: a signed note, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    note: Note,
    body: Checkpoint,
}

impl SignedCheckpoint {
    /// Parses the note and its text, without a look at the signatures.
    pub fn parse(note: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(note).map_err(CheckpointError::Note)?;
        let body = Checkpoint::parse(note.text())?;
        Ok(Self { note, body })
    }

    /// Returns what the checkpoint claims.
    pub const fn claim(&self) -> &Checkpoint {
        &self.body
    }

    /// Parses and verifies in one go.
    ///
    /// `keys` are the log keys that are accepted, and the witnesses of interest (type 0x04). One
    /// verified signature must be by a log key whose name is the origin; a note signed by
    /// witnesses alone is no checkpoint of the log.
    pub fn open(note: &[u8], keys: &[VerifierKey]) -> Result<VerifiedCheckpoint, CheckpointError> {
        Self::parse(note)?.verify(keys)
    }

    /// Verifies the signatures, as [`SignedCheckpoint::open`] says.
    pub fn verify(self, keys: &[VerifierKey]) -> Result<VerifiedCheckpoint, CheckpointError> {
        let verified = self.note.verify(keys).map_err(CheckpointError::Note)?;
        let (cosignatures, by_log): (Vec<_>, Vec<_>) = verified
            .into_iter()
            .partition(|found| found.key.signature_type() == SignatureType::Cosignature);
        let log_key = by_log
            .into_iter()
            .map(|found| found.key)
            .find(|key| key.name() == self.body.origin)
            .ok_or(CheckpointError::NotSignedByLog)?;
        Ok(VerifiedCheckpoint {
            text: self.note.to_string(),
            body: self.body,
            log_key,
            cosignatures,
        })
    }
}

/// A checkpoint that an accepted log key has signed. Only verification makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    body: Checkpoint,
    log_key: VerifierKey,
    cosignatures: Vec<VerifiedSignature>,
    text: String,
}

impl VerifiedCheckpoint {
    /// Returns the log's origin.
    pub fn origin(&self) -> &str {
        &self.body.origin
    }

    /// Returns the number of entries.
    pub const fn size(&self) -> u64 {
        self.body.size
    }

    /// Returns the root.
    pub const fn root(&self) -> &Hash {
        &self.body.root
    }

    /// Returns the extension lines.
    pub fn extensions(&self) -> &[String] {
        &self.body.extensions
    }

    /// Returns what the log signed.
    pub const fn body(&self) -> &Checkpoint {
        &self.body
    }

    /// Returns the log key that signed.
    pub const fn log_key(&self) -> &VerifierKey {
        &self.log_key
    }

    /// Returns the verified cosignatures of the witnesses among the keys.
    pub fn cosignatures(&self) -> &[VerifiedSignature] {
        &self.cosignatures
    }

    /// Returns the whole note, as published.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// An empty extension line, a control character in it, or too many.
    #[error("an extension line of the checkpoint is empty or one too many")]
    Extension,
    /// No final newline.
    #[error("not a checkpoint")]
    Malformed,
    /// Not a note, or its signatures do not hold.
    #[error("the checkpoint is not accepted: {0}")]
    Note(NoteError),
    /// Signed by accepted keys, but by no log key of the origin's name.
    #[error("the checkpoint is not signed by an accepted key of its log")]
    NotSignedByLog,
    /// The first line is empty or holds a control character.
    #[error("the checkpoint's origin is empty or malformed")]
    Origin,
    /// A log signs only under its own name.
    #[error("the checkpoint's origin is not the name of the signing key")]
    OriginIsNotKeyName,
    /// The third line is not base64 of 32 bytes, or not the empty root at size 0.
    #[error("the checkpoint's root is not the base64 of a SHA-256 hash, or wrong for size 0")]
    Root,
    /// The second line is not a decimal number below 2^63 without leading zeros.
    #[error("the checkpoint's size is not a number below 2^63 in its shortest form")]
    Size,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::KeyPairSigner;
    use custos_core::crypto::{KeyKind, KeyPair};
    use proptest::prelude::*;

    fn signer(name: &str) -> KeyPairSigner {
        KeyPairSigner::new(name, KeyPair::generate(KeyKind::Ed25519).unwrap()).unwrap()
    }

    #[test]
    fn body_of_the_specification() {
        let body =
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let checkpoint = Checkpoint::parse(body).unwrap();
        assert_eq!(checkpoint.size, 20_852_163);
        assert_eq!(checkpoint.to_string(), body);
        let extended = format!("{body}extension\n");
        assert_eq!(
            Checkpoint::parse(&extended).unwrap().extensions,
            ["extension"]
        );
    }

    #[test]
    fn malformed_bodies() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        for (body, error) in [
            (format!("o\n1\n{root}"), CheckpointError::Malformed),
            (format!("\n1\n{root}\n"), CheckpointError::Origin),
            (format!("o\n01\n{root}\n"), CheckpointError::Size),
            (format!("o\n-1\n{root}\n"), CheckpointError::Size),
            (
                format!("o\n9223372036854775808\n{root}\n"),
                CheckpointError::Size,
            ),
            (format!("o\n0\n{root}\n"), CheckpointError::Root),
            (format!("o\n1\n{}\n", &root[..43]), CheckpointError::Root),
            ("o\n1\nAQI=\n".to_owned(), CheckpointError::Root),
            (format!("o\n1\n{root}\n\n"), CheckpointError::Extension),
            (
                format!("o\n1\n{root}\n{}", "e\n".repeat(17)),
                CheckpointError::Extension,
            ),
        ] {
            assert_eq!(Checkpoint::parse(&body), Err(error), "{body:?}");
        }
    }

    #[test]
    fn only_the_logs_own_key_makes_a_checkpoint() {
        let (log, other, witness) = (signer("log"), signer("other"), signer("w"));
        let body = Checkpoint::new("log", 1, [7; 32]).unwrap();
        let text = body.sign(&log).unwrap();
        let keys = [log.verifier_key().clone()];
        let verified = SignedCheckpoint::open(text.as_bytes(), &keys).unwrap();
        assert_eq!(
            (verified.size(), verified.root(), verified.text()),
            (1, &[7; 32], &*text)
        );
        assert_eq!(body.sign(&other), Err(CheckpointError::OriginIsNotKeyName));

        // Another accepted key signs the text of this log.
        let note = Note::sign(&body.to_string(), &[&other])
            .unwrap()
            .to_string();
        let keys = [log.verifier_key().clone(), other.verifier_key().clone()];
        let error = SignedCheckpoint::open(note.as_bytes(), &keys).unwrap_err();
        assert_eq!(error, CheckpointError::NotSignedByLog);

        // A witness with the log's name does not replace the log.
        let impostor = signer("log");
        let line = impostor.cosign(&body.to_string(), 1).unwrap();
        let note = format!("{body}\n{line}");
        let keys = [impostor.verifier_key().to_cosigner().unwrap()];
        let error = SignedCheckpoint::open(note.as_bytes(), &keys).unwrap_err();
        assert_eq!(error, CheckpointError::NotSignedByLog);

        let cosigned = format!("{text}{}", witness.cosign(&body.to_string(), 5).unwrap());
        let keys = [
            log.verifier_key().clone(),
            witness.verifier_key().to_cosigner().unwrap(),
        ];
        let verified = SignedCheckpoint::open(cosigned.as_bytes(), &keys).unwrap();
        assert_eq!(verified.cosignatures()[0].time, Some(5));
    }

    proptest! {
        #[test]
        fn bodies_round_trip(origin in "[a-z./ ]{1,30}", size in 1_u64..1 << 63,
                             root: [u8; 32], extensions in prop::collection::vec("[!-~]{1,9}", 0..4)) {
            let checkpoint = Checkpoint { origin, size, root, extensions };
            prop_assert_eq!(Checkpoint::parse(&checkpoint.to_string()).unwrap(), checkpoint);
        }

        #[test]
        fn what_parses_prints_the_same(body in "[a-z0-9\\n=/+]{0,80}") {
            if let Ok(checkpoint) = Checkpoint::parse(&body) {
                prop_assert_eq!(checkpoint.to_string(), body);
            }
        }
    }
}
