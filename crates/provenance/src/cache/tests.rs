use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::AtomicI64;
use std::time::{SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::hash::{HashOptions, Hashed, Progress, manifest};

/// The system's clock, some time later: files that were just written look settled.
struct Later(AtomicI64);

impl Clock for Later {
    #[allow(
        clippy::disallowed_methods,
        reason = "compared with times that the kernel sets"
    )]
    fn now(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_micros()).unwrap();
        Timestamp::from_micros(now + self.0.load(Ordering::SeqCst))
    }
}

struct Scene {
    tree: tempfile::TempDir,
    home: tempfile::TempDir,
    clock: Arc<Later>,
    cache: Cache,
}

const HOUR: i64 = 3_600_000_000;

impl Scene {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(tree.path().join(name), text).unwrap();
        }
        let home = tempfile::tempdir().unwrap();
        let clock = Arc::new(Later(AtomicI64::new(HOUR)));
        let cache = Cache::new(home.path().join("cache"), clock.clone());
        Self {
            tree,
            home,
            clock,
            cache,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.tree.path().join(name)
    }

    fn hash(&self) -> (Hashed, Vec<u64>) {
        let seen = Seen::default();
        let options = HashOptions::default().with_cache(&self.cache);
        let hashed = manifest(self.tree.path(), &options, &seen).unwrap();
        let read = seen.0.into_inner().unwrap();
        (hashed, read)
    }

    /// Hashes with the cache and without, which must agree; returns files and bytes read.
    fn read(&self) -> (u64, u64) {
        let plain = manifest(self.tree.path(), &HashOptions::default(), &()).unwrap();
        let (hashed, read) = self.hash();
        assert_eq!(hashed.manifest, plain.manifest, "the cache was fooled");
        assert_eq!(read[1] + hashed.from_cache, hashed.files);
        (read[1], read[0])
    }

    fn shelf(&self) -> PathBuf {
        let mut files = fs::read_dir(self.home.path().join("cache")).unwrap();
        files.next().unwrap().unwrap().path()
    }

    fn stamp(&self, name: &str) -> Stamp {
        let list = crate::tree::scan(&self.path(name), &crate::tree::Options::default()).unwrap();
        *list.files()[0].stamp()
    }

    /// Does `change` until the kernel stamps it with another time than before.
    fn change(&self, name: &str, mut change: impl FnMut(&Path)) {
        let before = self.stamp(name).changed;
        while self.stamp(name).changed == before {
            change(&self.path(name));
        }
    }
}

/// Bytes and files that the run set out to read.
#[derive(Default)]
struct Seen(std::sync::Mutex<Vec<u64>>);

impl Progress for Seen {
    fn begins(&self, bytes: u64, files: u64) {
        *self.0.lock().unwrap() = vec![bytes, files];
    }

    fn advances(&self, _: u64, _: u64) {}
}

#[test]
fn only_changed_files_are_read() {
    let scene = Scene::new(&[("a", "one"), ("b", "four"), ("c", "")]);
    assert_eq!(scene.read(), (3, 7));
    assert_eq!(scene.read(), (0, 0));
    scene.change("b", |path| fs::write(path, "three").unwrap());
    assert_eq!(scene.read(), (1, 5));
    assert_eq!(scene.read(), (0, 0));
    // A new file is read, a removed one forgotten.
    fs::write(scene.path("d"), "new").unwrap();
    fs::remove_file(scene.path("a")).unwrap();
    assert_eq!(scene.read(), (1, 3));
    assert_eq!(scene.read(), (0, 0));
}

#[test]
fn same_size_and_restored_time_do_not_fool_it() {
    let scene = Scene::new(&[("a", "good"), ("b", "else")]);
    scene.read();
    let time = fs::metadata(scene.path("a")).unwrap().modified().unwrap();
    scene.change("a", |path| {
        let file = fs::File::create(path).unwrap();
        std::io::Write::write_all(&mut &file, b"evil").unwrap();
        file.set_modified(time).unwrap();
    });
    assert_eq!(
        fs::metadata(scene.path("a")).unwrap().modified().unwrap(),
        time
    );
    assert_eq!(scene.read(), (1, 4));
}

