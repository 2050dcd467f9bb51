// Small strict readers that the text formats share: numbers and base64 with one spelling each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Parses a decimal number without sign or leading zero, below 2^63 (the proto JSON form of sizes
/// is a signed 64-bit integer).
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    if !canonical || text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| i64::try_from(*n).is_ok())
}

/// Decodes standard base64 with padding; trailing bits must be zero.
pub(crate) fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Decodes a 32-byte hash.
pub(crate) fn base64_hash(text: &str) -> Option<[u8; 32]> {
    base64_bytes(text)?.try_into().ok()
}

/// Encodes standard base64 with padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("70000"), Some(70_000));
        assert_eq!(decimal("9223372036854775807"), Some(i64::MAX as u64));
        for bad in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1e3",
            "9223372036854775808",
            "٣",
        ] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(base64_bytes("AQI="), Some(vec![1, 2]));
        for bad in ["AQI", "AQJ=", "AQI=\n", " AQI=", "AQ_-", "A"] {
            assert_eq!(base64_bytes(bad), None, "{bad:?}");
        }
    }
}
