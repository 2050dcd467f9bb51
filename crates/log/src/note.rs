//! Signed notes and verifier keys (C2SP signed-note).
//!
//! A note is text with signature lines below an empty line. This module parses both, checks
//! signatures against keys that the caller accepts, and signs. It does not know what the text
//! means; [`crate::checkpoint`] does.
//!
//! Spec: <https://c2sp.org/signed-note>, and <https://c2sp.org/tlog-cosignature> for type 0x04.

use std::fmt;
use std::str::FromStr;

use custos_core::crypto::{KeyError, KeyKind, KeyPair, PublicKey, Scheme, SignatureError, sha256};

use crate::text;

/// Largest note, in bytes: 64 post-quantum signatures of about 3.3 KiB fit.
pub const MAX_NOTE_BYTES: usize = 256 << 10;
/// Most signature lines of a note; the specification asks for at least 16.
pub const MAX_NOTE_SIGNATURES: usize = 64;
/// Longest key name, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// A kind of note signature, with the byte that names it in a verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SignatureType {
    /// 0x01: pure Ed25519 over the text.
    Ed25519,
    /// 0x02: ECDSA over the text, DER `Ecdsa-Sig-Value`, hash by curve.
    Ecdsa,
    /// 0x04: a witness's timestamped Ed25519 cosignature.
    Cosignature,
}

impl SignatureType {
    /// Returns the byte in front of the public key in a verifier key.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Ecdsa => 0x02,
            Self::Cosignature => 0x04,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Ed25519),
            0x02 => Some(Self::Ecdsa),
            0x04 => Some(Self::Cosignature),
            _ => None,
        }
    }
}

/// A name with a public key: what a signature line is checked against.
///
/// ```
/// use custos_log::note::VerifierKey;
/// let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
/// let key: VerifierKey = text.parse().unwrap();
/// assert_eq!(key.name(), "PeterNeumann");
/// assert_eq!(key.to_string(), text);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    signature_type: SignatureType,
    key: PublicKey,
    id: [u8; 32],
}

impl VerifierKey {
    /// Returns the key of a log or other note signer: type 0x01 for Ed25519, 0x02 for ECDSA.
    pub fn new(name: &str, key: PublicKey) -> Result<Self, VerifierKeyError> {
        let signature_type = match key.kind() {
            KeyKind::Ed25519 => SignatureType::Ed25519,
            _ => SignatureType::Ecdsa,
        };
        Self::with_type(name, signature_type, key)
    }

    /// Returns the key as a witness uses it: an Ed25519 key of type 0x01 becomes type 0x04.
    ///
    /// Witness keys are published under both types; the type decides what is signed.
    pub fn to_cosigner(&self) -> Result<Self, VerifierKeyError> {
        Self::with_type(&self.name, SignatureType::Cosignature, self.key.clone())
    }