#[test]
fn swapped_and_replaced_files_do_not_fool_it() {
    let scene = Scene::new(&[("a", "good"), ("b", "evil")]);
    let time = fs::metadata(scene.path("a")).unwrap().modified().unwrap();
    fs::File::options()
        .write(true)
        .open(scene.path("b"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    scene.read();
    // The two change places: names, sizes and times of modification stay as they were.
    fs::rename(scene.path("a"), scene.path("t")).unwrap();
    fs::rename(scene.path("b"), scene.path("a")).unwrap();
    fs::rename(scene.path("t"), scene.path("b")).unwrap();
    scene.read();
    // Another file, perhaps with the inode that became free.
    for _ in 0..50 {
        fs::remove_file(scene.path("a")).unwrap();
        fs::write(scene.path("a"), "EVIL").unwrap();
        fs::File::options()
            .write(true)
            .open(scene.path("a"))
            .unwrap()
            .set_modified(time)
            .unwrap();
        let settled = scene.stamp("a").changed;
        scene.change("a", |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        });
        assert_ne!(scene.stamp("a").changed, settled);
        scene.read();
    }
}

#[test]
fn what_was_just_written_is_not_kept() {
    let scene = Scene::new(&[("a", "good")]);
    // At the time of the file's own last change, as far as the clock tells.
    scene.clock.0.store(0, Ordering::SeqCst);
    assert_eq!(scene.read(), (1, 4));
    assert_eq!(
        scene.read(),
        (1, 4),
        "a change in the same tick would not show"
    );
    scene.clock.0.store(HOUR, Ordering::SeqCst);
    assert_eq!(scene.read(), (1, 4));
    assert_eq!(scene.read(), (0, 0));
}

#[test]
fn a_clock_that_was_set_back_ends_all_trust() {
    let scene = Scene::new(&[("a", "good")]);
    scene.read();
    scene.clock.0.store(HOUR / 2, Ordering::SeqCst);
    assert_eq!(scene.read(), (1, 4));
    assert_eq!(scene.read(), (0, 0));
}

#[test]
fn a_write_through_a_mapping_shows() {
    let scene = Scene::new(&[("a", "good")]);
    scene.read();
    let script = "import mmap,sys\nwith open(sys.argv[1],'r+b') as f:\n \
                  with mmap.mmap(f.fileno(),0) as m: m[0:4]=b'evil'";
    scene.change("a", |path| {
        let status = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(path)
            .status();
        if !status.is_ok_and(|status| status.success()) {
            // Without Python there is no mapping here, as unsafe code is forbidden: an ordinary
            // write takes its place, and the test is that of any other change.
            fs::write(path, "evil").unwrap();
        }
    });
    assert_eq!(fs::read(scene.path("a")).unwrap(), b"evil");
    assert_eq!(scene.read(), (1, 4));
}

#[test]
fn a_broken_shelf_is_an_empty_one() {
    let scene = Scene::new(&[("a", "good"), ("b", "two")]);
    scene.read();
    let whole = fs::read(scene.shelf()).unwrap();
    let now = Timestamp::from_micros(i64::MAX);
    assert!(decode(whole.clone(), Algorithm::Sha256, now).is_some());
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        assert_eq!(decode(flipped, Algorithm::Sha256, now), None, "byte {at}");
        assert_eq!(
            decode(whole[..at].to_vec(), Algorithm::Sha256, now),
            None,
            "{at} bytes"
        );
    }
    assert_eq!(
        decode([&whole[..], b"x"].concat(), Algorithm::Sha256, now),
        None
    );
    // BLAKE2b digests are longer: the same bytes are not whole records.
    assert_eq!(decode(whole.clone(), Algorithm::Blake2b, now), None);
    for broken in [&b""[..], b"not a cache", &whole[..40]] {
        fs::write(scene.shelf(), broken).unwrap();
        assert_eq!(scene.read(), (2, 7));
        assert_eq!(scene.read(), (0, 0));
    }
}

