//! Keras and HDF5: what loaders would import, call, decode or read, and the harmless twin of each.
//!
//! Files are written here: HDF5 in its newest layout, as small as it can be, archives by the writer
//! of the archive tests, and compiled functions by hand.

#![allow(
    clippy::cast_possible_truncation,
    reason = "sizes of what is written here are small"
)]

mod layers;
pub mod markup;
mod old;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use custos_core::finding::Severity;
use custos_scan::{FileReport, State, fuzz};

use crate::archive::{Member, archive};
use crate::pickle::{Assembler, look};

const NONE: u64 = u64::MAX;

/// Writes HDF5: objects first, then the superblock that leads to the root.
pub struct Hdf5(Vec<u8>);

impl Default for Hdf5 {
    fn default() -> Self {
        // Room for the superblock.
        Self(vec![0; 48])
    }
}

impl Hdf5 {
    /// Adds bytes, and returns where they are.
    pub fn put(&mut self, bytes: &[u8]) -> u64 {
        let at = self.0.len() as u64;
        self.0.extend(bytes);
        at
    }

    /// Adds an object of messages.
    pub fn object(&mut self, messages: &[Vec<u8>]) -> u64 {
        let body = messages.concat();
        let mut out = b"OHDR\x02\x02".to_vec();
        out.extend((body.len() as u32).to_le_bytes());
        out.extend(body);
        out.extend([0; 4]);
        self.put(&out)
    }

    /// Adds a collection of values, and returns its address; the first value has the number 1.
    pub fn collection(&mut self, values: &[&[u8]]) -> u64 {
        let mut body = Vec::new();
        for (index, value) in values.iter().enumerate() {
            body.extend((index as u16 + 1).to_le_bytes());
            body.extend([0; 6]);
            body.extend((value.len() as u64).to_le_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(8), 0);
        }
        let mut out = b"GCOL\x01\0\0\0".to_vec();
        out.extend((body.len() as u64 + 16).to_le_bytes());
        out.extend(body);
        self.put(&out)
    }

    /// Ends the file; the root is an object of these messages.
    pub fn finish(mut self, root: &[Vec<u8>]) -> Vec<u8> {
        let root = self.object(root);
        self.ends_at(root)
    }

