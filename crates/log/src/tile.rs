//! Tiles and entry bundles: how a log lies in files (C2SP tlog-tiles).
//!
//! A tile is 256 hashes of one level of the tree, level 0 being the leaf hashes and each level
//! above holding the roots of the tiles below. An entry bundle is the 256 entries of a level-0
//! tile. This module knows names, widths and bytes; it opens no file.
//!
//! Spec: <https://c2sp.org/tlog-tiles>.

use std::fmt;
use std::str::FromStr;

use custos_core::limits::MAX_ENTRY_BYTES;
use custos_core::merkle::{self, Hash};

use crate::text;

/// Hashes in a full tile, entries in a full bundle.
pub const FULL_WIDTH: u16 = 256;
/// Bytes of a full tile.
pub const FULL_TILE_BYTES: usize = 8_192;
/// Bytes of the largest full bundle.
pub const MAX_BUNDLE_BYTES: usize = 256 * (MAX_ENTRY_BYTES + 2);
/// Highest level that a path can name.
pub const MAX_LEVEL: u8 = 63;
/// Levels that a log of fewer than 2^63 entries has.
pub const LEVELS: u8 = 8;
// Longest path that is accepted: 7 groups of digits fit well.
const MAX_PATH: usize = 64;

/// A tile of hashes: level, position, and how many hashes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// Returns the tile, if level is at most 63, index below 2^63 and width 1 to 256.
    pub fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        let fits =
            level <= MAX_LEVEL && i64::try_from(index).is_ok() && (1..=FULL_WIDTH).contains(&width);
        fits.then_some(Self {
            level,
            index,
            width,
        })
    }

    /// Returns the tile `index` of `level` as it stands in a tree of `size` entries: full, partial,
    /// or `None` if the tree does not reach it.
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = hashes_at_level(level, size);
        let start = index.checked_mul(u64::from(FULL_WIDTH))?;
        let width = hashes.checked_sub(start)?.min(u64::from(FULL_WIDTH));
        Self::new(level, index, u16::try_from(width).ok()?)
    }

    /// Returns the level.
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// Returns the position in the level.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Returns the number of hashes, 1 to 256.
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Returns true if it has 256 hashes and will never change.
    pub const fn is_full(&self) -> bool {
        self.width == FULL_WIDTH
    }

    /// Returns the full tile at the same place, which holds the same hashes first.
    pub const fn to_full(self) -> Self {
        Self {
            width: FULL_WIDTH,
            ..self
        }
    }

    /// Returns the number of bytes of the tile.
    pub fn byte_len(&self) -> usize {
        usize::from(self.width).saturating_mul(32)
    }

    /// Splits the bytes of the tile into hashes; their number must be the width.
    pub fn decode(&self, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if bytes.len() != self.byte_len() || !rest.is_empty() {
            return Err(TileError::Length {
                expected: self.byte_len(),
                found: bytes.len(),
            });
        }
        Ok(hashes.to_vec())
    }
}

/// Returns how many complete hashes level `level` has in a tree of `size` entries.
pub fn hashes_at_level(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level).saturating_mul(8))
        .unwrap_or(0)
}

/// Returns the root over the hashes of a full tile: one hash of the level above.
pub fn tile_root(hashes: &[Hash]) -> Hash {
    merkle::root(hashes)
}

/// A bundle of entries: position, and how many entries of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryBundle {
    index: u64,
    width: u16,
}

impl EntryBundle {
    /// Returns the bundle, if index is below 2^63 and width 1 to 256.
    pub fn new(index: u64, width: u16) -> Option<Self> {
        Tile::new(0, index, width).map(|_| Self { index, width })
    }

    /// Returns the bundle `index` as it stands in a tree of `size` entries.
    pub fn in_tree(index: u64, size: u64) -> Option<Self> {
        Tile::in_tree(0, index, size).map(|tile| Self {
            index,
            width: tile.width,
        })
    }

    /// Returns the position.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Returns the number of entries, 1 to 256.
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Returns true if it has 256 entries.
    pub const fn is_full(&self) -> bool {
        self.width == FULL_WIDTH
    }

    /// Returns the full bundle at the same place.
    pub const fn to_full(self) -> Self {
        Self {
            width: FULL_WIDTH,
            ..self
        }
    }

    /// Splits the bytes of the bundle into entries; their number must be the width.
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, TileError> {
        let entries = decode_entries(bytes, usize::from(FULL_WIDTH))?;
        if entries.len() == usize::from(self.width) {
            Ok(entries)
        } else {
            Err(TileError::Entries {
                expected: self.width,
                found: entries.len(),
            })
        }
    }
}

/// Appends an entry in bundle form: big-endian u16 length, then the bytes.
pub fn encode_entry(entry: &[u8], out: &mut Vec<u8>) -> Result<(), TileError> {
    let len =
        u16::try_from(entry.len()).map_err(|_| TileError::EntryTooLarge { found: entry.len() })?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(entry);
    Ok(())
}

