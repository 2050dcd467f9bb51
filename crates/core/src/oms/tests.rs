use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::digest::{Algorithm, Digest, DigestSet};
use crate::limits::Limits;
use crate::statement::{STATEMENT_TYPE, Statement, Subject};

fn digest(text: &str) -> Digest {
    Algorithm::Sha256.digest(text.as_bytes())
}

fn files() -> Serialization {
    Serialization::new(Method::Files, Algorithm::Sha256).unwrap()
}

fn shards(size: u64) -> Serialization {
    let size = NonZeroU64::new(size).unwrap();
    Serialization::new(Method::Shards { size }, Algorithm::Sha256).unwrap()
}

fn manifest(names: &[&str]) -> Result<Manifest, OmsError> {
    let mut builder = ManifestBuilder::new(files());
    for name in names {
        builder.push_file(name, &digest(name))?;
    }
    builder.finish()
}

fn ranges(list: &[(&str, Range<u64>)]) -> Result<Manifest, OmsError> {
    let mut builder = ManifestBuilder::new(shards(10));
    for (path, range) in list {
        builder.push_range(path, range.clone(), &digest(path))?;
    }
    builder.finish()
}

/// A v1.0 statement with the right root digest around any predicate.
fn statement(serialization: &str, resources: &[(&str, &str)]) -> Statement {
    let mut list = String::new();
    let mut root = Algorithm::Sha256.hasher();
    for (name, algorithm) in resources {
        let digest = digest(name);
        root.update(digest.as_bytes());
        let comma = if list.is_empty() { "" } else { "," };
        let name = serde_json::to_string(name).unwrap();
        write!(
            list,
            r#"{comma}{{"name":{name},"algorithm":"{algorithm}","digest":"{}"}}"#,
            digest.to_hex()
        )
        .unwrap();
    }
    let text = format!(
        r#"{{"_type":"{STATEMENT_TYPE}","subject":[{{"name":"m","digest":{{"sha256":"{}"}}}}],
            "predicateType":"{PREDICATE_TYPE}",
            "predicate":{{"resources":[{list}],"serialization":{serialization}}}}}"#,
        root.finish().to_hex()
    );
    Statement::parse(text.as_bytes()).unwrap()
}

fn read(serialization: &str, resources: &[(&str, &str)]) -> Result<Manifest, OmsError> {
    SignedManifest::from_statement(&statement(serialization, resources)).map(|s| s.manifest)
}

const FILES: &str = r#"{"method":"files","hash_type":"sha256","allow_symlinks":false}"#;

fn sharded(size: &str) -> String {
    format!(
        r#"{{"method":"shards","hash_type":"sha256","shard_size":{size},"allow_symlinks":false}}"#
    )
}

#[test]
fn code_points_order_what_is_written() {
    let manifest = manifest(&["sub/x", "sub-x", "Z", "é"]).unwrap();
    let names: Vec<&str> = manifest.iter().map(|r| r.name()).collect();
    assert_eq!(names, ["Z", "sub-x", "sub/x", "é"]);
    assert_eq!(
        manifest.paths().collect::<Vec<_>>(),
        ["Z", "sub/x", "sub-x", "é"]
    );
    let components = manifest.root_digest_in(Order::Components);
    assert_ne!(manifest.root_digest(), components);
    assert!(manifest.has_root(&components) && manifest.has_root(&manifest.root_digest()));
    assert!(!manifest.has_root(&digest("other")));
}

#[test]
fn written_json_is_exactly_the_specified_one() {
    let form = shards(10).with_exclusions(&Exclusions::for_verifying());
    let mut builder = ManifestBuilder::new(form);
    builder.push_range("a", 10..12, &digest("2")).unwrap();
    builder.push_range("a", 0..10, &digest("1")).unwrap();
    let manifest = builder.finish().unwrap();
    let statement = manifest.to_statement("model").unwrap();
    let expected = format!(
        concat!(
            r#"{{"serialization":{{"method":"shards","hash_type":"sha256","shard_size":10,"#,
            r#""allow_symlinks":false,"ignore_paths":[".custos",".git",".gitattributes","#,
            r#"".github",".gitignore"]}},"resources":["#,
            r#"{{"name":"a:0:10","algorithm":"sha256","digest":"{}"}},"#,
            r#"{{"name":"a:10:12","algorithm":"sha256","digest":"{}"}}]}}"#
        ),
        digest("1").to_hex(),
        digest("2").to_hex()
    );
    assert_eq!(statement.predicate_json(), expected);
    assert_eq!(statement.predicate_type(), PREDICATE_TYPE);
    let subject = &statement.subject()[0];
    assert_eq!(subject.name.as_deref(), Some("model"));
    assert!(subject.digest.contains(&manifest.root_digest()));
    assert_eq!(
        subject.digest.get_raw(LISTING_DIGEST),
        Some(manifest.listing_digest().to_hex().as_str())
    );
}

