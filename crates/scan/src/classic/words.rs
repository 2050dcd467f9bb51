//! The words of a dictionary, looked at many at a time: one by one they say little, and there are
//! millions of them.

use custos_core::finding::Location;

use crate::text;
use crate::work::Look;

/// How much text is looked at together.
const PIECE: usize = 64 << 10;

/// Words that were read and not looked at.
#[derive(Default)]
pub(super) struct Words {
    text: String,
    at: u64,
}

impl Words {
    /// Adds a word that lies at a place.
    pub(super) fn add(&mut self, look: &mut Look<'_, '_, '_>, at: u64, word: &[u8]) {
        if self.text.is_empty() {
            self.at = at;
        }
        self.text.push_str(&String::from_utf8_lossy(word));
        self.text.push('\n');
        if self.text.len() >= PIECE {
            self.look_at(look);
        }
    }

    /// Looks at what was added.
    pub(super) fn look_at(&mut self, look: &mut Look<'_, '_, '_>) {
        if self.text.is_empty() {
            return;
        }
        let place = Location {
            offset: Some(self.at),
            ..look.here()
        };
        text::inspect(look, &place, &self.text);
        self.text.clear();
    }
}
