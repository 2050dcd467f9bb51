//! Tar archives and images.

use custos_core::digest::Algorithm;
use custos_core::finding::Severity;
use custos_scan::State;

use super::packed::gzip;
use super::{harmless, payload, rules};
use crate::pickle::look;

/// A header with a sum.
pub fn header(name: &str, kind: u8, (link, size): (&str, usize)) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[148..156].fill(b' ');
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn member(name: &str, kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = header(name, kind, ("", bytes.len()));
    out.extend(bytes);
    out.resize(out.len().div_ceil(512) * 512, 0);
    out
}

fn ended(mut members: Vec<u8>) -> Vec<u8> {
    members.extend([0; 1024]);
    members
}

pub fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    ended(
        members
            .iter()
            .flat_map(|(name, bytes)| member(name, b'0', bytes))
            .collect(),
    )
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let len = (rest.len()..rest.len() + 20).find(|len| len.to_string().len() + rest.len() == *len);
    format!("{}{rest}", len.unwrap()).into_bytes()
}

pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let pax = [
        member("pax", b'x', &record("path", &"long/".repeat(40))),
        member("short", b'0', &harmless()),
    ];
    let gnu = [
        member("././@LongLink", b'L', "n".repeat(200).as_bytes()),
        member("short", b'0', &harmless()),
    ];
    vec![
        (
            "tar",
            archive(&[("a/x.pkl", &harmless()), ("a/y.pkl", &harmless())]),
        ),
        ("tar", ended(pax.concat())),
        ("tar", ended(gnu.concat())),
        ("tar", crate::tensors::tarred::sample()),
        ("oci-image", b"{\"imageLayoutVersion\":\"1.0.0\"}".to_vec()),
    ]
}

#[test]
fn names_and_links_that_lead_out() {
    let link = |name, kind, to| header(name, kind, (to, 0));
    let pax = member("pax", b'x', &record("path", "../../x"));
    let gnu = member("././@LongLink", b'L', b"/etc/cron.d/x\0");
    let through = [
        link("a", b'2', "/tmp"),
        member("a/x.pkl", b'0', &harmless()),
    ]
    .concat();
    for bad in [
        member("../x.pkl", b'0', &harmless()),
        member("./../x.pkl", b'0', &harmless()),
        [pax, member("x", b'0', &harmless())].concat(),
        [gnu, member("x", b'0', &harmless())].concat(),
        link("a", b'2', "/etc/passwd"),
        link("a/b", b'2', "../../x"),
        link("a", b'1', "../x"),
        link("a", b'1', "/etc/shadow"),
        through,
    ] {
        let report = look(&ended(bad));
        assert!(rules(&report).contains(&"archive/path"), "{report:#?}");
        assert_eq!(report.worst(), Some(Severity::High));
    }
    let system = ["bin/", "etc/", "usr/", "var/"].map(|name| header(name, b'5', ("", 0)));
    for good in [
        link("a/b", b'2', "../x"),
        link("a", b'1', "b"),
        [
            system.concat(),
            link("lib", b'2', "/usr/lib"),
            link("dev/null", b'3', ""),
        ]
        .concat(),
    ] {
        let report = look(&ended(good));
        assert_eq!(report.state(Severity::Info), State::Clean, "{report:#?}");
    }
}

#[test]
fn members_of_any_kind_and_what_headers_hide() {
    for (content, bad) in [(payload(), true), (harmless(), false)] {
        let good = member("x", b'0', &harmless());
        let hidden = member("y", b'0', &content);
        // A link with a size, whose bytes programs take for a member or leave out.
        let sized = header("link", b'2', ("x", 512));
        let mut wrong = good.clone();
        wrong[0] ^= 1;
        let files = [
            ended(member("x", b'0', &content)),
            ended(member("x", b'7', &content)),
            ended(member("x", b'Z', &content)),
            ended(member("x", 0, &content)),
            ended([sized, hidden.clone()].concat()),
            ended([good.clone(), wrong, hidden.clone()].concat()),
            [ended(good.clone()), ended(hidden.clone())].concat(),
            [ended(good.clone()), content.clone()].concat(),
            gzip(&ended(hidden)),
        ];
        for (number, file) in files.iter().enumerate() {
            let report = look(file);
            assert_eq!(
                rules(&report).contains(&"pickle/dangerous-call"),
                bad,
                "{number}: {report:#?}"
            );
            let state = if bad {
                State::Findings
            } else if number == 5 {
                State::Incomplete
            } else {
                State::Clean
            };
            assert_eq!(report.state(Severity::High), state, "{number}: {report:#?}");
        }
    }
}

#[test]
fn cut_archives_are_not_clean() {
    let whole = archive(&[
        ("a/x.pkl", &harmless()),
        ("a/y.pkl", &[&harmless()[..]; 100].concat()),
    ]);
    for len in [100, 520, 700, 1_100, 1_600, 1_700] {
        let report = look(&whole[..len]);
        assert_eq!(
            report.state(Severity::High),
            State::Incomplete,
            "{len}: {report:#?}"
        );
    }
}

fn named(blob: &[u8]) -> String {
    let digest = Algorithm::Sha256.digest(blob).to_string();
    digest.replace("sha256:", "blobs/sha256/")
}

#[test]
fn images_are_looked_into_and_their_blobs_compared() {
    let image = |content: &[u8], kind: &str, wrong: bool| {
        let layer = gzip(&archive(&[("usr/m.pkl", content)]));
        let digest = Algorithm::Sha256.digest(&layer);
        let manifest = format!(
            "{{\"schemaVersion\":2,\"layers\":[{{\"mediaType\":\"application/vnd.oci.image.layer\
             .{kind}.tar+gzip\",\"digest\":\"{digest}\",\"size\":{}}}]}}",
            layer.len()
        );
        let mut name = named(&layer);
        if wrong {
            name.replace_range(
                name.len() - 1..,
                if name.ends_with('0') { "1" } else { "0" },
            );
        }
        archive(&[
            ("oci-layout", b"{\"imageLayoutVersion\":\"1.0.0\"}"),
            (&name, &layer),
            (&named(manifest.as_bytes()), manifest.as_bytes()),
        ])
    };
    let report = look(&image(&harmless(), "v1", false));
    assert_eq!(report.state(Severity::Info), State::Clean, "{report:#?}");
    let report = look(&image(&payload(), "v1", false));
    assert!(
        rules(&report).contains(&"pickle/dangerous-call"),
        "{report:#?}"
    );
    let report = look(&image(&harmless(), "v1", true));
    assert_eq!(rules(&report), ["oci/digest"], "{report:#?}");
    let report = look(&image(&harmless(), "nondistributable.v1", false));
    assert_eq!(rules(&report), ["oci/foreign-layer"], "{report:#?}");
    assert_eq!(report.state(Severity::High), State::Incomplete);
}