    pub fn ends_at(mut self, root: u64) -> Vec<u8> {
        let mut superblock = b"\x89HDF\r\n\x1a\n\x02\x08\x08\0".to_vec();
        for address in [0, NONE, self.0.len() as u64, root] {
            superblock.extend(address.to_le_bytes());
        }
        superblock.extend([0; 4]);
        self.0[..48].copy_from_slice(&superblock);
        self.0
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend((body.len() as u16).to_le_bytes());
    out.push(0);
    out.extend(body);
    out
}

fn text_type(size: usize) -> Vec<u8> {
    let mut out = vec![0x13, 0, 0, 0];
    out.extend((size as u32).to_le_bytes());
    out
}

fn byte_type() -> Vec<u8> {
    vec![0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0]
}

/// Text (or bytes) of its own length.
fn var_type(text: bool) -> Vec<u8> {
    let mut out = vec![0x19, u8::from(text), 0, 0, 16, 0, 0, 0];
    out.extend(byte_type());
    out
}

fn attribute(name: &str, datatype: &[u8], value: &[u8]) -> Vec<u8> {
    let space = [2, 0, 0, 0];
    let mut out = vec![3, 0];
    for size in [name.len() + 1, datatype.len(), space.len()] {
        out.extend((size as u16).to_le_bytes());
    }
    out.push(0);
    out.extend(name.as_bytes());
    out.push(0);
    out.extend(datatype);
    out.extend(space);
    out.extend(value);
    message(0x0c, &out)
}

pub fn text_attribute(name: &str, value: &str) -> Vec<u8> {
    attribute(name, &text_type(value.len()), value.as_bytes())
}

fn reference(len: usize, collection: u64, index: u32) -> Vec<u8> {
    let mut out = (len as u32).to_le_bytes().to_vec();
    out.extend(collection.to_le_bytes());
    out.extend(index.to_le_bytes());
    out
}

fn link(name: &str, kind: u8, target: &[u8]) -> Vec<u8> {
    let mut out = vec![1, 8, kind, name.len() as u8];
    out.extend(name.as_bytes());
    out.extend(target);
    message(0x06, &out)
}

pub fn hard(name: &str, address: u64) -> Vec<u8> {
    link(name, 0, &address.to_le_bytes())
}

fn external(name: &str, file: &str, object: &str) -> Vec<u8> {
    let value = format!("\0{file}\0{object}\0");
    let mut target = (value.len() as u16).to_le_bytes().to_vec();
    target.extend(value.as_bytes());
    link(name, 64, &target)
}

fn space(dimensions: &[u64]) -> Vec<u8> {
    let mut out = vec![2, dimensions.len() as u8, 0, 1];
    out.extend(dimensions.iter().flat_map(|one| one.to_le_bytes()));
    message(0x01, &out)
}

/// Values in one piece.
fn contiguous(address: u64, size: u64) -> Vec<u8> {
    let mut out = vec![3, 1];
    out.extend(address.to_le_bytes());
    out.extend(size.to_le_bytes());
    message(0x08, &out)
}

/// A dataset of bytes in one piece.
pub fn dataset(file: &mut Hdf5, bytes: &[u8]) -> u64 {
    let at = file.put(bytes);
    let size = bytes.len() as u64;
    let datatype = message(0x03, &byte_type());
    file.object(&[space(&[size]), datatype, contiguous(at, size)])
}

fn rules(report: &FileReport) -> Vec<&str> {
    let findings = report.findings.iter();
    findings.map(|finding| finding.rule.as_str()).collect()
}

fn clean(bytes: &[u8]) -> FileReport {
    let report = look(bytes);
    assert_eq!(report.state(Severity::Medium), State::Clean, "{report:#?}");
    assert_eq!(report.coverage.unknown, 0, "{report:#?}");
    report
}

/// The worst finding is of this rule, this bad, and known under these names.
fn found(bytes: &[u8], rule: &str, severity: Severity, cves: &[&str]) -> FileReport {
    let report = look(bytes);
    let finding = report.findings.iter().find(|finding| finding.rule == rule);
    let Some(finding) = finding else {
        panic!("no {rule}: {report:#?}");
    };
    assert_eq!(finding.severity, severity, "{report:#?}");
    for cve in cves {
        assert!(
            finding.cves.iter().any(|one| one == cve),
            "{cve}: {finding:#?}"
        );
    }
    report
}

pub fn model_file(config: &str) -> Vec<u8> {
    let mut file = Hdf5::default();
    let values = file.collection(&[config.as_bytes()]);
    let weights = dataset(&mut file, &[7; 24]);
    let group = file.object(&[hard("kernel", weights)]);
    let config = attribute(
        "model_config",
        &var_type(true),
        &reference(config.len(), values, 1),
    );
    file.finish(&[
        text_attribute("keras_version", "3.10.0"),
        text_attribute("backend", "jax"),
        config,
        hard("model_weights", group),
    ])
}

pub fn model_archive(config: &str) -> Vec<u8> {
    let mut weights = Hdf5::default();
    let kernel = dataset(&mut weights, &[7; 24]);
    let layers = weights.object(&[hard("0", kernel)]);
    let weights = weights.finish(&[hard("layers", layers)]);
    archive(&[
        Member::new(
            "metadata.json",
            br#"{"keras_version": "3.10.0", "date_saved": "2026-01-01@00:00:00"}"#,
        ),
        Member::new("config.json", config.as_bytes()),
        Member::new("model.weights.h5", &weights),
    ])
}

/// A model of one layer.
pub fn sequential(layer: &str) -> String {
    format!(
        r#"{{"module": "keras", "class_name": "Sequential", "config": {{"name": "m", "trainable": true,
        "dtype": {{"module": "keras", "class_name": "DTypePolicy", "config": {{"name": "float32"}},
        "registered_name": null}}, "layers": [{layer}]}}, "registered_name": null}}"#
    )
}

pub fn dense(activation: &str) -> String {
    sequential(&format!(
        r#"{{"module": "keras.layers", "class_name": "Dense", "config": {{"name": "d", "units": 3,
        "activation": {activation}}}, "registered_name": null}}"#
    ))
}

pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let config = dense("\"relu\"");
    let mut samples = vec![
        ("hdf5", model_file(&config)),
        ("keras", model_archive(&config)),
        ("keras-config", config.into_bytes()),
    ];
    samples.extend(markup::samples());
    samples
}

#[test]
fn ordinary_models_are_clean() {
    for (format, bytes) in samples() {
        let report = clean(&bytes);
        assert!(
            report.formats.iter().any(|one| one.format == format),
            "{report:#?}"
        );
    }
    let custom = sequential(
        r#"{"module": null, "class_name": "Mine", "config": {}, "registered_name": "my>Mine"}"#,
    );
    assert_eq!(rules(&clean(custom.as_bytes())), ["keras/custom-object"]);
}

macro_rules! real {
    ($name:literal) => {
        include_bytes!(concat!("../../../../testdata/scan/", $name)).to_vec()
    };
}

/// Files that h5py 3.16 and Keras 3.15 wrote, with the old layout and the new one.
fn real_files() -> [Vec<u8>; 3] {
    [
        real!("hdf5/old.h5"),
        real!("hdf5/new.h5"),
        real!("keras/plain.keras"),
    ]
}

#[test]
fn files_of_the_libraries_are_understood_to_the_last_byte() {
    for bytes in real_files() {
        clean(&bytes);
        for end in (8..bytes.len()).step_by(101) {
            let report = look(&bytes[..end]);
            assert_ne!(report.state(Severity::Info), State::Clean, "{end}");
        }
        for at in (0..bytes.len()).step_by(11) {
            let mut other = bytes.clone();
            other[at] ^= [0xff, 0x01, 0x10][at % 3];
            fuzz::format("hdf5", &other);
        }
    }
    found(
        &real!("keras/lambda.h5"),
        "keras/lambda",
        Severity::High,
        &["CVE-2025-9905"],
    );
    found(
        &real!("keras/lambda.keras"),
        "keras/lambda",
        Severity::High,
        &["CVE-2024-3660"],
    );
}

/// A function as Python 3.11 and later compile it, with these names and texts.
pub fn compiled(version: u8, names: &[&str], texts: &[&str]) -> String {
    let short = |text: &str| [&[0xda, text.len() as u8], text.as_bytes()].concat();
    let tuple = |items: &[&str]| {
        let mut out = vec![b')', items.len() as u8];
        for item in items {
            out.extend(short(item));
        }
        out
    };
    let numbers = if version == 8 { 6 } else { 5 };
    let mut out = vec![0xe3];
    out.extend([0; 24][..numbers * 4].iter());
    out.extend(b"s\x04\0\0\0\x97\0d\0");
    out.extend(tuple(texts));
    out.extend(tuple(names));
    let kinds: &[u8] = if version == 11 {
        b"s\x01\0\0\0\x20"
    } else {
        b")\0"
    };
    out.extend(tuple(&["x"]));
    out.extend(kinds);
    if version < 11 {
        out.extend(b")\0");
    }
    out.extend(short("<stdin>"));
    out.extend(short("<lambda>"));
    if version == 11 {
        out.extend(short("<lambda>"));
    }
    out.extend([1, 0, 0, 0]);
    out.extend(b"s\0\0\0\0");
    if version == 11 {
        out.extend(b"s\0\0\0\0");
    }
    STANDARD.encode(out)
}

pub fn lambdas(code: &str) -> [String; 3] {
    [
        // Version 3; version 3 with the older list; version 2.
        sequential(&format!(
            r#"{{"module": "keras.layers", "class_name": "Lambda", "config": {{"name": "l", "function":
            {{"class_name": "__lambda__", "config": {{"code": "{code}", "defaults": null,
            "closure": null}}}}, "arguments": {{}}}}, "registered_name": null}}"#
        )),
        sequential(&format!(
            r#"{{"module": "keras.layers", "class_name": "Lambda", "config": {{"name": "l", "function":
            {{"class_name": "__lambda__", "config": {{"value": ["{code}", null, null]}}}}}}}}"#
        )),
        format!(
            r#"{{"class_name": "Sequential", "config": {{"name": "s", "layers": [{{"class_name":
            "Lambda", "config": {{"name": "l", "function": ["{code}\n", null, null],
            "function_type": "lambda", "module": "__main__", "output_shape": null}}}}]}}}}"#
        ),
    ]
}

