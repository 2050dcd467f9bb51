//! Files that are compared with what was recorded of them: caches and downloads of a hub, installed
//! packages, wheels. Each is looked at as it was, and after somebody changed it.

use std::fmt::Write as _;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::symlink;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custos_core::digest::Algorithm;
use custos_core::finding::Severity;
use custos_scan::sources::{Many, Source as _, Stop, scan_all};
use custos_scan::{FileReport, Limits, NoShelf, State, Tree, TreeOptions};

use crate::archive::{Member, archive};

const CONFIG: &[u8] = b"{\"model_type\": \"bert\"}\n";
const WEIGHTS: &[u8] = b"\x02\0\0\0\0\0\0\0{}";

fn scanned(folder: &Path) -> Vec<FileReport> {
    let tree = Tree::open(folder, &TreeOptions::default()).unwrap();
    let stops = || -> Stop<'_> { Box::new(|| false) };
    let many = Many {
        jobs: NonZeroUsize::new(1),
        limits: Limits::default(),
        shelf: &NoShelf,
        knowledge: None,
        stops: &stops,
        passed: &|_| {},
    };
    let reports = scan_all(&[&tree], &many);
    assert_eq!(reports.len(), tree.items().len());
    reports
}

// The name below the folder, and the rule of the worst finding.
fn found(folder: &Path) -> Vec<(String, Option<String>)> {
    let root = format!("{}/", folder.display());
    let one = |report: FileReport| {
        assert_eq!(report.gaps, [], "{}", report.path);
        let worst = report
            .findings
            .iter()
            .find(|one| one.severity >= Severity::Medium);
        let rule = worst.map(|one| one.rule.clone());
        (report.path.trim_start_matches(&root).to_owned(), rule)
    };
    scanned(folder).into_iter().map(one).collect()
}

fn changed(folder: &Path) -> Vec<(String, String)> {
    let found = found(folder).into_iter();
    found
        .filter_map(|(name, rule)| Some((name, rule?)))
        .collect()
}

fn sha256(bytes: &[u8]) -> String {
    Algorithm::Sha256.digest(bytes).to_hex()
}

fn git_blob(bytes: &[u8]) -> String {
    let mut all = format!("blob {}\0", bytes.len()).into_bytes();
    all.extend_from_slice(bytes);
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &all);
    sum.as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

// As huggingface_hub lays it out.
fn cache(root: &Path) -> std::path::PathBuf {
    let repository = root.join("hub/models--org--name");
    let snapshot = repository.join("snapshots/0123456789012345678901234567890123456789");
    fs::create_dir_all(repository.join("blobs")).unwrap();
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::create_dir_all(snapshot.join("sub")).unwrap();
    fs::write(
        repository.join("refs/main"),
        "0123456789012345678901234567890123456789",
    )
    .unwrap();
    for (name, above, bytes, digest) in [
        ("config.json", "../..", CONFIG, git_blob(CONFIG)),
        (
            "sub/model.safetensors",
            "../../..",
            WEIGHTS,
            sha256(WEIGHTS),
        ),
    ] {
        fs::write(repository.join("blobs").join(&digest), bytes).unwrap();
        symlink(format!("{above}/blobs/{digest}"), snapshot.join(name)).unwrap();
    }
    snapshot
}

#[test]
fn blobs_of_a_cache_are_what_they_are_called() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = cache(dir.path());
    let all = found(dir.path());
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all.iter().all(|(_, rule)| rule.is_none()), "{all:?}");
    let blob = dir
        .path()
        .join("hub/models--org--name/blobs")
        .join(git_blob(CONFIG));
    fs::write(&blob, "{\"model_type\": \"bart\"}\n").unwrap();
    for folder in [
        dir.path(),
        &dir.path().join("hub/models--org--name"),
        &snapshot,
    ] {
        let all = changed(folder);
        let [(name, rule)] = all.as_slice() else {
            panic!("{all:?}");
        };
        assert!(name.ends_with("config.json"), "{name}");
        assert_eq!(rule, "hub/digest");
    }
    // By the name of one file as well.
    let one = scanned(&snapshot.join("config.json"));
    assert_eq!(one[0].findings[0].rule, "hub/digest");
    assert_eq!(one[0].state(Severity::High), State::Findings);
}