#[test]
fn range_suffixes_sort_as_text_when_written_and_as_numbers_for_older_clients() {
    let mut builder = ManifestBuilder::new(shards(100));
    for start in [0_u64, 100, 200, 900, 1000]
        .iter()
        .chain(&[300, 400, 500, 600, 700, 800])
    {
        builder
            .push_range("f", *start..start + 100, &digest(&start.to_string()))
            .unwrap();
    }
    let manifest = builder.finish().unwrap();
    let names: Vec<&str> = manifest.iter().map(|r| r.name()).take(3).collect();
    assert_eq!(names, ["f:0:100", "f:1000:1100", "f:100:200"]);
    assert_ne!(
        manifest.root_digest(),
        manifest.root_digest_in(Order::Components)
    );
}

#[test]
fn leniently_read() {
    let form = sharded("300.0");
    let manifest = read(
        &form,
        &[("f:300:310", "sha256-sharded-300"), ("f:0:300", "sha256")],
    );
    let manifest = manifest.unwrap();
    assert_eq!(manifest.serialization().method(), shards(300).method());
    // Listed order is kept, and the root is over it.
    assert_eq!(manifest.get(0).unwrap().range(), Some(300..310));
    // A colon in a path; resources in any order; unknown members of a resource.
    read(
        &sharded("3"),
        &[("a:0:3:0:3", "sha256"), ("a:0:2", "sha256")],
    )
    .unwrap();
    read(FILES, &[("b", "sha256"), ("a", "sha256")]).unwrap();
    let text = statement(FILES, &[("a", "sha256")]).to_bytes().unwrap();
    let text = String::from_utf8(text).unwrap().replacen(
        r#""name":"a""#,
        r#""annotations":{"x":[1]},"name":"a""#,
        1,
    );
    SignedManifest::from_statement(&Statement::parse(text.as_bytes()).unwrap()).unwrap();
    // A wildcard in a recorded path is a character.
    let form =
        r#"{"method":"files","hash_type":"sha256","allow_symlinks":true,"ignore_paths":["a[1]"]}"#;
    let manifest = read(form, &[("a1", "sha256")]).unwrap();
    let rules = manifest.serialization().exclusions();
    assert!(rules.covers("a[1]/x") && rules.covers(".git") && !rules.covers("a1"));
    assert!(manifest.serialization().allow_symlinks());
}

#[test]
fn a_shard_size_is_a_positive_integer() {
    for bad in ["0", "-1", "0.5", "300.5", "1e300", "-0.0", "0.0"] {
        let error = read(&sharded(bad), &[("f:0:1", "sha256")]).unwrap_err();
        assert!(
            matches!(error, OmsError::ShardSizeInvalid { .. }),
            "{bad}: {error:?}"
        );
    }
    assert!(matches!(
        read(&sharded("\"3\""), &[]),
        Err(OmsError::Predicate(_))
    ));
    assert!(matches!(
        read(&sharded("null"), &[]),
        Err(OmsError::Predicate(_))
    ));
    assert_eq!(
        read(
            r#"{"method":"shards","hash_type":"sha256","allow_symlinks":false}"#,
            &[]
        ),
        Err(OmsError::ShardSizeMissing)
    );
    assert_eq!(
        read(&sharded("3").replace("shards", "files"), &[]),
        Err(OmsError::ShardSizeForbidden)
    );
}

