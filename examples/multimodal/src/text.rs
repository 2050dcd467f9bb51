//! From a text to a bag of hashed word and character n-grams.
//!
//! A text becomes lower-case words (runs of letters and digits); each word gives itself and the
//! 3- to 5-character pieces of `<word>`, where the brackets mark its ends. Every piece is hashed
//! with 32-bit [FNV-1a](http://www.isthe.com/chongo/tech/comp/fnv/) into one of [`BUCKETS`]
//! buckets. There is no vocabulary, so a word never seen in training still shares its pieces with
//! words that were ("strawberries", "berry").
//!
//! Max 4 KiB of a text are read.

use std::collections::BTreeSet;

/// The number of hash buckets, that is of rows in the text layer.
pub const BUCKETS: u32 = 4096;
/// The shortest and longest character pieces.
pub const PIECES: (usize, usize) = (3, 5);
/// No more characters of a text than these are read.
pub const MAX_CHARS: usize = 4096;

/// Splits a text into lower-case words.
pub fn tokens(text: &str) -> Vec<String> {
    let text: String = text
        .chars()
        .take(MAX_CHARS)
        .flat_map(char::to_lowercase)
        .collect();
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// Returns the distinct buckets of the words and their pieces, in ascending order.
pub fn buckets(tokens: &[String]) -> Vec<u32> {
    let mut found = BTreeSet::new();
    for token in tokens {
        found.insert(fnv1a(b"w:", token.as_bytes()) % BUCKETS);
        let marked: Vec<char> = format!("<{token}>").chars().collect();
        for length in PIECES.0..=PIECES.1 {
            for piece in marked.windows(length) {
                let piece: String = piece.iter().collect();
                found.insert(fnv1a(b"p:", piece.as_bytes()) % BUCKETS);
            }
        }
    }
    found.into_iter().collect()
}

fn fnv1a(prefix: &[u8], bytes: &[u8]) -> u32 {
    prefix.iter().chain(bytes).fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_matches_published_vectors() {
        assert_eq!(fnv1a(b"", b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"", b"a"), 0xe40c_292c);
        assert_eq!(fnv1a(b"foo", b"bar"), 0xbf9c_f968);
    }

    #[test]
    fn words_are_split_and_lowered() {
        assert_eq!(
            tokens("Clock Face One-Thirty"),
            ["clock", "face", "one", "thirty"]
        );
        assert_eq!(
            tokens("RESCUE WORKER\u{2019}S HELMET"),
            ["rescue", "worker", "s", "helmet"]
        );
        assert!(tokens(" -- ").is_empty());
        assert_eq!(tokens(&"a".repeat(10_000)).concat().len(), MAX_CHARS);
    }

    #[test]
    fn words_share_pieces() {
        let of = |text| {
            buckets(&tokens(text))
                .into_iter()
                .collect::<BTreeSet<u32>>()
        };
        let shared = |a, b| of(a).intersection(&of(b)).count();
        assert!(shared("strawberry", "blueberry") >= 6);
        assert!(shared("strawberry", "hammock") <= 1);
        assert!(of("strawberry").iter().all(|b| *b < BUCKETS));
        assert!(of("").is_empty());
    }
}