    fn with_type(
        name: &str,
        signature_type: SignatureType,
        key: PublicKey,
    ) -> Result<Self, VerifierKeyError> {
        if !is_name(name) {
            return Err(VerifierKeyError::Name);
        }
        let is_ed25519 = key.kind() == KeyKind::Ed25519;
        if key.kind().is_rsa() || is_ed25519 == (signature_type == SignatureType::Ecdsa) {
            return Err(VerifierKeyError::KeyDoesNotFitType);
        }
        let id = match key.ed25519_bytes() {
            Some(raw) => {
                let mut preimage = name.as_bytes().to_vec();
                preimage.extend_from_slice(&[b'\n', signature_type.byte()]);
                preimage.extend_from_slice(&raw);
                sha256(&preimage)
            }
            // Not bound to the name: so the specification, and Rekor v2.
            None => sha256(key.as_spki_der()),
        };
        Ok(Self {
            name: name.to_owned(),
            signature_type,
            key,
            id,
        })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the signature type.
    pub const fn signature_type(&self) -> SignatureType {
        self.signature_type
    }

    /// Returns the public key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Returns the four bytes in front of a signature.
    pub const fn key_id(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.id;
        [a, b, c, d]
    }

    /// Returns the untruncated key id, which Rekor v2 bundles carry as `logId.keyId`.
    pub const fn full_id(&self) -> &[u8; 32] {
        &self.id
    }

    // Checks one signature over `text`; a cosignature yields its time in POSIX seconds.
    fn check(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, SignatureError> {
        let scheme = match self.key.kind() {
            KeyKind::P256 => Scheme::EcdsaP256,
            KeyKind::P384 => Scheme::EcdsaP384,
            KeyKind::P521 => Scheme::EcdsaP521,
            KeyKind::Ed25519 => Scheme::Ed25519,
            _ => return Err(SignatureError::SchemeDoesNotFitKey),
        };
        if self.signature_type != SignatureType::Cosignature {
            return self
                .key
                .verify(scheme, text.as_bytes(), signature)
                .map(|()| None);
        }
        let (time, signature) = signature
            .split_first_chunk::<8>()
            .ok_or(SignatureError::Invalid)?;
        let time = u64::from_be_bytes(*time);
        if i64::try_from(time).is_err() {
            return Err(SignatureError::Invalid);
        }
        let message = cosignature_message(text, time);
        self.key
            .verify(scheme, message.as_bytes(), signature)
            .map(|()| Some(time))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.signature_type.byte()];
        match self.key.ed25519_bytes() {
            Some(raw) => bytes.extend_from_slice(&raw),
            None => bytes.extend_from_slice(self.key.as_spki_der()),
        }
        write!(
            f,
            "{}+{}+{}",
            self.name,
            hex::encode(self.key_id()),
            text::to_base64(&bytes)
        )
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(vkey: &str) -> Result<Self, VerifierKeyError> {
        // The longest SPKI here is 158 bytes.
        if vkey.len() > MAX_NAME_BYTES.saturating_add(512) {
            return Err(VerifierKeyError::Malformed);
        }
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VerifierKeyError::Malformed);
        };
        if id.len() != 8 || !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(VerifierKeyError::KeyId);
        }
        let bytes = text::base64_bytes(key).ok_or(VerifierKeyError::Malformed)?;
        let (byte, raw) = bytes.split_first().ok_or(VerifierKeyError::Malformed)?;
        let signature_type =
            SignatureType::from_byte(*byte).ok_or(VerifierKeyError::UnknownType { byte: *byte })?;
        let public = match signature_type {
            SignatureType::Ecdsa => PublicKey::from_spki_der(raw),
            SignatureType::Ed25519 | SignatureType::Cosignature => {
                let raw = raw.try_into().map_err(|_| VerifierKeyError::Malformed)?;
                PublicKey::from_ed25519_bytes(raw)
            }
        };
        let public = public.map_err(VerifierKeyError::Key)?;
        let verifier = Self::with_type(name, signature_type, public)?;
        if hex::encode(verifier.key_id()) != id {
            return Err(VerifierKeyError::KeyId);
        }
        Ok(verifier)
    }
}

/// Returns true if `name` can be a key name: not empty, no Unicode space, no `+`, no control
/// character, at most [`MAX_NAME_BYTES`].
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn cosignature_message(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// First four bytes of the key id.
    pub key_id: [u8; 4],
    /// What follows the key id.
    pub signature: Vec<u8>,
}

impl NoteSignature {
    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let bytes = text::base64_bytes(encoded)?;
        let (key_id, signature) = bytes.split_first_chunk::<4>()?;
        if !is_name(name) || signature.is_empty() {
            return None;
        }
        Some(Self {
            name: name.to_owned(),
            key_id: *key_id,
            signature: signature.to_vec(),
        })
    }

    fn is_of(&self, key: &VerifierKey) -> bool {
        self.name == key.name() && self.key_id == key.key_id()
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.key_id.as_slice(), &self.signature].concat();
        writeln!(f, "\u{2014} {} {}", self.name, text::to_base64(&bytes))
    }
}

/// A parsed note: what somebody wrote, not yet true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedSignature {
    /// The key.
    pub key: VerifierKey,
    /// For a cosignature, its time in POSIX seconds.
    pub time: Option<u64>,
}