#[test]
fn cve_2024_3660_and_2025_9905_lambda_layers_carry_code() {
    for version in [7, 8, 11] {
        let harmless = compiled(version, &[], &[]);
        let harmful = compiled(version, &["__import__", "system"], &["os", "touch /tmp/x"]);
        for (bad, plain) in lambdas(&harmful).into_iter().zip(lambdas(&harmless)) {
            for (wrap, cves) in [
                (model_archive as fn(&str) -> Vec<u8>, &["CVE-2024-3660"][..]),
                (model_file, &["CVE-2024-3660", "CVE-2025-9905"]),
                (|text| text.as_bytes().to_vec(), &["CVE-2024-3660"]),
            ] {
                let report = found(&wrap(&bad), "keras/lambda", Severity::Critical, cves);
                let finding = &report.findings[0];
                let shown = finding.evidence.as_deref().unwrap();
                assert!(shown.contains("names: __import__, system"), "{finding:#?}");
                assert!(shown.contains("touch /tmp/x"), "{finding:#?}");
                // Code is code, whatever it does.
                found(&wrap(&plain), "keras/lambda", Severity::High, cves);
            }
        }
    }
    let named = sequential(
        r#"{"module": "keras.layers", "class_name": "Lambda", "config": {"name": "l", "function":
        {"module": "builtins", "class_name": "function", "config": "mine", "registered_name":
        "my>mine"}}, "registered_name": null}"#,
    );
    assert_eq!(rules(&clean(named.as_bytes())), ["keras/custom-object"]);
}

#[test]
fn cve_2025_1550_modules_are_imported_by_name() {
    let function = |module: &str, name: &str| {
        dense(&format!(
            r#"{{"module": "{module}", "class_name": "function", "config": "{name}",
            "registered_name": "{name}"}}"#
        ))
    };
    for (module, name, severity) in [
        ("os", "system", Severity::Critical),
        ("builtins", "exec", Severity::Critical),
        ("subprocess", "run", Severity::Critical),
        ("heapq", "merge", Severity::High),
        ("some_package.sub", "thing", Severity::Medium),
    ] {
        let cves: &[&str] = if severity == Severity::Medium {
            &[]
        } else {
            &["CVE-2025-1550"]
        };
        found(
            &model_archive(&function(module, name)),
            "keras/module",
            severity,
            cves,
        );
        found(
            &model_file(&function(module, name)),
            "keras/module",
            severity,
            cves,
        );
    }
    clean(function("keras.activations", "relu").as_bytes());
    clean(function("builtins", "relu").as_bytes());
    // As a class, and below anything else.
    let class =
        sequential(r#"{"module": "subprocess", "class_name": "Popen", "config": {"args": "id"}}"#);
    found(
        class.as_bytes(),
        "keras/module",
        Severity::Critical,
        &["CVE-2025-1550"],
    );
    let old = r#"{"class_name": "Model", "config": {"layers": [{"class_name": "Lambda", "config":
        {"function": "system", "function_type": "function", "module": "os"}}]}}"#;
    found(
        old.as_bytes(),
        "keras/module",
        Severity::Critical,
        &["CVE-2025-1550"],
    );
}

