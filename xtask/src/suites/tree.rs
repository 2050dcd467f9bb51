//! Model folders for the suites, and the ways in which somebody may change one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Files of a model that trips careless implementations: names that sort differently by path
/// component and by code point, names that must be compared byte for byte, an empty file, files
/// around the sizes of read buffers, and folders that are only special at the top.
pub fn model_files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("README.md", b"# a model\n".to_vec()),
        ("config.json", b"{\"layers\": 2}\n".to_vec()),
        ("sub/x", b"inside\n".to_vec()),
        ("sub-x", b"beside\n".to_vec()),
        ("sub.x", b"dotted\n".to_vec()),
        (
            "sub/.git/kept",
            b"only the top-level .git is left out\n".to_vec(),
        ),
        ("sub/deep/er/weights.bin", pattern(70_000)),
        ("weights.safetensors", pattern((1 << 20) + 1)),
        ("empty", Vec::new()),
        ("with space and 'quote'", b"s".to_vec()),
        ("\u{e9}", b"composed".to_vec()),
        ("e\u{301}", b"decomposed".to_vec()),
        (
            "\u{ff5e}",
            b"U+FF5E, before the next in UTF-8, after it in UTF-16".to_vec(),
        ),
        ("\u{1f980}", b"U+1F980".to_vec()),
        ("-dash", b"like an option".to_vec()),
    ]
}

/// Files that no signature covers: they are left out by default.
pub fn ignored_files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (".git/HEAD", b"ref: refs/heads/main\n".to_vec()),
        (".gitignore", b"*.tmp\n".to_vec()),
        (".gitattributes", b"* -text\n".to_vec()),
        (".github/workflows/train.yml", b"on: push\n".to_vec()),
    ]
}

/// Writes files below `root`.
pub fn write(root: &Path, files: &[(&str, Vec<u8>)]) -> Result<()> {
    for (name, bytes) in files {
        put(&root.join(name), bytes)?;
    }
    Ok(())
}

/// Writes one file and the folders above it.
pub fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// `length` bytes in which every position matters.
pub fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    })
    .take(length)
    .collect()
}

type Apply = Box<dyn Fn(&Path) -> Result<()>>;

/// A change that every verifier must notice.
pub struct Change {
    /// What is done, for the name of the case.
    pub name: String,
    /// Does it to the model folder.
    pub apply: Apply,
}

impl Change {
    fn new(name: &str, apply: impl Fn(&Path) -> Result<()> + 'static) -> Self {
        Self {
            name: name.to_owned(),
            apply: Box::new(apply),
        }
    }

    /// Flips one bit of the byte at `offset` of `file`.
    fn flip(file: &'static str, offset: usize) -> Self {
        Self::new(&format!("byte {offset} of {file} changed"), move |root| {
            let path = root.join(file);
            let mut bytes = fs::read(&path)?;
            *bytes.get_mut(offset).context("the file is shorter")? ^= 1;
            Ok(fs::write(&path, bytes)?)
        })
    }
}

/// Changes of bytes: every byte of the small files, and the interesting ones of the large.
pub fn byte_changes() -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, bytes) in model_files() {
        let last = bytes.len().saturating_sub(1);
        let offsets: Vec<usize> = match bytes.len() {
            0 => Vec::new(),
            1..=20 => (0..=last).collect(),
            21..=70_000 => vec![0, last / 2, last],
            _ => vec![0, 4095, 4096, 131_071, 131_072, last - 1, last],
        };
        changes.extend(offsets.into_iter().map(|offset| Change::flip(name, offset)));
    }
    changes
}

/// Changes of structure: files added, removed, renamed, exchanged, replaced.
pub fn structural_changes() -> Vec<Change> {
    let add = |name: &'static str, bytes: &'static [u8]| {
        Change::new(&format!("file {name} added"), move |root| {
            put(&root.join(name), bytes)
        })
    };
    let rename = |from: &'static str, to: &'static str| {
        Change::new(&format!("{from} renamed to {to}"), move |root| {
            let target = root.join(to);
            fs::create_dir_all(target.parent().context("a file has a folder")?)?;
            Ok(fs::rename(root.join(from), target)?)
        })
    };
    let mut changes = vec![
        add("added", b"x"),
        add("added-empty", b""),
        add("sub/deep/er/added", b"x"),
        add(".hidden", b"x"),
        add("sub/.gitignore", b"only the top-level one is left out"),
        add("sub/.git/added", b"likewise"),
        rename("config.json", "config.jsom"),
        rename("config.json", "Config.json"),
        rename("config.json", "sub/config.json"),
        rename("sub-x", "sub/y"),
        rename("empty", "empty2"),
        Change::new("two files exchanged", |root| {
            let (one, two) = (fs::read(root.join("sub/x"))?, fs::read(root.join("sub-x"))?);
            fs::write(root.join("sub/x"), two)?;
            Ok(fs::write(root.join("sub-x"), one)?)
        }),
        Change::new("last byte cut off", |root| {
            let path = root.join("weights.safetensors");
            let mut bytes = fs::read(&path)?;
            bytes.pop();
            Ok(fs::write(path, bytes)?)
        }),
        Change::new("one byte appended", |root| {
            let path = root.join("weights.safetensors");
            let mut bytes = fs::read(&path)?;
            bytes.push(0);
            Ok(fs::write(path, bytes)?)
        }),
        Change::new("an empty file filled", |root| {
            Ok(fs::write(root.join("empty"), "x")?)
        }),
        Change::new("a file replaced by a folder", |root| {
            fs::remove_file(root.join("sub-x"))?;
            put(&root.join("sub-x/file"), b"beside\n")
        }),
        Change::new("a file replaced by a link to its twin", |root| {
            fs::rename(root.join("config.json"), root.join("README.md"))?;
            Ok(symlink("README.md", root.join("config.json"))?)
        }),
    ];
    for (name, _) in model_files() {
        changes.push(Change::new(&format!("{name} removed"), move |root| {
            Ok(fs::remove_file(root.join(name))?)
        }));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Scratch;
    use std::collections::BTreeMap;

    fn snapshot(root: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut seen = BTreeMap::new();
        let mut open = vec![root.to_path_buf()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                if path.is_symlink() {
                    seen.insert(name, b"link".to_vec());
                } else if path.is_dir() {
                    open.push(path);
                } else {
                    seen.insert(name, fs::read(&path).unwrap());
                }
            }
        }
        seen
    }

    #[test]
    fn every_change_changes_something() {
        let changes: Vec<Change> = byte_changes()
            .into_iter()
            .chain(structural_changes())
            .collect();
        assert!(changes.len() > 80);
        for change in changes {
            let scratch = Scratch::new("tree").unwrap();
            write(scratch.path(), &model_files()).unwrap();
            let before = snapshot(scratch.path());
            (change.apply)(scratch.path()).unwrap();
            assert_ne!(before, snapshot(scratch.path()), "{}", change.name);
        }
    }
}