impl Note {
    /// Parses a note of at most [`MAX_NOTE_BYTES`] with 1 to [`MAX_NOTE_SIGNATURES`] signatures.
    pub fn parse(note: &[u8]) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge { found: note.len() });
        }
        let note = std::str::from_utf8(note).map_err(|_| NoteError::Malformed)?;
        if has_control(note) {
            return Err(NoteError::ControlCharacter);
        }
        // The last empty line separates; the text may hold empty lines itself.
        let at = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, rest) = note
            .split_at_checked(at.saturating_add(1))
            .ok_or(NoteError::Malformed)?;
        let lines = rest
            .strip_prefix('\n')
            .and_then(|lines| lines.strip_suffix('\n'))
            .ok_or(NoteError::Malformed)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_NOTE_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(NoteSignature::parse(line).ok_or(NoteError::SignatureLine)?);
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// Signs `text`, which must end with a newline and hold no other control character.
    pub fn sign(text: &str, signers: &[&dyn NoteSigner]) -> Result<Self, NoteError> {
        if !text.ends_with('\n') || has_control(text) {
            return Err(NoteError::ControlCharacter);
        }
        let mut signatures = Vec::with_capacity(signers.len());
        for signer in signers {
            let key = signer.verifier_key();
            let signature = signer.sign(text.as_bytes()).map_err(NoteError::Signing)?;
            signatures.push(NoteSignature {
                name: key.name().to_owned(),
                key_id: key.key_id(),
                signature,
            });
        }
        if signatures.is_empty() {
            return Err(NoteError::NotSigned);
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// Returns the signed text, with its final newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the signature lines, known and unknown.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Checks the signatures by `keys`, as the specification demands: lines of other keys are
    /// ignored, a known key with a bad signature rejects the note, and so does none at all.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<Vec<VerifiedSignature>, NoteError> {
        let mut verified: Vec<VerifiedSignature> = Vec::new();
        for signature in &self.signatures {
            let mut known = keys.iter().filter(|key| signature.is_of(key)).peekable();
            if known.peek().is_none() {
                continue;
            }
            // Two known keys may share a 4-byte id: one of them has to fit.
            let fitting = known.find_map(|key| {
                let time = key.check(&self.text, &signature.signature).ok()?;
                Some(VerifiedSignature {
                    key: key.clone(),
                    time,
                })
            });
            let found = fitting.ok_or_else(|| NoteError::BadSignature {
                name: signature.name.clone(),
            })?;
            if !verified.contains(&found) {
                verified.push(found);
            }
        }
        if verified.is_empty() {
            Err(NoteError::NotSigned)
        } else {
            Ok(verified)
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|signature| write!(f, "{signature}"))
    }
}

fn has_control(note: &str) -> bool {
    note.bytes().any(|b| b < 0x20 && b != b'\n')
}

/// Something that signs note texts under one key.
pub trait NoteSigner: Send + Sync {
    /// Returns the key that verifies the signatures.
    fn verifier_key(&self) -> &VerifierKey;

    /// Signs the text of a note and returns what follows the key id in a signature line.
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignatureError>;
}

/// A [`NoteSigner`] over a key in memory.
#[derive(Debug)]
pub struct KeyPairSigner {
    key: VerifierKey,
    pair: KeyPair,
}

impl KeyPairSigner {
    /// Returns the signer that signs as `name`: pure Ed25519 (0x01) or ECDSA (0x02).
    pub fn new(name: &str, pair: KeyPair) -> Result<Self, VerifierKeyError> {
        let key = VerifierKey::new(name, pair.public_key().clone())?;
        Ok(Self { key, pair })
    }

    /// Returns a witness's cosignature line over `text` at `time` POSIX seconds.
    pub fn cosign(&self, text: &str, time: u64) -> Result<NoteSignature, NoteError> {
        let key = self.key.to_cosigner().map_err(|_| NoteError::NotSigned)?;
        let message = cosignature_message(text, time);
        let mut signature = time.to_be_bytes().to_vec();
        signature.extend(self.sign(message.as_bytes()).map_err(NoteError::Signing)?);
        Ok(NoteSignature {
            name: key.name().to_owned(),
            key_id: key.key_id(),
            signature,
        })
    }
}

impl NoteSigner for KeyPairSigner {
    fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let scheme = match self.pair.public_key().kind() {
            KeyKind::P256 => Scheme::EcdsaP256,
            KeyKind::P384 => Scheme::EcdsaP384,
            KeyKind::P521 => Scheme::EcdsaP521,
            KeyKind::Ed25519 => Scheme::Ed25519,
            _ => return Err(SignatureError::SchemeDoesNotFitKey),
        };
        self.pair.sign(scheme, text)
    }
}