#[test]
fn rejected_forms() {
    let unknown = |from: &str, to: &str| read(&FILES.replace(from, to), &[("a", "sha256")]);
    assert_eq!(
        unknown("\"files\"", "\"trees\""),
        Err(OmsError::UnknownMethod {
            found: "trees".into()
        })
    );
    for hash in ["md5", "sha384", "sha512", "SHA256", ""] {
        assert_eq!(
            unknown("sha256", hash),
            Err(OmsError::UnknownHash { found: hash.into() }),
            "{hash}"
        );
    }
    assert!(matches!(
        unknown("false", "\"false\""),
        Err(OmsError::Predicate(_))
    ));
    assert!(matches!(
        unknown("false", "false,\"new\":1"),
        Err(OmsError::Predicate(_))
    ));
    assert!(matches!(
        unknown("false", "false,\"ignore_paths\":null"),
        Err(OmsError::Predicate(_))
    ));
    for (entry, fault) in [
        ("/a", PathFault::Absolute),
        ("../a", PathFault::Parent),
        ("..", PathFault::Parent),
        ("", PathFault::Empty),
        ("a/", PathFault::EmptyComponent),
    ] {
        assert_eq!(
            unknown("false", &format!("false,\"ignore_paths\":[\"{entry}\"]")),
            Err(OmsError::IgnorePath {
                entry: entry.into(),
                fault
            })
        );
    }
}

#[test]
fn rejected_resources() {
    assert_eq!(read(FILES, &[]), Err(OmsError::Empty));
    assert_eq!(manifest(&[]), Err(OmsError::Empty));
    assert_eq!(
        read(FILES, &[("a", "sha256"), ("b", "sha256"), ("a", "sha256")]),
        Err(OmsError::Duplicate { name: "a".into() })
    );
    for (name, fault) in [
        ("/etc/passwd", PathFault::Absolute),
        ("a/../b", PathFault::Parent),
        ("./a", PathFault::Dot),
        ("a//b", PathFault::EmptyComponent),
        ("a\0", PathFault::Nul),
    ] {
        let expected = Err(OmsError::Name {
            name: name.into(),
            fault,
        });
        assert_eq!(read(FILES, &[(name, "sha256")]), expected);
        assert_eq!(manifest(&[name]), expected);
    }
    assert_eq!(
        read(
            FILES,
            &[("a", "sha256"), ("a.b", "sha256"), ("a/b", "sha256")]
        ),
        Err(OmsError::BeneathFile { name: "a/b".into() })
    );
    for algorithm in ["blake3", "sha256-sharded-3", "sha25", ""] {
        assert!(
            matches!(
                read(FILES, &[("a", algorithm)]),
                Err(OmsError::OtherAlgorithm { .. })
            ),
            "{algorithm}"
        );
    }
    assert!(matches!(
        read(&sharded("3"), &[("a:0:3", "sha256-sharded-4")]),
        Err(OmsError::OtherAlgorithm { .. })
    ));
    // A single file is named by its basename or by a dot, and then it is alone.
    read(FILES, &[(".", "sha256")]).unwrap();
    assert_eq!(
        read(FILES, &[("a", "sha256"), (".", "sha256")]),
        Err(OmsError::Name {
            name: ".".into(),
            fault: PathFault::Dot
        })
    );
}

#[test]
fn no_object_may_be_written_as_an_array() {
    let statement = manifest(&["a", "b"]).unwrap().to_statement("m").unwrap();
    let text = String::from_utf8(statement.to_bytes().unwrap()).unwrap();
    crate::json::positional::assert_objects_only(&text, |text| {
        Statement::parse(text.as_bytes())
            .is_ok_and(|statement| SignedManifest::from_statement(&statement).is_ok())
    });
}

#[test]
fn ranges_cover_a_file_without_gap_or_overlap() {
    ranges(&[("a", 0..10), ("a", 10..20), ("a", 20..21), ("b", 0..1)]).unwrap();
    for (bad, name) in [
        (&[("a", 1..10)][..], "a:1:10"),
        (&[("a", 0..0)], "a:0:0"),
        (&[("a", 0..11)], "a:0:11"),
        (&[("a", 0..9), ("a", 9..12)], "a:9:12"),
        (&[("a", 0..10), ("a", 20..30)], "a:20:30"),
        (&[("a", 0..10), ("a", 5..15)], "a:5:15"),
        (
            &[("a", 0..10), ("a", Range { start: 10, end: 9 })],
            "a:10:9",
        ),
    ] {
        assert_eq!(ranges(bad), Err(OmsError::Ranges { name: name.into() }));
    }
    assert_eq!(
        ranges(&[("a", 0..10), ("a", 0..10)]),
        Err(OmsError::Duplicate {
            name: "a:0:10".into()
        })
    );
    for bad in [
        "a",
        "a:0",
        "a:0:",
        "a:-1:3",
        "a:+0:3",
        "a:00:3",
        "a:0:0x3",
        "a:0:99999999999999999999",
    ] {
        let error = read(&sharded("3"), &[(bad, "sha256")]).unwrap_err();
        assert_eq!(error, OmsError::NotARange { name: bad.into() });
    }
}