#[test]
fn a_shelf_that_others_can_write_or_that_is_a_link_is_not_read() {
    let scene = Scene::new(&[("a", "good")]);
    scene.read();
    let shelf = scene.shelf();
    assert_eq!(fs::metadata(&shelf).unwrap().mode() & 0o777, 0o600);
    fs::set_permissions(&shelf, fs::Permissions::from_mode(0o620)).unwrap();
    assert_eq!(scene.read(), (1, 4));
    let moved = scene.home.path().join("moved");
    fs::rename(&shelf, &moved).unwrap();
    symlink(&moved, &shelf).unwrap();
    assert_eq!(scene.read(), (1, 4));
    // The link was replaced, not written through.
    assert!(fs::symlink_metadata(&shelf).unwrap().is_file());
}

#[test]
fn a_folder_that_cannot_be_written_costs_nothing_but_time() {
    let scene = Scene::new(&[("a", "good")]);
    fs::write(
        scene.home.path().join("cache"),
        "a file where the folder should be",
    )
    .unwrap();
    assert_eq!(scene.read(), (1, 4));
    assert_eq!(scene.read(), (1, 4));
}

#[test]
fn methods_do_not_share_digests() {
    let scene = Scene::new(&[("a", "0123456789")]);
    let size = |n| std::num::NonZeroU64::new(n).unwrap();
    let options = || HashOptions::default().with_cache(&scene.cache);
    for _ in 0..2 {
        for options in [
            options(),
            options().with_shards(size(4)),
            options().with_shards(size(5)),
            options().with_algorithm(Algorithm::Blake3),
            options().with_algorithm(Algorithm::Blake2b),
        ] {
            let cached = manifest(scene.tree.path(), &options, &()).unwrap();
            let plain = HashOptions {
                cache: None,
                ..options
            };
            let plain = manifest(scene.tree.path(), &plain, &()).unwrap();
            assert_eq!(cached.manifest, plain.manifest);
        }
    }
    assert_eq!(
        fs::read_dir(scene.home.path().join("cache"))
            .unwrap()
            .count(),
        5
    );
}

#[test]
fn only_the_changed_shard_is_not_enough_for_trust() {
    // A range has no times of its own: a changed file is read whole.
    let scene = Scene::new(&[("a", "0123456789"), ("b", "x")]);
    let size = std::num::NonZeroU64::new(4).unwrap();
    let options = HashOptions::default()
        .with_shards(size)
        .with_cache(&scene.cache);
    let run = || {
        let seen = Seen::default();
        manifest(scene.tree.path(), &options, &seen).unwrap();
        seen.0.into_inner().unwrap()
    };
    assert_eq!(run(), [11, 2]);
    assert_eq!(run(), [0, 0]);
    scene.change("a", |path| fs::write(path, "0123456780").unwrap());
    assert_eq!(run(), [10, 1]);
}