#[test]
fn escapes_encodings_and_repeated_keys_hide_nothing() {
    let config = dense(r#"{"module": "os", "class_name": "function", "config": "system"}"#);
    let escaped = config
        .replace("class_name", r"\u0063lass_name")
        .replace("\"os\"", r#""\u006fs""#);
    let wide: Vec<u8> = config.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let odd = config.replacen(
        "\"units\": 3",
        "\"units\": NaN, \"a\": 1e9999, \"b\": \"\\ud800\"",
        1,
    );
    let twice = config.replace("\"module\": \"os\"", "\"module\": \"os\", \"x\": 0");
    let twice = twice.replacen(
        "\"config\": \"system\"",
        "\"config\": \"system\", \"y\": 1",
        1,
    );
    for bytes in [
        escaped.into_bytes(),
        wide,
        odd.into_bytes(),
        twice.into_bytes(),
    ] {
        found(
            &bytes,
            "keras/module",
            Severity::Critical,
            &["CVE-2025-1550"],
        );
        let packed = archive(&[
            Member::new("config.json", &bytes),
            Member::new("metadata.json", b"{}"),
        ]);
        found(
            &packed,
            "keras/module",
            Severity::Critical,
            &["CVE-2025-1550"],
        );
    }
    let broken = &config[..config.len() - 2];
    let report = found(broken.as_bytes(), "keras/broken", Severity::Medium, &[]);
    assert_eq!(report.state(Severity::High), State::Incomplete);
}

#[test]
fn cve_2025_8747_and_2025_12060_get_file_is_no_layer() {
    let layer = |module: &str, name: &str, more: &str| {
        sequential(&format!(
            r#"{{"module": "keras.layers", "class_name": "Lambda", "config": {{"name": "l", "function":
            {{"module": "{module}", "class_name": "function", "config": "{name}", "registered_name":
            "{name}"}}, "arguments": {{"origin": "http://example.org/x.tgz", "fname": "x",
            "cache_dir": "/tmp"{more}}}}}, "registered_name": null}}"#
        ))
    };
    for module in [
        "keras.utils",
        "keras.src.utils.file_utils",
        "tf_keras.utils",
        "builtins",
    ] {
        let config = layer(module, "get_file", "");
        let report = found(
            &model_archive(&config),
            "keras/gadget",
            Severity::Critical,
            &["CVE-2025-8747"],
        );
        let shown = report.findings[0].evidence.as_deref().unwrap();
        assert!(shown.contains("http://example.org/x.tgz"), "{shown}");
        assert!(
            !report.findings[0]
                .cves
                .contains(&"CVE-2025-12060".to_owned())
        );
    }
    let config = layer("keras.utils", "get_file", r#", "extract": true"#);
    found(
        &model_file(&config),
        "keras/gadget",
        Severity::Critical,
        &["CVE-2025-8747", "CVE-2025-12060"],
    );
    found(
        layer("keras.models", "load_model", "").as_bytes(),
        "keras/gadget",
        Severity::High,
        &[],
    );
    clean(layer("keras.ops", "relu", "").as_bytes());
}

#[test]
fn cve_2025_9906_the_safe_mode_stays_on() {
    for module in ["keras.config", "keras.src.saving.serialization_lib"] {
        let config = sequential(&format!(
            r#"{{"module": "{module}", "class_name": "function", "config":
            "enable_unsafe_deserialization", "registered_name": "enable_unsafe_deserialization"}}"#
        ));
        found(
            &model_archive(&config),
            "keras/unsafe-switch",
            Severity::Critical,
            &["CVE-2025-9906"],
        );
    }
    clean(&model_archive(&dense("\"enable_unsafe_deserialization\"")));
}

#[test]
fn cve_2025_49655_a_module_of_pytorch_is_a_pickle() {
    let layer = |pickle: &[u8]| {
        let code = STANDARD.encode(pickle);
        sequential(&format!(
            r#"{{"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {{"name": "t",
            "module": "{code}"}}, "registered_name": null}}"#
        ))
    };
    let payload = Assembler::protocol(4).call("posix", "system", "id").stop();
    let report = found(
        &model_archive(&layer(&payload)),
        "keras/torch-module",
        Severity::High,
        &["CVE-2025-49655"],
    );
    assert!(
        rules(&report).contains(&"pickle/dangerous-call"),
        "{report:#?}"
    );
    let harmless = Assembler::protocol(4).raw(b"}").stop();
    let report = look(&model_archive(&layer(&harmless)));
    assert_eq!(rules(&report), ["keras/torch-module"]);
    let named = dense("\"TorchModuleWrapper\"");
    clean(named.as_bytes());
}