#[test]
fn a_digest_is_lower_case_hex_of_its_length() {
    let text = statement(FILES, &[("a", "sha256")]).to_bytes().unwrap();
    let text = String::from_utf8(text).unwrap();
    let hex = digest("a").to_hex();
    for bad in [
        hex.to_uppercase(),
        hex[2..].to_owned(),
        format!("{hex}00"),
        "zz".repeat(32),
    ] {
        let text = text.replace(
            &format!("\"digest\":\"{hex}\""),
            &format!("\"digest\":\"{bad}\""),
        );
        let error = SignedManifest::from_statement(&Statement::parse(text.as_bytes()).unwrap());
        assert!(matches!(error, Err(OmsError::Digest { .. })), "{error:?}");
    }
}

#[test]
fn the_subject_is_recomputed() {
    let manifest = manifest(&["a", "b"]).unwrap();
    let good = manifest.to_statement("m").unwrap();
    let predicate: serde_json::Value = good.predicate().unwrap();
    let with = |subjects: Vec<Subject>| {
        let statement = Statement::new(subjects, PREDICATE_TYPE, &predicate).unwrap();
        SignedManifest::from_statement(&statement).map(|signed| signed.manifest)
    };
    let subject = || Subject::new("m", manifest.root_digest());
    assert_eq!(with(vec![subject()]).unwrap(), manifest);
    assert_eq!(
        with(vec![subject(), subject()]),
        Err(OmsError::SubjectCount { found: 2 })
    );
    assert_eq!(
        with(vec![Subject::new("m", digest("x"))]),
        Err(OmsError::RootMismatch {
            signed: digest("x"),
            listed: manifest.root_digest()
        })
    );
    assert_eq!(
        with(vec![Subject::new("", manifest.root_digest())]),
        Err(OmsError::SubjectWithoutName { index: 0 })
    );
    assert_eq!(
        with(vec![Subject::new("m", Algorithm::Blake3.digest(b""))]),
        Err(OmsError::SubjectWithoutDigest { index: 0 })
    );
    // The root does not bind names; the dirHash beside it does, and it is checked.
    let mut set = DigestSet::from(manifest.root_digest());
    set.insert_raw("dirHash", digest("x").to_hex());
    assert!(matches!(
        with(vec![Subject::new("m", set)]),
        Err(OmsError::DirHashMismatch { .. })
    ));
    let mut set = DigestSet::from(manifest.root_digest());
    set.insert_raw(LISTING_DIGEST, manifest.listing_digest().to_hex());
    assert_eq!(
        with(vec![Subject::new("m", set.clone())]).unwrap(),
        manifest
    );
    set.insert_raw(LISTING_DIGEST, digest("x").to_hex());
    assert!(matches!(
        with(vec![Subject::new("m", set)]),
        Err(OmsError::ListingDigestMismatch { .. })
    ));
    let other = Statement::new(vec![subject()], "https://example.com", &predicate).unwrap();
    assert!(matches!(
        SignedManifest::from_statement(&other),
        Err(OmsError::PredicateType { .. })
    ));
}

#[test]
fn a_renamed_file_keeps_the_root_and_changes_the_digest_set() {
    let build = |name: &str| {
        let mut builder = ManifestBuilder::new(files());
        builder.push_file(name, &digest("same")).unwrap();
        builder.finish().unwrap()
    };
    let (one, other) = (build("a"), build("b"));
    assert_eq!(one.root_digest(), other.root_digest());
    assert!(!one.digest_set().agrees_with(&other.digest_set()));
    // A line feed has no place in a dirHash; the listing digest takes over.
    let odd = build("a\nb");
    assert_eq!(odd.dir_hash(), None);
    assert!(odd.digest_set().get_raw(LISTING_DIGEST).is_some());
    assert!(!odd.digest_set().agrees_with(&build("a\nc").digest_set()));
}