#[test]
fn single_files_share_a_shelf() {
    let scene = Scene::new(&[("a", "one"), ("b", "four")]);
    let options = HashOptions::default().with_cache(&scene.cache);
    let read = |name: &str| {
        manifest(&scene.path(name), &options, &())
            .unwrap()
            .from_cache
            == 0
    };
    assert!(read("a") && read("b"));
    assert!(!read("a") && !read("b"));
    scene.change("a", |path| fs::write(path, "ONE").unwrap());
    assert!(read("a"));
    assert!(!read("a") && !read("b"));
    assert_eq!(
        fs::read_dir(scene.home.path().join("cache"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn old_shelves_make_room() {
    let scene = Scene::new(&[("a", "one")]);
    let cache = scene.home.path().join("cache");
    fs::create_dir(&cache).unwrap();
    for index in 0..MAX_SHELVES + 10 {
        fs::write(cache.join(format!("{index}.{SUFFIX}")), "").unwrap();
    }
    fs::write(cache.join("something-else"), "").unwrap();
    scene.read();
    assert_eq!(fs::read_dir(&cache).unwrap().count(), MAX_SHELVES + 1);
    assert_eq!(scene.read(), (0, 0));
}

fn shelf_with(record_began: i64, trust: Trust, writes_back: bool) -> Shelf {
    let system = System { id: 9, writes_back };
    let mut shelf = Shelf {
        path: PathBuf::new(),
        algorithm: Algorithm::Sha256,
        began: Timestamp::from_micros(record_began),
        now: Timestamp::from_micros(record_began),
        trust,
        systems: HashMap::from([(1, system)]),
        keep_others: false,
        index: HashMap::new(),
        old: Vec::new(),
        new: Vec::new(),
        changed: false,
    };
    // Last changed at second 100.
    shelf.put(
        &Stamp::for_test(5, 10, 90, 100),
        &(0..10),
        &Algorithm::Sha256.digest(b"x"),
    );
    shelf.old = std::mem::take(&mut shelf.new);
    shelf.fill_index();
    shelf
}

#[test]
fn the_windows_are_exact() {
    let stamp = Stamp::for_test(5, 10, 90, 100);
    let second = 1_000_000;
    let kept = |began, trust, writes_back| {
        shelf_with(began, trust, writes_back)
            .find(&stamp, &(0..10))
            .is_some()
    };
    let at = 100 * second;
    assert!(!kept(at + WINDOW - 1, Trust::Signing, true));
    assert!(kept(at + WINDOW, Trust::Signing, true));
    // For verifying it must have been at rest for longer, and on a disk.
    assert!(!kept(at + SETTLED - 1, Trust::Verifying, true));
    assert!(kept(at + SETTLED, Trust::Verifying, true));
    assert!(!kept(at + SETTLED, Trust::Verifying, false));
    assert!(kept(at + SETTLED, Trust::Signing, false));
    // A file from the future is never kept.
    assert!(!kept(at - HOUR, Trust::Signing, true));
}

#[test]
fn each_field_counts() {
    let shelf = shelf_with(HOUR, Trust::Signing, true);
    let good = Stamp::for_test(5, 10, 90, 100);
    assert!(shelf.find(&good, &(0..10)).is_some());
    let bad = [
        Stamp { device: 2, ..good },
        Stamp { inode: 6, ..good },
        Stamp { size: 11, ..good },
        Stamp {
            modified: (91, 0),
            ..good
        },
        Stamp {
            modified: (90, 1),
            ..good
        },
        Stamp {
            changed: (101, 0),
            ..good
        },
        Stamp {
            changed: (100, 1),
            ..good
        },
    ];
    for stamp in bad {
        assert_eq!(shelf.find(&stamp, &(0..10)), None, "{stamp:?}");
    }
    assert_eq!(shelf.find(&good, &(0..9)), None);
    assert_eq!(shelf.find(&good, &(1..10)), None);
    // Another disk under the same device number.
    let mut other = shelf_with(HOUR, Trust::Signing, true);
    other.systems = HashMap::from([(
        1,
        System {
            id: 10,
            writes_back: true,
        },
    )]);
    assert_eq!(other.find(&good, &(0..10)), None);
}

proptest! {
    #[test]
    fn records_survive_a_round_trip(
        numbers in any::<[u64; 6]>(), times in any::<[i64; 3]>(), nanos in any::<[u32; 2]>()
    ) {
        let [device, system, inode, size, start, end] = numbers;
        let (modified, changed) = ((times[0], nanos[0]), (times[1], nanos[1]));
        let digest = Algorithm::Sha256.digest(&device.to_le_bytes());
        let record = Record {
            device, system, inode, size, modified, changed, start, end, began: times[2], digest
        };
        let mut bytes = Vec::new();
        record.write(&mut bytes);
        prop_assert_eq!(bytes.len(), FIELDS + 32);
        prop_assert_eq!(Record::read(Algorithm::Sha256, &bytes), Some(record));
        fuzz_cache(&encode(&bytes, Timestamp::from_micros(0)));
        fuzz_cache(&bytes);
    }
}
