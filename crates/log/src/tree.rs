//! The growing edge of the log: partial tiles in memory, and the files that each batch makes.
//!
//! Pure: it says which files hold what; the engine writes them. Full tiles leave as soon as they
//! are full. Partial ones are noted at each boundary, that is, at each size that a checkpoint
//! names, and come out when asked for.

use custos_core::merkle::{self, Hash};

use crate::proof::HashReader;
use crate::tile::{EntryBundle, FULL_WIDTH, LEVELS, Tile, TilePath};

/// A file of the tree with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreeFile {
    pub(crate) path: TilePath,
    pub(crate) bytes: Vec<u8>,
    /// The full version of a tile that had partial ones: they can go.
    pub(crate) replaces_partials: bool,
}

/// The right edge of a tree.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    size: u64,
    // Root of the perfect subtree of each power of two in `size`; others are stale.
    edge: Vec<Hash>,
    // The partial tile of each tile level.
    levels: Vec<Vec<Hash>>,
    // The partial entry bundle.
    bundle: Vec<u8>,
    // Widths of the partial tiles at boundaries, with the bytes of the bundle at level 0.
    marks: Vec<Vec<Mark>>,
    // Width of the last boundary of each level's tile.
    noted: Vec<usize>,
    // Whether partial versions of the current tile of each level lie on the disk.
    has_partials: Vec<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    width: usize,
    bundle_bytes: usize,
}

impl Tree {
    /// Returns the empty tree.
    pub(crate) fn new() -> Self {
        let levels = usize::from(LEVELS);
        Self {
            size: 0,
            edge: vec![[0; 32]; 64],
            levels: vec![Vec::new(); levels],
            bundle: Vec::new(),
            marks: vec![Vec::new(); levels],
            noted: vec![0; levels],
            has_partials: vec![false; levels],
        }
    }

    /// Returns the tree of `size` entries whose nodes come from `reader`; `levels` are its partial
    /// tiles and `bundle` its partial entry bundle.
    pub(crate) fn load<R: HashReader + ?Sized>(
        reader: &R,
        size: u64,
        levels: Vec<Vec<Hash>>,
        bundle: Vec<u8>,
    ) -> Result<Self, R::Error> {
        let mut tree = Self::new();
        tree.size = size;
        for (level, place) in (0_u32..).zip(&mut tree.edge) {
            if (size >> level) & 1 == 1 {
                *place = reader.node(level, (size >> level).saturating_sub(1))?;
            }
        }
        tree.has_partials = levels.iter().map(|level| !level.is_empty()).collect();
        tree.noted = levels.iter().map(Vec::len).collect();
        tree.levels = levels;
        tree.bundle = bundle;
        Ok(tree)
    }

    /// Returns the number of entries.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the root.
    pub(crate) fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for (level, left) in (0_u32..).zip(&self.edge) {
            if (self.size >> level) & 1 == 1 {
                root = Some(root.map_or(*left, |right| merkle::node_hash(left, &right)));
            }
        }
        root.unwrap_or_else(merkle::empty_root)
    }

    /// Appends an entry in bundle form and adds the tiles that it fills to `out`.
    pub(crate) fn push(&mut self, entry: &[u8], leaf: Hash, out: &mut Vec<TreeFile>) {
        self.bundle.extend_from_slice(entry);
        let (mut hash, mut full) = (leaf, self.size);
        for (level, place) in (0_usize..).zip(&mut self.edge) {
            // Each eighth level of nodes is a level of tiles.
            if let Some(tile) = self.levels.get_mut(level / 8).filter(|_| level % 8 == 0) {
                tile.push(hash);
            }
            if full & 1 == 0 {
                *place = hash;
                break;
            }
            hash = merkle::node_hash(place, &hash);
            full >>= 1;
        }
        self.size = self.size.saturating_add(1);
        self.emit_full_tiles(out);
    }

    fn emit_full_tiles(&mut self, out: &mut Vec<TreeFile>) {
        // Only a tile that is full lets one more hash into the level above.
        for level in 0..LEVELS {
            let at = usize::from(level);
            let full = self
                .levels
                .get(at)
                .is_some_and(|tile| tile.len() == usize::from(FULL_WIDTH));
            if !full {
                return;
            }
            let replaces_partials = self.has_partials.get_mut(at).is_some_and(std::mem::take);
            if let (Some(marks), Some(noted)) = (self.marks.get_mut(at), self.noted.get_mut(at)) {
                marks.clear();
                *noted = 0;
            }
            let hashes = self
                .levels
                .get_mut(at)
                .map(std::mem::take)
                .unwrap_or_default();
            let index = (self.size >> (8 * (u32::from(level) + 1))).saturating_sub(1);
            if let Some(tile) = Tile::new(level, index, FULL_WIDTH) {
                let path = TilePath::Tile(tile);
                out.push(TreeFile {
                    path,
                    bytes: hashes.as_flattened().to_vec(),
                    replaces_partials,
                });
            }
            if let Some(bundle) = EntryBundle::new(index, FULL_WIDTH).filter(|_| level == 0) {
                let path = TilePath::Entries(bundle);
                // The next bundle is likely as large: growing step by step would copy it anew.
                let room = Vec::with_capacity(self.bundle.len());
                let bytes = std::mem::replace(&mut self.bundle, room);
                out.push(TreeFile {
                    path,
                    bytes,
                    replaces_partials,
                });
            }
        }
    }

    /// Notes that a checkpoint names the tree as it is now.
    pub(crate) fn mark_boundary(&mut self) {
        let marks = self.marks.iter_mut().zip(&mut self.noted);
        for (tile, (marks, noted)) in self.levels.iter().zip(marks) {
            if tile.len() > *noted {
                *noted = tile.len();
                marks.push(Mark {
                    width: tile.len(),
                    bundle_bytes: self.bundle.len(),
                });
            }
        }
    }

    /// Returns the partial tiles of the boundaries noted since the last time.
    pub(crate) fn take_partials(&mut self, out: &mut Vec<TreeFile>) {
        for level in 0..LEVELS {
            let at = usize::from(level);
            let marks = self
                .marks
                .get_mut(at)
                .map(std::mem::take)
                .unwrap_or_default();
            let Some(hashes) = self.levels.get(at).filter(|_| !marks.is_empty()) else {
                continue;
            };
            let index = self.size >> (8 * (u32::from(level) + 1));
            for mark in &marks {
                let width = u16::try_from(mark.width).unwrap_or(FULL_WIDTH);
                if let Some(tile) = Tile::new(level, index, width) {
                    let part = hashes.get(..mark.width).unwrap_or_default();
                    out.push(TreeFile {
                        path: TilePath::Tile(tile),
                        bytes: part.as_flattened().to_vec(),
                        replaces_partials: false,
                    });
                }
                if let Some(bundle) = EntryBundle::new(index, width).filter(|_| level == 0) {
                    let part = self.bundle.get(..mark.bundle_bytes).unwrap_or_default();
                    out.push(TreeFile {
                        path: TilePath::Entries(bundle),
                        bytes: part.to_vec(),
                        replaces_partials: false,
                    });
                }
            }
            if let Some(has_partials) = self.has_partials.get_mut(at) {
                *has_partials = true;
            }
        }
    }
}