#[test]
fn a_snapshot_is_looked_at_by_itself_and_leads_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = cache(dir.path());
    let names = |folder: &Path| -> Vec<String> {
        found(folder).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(&snapshot), ["config.json", "sub/model.safetensors"]);
    assert_eq!(names(&snapshot.join("sub")), ["model.safetensors"]);
    let tree = Tree::open(&snapshot, &TreeOptions::default()).unwrap();
    assert_eq!(tree.below(1), Some("sub/model.safetensors"));
    let beside = tree.neighbours(0).unwrap();
    for (name, expected) in [
        ("sub/model.safetensors", custos_scan::Neighbour::File(10)),
        ("sub", custos_scan::Neighbour::Folder),
        ("../../refs/main", custos_scan::Neighbour::Outside),
        ("none", custos_scan::Neighbour::Missing),
    ] {
        assert_eq!(beside.find(name), expected, "{name}");
    }
    // A link to another repository, or out of the cache, is none of a snapshot.
    fs::write(dir.path().join("secret"), "x").unwrap();
    symlink("../../../../secret", snapshot.join("out")).unwrap();
    symlink("../../refs/main", snapshot.join("ref.txt")).unwrap();
    let closed: Vec<bool> = Tree::open(&snapshot, &TreeOptions::default())
        .unwrap()
        .items()
        .iter()
        .map(|item| item.closed.is_some())
        .collect();
    assert_eq!(closed, [false, true, true, false]);
}

#[test]
fn a_download_into_a_folder_is_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let beside = dir.path().join(".cache/huggingface/download/sub");
    fs::create_dir_all(&beside).unwrap();
    fs::create_dir_all(dir.path().join("sub")).unwrap();
    let commit = "0123456789012345678901234567890123456789";
    let metadata = format!("{commit}\n{}\n1700000000.0\n", sha256(WEIGHTS));
    fs::write(beside.join("m.safetensors.metadata"), metadata).unwrap();
    fs::write(dir.path().join("sub/m.safetensors"), WEIGHTS).unwrap();
    assert_eq!(changed(dir.path()), []);
    fs::write(
        dir.path().join("sub/m.safetensors"),
        b"\x03\0\0\0\0\0\0\0{} ",
    )
    .unwrap();
    let expected = ("sub/m.safetensors".to_owned(), "hub/digest".to_owned());
    assert!(changed(dir.path()).contains(&expected));
}

fn listed(bytes: &[u8]) -> String {
    let sum = Algorithm::Sha256.digest(bytes);
    format!(
        "sha256={},{}",
        URL_SAFE_NO_PAD.encode(sum.as_bytes()),
        bytes.len()
    )
}

#[test]
fn an_installed_package_is_what_it_brought() {
    const CODE: &[u8] = b"print(1)\n";
    let dir = tempfile::tempdir().unwrap();
    let site = dir.path().join("lib/python3.12/site-packages");
    fs::create_dir_all(site.join("acme")).unwrap();
    for (package, lists) in [("acme-1.0", CODE), ("twin-1.0", b"other\n".as_slice())] {
        let info = site.join(format!("{package}.dist-info"));
        fs::create_dir_all(&info).unwrap();
        let record = format!(
            "acme/__init__.py,{}\n{package}.dist-info/RECORD,,\n",
            listed(lists)
        );
        fs::write(info.join("RECORD"), record).unwrap();
    }
    fs::write(site.join("acme/__init__.py"), CODE).unwrap();
    assert_eq!(changed(dir.path()), []);
    fs::write(site.join("acme/__init__.py"), "print(2)\n").unwrap();
    let expected = (
        "lib/python3.12/site-packages/acme/__init__.py".to_owned(),
        "supply/record-digest".to_owned(),
    );
    assert_eq!(changed(dir.path()), [expected]);
}

#[test]
fn a_wheel_is_what_it_lists() {
    const CODE: &[u8] = b"print(1)\n";
    let info = b"Wheel-Version: 1.0\nGenerator: acme\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let record = format!(
        "acme/__init__.py,{}\nacme-1.0.dist-info/WHEEL,{}\nacme-1.0.dist-info/RECORD,,\n",
        listed(CODE),
        listed(info)
    );
    let wheel = |code: &[u8], more: &[(&str, &[u8])]| {
        let mut members = vec![
            Member::new("acme/__init__.py", code),
            Member::new("acme-1.0.dist-info/WHEEL", info),
            Member::new("acme-1.0.dist-info/RECORD", record.as_bytes()),
        ];
        members.extend(more.iter().map(|(name, bytes)| Member::new(name, bytes)));
        archive(&members)
    };
    let rules = |bytes: &[u8]| -> Vec<(String, String)> {
        let report = crate::pickle::look(bytes);
        let found = report.findings.into_iter();
        let found = found.filter(|one| one.rule == "supply/record-digest");
        found
            .map(|one| {
                (
                    one.location.path.rsplit('!').next().unwrap().to_owned(),
                    one.message,
                )
            })
            .collect()
    };
    assert_eq!(rules(&wheel(CODE, &[])), []);
    let swapped = rules(&wheel(b"print(2)\n", &[]));
    assert_eq!(swapped.len(), 1);
    assert_eq!(swapped[0].0, "acme/__init__.py");
    let added = rules(&wheel(CODE, &[("acme/more.py", b"print(3)\n")]));
    assert_eq!(
        added,
        [(
            "acme/more.py".to_owned(),
            "its package does not list it".to_owned()
        )]
    );
    // Signatures of the list cannot stand in it.
    assert_eq!(
        rules(&wheel(CODE, &[("acme-1.0.dist-info/RECORD.jws", b"{}")])),
        []
    );
}
