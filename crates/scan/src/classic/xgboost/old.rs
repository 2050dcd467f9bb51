//! XGBoost's memory as releases before 3 wrote it: fixed records, one after another.
//!
//! dmlc/xgboost 1.7, `src/learner.cc` (`LearnerIO::Load`), `src/gbm/gbtree_model.cc`, `src/gbm/gblinear.cc`,
//! `include/xgboost/tree_model.h`. Texts and lists have eight bytes of length. Loaders follow the
//! children of a node without looking: one that is outside of its tree makes them read elsewhere.

use custos_core::finding::Location;

use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::text;
use crate::work::Look;

/// Mark that the oldest releases put in front.
const MARK: &[u8] = b"binf";
/// Longest text.
const MAX_TEXT: u64 = 16 << 20;
/// Most attributes and metrics.
const MAX_ENTRIES: u64 = 1 << 20;
/// Bytes of what is counted for a node.
const STATISTICS: u64 = 16;
/// Bytes of a node, with these.
const NODE: u64 = 36;

/// Why the look ended.
pub(super) enum Stop {
    /// The bytes end, or cannot be read.
    Cursor(CursorError),
    /// It is none of what is known; where, and what.
    Unknown(u64, String),
    /// It was said already.
    Told,
}

impl From<CursorError> for Stop {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
    }
}

type Step<T> = Result<T, Stop>;

/// Reads a model, and returns where it ends.
pub(super) fn read(look: &mut Look<'_, '_, '_>) -> Step<u64> {
    let mut cursor = look.input.cursor();
    if cursor.peek(MARK.len()) == MARK {
        cursor.skip(4)?;
    }
    // Base score, features, classes, then what follows the trees; and room for more.
    cursor.skip(4)?;
    let features = cursor.u32()?;
    cursor.skip(4)?;
    let (attributes, metrics) = (cursor.u32()?, cursor.u32()?);
    let major = cursor.u32()?;
    cursor.skip(112)?;
    let mut model = Model {
        look,
        cursor,
        features,
        is_first: major == 0,
    };
    let objective = model.text("objective")?;
    let booster = model.text("booster")?;
    match booster.as_str() {
        "gbtree" => {
            model.trees()?;
        }
        "dart" => {
            if model.trees()? > 0 {
                model.list(4)?;
            }
        }
        "gblinear" => {
            model.cursor.skip(136)?;
            model.list(4)?;
        }
        other => {
            let at = model.cursor.position();
            return Err(Stop::Unknown(
                at,
                format!("the booster `{other}` is unknown"),
            ));
        }
    }
    if attributes != 0 {
        for _ in 0..model.count()? {
            let key = model.text("attribute")?;
            model.text(&key)?;
        }
    }
    if model.is_first && objective == "count:poisson" {
        model.text("max_delta_step")?;
    }
    if metrics != 0 {
        for _ in 0..model.count()? {
            model.text("metric")?;
        }
    }
    Ok(model.cursor.position())
}

struct Model<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    cursor: Cursor<'i>,
    features: u32,
    // Before release 1, which is the first that says what it is.
    is_first: bool,
}

impl Model<'_, '_, '_, '_> {
    fn unknown<T>(&self, what: String) -> Step<T> {
        Err(Stop::Unknown(self.cursor.position(), what))
    }

    // A text, and what it says.
    fn text(&mut self, name: &str) -> Step<String> {
        let at = self.cursor.position();
        let len = self.cursor.u64()?;
        if len > MAX_TEXT.min(self.cursor.left()) {
            return self.unknown(format!("a text says that it has {len} bytes"));
        }
        let bytes = self.cursor.take(usize::try_from(len).unwrap_or(0))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let place = Location {
            offset: Some(at),
            pointer: Some(name.to_owned()),
            ..self.look.here()
        };
        text::inspect(self.look, &place, &text);
        Ok(text)
    }

    fn count(&mut self) -> Step<u64> {
        let count = self.cursor.u64()?;
        if count > MAX_ENTRIES || count.saturating_mul(8) > self.cursor.left() {
            return self.unknown(format!("it says that it has {count} entries"));
        }
        Ok(count)
    }

    // Values of a size each, which are of no matter.
    fn list(&mut self, size: u64) -> Step<()> {
        let count = self.cursor.u64()?;
        let Some(bytes) = count.checked_mul(size).filter(|b| *b <= self.cursor.left()) else {
            return self.unknown(format!("a list says that it has {count} values"));
        };
        Ok(self.cursor.skip(bytes)?)
    }

    fn trees(&mut self) -> Step<u32> {
        let count = self.cursor.u32()?;
        self.cursor.skip(156)?;
        for tree in 0..count {
            let path = &self.look.input.path;
            self.look.work.tick(path).map_err(|_| Stop::Told)?;
            self.tree(tree)?;
        }
        // To which output each tree belongs.
        self.cursor.skip(u64::from(count).saturating_mul(4))?;
        Ok(count)
    }

    fn tree(&mut self, tree: u32) -> Step<()> {
        let at = self.cursor.position();
        self.cursor.skip(4)?;
        let nodes = self.cursor.u32()?;
        self.cursor.skip(12)?;
        let vector = self.cursor.u32()?;
        self.cursor.skip(124)?;
        let needed = u64::from(nodes).saturating_mul(NODE);
        if nodes == 0 || needed > self.cursor.left() {
            return self.unknown(format!("the tree {tree} says that it has {nodes} nodes"));
        }
        let mut told = false;
        for node in 0..nodes {
            if node.is_multiple_of(1 << 16) {
                let path = &self.look.input.path;
                self.look.work.tick(path).map_err(|_| Stop::Told)?;
            }
            let fault = self.node(nodes)?;
            if fault && !told {
                told = true;
                let message = format!("the node {node} of the tree {tree} leads out of its tree");
                self.look.see(&rules::classic::XGBOOST_NODE, at, message);
            }
        }
        self.cursor
            .skip(u64::from(nodes).saturating_mul(STATISTICS))?;
        if self.is_first && vector != 0 {
            self.list(4)?;
        }
        Ok(())
    }

    // Returns true if a node leads to one that is not there. A parent shares its bits with a mark,
    // and -1 is none; nodes that were deleted keep whatever they had.
    fn node(&mut self, nodes: u32) -> Step<bool> {
        const NONE: u32 = u32::MAX;
        let [parent, left, right, split] = [
            self.cursor.u32()?,
            self.cursor.u32()?,
            self.cursor.u32()?,
            self.cursor.u32()?,
        ];
        self.cursor.skip(4)?;
        if split == NONE {
            return Ok(false);
        }
        let outside = |node: u32| node >= nodes;
        let root = parent == NONE;
        let parent = parent & (NONE >> 1);
        let leaf = left == NONE;
        let feature = split & (NONE >> 1);
        Ok(!root && outside(parent)
            || !leaf && (outside(left) || outside(right))
            || !leaf && self.features > 0 && feature >= self.features)
    }
}