#[test]
fn legacy_is_read_and_reported() {
    let subjects = vec![
        Subject::new("b", digest("b")),
        Subject::new("a", digest("a")),
    ];
    let empty = serde_json::json!({});
    let statement = Statement::new(subjects, LEGACY_PREDICATE_TYPE, &empty).unwrap();
    let signed = SignedManifest::from_statement(&statement).unwrap();
    assert_eq!(signed.form, Form::Legacy);
    assert_eq!(signed.manifest.len(), 2);
    assert_eq!(signed.manifest.serialization().ignore_paths(), None);
    let twice = vec![
        Subject::new("a", digest("b")),
        Subject::new("a", digest("a")),
    ];
    let statement = Statement::new(twice, LEGACY_PREDICATE_TYPE, &empty).unwrap();
    assert_eq!(
        SignedManifest::from_statement(&statement).unwrap_err(),
        OmsError::Duplicate { name: "a".into() }
    );
    let nameless = Subject {
        name: None,
        ..Subject::new("", digest("a"))
    };
    let statement = Statement::new(vec![nameless], LEGACY_PREDICATE_TYPE, &empty).unwrap();
    assert_eq!(
        SignedManifest::from_statement(&statement).unwrap_err(),
        OmsError::SubjectWithoutName { index: 0 }
    );
}