#[test]
fn cve_2025_12058_a_vocabulary_is_no_file_elsewhere() {
    let layer = |vocabulary: &str| {
        sequential(&format!(
            r#"{{"module": "keras.layers", "class_name": "StringLookup", "config": {{"name": "s",
            "vocabulary": {vocabulary}}}, "registered_name": null}}"#
        ))
    };
    for path in [
        "\"/etc/passwd\"",
        "\"../../x\"",
        "\"http://example.org/\"",
        "\"~/.ssh/id_rsa\"",
    ] {
        found(
            &model_archive(&layer(path)),
            "keras/vocabulary-path",
            Severity::High,
            &["CVE-2025-12058"],
        );
    }
    clean(&model_archive(&layer("null")));
    clean(&model_archive(&layer(r#"["/etc/passwd", "a"]"#)));
    found(
        &model_archive(&layer("\"words.txt\"")),
        "keras/vocabulary-path",
        Severity::Low,
        &[],
    );
}

/// A dataset whose values are in a file of this name.
pub fn storage(file: &mut Hdf5, name: &str) -> u64 {
    let data = file.put(&[&[0; 8], name.as_bytes(), &[0]].concat());
    let mut heap = b"HEAP\0\0\0\0".to_vec();
    for number in [name.len() as u64 + 9, 1, data] {
        heap.extend(number.to_le_bytes());
    }
    let heap = file.put(&heap);
    let mut list = vec![1, 0, 0, 0, 1, 0, 1, 0];
    for number in [heap, 8, 0, 24] {
        list.extend(number.to_le_bytes());
    }
    file.object(&[
        space(&[24]),
        message(0x03, &byte_type()),
        contiguous(NONE, 24),
        message(0x07, &list),
    ])
}

/// A dataset that is put together from one in a file of this name.
fn sources(file: &mut Hdf5, name: &str) -> u64 {
    let all = [3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut map = vec![0];
    map.extend(1_u64.to_le_bytes());
    map.extend(format!("{name}\0data\0").as_bytes());
    map.extend(all);
    map.extend(all);
    map.extend([0; 4]);
    let at = file.collection(&[&map]);
    let mut layout = vec![4, 3];
    layout.extend(at.to_le_bytes());
    layout.extend([1, 0, 0, 0]);
    file.object(&[
        space(&[24]),
        message(0x03, &byte_type()),
        message(0x08, &layout),
    ])
}

#[test]
fn cve_2026_1669_weights_come_from_the_file_itself() {
    for name in ["/etc/passwd", "beside.h5"] {
        let mut first = Hdf5::default();
        let stored = storage(&mut first, name);
        let mut second = Hdf5::default();
        let mapped = sources(&mut second, name);
        let link = external("kernel", name, "/x");
        let mark = text_attribute("keras_version", "3.10.0");
        for (file, link) in [
            (first, hard("kernel", stored)),
            (second, hard("kernel", mapped)),
            (Hdf5::default(), link),
        ] {
            let plain = Hdf5(file.0.clone()).finish(std::slice::from_ref(&link));
            let outside = name.starts_with('/');
            let severity = if outside {
                Severity::High
            } else {
                Severity::Medium
            };
            let report = found(&plain, "hdf/external", severity, &[]);
            assert!(report.findings[0].cves.is_empty());
            assert_eq!(report.findings[0].evidence.as_deref(), Some(name));
            let weights = file.finish(&[mark.clone(), link]);
            found(&weights, "hdf/external", Severity::High, &["CVE-2026-1669"]);
        }
    }
    let mut own = Hdf5::default();
    let mapped = sources(&mut own, ".");
    clean(&own.finish(&[text_attribute("keras_version", "3"), hard("kernel", mapped)]));
}

#[test]
fn pickles_are_found_wherever_values_lie() {
    let payload = Assembler::protocol(4).call("posix", "system", "id").stop();
    let harmless = vec![3; payload.len()];
    let files = |bytes: &[u8]| {
        let mut piece = Hdf5::default();
        let one = dataset(&mut piece, bytes);
        let mut own = Hdf5::default();
        let values = own.collection(&[bytes]);
        let value = attribute("a", &var_type(false), &reference(bytes.len(), values, 1));
        let mut left = Hdf5::default();
        left.put(bytes);
        vec![
            piece.finish(&[hard("d", one)]),
            own.finish(&[value]),
            Hdf5::default().finish(&[attribute("a", &text_type(bytes.len()), bytes)]),
            left.finish(&[]),
        ]
    };
    for bytes in files(&payload) {
        found(&bytes, "pickle/dangerous-call", Severity::Critical, &[]);
    }
    for bytes in files(&harmless) {
        clean(&bytes);
    }
    // In the block that readers skip, and behind the end.
    let file = Hdf5::default().finish(&[]);
    let mut block = payload.clone();
    block.resize(512, 0);
    let mut behind = file.clone();
    behind[12..20].copy_from_slice(&512_u64.to_le_bytes());
    behind[28..36].copy_from_slice(&(512 + file.len() as u64).to_le_bytes());
    let report = found(
        &[block, behind].concat(),
        "pickle/dangerous-call",
        Severity::Critical,
        &[],
    );
    assert!(rules(&report).contains(&"hdf/user-block"), "{report:#?}");
    found(
        &[file, payload].concat(),
        "pickle/dangerous-call",
        Severity::Critical,
        &[],
    );
}

#[test]
fn plugins_are_told() {
    let packed = |filter: u16| {
        let mut file = Hdf5::default();
        let at = file.put(&[9; 16]);
        let mut layout = vec![4, 2, 2, 2, 1, 16, 1, 1];
        layout.extend(16_u64.to_le_bytes());
        layout.extend([0; 4]);
        layout.extend(at.to_le_bytes());
        let mut pipeline = vec![2, 1];
        pipeline.extend(filter.to_le_bytes());
        if filter >= 256 {
            pipeline.extend([0; 2]);
        }
        pipeline.extend([0; 4]);
        let one = file.object(&[
            space(&[16]),
            message(0x03, &[0x10, 0, 0, 0, 2, 0, 0, 0, 0, 0, 16, 0]),
            message(0x0b, &pipeline),
            message(0x08, &layout),
        ]);
        file.finish(&[hard("d", one)])
    };
    found(&packed(4242), "hdf/filter", Severity::Medium, &[]);
    found(&packed(32001), "hdf/filter", Severity::Info, &[]);
    assert_eq!(rules(&clean(&packed(2))), Vec::<&str>::new());
}

#[test]
fn circles_and_shared_bytes_end() {
    // A root that holds itself, and a second name for it.
    let file = Hdf5::default();
    let here = file.0.len() as u64;
    clean(&file.finish(&[hard("again", here), hard("and again", here)]));
    // Continuations that go back to themselves.
    let mut file = Hdf5::default();
    let block = file.0.len() as u64;
    let mut next = block.to_le_bytes().to_vec();
    next.extend(28_u64.to_le_bytes());
    let mut body = b"OCHK".to_vec();
    body.extend(message(0x10, &next));
    body.extend([0; 4]);
    assert_eq!(body.len(), 28);
    file.put(&body);
    let report = look(&file.finish(&[message(0x10, &next)]));
    assert_ne!(report.state(Severity::Info), State::Clean);
    assert!(!report.gaps.is_empty(), "{report:#?}");
    // Sizes that do not exist.
    let mut file = Hdf5::default();
    let one = file.object(&[
        space(&[u64::MAX, u64::MAX]),
        message(0x03, &byte_type()),
        contiguous(48, u64::MAX),
    ]);
    found(
        &file.finish(&[hard("d", one)]),
        "hdf/broken",
        Severity::Medium,
        &[],
    );
}

#[test]
fn what_is_cut_or_changed_is_no_surprise() {
    for (format, bytes) in samples() {
        // A text that breaks off is a text, and so are two letters.
        let is_text = !matches!(format, "hdf5" | "keras");
        let ends = if is_text { 0 } else { bytes.len() };
        for end in (8..ends).step_by(7) {
            let report = look(&bytes[..end]);
            assert_ne!(report.state(Severity::Info), State::Clean, "{format} {end}");
        }
        for at in 0..bytes.len() {
            for change in [0xff, 0x01, 0x80] {
                let mut other = bytes.clone();
                other[at] ^= change;
                fuzz::format(format, &other);
            }
        }
    }
}