/// Why a text is not a verifier key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierKeyError {
    /// The public key is refused.
    #[error("the verifier key holds no usable public key: {0}")]
    Key(KeyError),
    /// An Ed25519 key as ECDSA, or the other way round.
    #[error("the public key does not fit the signature type of the verifier key")]
    KeyDoesNotFitType,
    /// The key id is not 8 lower-case hex digits, or not that of name and key.
    #[error("the key id of the verifier key is not that of its name and key")]
    KeyId,
    /// Not `name+hex8+base64`.
    #[error("a verifier key is written name+keyid+base64")]
    Malformed,
    /// The name is empty, too long, or holds a space or `+`.
    #[error("a key name is not empty, has at most {MAX_NAME_BYTES} bytes, no space and no `+`")]
    Name,
    /// A signature type that is not supported.
    #[error("verifier keys of type {byte:#04x} are not supported")]
    UnknownType {
        /// The type byte.
        byte: u8,
    },
}

/// Why a note is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// A known key's signature does not verify.
    #[error("the signature by `{name}` does not verify")]
    BadSignature {
        /// Name of the key.
        name: String,
    },
    /// A control character other than newline, or no final newline.
    #[error("a note holds no control character but newlines, and ends with one")]
    ControlCharacter,
    /// Not UTF-8, no empty line, or no final newline.
    #[error("not a signed note")]
    Malformed,
    /// No signature by a known key.
    #[error("no accepted key has signed the note")]
    NotSigned,
    /// A line below the empty line is not a signature line.
    #[error("a signature line of the note is malformed")]
    SignatureLine,
    /// The signer failed.
    #[error("the note could not be signed: {0}")]
    Signing(SignatureError),
    /// More than [`MAX_NOTE_BYTES`].
    #[error("the note has {found} bytes, the limit is {MAX_NOTE_BYTES}")]
    TooLarge {
        /// Bytes found.
        found: usize,
    },
    /// More than [`MAX_NOTE_SIGNATURES`].
    #[error("the note has more than {MAX_NOTE_SIGNATURES} signatures")]
    TooManySignatures,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Example of the Go documentation of golang.org/x/mod/sumdb/note, the format's origin.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\
        \n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn signer(name: &str, kind: KeyKind) -> KeyPairSigner {
        KeyPairSigner::new(name, KeyPair::generate(kind).unwrap()).unwrap()
    }

    #[test]
    fn the_published_example_verifies() {
        let key: VerifierKey = KEY.parse().unwrap();
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap()[0].key, key);
        assert_eq!(note.to_string(), NOTE);
        let changed = NOTE.replace("answer", "Answer");
        let error = Note::parse(changed.as_bytes())
            .unwrap()
            .verify(&[key])
            .unwrap_err();
        assert_eq!(
            error,
            NoteError::BadSignature {
                name: "PeterNeumann".to_owned()
            }
        );
    }

    #[test]
    fn verifier_keys_have_one_spelling() {
        let parse = |text: &str| text.parse::<VerifierKey>();
        assert_eq!(
            parse(&KEY.replace("c74f20a3", "C74F20A3")),
            Err(VerifierKeyError::KeyId)
        );
        assert_eq!(
            parse(&KEY.replace("c74f20a3", "c74f20a4")),
            Err(VerifierKeyError::KeyId)
        );
        assert_eq!(
            parse(&KEY.replace("Peter", "Petra")),
            Err(VerifierKeyError::KeyId)
        );
        assert_eq!(parse(&format!("{KEY}=")), Err(VerifierKeyError::Malformed));
        assert_eq!(
            parse("a+00000000+BQ=="),
            Err(VerifierKeyError::UnknownType { byte: 5 })
        );
        assert_eq!(parse("a+00000000"), Err(VerifierKeyError::Malformed));
        for kind in KeyKind::CURVES {
            let key = signer("example.com/log", kind).verifier_key().clone();
            assert_eq!(parse(&key.to_string()), Ok(key));
        }
        let key = parse(KEY).unwrap();
        assert!(VerifierKey::new("a b", key.public_key().clone()).is_err());
        let cosigner = key.to_cosigner().unwrap();
        assert_ne!(cosigner.key_id(), key.key_id());
        assert_eq!(parse(&cosigner.to_string()), Ok(cosigner));
        let ecdsa = signer("a", KeyKind::P256);
        assert_eq!(
            ecdsa.verifier_key().to_cosigner(),
            Err(VerifierKeyError::KeyDoesNotFitType)
        );
        assert_eq!(
            ecdsa.verifier_key().full_id(),
            ecdsa.verifier_key().public_key().id().as_bytes(),
            "the id of an ECDSA key is that of its SPKI"
        );
    }

    #[test]
    fn unknown_is_ignored_and_known_but_bad_rejects() {
        let (a, b) = (signer("a", KeyKind::Ed25519), signer("b", KeyKind::P256));
        let note = Note::sign("text\n", &[&a, &b]).unwrap();
        let note = Note::parse(note.to_string().as_bytes()).unwrap();
        let keys = [a.verifier_key().clone(), b.verifier_key().clone()];
        assert_eq!(note.verify(&keys).unwrap().len(), 2);
        assert_eq!(note.verify(&keys[..1]).unwrap().len(), 1);
        assert_eq!(note.verify(&[]), Err(NoteError::NotSigned));
        // The name of a known key under another id is unknown, and the other way round.
        let other = signer("a", KeyKind::Ed25519).verifier_key().clone();
        assert_eq!(note.verify(&[other]), Err(NoteError::NotSigned));
        let mut bad = note.clone();
        bad.signatures[1].signature[9] ^= 1;
        assert_eq!(
            bad.verify(&keys),
            Err(NoteError::BadSignature {
                name: "b".to_owned()
            })
        );
        assert_eq!(bad.verify(&keys[..1]).unwrap().len(), 1);
    }

    #[test]
    fn cosignatures_carry_their_time() {
        let (log, witness) = (
            signer("log", KeyKind::Ed25519),
            signer("w", KeyKind::Ed25519),
        );
        let mut note = Note::sign("log\n0\n", &[&log]).unwrap();
        note.signatures
            .push(witness.cosign(note.text(), 1_700_000_000).unwrap());
        let cosigner = witness.verifier_key().to_cosigner().unwrap();
        let verified = note.verify(std::slice::from_ref(&cosigner)).unwrap();
        assert_eq!(verified[0].time, Some(1_700_000_000));
        // Another time under the same signature.
        note.signatures[1].signature[7] ^= 1;
        assert!(note.verify(&[cosigner]).is_err());
    }

    #[test]
    fn malformed_notes_are_rejected() {
        let line = NOTE.lines().last().unwrap();
        for bad in [
            String::new(),
            "text\n".to_owned(),
            format!("text\n{line}\n"),
            format!("text\n\n{line}"),
            format!("text\n\n{line}\n\n"),
            format!("text\r\n\n{line}\n"),
            format!("text\n\n{}\n", line.replace('\u{2014}', "-")),
            format!("text\n\n{}\n", line.replace(" x08", "  x08")),
            format!("text\n\n{}\n", line.replace('=', "")),
            "text\n\n\u{2014} name AAAAAA==\n".to_owned(),
            "text\n\n\u{2014} a+b AAAAAAA=\n".to_owned(),
        ] {
            assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let many = format!(
            "text\n\n{}",
            format!("{line}\n").repeat(MAX_NOTE_SIGNATURES + 1)
        );
        assert_eq!(
            Note::parse(many.as_bytes()),
            Err(NoteError::TooManySignatures)
        );
        let long = "x".repeat(MAX_NOTE_BYTES + 1);
        assert!(matches!(
            Note::parse(long.as_bytes()),
            Err(NoteError::TooLarge { .. })
        ));
        assert!(Note::sign("no newline", &[&signer("a", KeyKind::Ed25519)]).is_err());
    }

    proptest! {
        #[test]
        fn signed_notes_round_trip(lines in prop::collection::vec("[^\\x00-\\x1f]{0,20}", 1..6)) {
            let text = format!("{}\n", lines.join("\n"));
            let a = signer("a", KeyKind::Ed25519);
            let note = Note::sign(&text, &[&a]).unwrap();
            let again = Note::parse(note.to_string().as_bytes()).unwrap();
            prop_assert_eq!(&again, &note);
            prop_assert!(again.verify(&[a.verifier_key().clone()]).is_ok());
        }

        #[test]
        fn mutated_notes_never_panic_and_never_verify(at in 0_usize..230, bit in 0_u8..8) {
            let key: VerifierKey = KEY.parse().unwrap();
            let mut bytes = NOTE.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let outcome = Note::parse(&bytes).and_then(|note| note.verify(&[key]));
            prop_assert!(outcome.is_err());
        }

        #[test]
        fn a_parsed_note_prints_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(note) = Note::parse(&bytes) {
                prop_assert_eq!(note.to_string().into_bytes(), bytes);
            }
        }
    }
}