/// Returns the partial tiles and the partial bundle of a tree of `size` entries.
pub(crate) fn partials(size: u64) -> impl Iterator<Item = TilePath> {
    let tiles = (0..LEVELS).filter_map(move |level| {
        let index = size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
        Tile::in_tree(level, index, size)
    });
    tiles.flat_map(|tile| {
        let bundle = EntryBundle::new(tile.index(), tile.width()).filter(|_| tile.level() == 0);
        [Some(TilePath::Tile(tile)), bundle.map(TilePath::Entries)]
            .into_iter()
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tile;

    #[test]
    fn files_and_roots_are_those_of_the_definition() {
        let (mut tree, mut out, mut leaves) = (Tree::new(), Vec::new(), Vec::new());
        for i in 0..1_300_u32 {
            let mut entry = Vec::new();
            tile::encode_entry(&i.to_be_bytes(), &mut entry).unwrap();
            leaves.push(merkle::leaf_hash(&i.to_be_bytes()));
            tree.push(&entry, leaves[i as usize], &mut out);
            assert_eq!(tree.root(), merkle::root(&leaves));
        }
        tree.mark_boundary();
        tree.take_partials(&mut out);
        let names: Vec<String> = out.iter().map(|file| file.path.to_string()).collect();
        let last = ["tile/0/005.p/20", "tile/entries/005.p/20", "tile/1/000.p/5"];
        assert_eq!(names[names.len() - 3..], last);
        assert_eq!(names.len(), 5 * 2 + 3);
        let upper = out.last().unwrap();
        let roots: Vec<Hash> = leaves.chunks_exact(256).map(merkle::root).collect();
        assert_eq!(upper.bytes, roots.as_flattened());
        let wanted: Vec<String> = partials(1_300).map(|path| path.to_string()).collect();
        assert_eq!(wanted, last);
        assert_eq!(
            partials(256).map(|p| p.to_string()).collect::<Vec<_>>(),
            ["tile/1/000.p/1"]
        );
    }

    #[test]
    fn partials_come_for_each_boundary_and_go_with_the_full_tile() {
        let (mut tree, mut out) = (Tree::new(), Vec::new());
        for i in 0..256_u32 {
            let entry = [&4_u16.to_be_bytes()[..], &i.to_be_bytes()].concat();
            tree.push(&entry, merkle::leaf_hash(&i.to_be_bytes()), &mut out);
            if i == 2 || i == 5 {
                tree.mark_boundary();
            }
            if i == 9 {
                assert_eq!(out, []);
                tree.take_partials(&mut out);
                let sizes: Vec<_> = out
                    .iter()
                    .map(|f| (f.path.to_string(), f.bytes.len()))
                    .collect();
                assert_eq!(sizes[0], ("tile/0/000.p/3".to_owned(), 96));
                assert_eq!(sizes[3], ("tile/entries/000.p/6".to_owned(), 36));
                out.clear();
            }
        }
        assert!(out.iter().all(|file| file.replaces_partials) && out.len() == 2);
        out.clear();
        tree.take_partials(&mut out);
        assert_eq!(out, []);
    }
}
