//! PEM blocks (RFC 7468), strictly: one block, no text around it but white space.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Largest PEM text that is read, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// One PEM block. Its bytes are erased when dropped, as they may be a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    label: String,
    bytes: Zeroizing<Vec<u8>>,
}

impl Pem {
    /// Returns a block of type `label`.
    pub fn new(label: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            label: label.into(),
            bytes: Zeroizing::new(bytes),
        }
    }

    /// Parses a text that is exactly one block.
    pub fn parse(text: &str) -> Result<Self, PemError> {
        let mut blocks = Self::parse_many(text)?;
        match (blocks.pop(), blocks.is_empty()) {
            (Some(block), true) => Ok(block),
            (Some(_), false) => Err(PemError::MoreThanOne),
            (None, _) => Err(PemError::NoBlock),
        }
    }

    /// Parses every block of a text, such as a certificate chain. Text between blocks is
    /// rejected, as two readers might see different blocks in it.
    pub fn parse_many(text: &str) -> Result<Vec<Self>, PemError> {
        if text.len() > MAX_TEXT {
            return Err(PemError::TooLarge);
        }
        let mut blocks = Vec::new();
        let mut open: Option<(String, String)> = None;
        for line in text.lines() {
            let line = line.trim_end();
            match (&mut open, line) {
                (None, "") => {}
                (None, _) => {
                    let label = line
                        .strip_prefix("-----BEGIN ")
                        .and_then(|rest| rest.strip_suffix("-----"))
                        .ok_or(PemError::TextOutside)?;
                    open = Some((label.to_owned(), String::new()));
                }
                (Some((label, body)), _) => {
                    if let Some(rest) = line.strip_prefix("-----END ") {
                        if rest.strip_suffix("-----") != Some(label.as_str()) {
                            return Err(PemError::LabelMismatch);
                        }
                        let bytes = STANDARD
                            .decode(body.as_bytes())
                            .map_err(|_| PemError::NotBase64)?;
                        blocks.push(Self::new(label.as_str(), bytes));
                        open = None;
                    } else {
                        body.push_str(line);
                    }
                }
            }
        }
        if open.is_some() {
            Err(PemError::Unterminated)
        } else {
            Ok(blocks)
        }
    }

    /// Returns the type between the dashes, such as `PUBLIC KEY`.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns the decoded bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the text as OpenSSL writes it: 64 columns, one final newline.
    pub fn to_text(&self) -> String {
        let body = Zeroizing::new(STANDARD.encode(self.bytes.as_slice()));
        let mut text = format!("-----BEGIN {}-----\n", self.label);
        let mut rest = body.as_str();
        while !rest.is_empty() {
            let (line, tail) = rest.split_at(rest.len().min(64));
            text.push_str(line);
            text.push('\n');
            rest = tail;
        }
        text.push_str("-----END ");
        text.push_str(&self.label);
        text.push_str("-----\n");
        text
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({}, {} bytes)", self.label, self.bytes.len())
    }
}

/// Why a text is not PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// `BEGIN` and `END` name different types.
    #[error("its BEGIN and END lines differ")]
    LabelMismatch,
    /// Two blocks where one was expected.
    #[error("more than one block")]
    MoreThanOne,
    /// No block at all.
    #[error("no BEGIN line")]
    NoBlock,
    /// The body is not padded standard base64.
    #[error("its body is not base64")]
    NotBase64,
    /// Text before, between or behind blocks.
    #[error("text outside of the block")]
    TextOutside,
    /// Over 1 MiB.
    #[error("larger than 1 MiB")]
    TooLarge,
    /// No `END` line.
    #[error("no END line")]
    Unterminated,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_strictness() {
        let pem = Pem::new("PUBLIC KEY", (0..100).collect());
        let text = pem.to_text();
        assert_eq!(Pem::parse(&text).unwrap(), pem);
        assert_eq!(
            Pem::parse_many(&format!("{text}\n{text}")).unwrap().len(),
            2
        );
        assert_eq!(
            Pem::parse(&format!("{text}{text}")),
            Err(PemError::MoreThanOne)
        );
        assert_eq!(
            Pem::parse(&format!("hello\n{text}")),
            Err(PemError::TextOutside)
        );
        assert_eq!(
            Pem::parse(text.trim_end_matches("-----END PUBLIC KEY-----\n")),
            Err(PemError::Unterminated)
        );
        assert_eq!(
            Pem::parse(&text.replace("END PUBLIC", "END PRIVATE")),
            Err(PemError::LabelMismatch)
        );
        assert_eq!(Pem::parse(""), Err(PemError::NoBlock));
    }
}
