use std::fs;
use std::os::unix::fs::{FileExt as _, symlink};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use custos_core::oms::{
    Difference, DifferenceKind, Exclusions, ManifestBuilder, Order, SignedManifest,
};
use custos_core::statement::Statement;
use proptest::prelude::*;

use super::*;
use crate::tree::Root;

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn shards(size: u64) -> HashOptions<'static> {
    HashOptions::default().with_shards(NonZeroU64::new(size).unwrap())
}

fn signed(folder: &tempfile::TempDir, options: &HashOptions<'_>) -> Manifest {
    manifest(folder.path(), options, &()).unwrap().manifest
}

fn differences(path: &Path, signed: &Manifest, options: &VerifyOptions<'_>) -> Vec<Difference> {
    let report = verify(path, signed, options, &()).unwrap();
    assert_eq!(report.differences.list.len(), report.differences.total);
    report.differences.list
}

fn kinds(path: &Path, signed: &Manifest) -> Vec<(String, DifferenceKind)> {
    let found = differences(path, signed, &VerifyOptions::default());
    found
        .into_iter()
        .map(|difference| (difference.path, difference.kind))
        .collect()
}

/// The trees and statements that the reference client wrote (testdata/oms/README.md): each is
/// hashed here to the same resources, and verifies.
#[test]
fn the_reference_client_and_we_agree() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/oms");
    let mut count = 0;
    for entry in fs::read_dir(cases).unwrap() {
        let case = entry.unwrap().path();
        let Ok(tree) = fs::read(case.join("tree.json")) else {
            continue;
        };
        let tree: std::collections::BTreeMap<String, String> =
            serde_json::from_slice(&tree).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let mut root = scratch.path().join("model");
        for (name, text) in &tree {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let statement = Statement::parse(&fs::read(case.join("statement.json")).unwrap()).unwrap();
        let signed = SignedManifest::from_statement(&statement).unwrap();
        if signed.manifest.is_bare_file() {
            root = root.join(tree.keys().next().unwrap());
        }
        assert_eq!(kinds(&root, &signed.manifest), [], "{}", case.display());
        // And a changed byte is seen.
        let victim = signed.manifest.paths().next().unwrap();
        let victim = if signed.manifest.is_bare_file() {
            root.clone()
        } else {
            root.join(victim)
        };
        let text = fs::read(&victim).unwrap();
        fs::write(&victim, vec![b'?'; text.len()]).unwrap();
        assert!(
            matches!(
                kinds(&root, &signed.manifest)[0].1,
                DifferenceKind::Changed { .. }
            ),
            "{}",
            case.display()
        );
        count += 1;
    }
    assert_eq!(count, 8);
}

#[test]
fn digests_are_those_of_the_bytes() {
    let content = [("a", &b"abc"[..]), ("d/empty", b""), ("d/z", b"z")];
    let folder = folder(&content);
    for algorithm in [Algorithm::Sha256, Algorithm::Blake2b, Algorithm::Blake3] {
        let options = HashOptions::default().with_algorithm(algorithm);
        let hashed = manifest(folder.path(), &options, &()).unwrap();
        for ((name, bytes), resource) in content.iter().zip(hashed.manifest.iter()) {
            assert_eq!(resource.name(), *name);
            assert_eq!(*resource.digest(), algorithm.digest(bytes));
        }
        assert_eq!((hashed.files, hashed.bytes, hashed.from_cache), (3, 4, 0));
        assert!(
            hashed
                .digest
                .contains(&hashed.manifest.root_digest_in(Order::CodePoint))
        );
    }
    let sha384 = HashOptions::default().with_algorithm(Algorithm::Sha384);
    let error = manifest(folder.path(), &sha384, &()).unwrap_err();
    assert!(matches!(
        error,
        HashError::Manifest(OmsError::UnknownHash { .. })
    ));
}

