//! PyTorch archives: a pickle that refers to tensors by key, and a member of raw bytes for each.
//!
//! Layout (`torch.save` since 1.6): one folder with `data.pkl`, `data/KEY` for each storage,
//! `version`, and more. Storages are values: what is checked is that each has exactly the bytes that
//! its pickle says, and that no member is there that no tensor uses.

use std::collections::{BTreeMap, BTreeSet};

use custos_core::finding::Location;

use crate::pickle::Storage;
use crate::rules::{self, Rule};
use crate::work::Look;

/// What the names of an archive say about its layout, and what its pickles say about storages.
pub(crate) struct Torch {
    folder: String,
    // By key: where it was named, and how many bytes it needs; `None` if its class is unknown.
    storages: BTreeMap<String, (u64, Option<u64>)>,
    read: bool,
    met: BTreeSet<String>,
}

impl Torch {
    /// Returns true if a member of this name is read before others.
    pub(crate) fn is_pickle(name: &str) -> bool {
        name.ends_with("/data.pkl") || name.ends_with("/constants.pkl")
    }

    /// Returns the layout if the names are those of a PyTorch archive.
    pub(crate) fn of(names: &[&str]) -> Option<Self> {
        let folder = names
            .iter()
            .find_map(|name| name.strip_suffix("/data.pkl"))?;
        let version = format!("{folder}/version");
        let data = format!("{folder}/data/");
        names
            .iter()
            .any(|name| *name == version || name.starts_with(&data))
            .then(|| Self {
                folder: folder.to_owned(),
                storages: BTreeMap::new(),
                read: false,
                met: BTreeSet::new(),
            })
    }

    /// Returns true if a member is a storage of a tensor, and checks its size.
    pub(crate) fn storage(&mut self, look: &mut Look<'_, '_, '_>, name: &str, size: u64) -> bool {
        let key = ["data", "constants"].into_iter().find_map(|kind| {
            let prefix = format!("{}/{kind}/", self.folder);
            name.strip_prefix(&prefix)
        });
        let Some(key) = key.filter(|key| !key.contains('/')) else {
            return false;
        };
        self.read(look);
        let Some((at, needed)) = self.storages.get(key).copied() else {
            let message = format!("no tensor uses `{name}`");
            see(look, &rules::tensors::TORCH_STRAY, (name, None), message);
            return false;
        };
        self.met.insert(key.to_owned());
        if let Some(needed) = needed.filter(|needed| *needed != size) {
            let message = format!("`{name}` has {size} bytes, and the model says {needed}");
            see(
                look,
                &rules::tensors::TORCH_STORAGE_SIZE,
                (name, Some(at)),
                message,
            );
        }
        true
    }

    /// Says what lacks.
    pub(crate) fn finish(mut self, look: &mut Look<'_, '_, '_>) {
        self.read(look);
        for (key, (at, _)) in &self.storages {
            if !self.met.contains(key) {
                let message = format!("the storage `{key}` is not in the archive");
                let name = format!("{}/data.pkl", self.folder);
                see(
                    look,
                    &rules::tensors::TORCH_STORAGE_MISSING,
                    (&name, Some(*at)),
                    message,
                );
            }
        }
    }

    // What pickles said; they are looked at before anything else.
    fn read(&mut self, look: &mut Look<'_, '_, '_>) {
        if std::mem::replace(&mut self.read, true) {
            return;
        }
        for pickle in ["data", "constants"] {
            let path = format!("{}!{}/{pickle}.pkl", look.input.path, self.folder);
            for storage in look.work.referred(&path) {
                let needed = bytes(&storage);
                let (_, known) = self
                    .storages
                    .entry(storage.key)
                    .or_insert((storage.at, needed));
                // Two tensors may share a storage, each with the whole of it.
                *known = (*known).max(needed);
            }
        }
    }
}

/// Compares tensors with storages, in a tar archive of the first versions of PyTorch: each is a
/// member of its own, `tensors` before `storages`.
pub(crate) fn tarred(look: &mut Look<'_, '_, '_>) {
    const TOLD: usize = 20;
    let path = look.input.path.clone();
    let tensors = look.work.referred(&format!("{path}!tensors"));
    let storages = look.work.referred(&format!("{path}!storages"));
    let storages: BTreeMap<_, _> = storages
        .iter()
        .map(|storage| (storage.key.as_str(), storage.elements))
        .collect();
    let faults = tensors.iter().filter_map(|tensor| {
        let (key, needed) = (&tensor.key, tensor.elements);
        let (rule, message) = match storages.get(key.as_str()) {
            Some(there) if needed <= *there => return None,
            Some(there) => (
                &rules::tensors::TORCH_VIEW,
                format!("a tensor needs {needed} elements of `{key}`, which has {there}"),
            ),
            None => (
                &rules::tensors::TORCH_STORAGE_MISSING,
                format!("the storage `{key}` is not in the archive"),
            ),
        };
        Some((rule, tensor.at, message))
    });
    for (rule, at, message) in faults.take(TOLD) {
        see(look, rule, ("tensors", Some(at)), message);
    }
}

/// Returns how many bytes a storage has, if its class is known.
pub(crate) fn bytes(storage: &Storage) -> Option<u64> {
    let size = match storage.class.as_str() {
        "CharStorage" | "ByteStorage" | "BoolStorage" | "UntypedStorage" | "QInt8Storage"
        | "QUInt8Storage" | "QUInt4x2Storage" | "QUInt2x4Storage" => 1,
        "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
        "FloatStorage" | "IntStorage" | "QInt32Storage" => 4,
        "DoubleStorage" | "LongStorage" | "ComplexFloatStorage" => 8,
        "ComplexDoubleStorage" => 16,
        _ => return None,
    };
    u64::try_from(storage.elements).ok()?.checked_mul(size)
}

fn see(
    look: &mut Look<'_, '_, '_>,
    rule: &'static Rule,
    (name, offset): (&str, Option<u64>),
    message: String,
) {
    let location = Location {
        path: format!("{}!{name}", look.input.path),
        offset,
        ..Location::default()
    };
    look.work.see(rule, location, message);
}
