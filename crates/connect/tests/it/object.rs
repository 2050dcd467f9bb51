//! Buckets: listed page by page, read in ranges, and caught when an object changes. Signatures are
//! checked by `moto` where `CUSTOS_PEER_MOTO` describes a server of it (`cargo xtask test` starts one).

use std::sync::Arc;
use std::time::Duration;

use custos_connect::object::{Object, ObjectError, ObjectReader, Prefix, list, open};
use custos_core::clock::FixedClock;
use custos_trust::signers::Surroundings;

use crate::server::{Answer, Seen, Server};

fn surroundings(vars: &[(&'static str, String)]) -> Surroundings {
    let vars = vars.to_vec();
    let clock = FixedClock::new("2026-11-01T12:00:00Z".parse().unwrap());
    let find = move |name: &str| {
        let found = vars.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone())
    };
    Surroundings::new(find, Arc::new(clock)).with_pause(Duration::ZERO)
}

fn s3(server: &Server) -> Surroundings {
    surroundings(&[
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI".to_owned()),
        ("AWS_REGION", "eu-west-1".to_owned()),
        (
            "AWS_ENDPOINT_URL",
            format!("http://127.0.0.1:{}", server.port()),
        ),
    ])
}

fn azure(server: &Server, access: (&'static str, &str)) -> Surroundings {
    surroundings(&[
        ("AZURE_STORAGE_ACCOUNT", "acct".to_owned()),
        (access.0, access.1.to_owned()),
        (
            "AZURE_STORAGE_SERVICE_ENDPOINT",
            format!("http://127.0.0.1:{}/acct", server.port()),
        ),
    ])
}

// A range of 10,000,000 bytes, each its place.
fn part(seen: &Seen, etag: &str) -> Answer {
    let range = seen
        .header("range")
        .unwrap()
        .strip_prefix("bytes=")
        .unwrap();
    let (start, end) = range.split_once('-').unwrap();
    let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
    let bytes: Vec<u8> = (start..=end)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    Answer::new(206, bytes)
        .with("etag", etag)
        .with("content-range", format!("bytes {start}-{end}/10000000"))
}

#[test]
fn s3_is_listed_in_pages_and_read_in_ranges() {
    let server = Server::start(|seen, _| {
        let entry = |key: &str| {
            format!(
                "<Contents><Key>{key}</Key><ETag>&quot;e1&quot;</ETag><Size>10000000</Size></Contents>"
            )
        };
        if seen.query("list-type").is_none() {
            return part(seen, "\"e1\"");
        }
        let rest = match seen.query("continuation-token") {
            None => format!(
                "{}<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>",
                entry("m%2Fa+b")
            ),
            Some(_) => entry("m%2Fc"),
        };
        Answer::new(200, format!("<ListBucketResult>{rest}</ListBucketResult>"))
    });
    let prefix: Prefix = "s3://models/m/".parse().unwrap();
    let store = open(&prefix, &s3(&server)).unwrap();
    let objects = list(store.as_ref()).unwrap();
    let keys: Vec<&str> = objects.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["m/a b", "m/c"]);

    let reader = ObjectReader::new(store.as_ref(), objects[0].clone());
    let mut buffer = vec![0; 100];
    assert_eq!(reader.read_at(4_194_290, &mut buffer).unwrap(), 100);
    assert!(
        buffer
            .iter()
            .zip(4_194_290_usize..)
            .all(|(byte, at)| usize::from(*byte) == at % 251)
    );
    assert_eq!(reader.read_at(9_999_990, &mut buffer).unwrap(), 10);
    assert_eq!(reader.read_at(4_194_290, &mut buffer).unwrap(), 100);
    assert_eq!(
        server.count("/models/m/a%20b"),
        2,
        "two ranges, each read once"
    );
    let seen = server.seen();
    let read = seen.last().unwrap();
    assert_eq!(read.header("if-match"), Some("\"e1\""));
    let authorization = read.header("authorization").unwrap();
    assert!(
        authorization.contains("/eu-west-1/s3/aws4_request"),
        "{authorization}"
    );
    assert!(
        authorization.contains("if-match;range;x-amz-content-sha256;x-amz-date")
            || authorization.contains("host;if-match;range"),
        "{authorization}"
    );
}

#[test]
fn who_reads_on_gets_larger_ranges_and_every_byte_once() {
    let server = Server::start(|seen, _| part(seen, "\"e1\""));
    let store = open(&"s3://models/".parse().unwrap(), &s3(&server)).unwrap();
    let object = Object {
        key: "k".to_owned(),
        size: 10_000_000,
        etag: "\"e1\"".to_owned(),
    };
    let reader = ObjectReader::new(store.as_ref(), object);
    let mut buffer = vec![0; 60_000];
    let mut at = 0_u64;
    loop {
        let count = reader.read_at(at, &mut buffer).unwrap();
        let wanted = (usize::try_from(at).unwrap()..).map(|at| u8::try_from(at % 251).unwrap());
        assert!(
            wanted
                .zip(&buffer[..count])
                .all(|(wanted, found)| wanted == *found)
        );
        at += u64::try_from(count).unwrap();
        if count < buffer.len() {
            break;
        }
    }
    assert_eq!(at, 10_000_000);
    let ranges: Vec<String> = server
        .seen()
        .iter()
        .map(|seen| seen.header("range").unwrap().to_owned())
        .collect();
    assert_eq!(
        ranges,
        [
            "bytes=0-262143",
            "bytes=262144-1310719",
            "bytes=1310720-5505023",
            "bytes=5505024-9999999"
        ]
    );
}

#[test]
fn azure_is_listed_and_read_with_a_key_or_a_signature() {
    for access in [
        ("AZURE_STORAGE_KEY", "c2VjcmV0"),
        ("AZURE_STORAGE_SAS_TOKEN", "?sv=1&sig=abc"),
    ] {
        let server = Server::start(|seen, _| {
            if seen.query("comp").is_none() {
                return part(seen, "\"0x1\"");
            }
            Answer::new(
                200,
                "<EnumerationResults><Blobs><Blob><Name>m/a</Name><Properties><Content-Length>10000000</Content-Length><Etag>0x1</Etag></Properties></Blob></Blobs><NextMarker /></EnumerationResults>",
            )
        });
        let prefix: Prefix = "az://models/m".parse().unwrap();
        let store = open(&prefix, &azure(&server, access)).unwrap();
        let objects = list(store.as_ref()).unwrap();
        assert_eq!(store.read(&objects[0], 5..8).unwrap(), [5, 6, 7]);
        let seen = server.seen();
        assert_eq!(seen[1].path(), "/acct/models/m/a");
        assert_eq!(seen[1].header("if-match"), Some("\"0x1\""));
        let signed = seen[1]
            .header("authorization")
            .is_some_and(|value| value.starts_with("SharedKey acct:"));
        assert_eq!(signed, access.0 == "AZURE_STORAGE_KEY");
        assert_eq!(seen[1].query("sig").as_deref(), (!signed).then_some("abc"));
    }
}

#[test]
fn what_changed_or_does_not_fit_is_never_read() {
    let object = Object {
        key: "k".to_owned(),
        size: 10_000_000,
        etag: "\"e1\"".to_owned(),
    };
    let read = |answer: fn(&Seen) -> Answer| {
        let server = Server::start(move |seen, _| answer(seen));
        let store = open(&"s3://models/".parse().unwrap(), &s3(&server)).unwrap();
        store.read(&object, 0..3).unwrap_err()
    };
    let changed: [fn(&Seen) -> Answer; 3] = [
        |_| Answer::new(412, ""),
        |_| Answer::new(404, ""),
        |seen| part(seen, "\"e2\""),
    ];
    for answer in changed {
        assert!(matches!(read(answer), ObjectError::Changed { .. }));
    }
    let wrong: [fn(&Seen) -> Answer; 3] = [
        |_| Answer::new(200, "abc"),
        |_| Answer::new(206, "abc").with("content-range", "bytes 1-3/10000000"),
        |_| Answer::new(206, "abcd").with("content-range", "bytes 0-2/10000000"),
    ];
    for answer in wrong {
        assert!(matches!(read(answer), ObjectError::Answer { .. }));
    }
    let denied = read(|_| Answer::new(403, "<Error><Code>AccessDenied</Code></Error>"));
    assert!(
        matches!(denied, ObjectError::Refused { status: 403, ref code, .. } if code == "AccessDenied")
    );
}

#[test]
#[allow(clippy::disallowed_methods, reason = "how a test hears of its peer")]
fn moto_checks_signatures_and_serves_ranges() {
    let Ok(described) = std::env::var("CUSTOS_PEER_MOTO") else {
        let skip = "SKIP moto: CUSTOS_PEER_MOTO is not set, nothing was compared\n";
        std::io::Write::write_all(&mut std::io::stdout(), skip.as_bytes()).unwrap();
        return;
    };
    let moto: serde_json::Value = serde_json::from_str(&described).unwrap();
    let field = |name: &str| moto[name].as_str().unwrap().to_owned();
    let around = |secret: String| {
        let now = custos_core::clock::Timestamp::from_seconds(
            i64::try_from(
                std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap()
                    .as_secs(),
            )
            .unwrap(),
        );
        let vars = [
            ("AWS_ACCESS_KEY_ID", field("key")),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT_URL_S3", field("url")),
        ];
        let find = move |name: &str| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        };
        Surroundings::new(find, Arc::new(FixedClock::new(now)))
    };
    let prefix: Prefix = "s3://models/m/a b".parse().unwrap();
    let store = open(&prefix, &around(field("secret"))).unwrap();
    let objects = list(store.as_ref()).unwrap();
    let keys: Vec<&str> = objects.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["m/a b+c.bin"]);
    let reader = ObjectReader::new(store.as_ref(), objects[0].clone());
    let mut buffer = vec![0; 1000];
    assert_eq!(reader.read_at(4_194_000, &mut buffer).unwrap(), 1000);
    assert!(
        buffer
            .iter()
            .zip(4_194_000_usize..)
            .all(|(byte, at)| usize::from(*byte) == at % 251)
    );
    let other = Object {
        etag: "\"0\"".to_owned(),
        ..objects[0].clone()
    };
    let changed = store.read(&other, 0..3).unwrap_err();
    assert!(matches!(changed, ObjectError::Changed { .. }), "{changed}");
    let denied = list(open(&prefix, &around("wrong".to_owned())).unwrap().as_ref()).unwrap_err();
    assert!(
        matches!(denied, ObjectError::Refused { status: 403, .. }),
        "{denied}"
    );
}