#[test]
fn an_artifact_has_one_name() {
    let folder = folder(&[("a", b"abc"), ("d/z", b"z")]);
    let odd = shards(2).with_algorithm(Algorithm::Blake3);
    let tree = artifact_digest(folder.path(), &odd, &()).unwrap();
    assert_eq!(tree.kind, ArtifactKind::Tree);
    assert_eq!(
        tree.digest,
        signed(&folder, &HashOptions::default()).digest_set()
    );
    let lines = format!(
        "{}  a\n{}  d/z\n",
        Algorithm::Sha256.digest(b"abc").to_hex(),
        Algorithm::Sha256.digest(b"z").to_hex()
    );
    let dir_hash = Algorithm::Sha256.digest(lines.as_bytes()).to_hex();
    assert_eq!(tree.digest.get_raw("dirHash"), Some(dir_hash.as_str()));
    let file = artifact_digest(&folder.path().join("a"), &odd, &()).unwrap();
    assert_eq!(file.kind, ArtifactKind::File);
    assert_eq!(
        file.digest,
        DigestSet::from(Algorithm::Sha256.digest(b"abc"))
    );
    assert_eq!((file.manifest, file.bytes), (None, 3));
}

#[test]
fn empty_models_are_rejected() {
    let empty = folder(&[(".git/config", b"x")]);
    let error = manifest(empty.path(), &HashOptions::default(), &()).unwrap_err();
    assert_eq!(error, HashError::Manifest(OmsError::Empty));
    // Files without bytes are files, but have no range.
    let hollow = folder(&[("a", b""), ("b", b"")]);
    assert_eq!(signed(&hollow, &HashOptions::default()).len(), 2);
    let error = manifest(hollow.path(), &shards(10), &()).unwrap_err();
    assert_eq!(error, HashError::Manifest(OmsError::Empty));
}

#[test]
fn large_files_are_hashed_in_parts_to_the_same_digest() {
    let at = |offset: u64| usize::try_from(offset).unwrap();
    let content: Vec<u8> = (0..40_u32 << 18)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let folder = folder(&[("large", &content[..]), ("small", b"s"), ("empty", b"")]);
    let threads = |options: HashOptions<'static>, threads| HashOptions {
        threads: NonZeroUsize::new(threads),
        ..options
    };
    for count in [1, 2, 5] {
        let options = threads(
            HashOptions::default().with_algorithm(Algorithm::Blake3),
            count,
        );
        let manifest = signed(&folder, &options);
        assert_eq!(
            *manifest.get(1).unwrap().digest(),
            Algorithm::Blake3.digest(&content)
        );
        for algorithm in [Algorithm::Sha256, Algorithm::Blake3] {
            let options = threads(shards(19 << 20), count).with_algorithm(algorithm);
            let manifest = signed(&folder, &options);
            let large: Vec<_> = manifest.iter().filter(|r| r.path() == "large").collect();
            assert_eq!(large.len(), 3);
            for resource in large {
                let range = resource.range().unwrap();
                let part = &content[at(range.start)..at(range.end)];
                assert_eq!(*resource.digest(), algorithm.digest(part));
            }
        }
    }
}

#[test]
fn holes_count_as_zeros() {
    let folder = folder(&[]);
    let size = 24_u64 << 20;
    let (sparse, dense) = (folder.path().join("sparse"), folder.path().join("zdense"));
    let file = fs::File::create(&sparse).unwrap();
    file.set_len(size).unwrap();
    file.write_all_at(b"in the middle", size / 2 + 5).unwrap();
    drop(file);
    fs::write(&dense, fs::read(&sparse).unwrap()).unwrap();
    for algorithm in [Algorithm::Sha256, Algorithm::Blake3] {
        for options in [HashOptions::default(), shards(7_000_000)] {
            let manifest = signed(&folder, &options.with_algorithm(algorithm));
            let digests: Vec<_> = manifest.iter().map(|r| *r.digest()).collect();
            let (first, second) = digests.split_at(digests.len() / 2);
            assert_eq!(first, second);
        }
    }
}

