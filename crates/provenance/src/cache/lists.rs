//! What a folder that was hashed before consisted of: its file list, under the digest it proves.
//!
//! A statement names a folder by one digest. When a folder turns out to be another one, the list
//! of the old one tells which files differ. A list that is read is hashed again and has to give
//! the digest that it was asked for: it proves itself, wherever it lay in between.
//!
//! It explains and never decides; where there is none, only the names of the files are missing.
//! Names of files may be personal data, so they stay here and out of statements.

use std::fmt::Write as _;
use std::path::PathBuf;

use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::oms::{Manifest, ManifestBuilder, Method, Serialization};

use super::{Cache, read_private, store};

/// Largest list, some 40,000 files. A larger folder is only named as a whole.
const MAX_LIST: usize = 4 << 20;
/// Most lists; the one written longest ago goes first.
const MAX_LISTS: usize = 256;
const SUFFIX: &str = "files";

impl Cache {
    /// Returns the files of the folder that these digests name, if it was hashed with this cache
    /// before and its list is still there.
    pub fn files_of(&self, folder: &DigestSet) -> Option<Manifest> {
        let digest = Digest::from_hex(Algorithm::Sha256, folder.get_raw("dirHash")?).ok()?;
        decode(&read_private(&self.list_path(&digest), MAX_LIST)?, &digest)
    }

    /// Keeps the list of a folder's files. A list that cannot be written is missed later, and
    /// does no other harm.
    pub(crate) fn keep_files(&self, files: &Manifest) {
        let Some(digest) = files.dir_hash() else {
            return;
        };
        let path = self.list_path(&digest);
        if path.exists() {
            return;
        }
        if let Some(text) = encode(files) {
            store(&path, text.as_bytes(), (SUFFIX, MAX_LISTS));
        }
    }

    fn list_path(&self, digest: &Digest) -> PathBuf {
        let name = format!("{}.{SUFFIX}", digest.to_hex());
        self.folder.join("trees").join(name)
    }
}

// The lines over which a `dirHash` is taken, so that the whole list has that very digest.
fn encode(files: &Manifest) -> Option<String> {
    let mut text = String::new();
    for file in files.iter() {
        writeln!(text, "{}  {}", file.digest().to_hex(), file.path()).ok()?;
        if text.len() > MAX_LIST {
            return None;
        }
    }
    Some(text)
}

fn decode(bytes: &[u8], wanted: &Digest) -> Option<Manifest> {
    let mut files =
        ManifestBuilder::new(Serialization::new(Method::Files, Algorithm::Sha256).ok()?);
    let text = std::str::from_utf8(bytes).ok()?;
    for line in text.strip_suffix('\n')?.split('\n') {
        let (hex, path) = line.split_once("  ")?;
        let digest = Digest::from_hex(Algorithm::Sha256, hex).ok()?;
        files.push_file(path, &digest).ok()?;
    }
    let files = files.finish().ok()?;
    (files.dir_hash() == Some(*wanted)).then_some(files)
}

