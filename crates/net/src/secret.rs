//! Text that is never shown: tokens, passwords, signatures that grant access.

use std::fmt;

use zeroize::Zeroizing;

/// A secret; `Debug` prints nothing of it, and it is erased when dropped.
///
/// What is put into a header is copied by the HTTP library, whose copies are not erased.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Returns this secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Returns the text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Replaces this secret wherever it stands in `text`: servers like to repeat what they were
    /// sent. Secrets of fewer than four bytes are left, for they would replace every letter.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        if self.0.len() < 4 {
            return text.to_owned();
        }
        text.replace(self.expose(), "[secret]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_is_shown_or_repeated() {
        let secret = Secret::new("hvs.abcdef");
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(
            secret.redact("token hvs.abcdef is unknown: hvs.abcdef"),
            "token [secret] is unknown: [secret]"
        );
        assert_eq!(Secret::new("a").redact("banana"), "banana");
    }
}