/// Does something once, at the first bytes that are hashed.
struct Once<F: Fn() + Sync>(AtomicBool, F);

impl<F: Fn() + Sync> Progress for Once<F> {
    fn advances(&self, bytes: u64, _: u64) {
        if bytes > 0 && !self.0.swap(true, Ordering::SeqCst) {
            (self.1)();
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_hashed() {
    let content = vec![7_u8; 1 << 20];
    let open = |path: &Path| fs::OpenOptions::new().write(true).open(path).unwrap();
    let longer = |path: &Path| open(path).set_len(2 << 20).unwrap();
    let shorter = |path: &Path| open(path).set_len(10).unwrap();
    // Same size, and the old time of modification set again.
    let disguised = |path: &Path| {
        let before = fs::metadata(path).unwrap();
        let file = open(path);
        until_stamped(path, || {
            file.write_all_at(b"!", 5).unwrap();
            file.set_modified(before.modified().unwrap()).unwrap();
        });
    };
    let replaced = |path: &Path| {
        fs::write(path.with_extension("new"), vec![7_u8; 1 << 20]).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    let removed = |path: &Path| fs::remove_file(path).unwrap();
    let deeds: [&(dyn Fn(&Path) + Sync); 5] = [&longer, &shorter, &disguised, &replaced, &removed];
    for deed in deeds {
        for options in [HashOptions::default(), shards(300_000)] {
            let folder = folder(&[("w", &content[..])]);
            let path = folder.path().join("w");
            wait_for_a_tick(&path);
            let hook = Once(AtomicBool::new(false), || deed(&path));
            let error = manifest(folder.path(), &options, &hook).unwrap_err();
            // A range that is opened after the removal finds no file.
            let gone = HashError::Tree(TreeError::Vanished { path: "w".into() });
            let expected = HashError::ChangedWhileHashing { path: "w".into() };
            assert!(error == expected || error == gone, "{error:?}");
        }
    }
}

/// Does `change` until the kernel's clock has gone on, so that it shows in the file's times.
fn until_stamped(path: &Path, change: impl Fn()) {
    let before = Root::at(path).unwrap().open("").unwrap().stamp().unwrap();
    loop {
        change();
        let now = Root::at(path).unwrap().open("").unwrap().stamp().unwrap();
        if now != before {
            return;
        }
    }
}

/// Returns when the kernel would stamp a change of the file with another time.
fn wait_for_a_tick(path: &Path) {
    let probe = path.with_extension("probe");
    until_stamped(path, || {
        fs::write(&probe, "").unwrap();
        fs::set_permissions(path, fs::metadata(path).unwrap().permissions()).unwrap();
    });
    fs::remove_file(probe).unwrap();
}

#[test]
fn what_changes_between_listing_and_hashing() {
    let outside = folder(&[("secret", b"top")]);
    let list_of =
        |folder: &tempfile::TempDir| tree::scan(folder.path(), &tree::Options::default()).unwrap();
    let hash = |list: &FileList| {
        let run = Run {
            progress: &(),
            began: None,
            trust: Trust::Signing,
        };
        manifest_of(list, &HashOptions::default(), &run).map(|hashed| hashed.files)
    };
    let tree = folder(&[("a", b"1"), ("d/b", b"2")]);
    let list = list_of(&tree);
    assert_eq!(hash(&list), Ok(2));
    // Gone.
    fs::remove_file(tree.path().join("a")).unwrap();
    let vanished = |path: &str| TreeError::Vanished { path: path.into() }.into();
    assert_eq!(hash(&list), Err(vanished("a")));
    // A link in its place, and a folder above it swapped for a link out of the tree.
    symlink(outside.path().join("secret"), tree.path().join("a")).unwrap();
    assert_eq!(
        hash(&list),
        Err(TreeError::Link { path: "a".into() }.into())
    );
    fs::remove_file(tree.path().join("a")).unwrap();
    fs::rename(tree.path().join("d"), outside.path().join("d")).unwrap();
    symlink(outside.path().join("d"), tree.path().join("d")).unwrap();
    let tree_b = folder(&[("d/b", b"2")]);
    let list = list_of(&tree_b);
    fs::rename(tree_b.path().join("d"), outside.path().join("e")).unwrap();
    symlink(outside.path().join("e"), tree_b.path().join("d")).unwrap();
    assert_eq!(
        hash(&list),
        Err(TreeError::Link { path: "d/b".into() }.into())
    );
    // A pipe in its place does not make us wait for a writer.
    let tree = folder(&[("a", b"1")]);
    let list = list_of(&tree);
    fs::remove_file(tree.path().join("a")).unwrap();
    let folder = fs::File::open(tree.path()).unwrap();
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(&folder, "a", kind, mode, 0).unwrap();
    assert_eq!(
        hash(&list),
        Err(HashError::ChangedWhileHashing { path: "a".into() })
    );
}

#[derive(Default)]
struct Count {
    ahead: AtomicU64,
    files_ahead: AtomicU64,
    bytes: AtomicU64,
    files: AtomicU64,
    cancel_at: Option<u64>,
}

impl Progress for Count {
    fn begins(&self, bytes: u64, files: u64) {
        self.ahead.fetch_add(bytes, Ordering::SeqCst);
        self.files_ahead.fetch_add(files, Ordering::SeqCst);
    }

    fn advances(&self, bytes: u64, files: u64) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.files.fetch_add(files, Ordering::SeqCst);
    }

    fn is_cancelled(&self) -> bool {
        self.cancel_at
            .is_some_and(|at| self.bytes.load(Ordering::SeqCst) >= at)
    }
}

#[test]
fn progress_adds_up_and_can_end_it() {
    let large = vec![1_u8; 3 << 20];
    let folder = folder(&[("a", &large[..]), ("b", b"2"), ("c", b"")]);
    for options in [HashOptions::default(), shards(1 << 20)] {
        let count = Count::default();
        manifest(folder.path(), &options, &count).unwrap();
        let total = |n: &AtomicU64| n.load(Ordering::SeqCst);
        assert_eq!(total(&count.bytes), (3 << 20) + 1);
        assert_eq!(total(&count.ahead), total(&count.bytes));
        // Under shards the file without bytes is no work.
        let files = if options.method == Method::Files {
            3
        } else {
            2
        };
        assert_eq!(
            (total(&count.files_ahead), total(&count.files)),
            (files, files)
        );
        let cancelling = Count {
            cancel_at: Some(1 << 20),
            ..Count::default()
        };
        let error = manifest(folder.path(), &options, &cancelling).unwrap_err();
        assert_eq!(error, HashError::Cancelled);
    }
}

#[test]
fn every_difference_is_named() {
    let tree = folder(&[("a", b"1"), ("b", b"2"), ("d/c", b"3")]);
    let signed = signed(&tree, &HashOptions::default());
    assert_eq!(kinds(tree.path(), &signed), []);
    fs::write(tree.path().join("a"), "x").unwrap();
    fs::rename(tree.path().join("b"), tree.path().join("b2")).unwrap();
    let found = kinds(tree.path(), &signed);
    assert!(matches!(&found[0], (path, DifferenceKind::Changed { .. }) if path == "a"));
    assert_eq!(
        found[1..],
        [
            ("b".into(), DifferenceKind::Missing),
            ("b2".into(), DifferenceKind::Unlisted)
        ]
    );
    // Ignoring what is unlisted does not ignore what is listed.
    let options = VerifyOptions::default().ignoring_unlisted();
    let report = verify(tree.path(), &signed, &options, &()).unwrap();
    assert_eq!(
        (report.differences.total, report.passed_over, report.files),
        (2, 1, 2)
    );
    let few = VerifyOptions {
        max_differences: 1,
        ..VerifyOptions::default()
    };
    let report = verify(tree.path(), &signed, &few, &()).unwrap();
    assert_eq!(
        (report.differences.list.len(), report.differences.total),
        (1, 3)
    );
}

#[test]
fn a_link_in_a_model_without_links_is_a_difference() {
    let tree = folder(&[("a", b"1"), ("b", b"2")]);
    let signed = signed(&tree, &HashOptions::default());
    fs::rename(tree.path().join("b"), tree.path().join("a2")).unwrap();
    symlink("a2", tree.path().join("b")).unwrap();
    assert_eq!(
        kinds(tree.path(), &signed),
        [
            ("a2".into(), DifferenceKind::Unlisted),
            ("b".into(), DifferenceKind::Link)
        ]
    );
}

#[test]
fn links_are_verified_as_they_were_signed() {
    let outside = folder(&[("w", b"weights")]);
    let tree = folder(&[("a", b"1")]);
    symlink("a", tree.path().join("link")).unwrap();
    let walk = tree::Options::default().with_links(Links::Follow);
    let manifest = signed(&tree, &HashOptions::default().with_tree(walk));
    assert!(manifest.serialization().allow_symlinks());
    assert_eq!(kinds(tree.path(), &manifest), []);
    fs::remove_file(tree.path().join("link")).unwrap();
    symlink(outside.path().join("w"), tree.path().join("link")).unwrap();
    assert_eq!(
        kinds(tree.path(), &manifest),
        [("link".into(), DifferenceKind::LinkOutside)]
    );
    let walk = tree::Options::default().with_links(Links::FollowOutside);
    let hashed = super::manifest(tree.path(), &HashOptions::default().with_tree(walk), &());
    let hashed = hashed.unwrap();
    assert_eq!(hashed.outside, ["link"]);
    let options = VerifyOptions {
        links_outside: true,
        ..VerifyOptions::default()
    };
    assert_eq!(differences(tree.path(), &hashed.manifest, &options), []);
}

#[test]
fn shards_and_files_without_bytes() {
    let tree = folder(&[("a", b"0123456789"), ("empty", b"")]);
    let manifest = signed(&tree, &shards(4));
    assert_eq!(manifest.len(), 3);
    // Neither its presence, nor its absence, nor another one says anything.
    assert_eq!(kinds(tree.path(), &manifest), []);
    fs::rename(tree.path().join("empty"), tree.path().join("other")).unwrap();
    assert_eq!(kinds(tree.path(), &manifest), []);
    fs::write(tree.path().join("other"), "1").unwrap();
    assert_eq!(
        kinds(tree.path(), &manifest),
        [("other".into(), DifferenceKind::Unlisted)]
    );
    fs::remove_file(tree.path().join("other")).unwrap();
    for (content, found) in [(&b"012345678"[..], 9), (b"", 0), (b"0123456789ab", 12)] {
        fs::write(tree.path().join("a"), content).unwrap();
        let kind = DifferenceKind::Length {
            expected: 10,
            found,
        };
        assert_eq!(kinds(tree.path(), &manifest), [("a".into(), kind)]);
    }
    fs::write(tree.path().join("a"), "0123x56789").unwrap();
    let found = kinds(tree.path(), &manifest);
    assert!(
        matches!(&found[..], [(_, DifferenceKind::Changed { range: Some(range), .. })] if *range == (4..8)),
        "{found:?}"
    );
    fs::remove_file(tree.path().join("a")).unwrap();
    assert_eq!(
        kinds(tree.path(), &manifest),
        [("a".into(), DifferenceKind::Missing)]
    );
}

#[test]
fn what_is_left_out_is_shown_and_what_is_listed_is_checked() {
    let tree = folder(&[
        ("a", b"1"),
        (".git/hook", b"2"),
        ("cache/x", b"3"),
        ("model.sig", b"s"),
    ]);
    let mut walk = tree::Options::default();
    walk.exclusions
        .add(&custos_core::oms::TreePath::new("cache").unwrap())
        .unwrap();
    let manifest = signed(&tree, &HashOptions::default().with_tree(walk));
    assert_eq!(manifest.paths().collect::<Vec<_>>(), ["a"]);
    let report = verify(tree.path(), &manifest, &VerifyOptions::default(), &()).unwrap();
    assert!(report.differences.is_empty());
    assert!(report.left_out.contains(&"cache".to_owned()));
    // A signer that lists what others leave out is held to it.
    let walk = tree::Options {
        exclusions: Exclusions::none(),
        ..tree::Options::default()
    };
    let all = signed(&tree, &HashOptions::default().with_tree(walk));
    assert_eq!(all.len(), 4);
    assert_eq!(kinds(tree.path(), &all), []);
    fs::write(tree.path().join(".git/hook"), "x").unwrap();
    assert!(
        matches!(&kinds(tree.path(), &all)[..], [(path, DifferenceKind::Changed { .. })]
        if path == ".git/hook")
    );
    fs::remove_dir_all(tree.path().join(".git")).unwrap();
    assert_eq!(
        kinds(tree.path(), &all),
        [(".git/hook".into(), DifferenceKind::Missing)]
    );
}

#[test]
fn a_signature_beside_the_files_is_left_out_by_its_path() {
    let tree = folder(&[("a", b"1")]);
    let manifest = signed(&tree, &HashOptions::default());
    let signature = tree.path().join("my.sigstore.json");
    fs::write(&signature, "{}").unwrap();
    let unlisted = ("my.sigstore.json".into(), DifferenceKind::Unlisted);
    assert_eq!(kinds(tree.path(), &manifest), [unlisted]);
    let options = VerifyOptions::default().leaving_out(&signature);
    assert_eq!(differences(tree.path(), &manifest, &options), []);
}

#[test]
fn a_single_file_goes_by_its_basename() {
    let tree = folder(&[("one.bin", b"1")]);
    let path = tree.path().join("one.bin");
    let manifest = manifest(&path, &HashOptions::default(), &())
        .unwrap()
        .manifest;
    assert_eq!(manifest.paths().collect::<Vec<_>>(), ["one.bin"]);
    assert_eq!(kinds(&path, &manifest), []);
    fs::rename(&path, tree.path().join("two.bin")).unwrap();
    assert_eq!(kinds(&tree.path().join("two.bin"), &manifest).len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_hashed_tree_verifies_and_any_changed_byte_shows(
        files in proptest::collection::btree_map("[a-c]{1,2}(:[0-9]|/[d-f]{1,2})?",
            proptest::collection::vec(any::<u8>(), 1..40), 1..8),
        shard in 0_u64..20, victim in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
    ) {
        let beneath = |a: &String| files.keys().any(|b| b.starts_with(&format!("{a}/")));
        prop_assume!(!files.keys().any(beneath));
        let list: Vec<(&str, &[u8])> =
            files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let tree = folder(&list);
        let options = if shard == 0 { HashOptions::default() } else { shards(shard) };
        let manifest = signed(&tree, &options);
        prop_assert_eq!(kinds(tree.path(), &manifest), []);
        // The same listing, put together by hand.
        let mut builder = ManifestBuilder::new(manifest.serialization().clone());
        for (name, bytes) in &list {
            if shard == 0 {
                builder.push_file(name, &Algorithm::Sha256.digest(bytes)).unwrap();
            } else {
                let mut start = 0;
                for part in bytes.chunks(usize::try_from(shard).unwrap()) {
                    let end = start + part.len() as u64;
                    builder.push_range(name, start..end, &Algorithm::Sha256.digest(part)).unwrap();
                    start = end;
                }
            }
        }
        prop_assert_eq!(builder.finish().unwrap(), manifest.clone());
        let (name, bytes) = list[victim.index(list.len())];
        let mut changed = bytes.to_vec();
        let at = at.index(changed.len());
        changed[at] ^= 1;
        fs::write(tree.path().join(name), changed).unwrap();
        let found = kinds(tree.path(), &manifest);
        let one = matches!(&found[..], [(path, DifferenceKind::Changed { .. })] if path == name);
        prop_assert!(one, "{:?}", found);
    }
}
