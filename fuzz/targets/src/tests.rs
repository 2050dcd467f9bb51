//! Replays the corpus, the test vectors and mutations of both through every target.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{TARGETS, Target, run};

fn repository() -> PathBuf {
    Path::new("../..").to_path_buf()
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(dir) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let root = repository();
    let mut files = files_below(&root.join("fuzz/corpus").join(target.name));
    for folder in ["testdata", "docs/predicates", "policies"] {
        files.extend(files_below(&root.join(folder)).into_iter().filter(|path| {
            let name = path.to_string_lossy();
            target.seeds.iter().any(|end| name.ends_with(end))
        }));
    }
    files.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Reproducible numbers (xorshift), so that a failure comes again.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// Pieces that break parsers more often than random bytes do.
const PIECES: [&[u8]; 16] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\u0000",
    b"\xff\xfe",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\n\n",
    b"\xe2\x80\x94",
    b"=",
    b":",
    b"../",
];

fn mutate(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        match numbers.below(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << numbers.below(8),
            1 => bytes.truncate(at),
            2 => {
                let piece = PIECES[numbers.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            3 => {
                let end = (at + numbers.below(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + numbers.below(40)).min(bytes.len());
                let twice = bytes[at..end].to_vec();
                bytes.splice(at..at, twice);
            }
            5 => {
                // A piece of another seed: valid things in the wrong place.
                let from = numbers.below(other.len());
                let to = (from + numbers.below(60)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            _ if !bytes.is_empty() => bytes[at] = b"0123456789abcdef\"{}[],:"[numbers.below(23)],
            _ => {}
        }
    }
    bytes
}

#[test]
fn every_target_survives_its_seeds_and_their_mutations() {
    // Not the configuration of the product, so not the loader's business.
    #[expect(
        clippy::disallowed_methods,
        reason = "the deep run of the tests is asked for so"
    )]
    let times = if std::env::var_os("CUSTOS_TEST_FULL").is_some() {
        20
    } else {
        1
    };
    for target in TARGETS {
        let seeds = seeds(target);
        assert!(
            !seeds.is_empty(),
            "{} has no seed in fuzz/corpus",
            target.name
        );
        let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
        (target.run)(b"");
        for seed in &seeds {
            (target.run)(seed);
            // Large vectors are read once: mutations of them cost more than they find.
            let count = if seed.len() > 100_000 {
                2
            } else {
                target.mutations
            };
            for _ in 0..count * times {
                let other = &seeds[numbers.below(seeds.len())];
                (target.run)(&mutate(seed, other, &mut numbers));
            }
        }
    }
}

#[test]
fn the_fuzz_crate_has_every_target() {
    let folder = repository().join("fuzz/fuzz_targets");
    let mut found: Vec<String> = files_below(&folder)
        .iter()
        .map(|path| {
            path.file_stem()
                .unwrap()
                .to_string_lossy()
                .replace('_', "-")
        })
        .collect();
    found.sort();
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    assert_eq!(found, names);
    let manifest = fs::read_to_string(repository().join("fuzz/Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

#[test]
fn the_corpus_has_no_folder_without_a_target() {
    for entry in fs::read_dir(repository().join("fuzz/corpus")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(TARGETS.iter().any(|target| target.name == name), "{name}");
    }
}

#[test]
#[should_panic(expected = "no fuzz target")]
fn an_unknown_target_is_a_fault() {
    run("nothing", b"");
}
