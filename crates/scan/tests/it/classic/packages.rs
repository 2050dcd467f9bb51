//! skops, joblib, model archives and `NeMo`.

use custos_core::finding::Severity;
use custos_scan::{FileReport, Options, scan};

use crate::archive::{Member, archive, deflated};
use crate::pickle::{Assembler, look};
use crate::tensors::{cves, quiet, rules, told};

fn node(module: &str, class: &str, loader: &str, more: &str) -> String {
    format!(
        r#"{{"__class__": "{class}", "__module__": "{module}", "__loader__": "{loader}", {more}"__id__": 1}}"#
    )
}

pub fn schema(module: &str, class: &str) -> Vec<u8> {
    let name = node("builtins", "str", "JsonNode", r#""content": "1.0", "#);
    let content = node(
        "builtins",
        "dict",
        "DictNode",
        &format!(r#""content": {{"C": {name}}}, "#),
    );
    node(
        module,
        class,
        "ObjectNode",
        &format!(r#""content": {content}, "#),
    )
    .into_bytes()
}

#[test]
fn types_of_skops() {
    let model = |schema: &[u8]| archive(&[Member::new("schema.json", schema)]);
    let known = schema("sklearn.linear_model._logistic", "LogisticRegression");
    assert_eq!(rules(&quiet(&model(&known))), [""; 0]);
    let unknown = told(
        &model(&schema("mine", "Model")),
        "skops/type",
        Severity::Medium,
    );
    assert_eq!(unknown.worst(), Some(Severity::Medium));
    for (module, class) in [
        ("os", "system"),
        ("builtins", "eval"),
        ("numpy", "__class__.x"),
    ] {
        told(
            &model(&schema(module, class)),
            "skops/type",
            Severity::Critical,
        );
    }
    let loader = node("builtins", "str", "EvalNode", "").into_bytes();
    told(&loader, "skops/loader", Severity::Medium);
}

/// A node of `operator` of this type.
pub fn operator(module: &str, class: &str) -> Vec<u8> {
    let attributes = node("builtins", "tuple", "TupleNode", r#""content": [], "#);
    let more = format!(r#""attrs": {attributes}, "#);
    node(module, class, "OperatorFuncNode", &more).into_bytes()
}

/// A method of a classifier that says it is of another type.
pub fn method(owner: (&str, &str), function: &str) -> Vec<u8> {
    let own = "sklearn.linear_model._logistic";
    let object = node(own, "LogisticRegression", "ObjectNode", "");
    let content = format!(r#""content": {{"func": "{function}", "obj": {object}}}, "#);
    node(owner.0, owner.1, "MethodNode", &content).into_bytes()
}

#[test]
fn nodes_of_skops_that_say_two_things() {
    // CVE-2025-54412: a node of `operator` that is something else.
    for (module, class) in [("builtins", "int"), ("operator", "call")] {
        let report = told(&operator(module, class), "skops/mismatch", Severity::High);
        assert_eq!(cves(&report, "skops/mismatch"), ["CVE-2025-54412"]);
    }
    let good = look(&operator("operator", "itemgetter"));
    assert!(!rules(&good).contains(&"skops/mismatch"), "{good:#?}");
    // CVE-2025-54413: a method of another object than trust is asked for.
    let own = ("sklearn.linear_model._logistic", "LogisticRegression");
    assert_eq!(rules(&quiet(&method(own, "predict"))), [""; 0]);
    for bad in [
        method(("builtins", "str"), "predict"),
        method(own, "__reduce__"),
        method(own, "fit.__globals__"),
    ] {
        let report = told(&bad, "skops/mismatch", Severity::High);
        assert_eq!(cves(&report, "skops/mismatch"), ["CVE-2025-54413"]);
    }
}

fn named(name: &str, bytes: &[u8]) -> FileReport {
    scan(name, &bytes.to_vec(), &Options::default())
}

#[test]
fn a_pickle_that_is_called_like_a_skops_model() {
    // CVE-2025-54886: a model card falls back to joblib.
    let payload = Assembler::protocol(4).call("posix", "system", "id").stop();
    let report = named("model.skops", &payload);
    assert_eq!(cves(&report, "skops/fallback"), ["CVE-2025-54886"]);
    assert_eq!(report.worst(), Some(Severity::Critical));
    let good = archive(&[Member::new("schema.json", &schema("builtins", "dict"))]);
    assert_eq!(rules(&named("model.skops", &good)), [""; 0]);
}

#[test]
fn joblib_is_pickle_however_it_is_packed() {
    // CVE-2020-13092 and CVE-2024-34997: loading runs the stream.
    let payload = Assembler::protocol(4).call("posix", "system", "id").stop();
    let harmless = Assembler::protocol(4).raw(b"}").stop();
    let zlib = |bytes: &[u8]| {
        let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(3));
        std::io::Write::write_all(&mut writer, bytes).unwrap();
        writer.finish().unwrap()
    };
    let old = |bytes: &[u8]| {
        // The mark, and the size in hexadecimal digits, padded with spaces.
        let size = format!("{:#x}", bytes.len());
        [
            b"ZF".to_vec(),
            format!("{size:<19}").into_bytes(),
            zlib(bytes),
        ]
        .concat()
    };
    for pack in [
        &zlib as &dyn Fn(&[u8]) -> Vec<u8>,
        &old,
        &|bytes: &[u8]| bytes.to_vec(),
    ] {
        let bad = look(&pack(&payload));
        assert_eq!(bad.worst(), Some(Severity::Critical), "{bad:#?}");
        quiet(&pack(&harmless));
    }
}

pub fn mar(handler: &str, member: &str) -> Vec<u8> {
    let manifest = format!(
        r#"{{"createdOn": "01/01/2026", "runtime": "python", "model": {{"modelName": "m", "handler": "{handler}", "modelVersion": "1.0"}}, "archiverVersion": "0.9.0"}}"#
    );
    archive(&[
        Member::new("MAR-INF/MANIFEST.json", manifest.as_bytes()),
        Member::new(member, b"def handle(data, context):\n    return data\n"),
    ])
}

#[test]
fn manifests_of_model_archives() {
    let report = quiet(&mar("handler.py:handle", "handler.py"));
    assert_eq!(report.findings, []);
    assert_eq!(rules(&quiet(&mar("image_classifier", "notes.py"))), [""; 0]);
    told(
        &mar("other.py", "handler.py"),
        "mar/missing",
        Severity::Medium,
    );
    // CVE-2023-48299: names that lead out, in the manifest or of members.
    for file in [
        mar("../../handler.py", "handler.py"),
        mar("/etc/handler.py", "handler.py"),
        mar("handler.py", "../../handler.py"),
    ] {
        let report = told(&file, "mar/path", Severity::High);
        assert!(cves(&report, "mar/path").contains(&"CVE-2023-48299"));
    }
    let broken = archive(&[Member::new("MAR-INF/MANIFEST.json", b"{")]);
    told(&broken, "mar/manifest", Severity::Medium);
}

#[test]
fn a_handler_that_is_not_read_whole_is_told() {
    let manifest = br#"{"runtime": "python", "model": {"modelName": "m", "handler": "h.txt"}}"#;
    let gaps = |packed: Vec<u8>, method: u16| {
        let mut handler = Member::new("h.txt", &packed);
        handler.method = method;
        let file = archive(&[Member::new("MAR-INF/MANIFEST.json", manifest), handler]);
        let gaps = look(&file).gaps.into_iter().map(|gap| gap.reason);
        gaps.filter(|reason| reason.starts_with("`h.txt`"))
            .collect::<Vec<_>>()
    };
    let long = [
        vec![b'\n'; 4 << 20],
        b"import os\nos.system('id')\n".to_vec(),
    ]
    .concat();
    assert_eq!(gaps(long.clone(), 0), ["`h.txt` is larger than is read"]);
    assert_eq!(gaps(deflated(&long), 8), ["`h.txt` is larger than is read"]);
    assert_eq!(gaps(b"\xff\xff\xff".to_vec(), 8).len(), 1);
    assert_eq!(gaps(deflated(b"x = 1\n"), 8), [""; 0]);
}

fn member(name: &str, bytes: &[u8], link: Option<&str>) -> Vec<u8> {
    let mut header = vec![0; 512];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", bytes.len()));
    put(136, "00000000000\0");
    put(156, if link.is_some() { "2" } else { "0" });
    put(157, link.unwrap_or_default());
    put(257, "ustar\x0000");
    put(148, "        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend(bytes);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

pub fn nemo(more: &[(&str, Option<&str>)]) -> Vec<u8> {
    nemo_with(&Assembler::protocol(4).raw(b"}").stop(), more)
}

fn nemo_with(weights: &[u8], more: &[(&str, Option<&str>)]) -> Vec<u8> {
    let mut out = member("model_config.yaml", b"name: small\nlayers: 2\n", None);
    out.extend(member("model_weights.ckpt", weights, None));
    for (name, link) in more {
        out.extend(member(name, b"", *link));
    }
    out.resize(out.len() + 1024, 0);
    out
}

#[test]
fn models_of_nemo_that_reach_out() {
    quiet(&nemo(&[]));
    for more in [
        ("../../x", None),
        ("vocab", Some("/etc/passwd")),
        ("vocab", Some("../../x")),
    ] {
        let report = told(&nemo(&[more]), "nemo/path", Severity::High);
        assert!(cves(&report, "nemo/path").contains(&"CVE-2025-23360"));
    }
}

#[test]
fn checkpoints_that_nemo_unpickles() {
    let known = ["CVE-2025-23249", "CVE-2025-33253", "CVE-2026-24157"];
    let weights = Assembler::protocol(4).call("posix", "system", "id").stop();
    let report = told(
        &nemo_with(&weights, &[]),
        "pickle/dangerous-call",
        Severity::Critical,
    );
    assert_eq!(cves(&report, "nemo/checkpoint"), known);
    let report = quiet(&nemo(&[]));
    assert_eq!(report.worst(), Some(Severity::Info), "{report:#?}");
}