/// Splits bytes in bundle form into at most `limit` entries.
pub fn decode_entries(bytes: &[u8], limit: usize) -> Result<Vec<&[u8]>, TileError> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk::<2>().ok_or(TileError::Truncated)?;
        let (entry, after) = after
            .split_at_checked(usize::from(u16::from_be_bytes(*len)))
            .ok_or(TileError::Truncated)?;
        if entries.len() == limit {
            return Err(TileError::TooManyEntries { limit });
        }
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

/// A path of a log: a tile or an entry bundle, relative to the log's prefix.
///
/// ```
/// use custos_log::tile::{TilePath, Tile};
/// let path: TilePath = "tile/0/x001/x234/067.p/8".parse().unwrap();
/// assert_eq!(path, TilePath::Tile(Tile::new(0, 1_234_067, 8).unwrap()));
/// assert_eq!(path.to_string(), "tile/0/x001/x234/067.p/8");
/// assert!("tile/64/000".parse::<TilePath>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TilePath {
    /// `tile/{L}/{N}[.p/{W}]`
    Tile(Tile),
    /// `tile/entries/{N}[.p/{W}]`
    Entries(EntryBundle),
}

impl TilePath {
    /// Returns true if the tile or bundle is full and will never change.
    pub const fn is_full(&self) -> bool {
        match self {
            Self::Tile(tile) => tile.is_full(),
            Self::Entries(bundle) => bundle.is_full(),
        }
    }

    /// Returns the folder that holds the partial versions of this path: `tile/.../{N}.p`.
    pub fn partial_dir(&self) -> String {
        format!("{}.p", self.to_full())
    }

    /// Returns the full tile or bundle at the same place.
    pub(crate) const fn to_full(self) -> Self {
        match self {
            Self::Tile(tile) => Self::Tile(tile.to_full()),
            Self::Entries(bundle) => Self::Entries(bundle.to_full()),
        }
    }

    /// Returns how many entries a tree has at least if this tile or bundle is full in it.
    pub(crate) fn end(&self) -> Option<u64> {
        let (level, index) = match self {
            Self::Tile(tile) => (tile.level(), tile.index()),
            Self::Entries(bundle) => (0, bundle.index()),
        };
        let span = 1_u64.checked_shl(u32::from(level).checked_add(1)?.checked_mul(8)?)?;
        index.checked_add(1)?.checked_mul(span)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match self {
            Self::Tile(tile) => {
                write!(f, "tile/{}/", tile.level)?;
                (tile.index, tile.width)
            }
            Self::Entries(bundle) => {
                f.write_str("tile/entries/")?;
                (bundle.index, bundle.width)
            }
        };
        // At most 19 digits, so at most 7 groups.
        let mut group = 1_000_000_000_000_000_000_u64;
        while group > 1 {
            if index >= group {
                write!(f, "x{:03}/", index.div_euclid(group).rem_euclid(1_000))?;
            }
            group = group.div_euclid(1_000);
        }
        write!(f, "{:03}", index.rem_euclid(1_000))?;
        if width == FULL_WIDTH {
            Ok(())
        } else {
            write!(f, ".p/{width}")
        }
    }
}

impl FromStr for TilePath {
    type Err = TileError;

    fn from_str(path: &str) -> Result<Self, TileError> {
        let parsed = parse_path(path).ok_or(TileError::Path)?;
        // One spelling a path: no superfluous group, no explicit full width.
        if parsed.to_string() == path {
            Ok(parsed)
        } else {
            Err(TileError::Path)
        }
    }
}

fn parse_path(path: &str) -> Option<TilePath> {
    if path.len() > MAX_PATH {
        return None;
    }
    let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let (number, width) = match rest.split_once(".p/") {
        Some((number, width)) => (number, u16::try_from(text::decimal(width)?).ok()?),
        None => (rest, FULL_WIDTH),
    };
    let mut groups = number.split('/').rev();
    let mut index = three_digits(groups.next()?)?;
    let mut scale = 1_u64;
    for group in groups {
        scale = scale.checked_mul(1_000)?;
        let digits = three_digits(group.strip_prefix('x')?)?;
        index = index.checked_add(digits.checked_mul(scale)?)?;
    }
    if level == "entries" {
        return EntryBundle::new(index, width).map(TilePath::Entries);
    }
    let level = u8::try_from(text::decimal(level)?).ok()?;
    Tile::new(level, index, width).map(TilePath::Tile)
}

