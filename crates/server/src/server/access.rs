//! Bearer tokens (RFC 6750) for the routes that are not public.
//!
//! Only digests of tokens are kept, and compared in a time that does not depend on them.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custos_core::crypto::sha256;
use zeroize::Zeroizing;

const MAX_FILE: u64 = 16 * 1024;
const MAX_TOKENS: usize = 16;
// 128 bits in hex, or 22 characters of base64.
const MIN_TOKEN: usize = 22;

/// Tokens that open the routes that are not public.
#[derive(Clone, Default)]
pub struct AccessTokens(Vec<[u8; 32]>);

impl AccessTokens {
    /// Reads a file with one token a line, at most 16, each of at least 22 characters; several
    /// let one be replaced without an outage.
    pub fn from_file(path: &Path) -> Result<Self, AccessTokensError> {
        let mut text = Zeroizing::new(String::with_capacity(4_096));
        let read = File::open(path)
            .and_then(|file| {
                file.take(MAX_FILE.saturating_add(1))
                    .read_to_string(&mut text)
            })
            .map_err(|error| AccessTokensError::Io {
                path: path.to_owned(),
                message: error.to_string(),
            })?;
        // The beginning of a token is not the token.
        if u64::try_from(read).unwrap_or(u64::MAX) > MAX_FILE {
            return Err(AccessTokensError::TooLarge);
        }
        Self::from_text(&text)
    }

    /// Takes tokens from a text, one a line.
    pub fn from_text(text: &str) -> Result<Self, AccessTokensError> {
        let tokens: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let well_formed =
            |token: &&str| token.len() >= MIN_TOKEN && token.bytes().all(|b| b.is_ascii_graphic());
        if tokens.is_empty() || tokens.len() > MAX_TOKENS {
            return Err(AccessTokensError::Count {
                found: tokens.len(),
            });
        }
        if !tokens.iter().all(well_formed) {
            return Err(AccessTokensError::Weak);
        }
        Ok(Self(
            tokens
                .into_iter()
                .map(|token| sha256(token.as_bytes()))
                .collect(),
        ))
    }

    /// Adds a new random token, and returns it beside: for a program on this machine that is to
    /// get in as well.
    pub fn with_random(mut self) -> Result<(Self, Zeroizing<String>), AccessTokensError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| AccessTokensError::NoRandomness)?;
        let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        self.0.push(sha256(token.as_bytes()));
        Ok((self, token))
    }

    pub(crate) fn contain(&self, token: &str) -> bool {
        let digest = sha256(token.as_bytes());
        // All are compared, so that the time does not say which one it was.
        self.0.iter().fold(false, |found, known| {
            verify_slices_are_equal(known, &digest).is_ok() | found
        })
    }
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessTokens({})", self.0.len())
    }
}

/// Why tokens were not taken. Never holds a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessTokensError {
    /// None, or more than 16.
    #[error("{found} tokens; a token file holds 1 to {MAX_TOKENS}, one a line")]
    Count {
        /// Tokens found.
        found: usize,
    },
    /// The system refused.
    #[error("cannot read {}: {message}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// The system gave no random bytes.
    #[error("the system's random source failed")]
    NoRandomness,
    /// More than 16 KiB.
    #[error("a token file has at most {MAX_FILE} bytes")]
    TooLarge,
    /// Too short to be a secret, or not printable ASCII.
    #[error("a token has at least {MIN_TOKEN} printable ASCII characters without blanks")]
    Weak,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_tokens_open() {
        let (one, two) = ("a".repeat(22), "b".repeat(40));
        let tokens = AccessTokens::from_text(&format!("{one}\n\n {two} \r\n")).unwrap();
        assert!(tokens.contain(&one) && tokens.contain(&two));
        for other in ["", "a", &one[1..], &format!("{one}a"), &format!(" {one}")] {
            assert!(!tokens.contain(other), "{other:?}");
        }
        assert!(!AccessTokens::default().contain(""));
        let (more, random) = tokens.clone().with_random().unwrap();
        assert!(more.contain(&random) && more.contain(&one) && !tokens.contain(&random));
        assert!(!format!("{tokens:?}").contains(&one));
    }

    #[test]
    fn weak_or_missing_tokens_are_refused() {
        assert_eq!(
            AccessTokens::from_text("\n").unwrap_err(),
            AccessTokensError::Count { found: 0 }
        );
        for weak in ["short", &"a b".repeat(20), &"ä".repeat(30)] {
            assert_eq!(
                AccessTokens::from_text(weak).unwrap_err(),
                AccessTokensError::Weak
            );
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens");
        std::fs::write(&file, "a".repeat(16 * 1024 + 1)).unwrap();
        assert_eq!(
            AccessTokens::from_file(&file).unwrap_err(),
            AccessTokensError::TooLarge
        );
        assert!(matches!(
            AccessTokens::from_file(Path::new("/nonexistent/tokens")),
            Err(AccessTokensError::Io { .. })
        ));
    }
}