/// Entry for fuzzing: any bytes as a list. What is accepted has the digest it is kept under.
#[doc(hidden)]
pub fn fuzz_list(data: &[u8]) {
    let wanted = Algorithm::Sha256.digest(data);
    if let Some(files) = decode(data, &wanted) {
        let again = encode(&files).unwrap_or_default();
        assert_eq!(again.as_bytes(), data, "a list is not what was written");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use custos_core::clock::{FixedClock, Timestamp};
    use custos_core::oms::compare;
    use proptest::prelude::*;

    use super::*;
    use crate::hash::{HashOptions, artifact_digest};

    struct Scene {
        home: tempfile::TempDir,
        tree: tempfile::TempDir,
        cache: Cache,
    }

    impl Scene {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1_795_000_000)));
            let cache = Cache::new(home.path().join("cache"), clock);
            let tree = tempfile::tempdir().unwrap();
            let scene = Self { home, tree, cache };
            scene.write("images/a b.png", "1");
            scene.write("images/é  z.png", "2");
            scene.write("labels.csv", "3");
            scene
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.tree.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn digest(&self) -> (DigestSet, Manifest) {
            let options = HashOptions::default().with_cache(&self.cache);
            let found = artifact_digest(self.tree.path(), &options, &()).unwrap();
            (found.digest, found.manifest.unwrap())
        }

        fn list(&self) -> PathBuf {
            let mut lists = fs::read_dir(self.home.path().join("cache/trees")).unwrap();
            lists.next().unwrap().unwrap().path()
        }
    }

    #[test]
    fn the_files_of_a_folder_that_was_hashed_are_told() {
        let scene = Scene::new();
        let (before, _) = scene.digest();
        scene.write("images/a b.png", "2");
        scene.write("images/é  z.png", "1");
        scene.write("more.csv", "");
        fs::remove_file(scene.tree.path().join("labels.csv")).unwrap();
        let (after, now) = scene.digest();
        // Two contents changed places: the root digest over sorted digests would not tell.
        assert_ne!(before, after);
        let was = scene.cache.files_of(&before).unwrap();
        let found = compare(&was, &now, 10).unwrap();
        let told: Vec<String> = found.list.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "images/a b.png: changed",
                "images/é  z.png: changed",
                "labels.csv: missing",
                "more.csv: not part of what was signed",
            ]
        );
    }

    #[test]
    fn a_list_that_does_not_prove_itself_is_none() {
        let scene = Scene::new();
        let (digest, _) = scene.digest();
        let text = fs::read_to_string(scene.list()).unwrap();
        for forged in [
            text.replace("labels", "Labels"),
            text.replacen('a', "b", 1),
            text.trim_end().to_owned(),
            String::new(),
            "\n".to_owned(),
        ] {
            fs::write(scene.list(), &forged).unwrap();
            assert!(scene.cache.files_of(&digest).is_none(), "{forged}");
        }
        fs::write(scene.list(), &text).unwrap();
        assert!(scene.cache.files_of(&digest).is_some());
    }

    #[test]
    fn a_digest_is_no_path() {
        let scene = Scene::new();
        let (mut digest, _) = scene.digest();
        fs::write(scene.home.path().join("x.files"), "").unwrap();
        for odd in ["", "../../x", "..", "/etc/passwd", "AA"] {
            digest.insert_raw("dirHash", odd);
            assert!(scene.cache.files_of(&digest).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_name_with_a_line_feed_and_a_list_that_is_too_long_are_not_kept() {
        let scene = Scene::new();
        scene.write("two\nlines", "");
        scene.digest();
        assert!(!scene.home.path().join("cache/trees").exists());
        let form = Serialization::new(Method::Files, Algorithm::Sha256).unwrap();
        let mut long = ManifestBuilder::new(form);
        let digest = Algorithm::Sha256.digest(b"");
        for number in 0..=MAX_LIST / 200 {
            let name = format!("{number:0134}");
            long.push_file(&name, &digest).unwrap();
        }
        scene.cache.keep_files(&long.finish().unwrap());
        assert!(!scene.home.path().join("cache/trees").exists());
    }

    #[test]
    fn old_lists_make_room() {
        let scene = Scene::new();
        let mut digests = Vec::new();
        for number in 0..MAX_LISTS + 3 {
            scene.write("labels.csv", &number.to_string());
            digests.push(scene.digest().0);
        }
        let lists = fs::read_dir(scene.home.path().join("cache/trees")).unwrap();
        assert_eq!(lists.count(), MAX_LISTS);
        assert!(scene.cache.files_of(digests.last().unwrap()).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_list_or_not(text in "([0-9a-f]{64}  [a-c/]{1,4}\n){0,3}") {
            fuzz_list(text.as_bytes());
        }
    }
}