fn three_digits(text: &str) -> Option<u64> {
    let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Why bytes or a path are no tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// A bundle has more or fewer entries than its width.
    #[error("the entry bundle holds {found} entries, not {expected}")]
    Entries {
        /// Its width.
        expected: u16,
        /// Entries found.
        found: usize,
    },
    /// More than 65,535 bytes.
    #[error("an entry of {found} bytes is beyond the limit of {MAX_ENTRY_BYTES}")]
    EntryTooLarge {
        /// Bytes found.
        found: usize,
    },
    /// A tile has more or fewer bytes than its width needs.
    #[error("the tile has {found} bytes, not {expected}")]
    Length {
        /// Bytes needed.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Not a path of a tile or bundle in its one spelling.
    #[error("not the path of a tile or entry bundle")]
    Path,
    /// A file is larger than any tile or bundle.
    #[error("the file has more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// More entries than allowed.
    #[error("more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: usize,
    },
    /// The bytes end within an entry.
    #[error("the entry bundle ends within an entry")]
    Truncated,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> Result<TilePath, TileError> {
        text.parse()
    }

    #[test]
    fn the_example_of_the_specification() {
        let names = |level, index| {
            Tile::in_tree(level, index, 70_000).map(|tile| TilePath::Tile(tile).to_string())
        };
        assert_eq!(names(0, 272).unwrap(), "tile/0/272");
        assert_eq!(names(0, 273).unwrap(), "tile/0/273.p/112");
        assert_eq!(names(0, 274), None);
        assert_eq!(names(1, 0).unwrap(), "tile/1/000");
        assert_eq!(names(1, 1).unwrap(), "tile/1/001.p/17");
        assert_eq!(names(2, 0).unwrap(), "tile/2/000.p/1");
        assert_eq!(names(3, 0), None);
        assert_eq!(Tile::in_tree(0, 0, 256).unwrap().width(), 256);
        assert_eq!(Tile::in_tree(1, 0, 256).unwrap().width(), 1);
        assert_eq!(Tile::in_tree(0, 1, 256), None);
        assert_eq!(Tile::in_tree(0, u64::MAX, u64::MAX), None);
        assert_eq!(EntryBundle::in_tree(273, 70_000).unwrap().width(), 112);
    }

    #[test]
    fn bad_paths_are_errors_and_never_panic() {
        for bad in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/64/000",
            "tile/-1/000",
            "tile/00/000",
            "tile/+1/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/257",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x01/002",
            "tile/0/x001/x002",
            "tile/0/000.p/8/9",
            "tile/entries/x",
            "tile/data/000",
            "/tile/0/000",
            "tile/0/000/",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "tile/0/٣٣٣",
            "tile/256/000",
        ] {
            assert_eq!(path(bad), Err(TileError::Path), "{bad}");
        }
        for good in [
            "tile/63/000",
            "tile/0/x001/000",
            "tile/entries/x001/x234/067.p/255",
            "tile/0/x009/x223/x372/x036/x854/x775/807",
        ] {
            assert_eq!(path(good).unwrap().to_string(), good);
        }
        assert_eq!(
            path("tile/0/x001/067.p/9").unwrap().partial_dir(),
            "tile/0/x001/067.p"
        );
    }

    proptest! {
        #[test]
        fn paths_round_trip(level in 0_u8..=63, index in 0_u64..1 << 63, width in 1_u16..=256,
                            entries: bool) {
            let it = if entries {
                TilePath::Entries(EntryBundle::new(index, width).unwrap())
            } else {
                TilePath::Tile(Tile::new(level, index, width).unwrap())
            };
            prop_assert_eq!(path(&it.to_string()).unwrap(), it);
        }

        #[test]
        fn any_path_that_parses_prints_the_same(text in "tile/([0-9]{1,3}|entries)(/x?[0-9]{1,4}){1,4}(\\.p/[0-9]{1,4})?") {
            if let Ok(it) = path(&text) {
                prop_assert_eq!(it.to_string(), text);
            }
        }

        #[test]
        fn bundles_round_trip(entries in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 0..40), 1..40)) {
            let mut bytes = Vec::new();
            for entry in &entries {
                encode_entry(entry, &mut bytes).unwrap();
            }
            let bundle = EntryBundle::new(7, u16::try_from(entries.len()).unwrap()).unwrap();
            prop_assert_eq!(bundle.decode(&bytes).unwrap(), entries);
            bytes.push(0);
            prop_assert_eq!(bundle.decode(&bytes), Err(TileError::Truncated));
        }
    }

    #[test]
    fn entry_limit() {
        assert!(encode_entry(&vec![0; MAX_ENTRY_BYTES], &mut Vec::new()).is_ok());
        assert_eq!(
            encode_entry(&vec![0; MAX_ENTRY_BYTES + 1], &mut Vec::new()),
            Err(TileError::EntryTooLarge {
                found: MAX_ENTRY_BYTES + 1
            })
        );
        let two = Tile::new(0, 0, 2).unwrap();
        assert_eq!(
            two.decode(&[0; 65]),
            Err(TileError::Length {
                expected: 64,
                found: 65
            })
        );
    }
}