#[test]
fn the_broken_encoding_has_the_payload_as_python_prints_bytes() {
    assert_eq!(
        legacy_pae(b"{}"),
        b"DSSEV1 28 application/vnd.in-toto+json 2 b'{}'"
    );
    // From Python 3: repr(b"...").
    let tail = |payload: &[u8]| {
        let text = String::from_utf8(legacy_pae(payload)).unwrap();
        text.split_once(" b").unwrap().1.to_owned()
    };
    assert_eq!(tail(b""), "''");
    assert_eq!(tail(b"it's"), r#""it's""#);
    assert_eq!(tail(b"it's \"x\""), r#"'it\'s "x"'"#);
    assert_eq!(tail(b"\"it's\""), r#"'"it\'s"'"#);
    assert_eq!(tail(b"\\\t\r\n\0\x7f\xff"), r"'\\\t\r\n\x00\x7f\xff'");
    assert_eq!(tail("\u{e9}".as_bytes()), r"'\xc3\xa9'");
}

#[test]
fn differences_name_what_is_wrong() {
    let expected = manifest(&["a", "b", "d/e"]).unwrap();
    let mut builder = ManifestBuilder::new(files());
    builder.push_file("a", &digest("a")).unwrap();
    builder.push_file("b", &digest("other")).unwrap();
    builder.push_file("c", &digest("c")).unwrap();
    let actual = builder.finish().unwrap();
    let found = compare(&expected, &actual, 10).unwrap();
    let changed = DifferenceKind::Changed {
        range: None,
        expected: digest("b"),
        found: digest("other"),
    };
    assert_eq!(
        found.list,
        [
            Difference::new("b", changed),
            Difference::new("c", DifferenceKind::Unlisted),
            Difference::new("d/e", DifferenceKind::Missing),
        ]
    );
    let few = compare(&expected, &actual, 1).unwrap();
    assert_eq!((few.list.len(), few.total), (1, 3));
    assert!(compare(&expected, &expected, 0).unwrap().is_empty());
    assert_eq!(
        compare(&expected, &ranges(&[("a", 0..1)]).unwrap(), 1),
        Err(OmsError::OtherSerialization)
    );
}

#[test]
fn differences_of_ranges_name_the_range() {
    let build = |last: u64, text: &str| {
        let mut builder = ManifestBuilder::new(shards(10));
        builder.push_range("a", 0..10, &digest("1")).unwrap();
        builder.push_range("a", 10..last, &digest(text)).unwrap();
        builder.finish().unwrap()
    };
    let found = compare(&build(12, "2"), &build(12, "3"), 9).unwrap();
    assert_eq!(
        found.list,
        [Difference::new(
            "a",
            DifferenceKind::Changed {
                range: Some(10..12),
                expected: digest("2"),
                found: digest("3")
            }
        )]
    );
    let found = compare(&build(12, "2"), &build(13, "2"), 9).unwrap();
    assert_eq!(
        found.list,
        [Difference::new(
            "a",
            DifferenceKind::Length {
                expected: 12,
                found: 13
            }
        )]
    );
}

/// Reads every case that the reference client wrote (testdata/oms/README.md).
#[test]
fn reads_what_the_reference_client_writes() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/oms");
    let mut cases = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(path.join("statement.json")) else {
            continue;
        };
        let expect = std::fs::read(path.join("expect.json")).unwrap();
        let expect: serde_json::Value = serde_json::from_slice(&expect).unwrap();
        let statement = Statement::parse(&bytes).unwrap();
        let signed = SignedManifest::from_statement(&statement).unwrap();
        let manifest = &signed.manifest;
        let case = path.display();
        assert_eq!(signed.form, Form::V1, "{case}");
        assert_eq!(manifest.len() as u64, expect["resources"], "{case}");
        assert_eq!(manifest.root_digest().to_hex(), expect["root"], "{case}");
        assert_eq!(
            manifest.root_digest_in(Order::Components).to_hex(),
            expect["root"],
            "{case}"
        );
        let code_points = manifest.root_digest_in(Order::CodePoint).to_hex();
        assert_eq!(code_points, expect["code_point_root"], "{case}");
        if let Some(expected) = expect.get("dir_hash") {
            assert_eq!(manifest.dir_hash().unwrap().to_hex(), *expected, "{case}");
        }
        assert!(
            manifest.serialization().exclusions().covers(".git/x"),
            "{case}"
        );
        cases += 1;
    }
    assert_eq!(cases, 8);
}

#[test]
fn a_large_listing_stays_small() {
    let mut builder = ManifestBuilder::new(files());
    let path = "some/folder/of/a/larger/model/weights-";
    for index in 0..100_000 {
        builder
            .push_file(&format!("{path}{index:08}.bin"), &digest("x"))
            .unwrap();
    }
    let manifest = builder.finish().unwrap();
    // Names, digests and ends: capacity at most doubles.
    let columns = &manifest.columns;
    let bytes = columns.names.capacity() + columns.digests.capacity() + 4 * columns.ends.capacity();
    assert!(bytes < 100_000 * 256, "{bytes}");
    let statement = manifest.to_statement("m").unwrap();
    assert!(statement.predicate_json().len() < Limits::STATEMENT.max_bytes);
    assert_eq!(
        SignedManifest::from_statement(&statement).unwrap().manifest,
        manifest
    );
}

fn name() -> impl Strategy<Value = String> {
    "[-a-c:é.]{1,4}(/[-a-c:]{1,3}){0,2}"
        .prop_filter("canonical", |name| TreePath::new(name.as_str()).is_ok())
}

proptest! {
    #[test]
    fn round_trip(names in proptest::collection::btree_set(name(), 1..20), shard in 0_u64..5) {
        let form = if shard == 0 { files() } else { shards(shard) };
        let mut builder = ManifestBuilder::new(form);
        for (index, name) in names.iter().enumerate() {
            let digest = digest(name);
            if shard == 0 {
                builder.push_file(name, &digest).unwrap();
            } else {
                let size = index as u64 + 1;
                for start in (0..size).step_by(usize::try_from(shard).unwrap()) {
                    builder.push_range(name, start..size.min(start + shard), &digest).unwrap();
                }
            }
        }
        let beneath = names.iter().any(|a| names.iter().any(|b| b.starts_with(&format!("{a}/"))));
        match builder.finish() {
            Err(error) => {
                let expected = matches!(error, OmsError::BeneathFile { .. });
                prop_assert!(beneath && expected, "{error:?}");
            }
            Ok(manifest) => {
                prop_assert!(!beneath);
                let statement = manifest.to_statement("m").unwrap();
                let bytes = statement.to_bytes().unwrap();
                let read = Statement::parse(&bytes).unwrap();
                let read = SignedManifest::from_statement(&read).unwrap().manifest;
                prop_assert!(compare(&manifest, &read, 1).unwrap().is_empty());
                prop_assert_eq!(&read, &manifest);
                prop_assert_eq!(read.paths().count(), names.len());
                fuzz_oms(&bytes);
            }
        }
    }

    #[test]
    fn any_bytes_are_handled(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_oms(&bytes);
    }

    #[test]
    fn one_changed_file_is_one_difference(
        names in proptest::collection::btree_set("[a-d]{1,3}", 2..12), at in any::<prop::sample::Index>()
    ) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let expected = manifest(&names).unwrap();
        let at = at.index(names.len());
        let mut fewer = names.clone();
        let gone = fewer.remove(at);
        let found = compare(&expected, &manifest(&fewer).unwrap(), 9).unwrap();
        prop_assert_eq!(found.list, vec![Difference::new(gone, DifferenceKind::Missing)]);
        let found = compare(&manifest(&fewer).unwrap(), &expected, 9).unwrap();
        prop_assert_eq!(found.list, vec![Difference::new(gone, DifferenceKind::Unlisted)]);
    }
}
