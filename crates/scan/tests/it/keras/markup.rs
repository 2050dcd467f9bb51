//! Documents in XML: what they would fetch, blow up to, load or read, and the harmless twin of each.

use custos_core::finding::Severity;
use custos_scan::{FileReport, Neighbour, Neighbours, Options, State, fuzz, scan};

use super::{clean, found, rules};
use crate::pickle::look;

pub fn pmml(declared: &str, body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{declared}<PMML xmlns=\"http://www.dmg.org/PMML-4_4\" \
         version=\"4.4\"><Header copyright=\"nobody\"><Application name=\"test\"/></Header>\
         <DataDictionary><DataField name=\"x\" optype=\"continuous\" dataType=\"double\"/>\
         </DataDictionary>{body}</PMML>\n"
    )
}

pub fn net(data: &str, layer: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<net name=\"m\" version=\"11\">\n<layers>\n<layer id=\"0\" name=\"x\" \
         type=\"Parameter\" version=\"opset1\"><data shape=\"1,4\" element_type=\"f32\"/></layer>\n\
         <layer id=\"1\" name=\"w\" type=\"Const\" version=\"opset1\"><data {data}/><output><port id=\"0\">\
         <dim>4</dim><dim>2</dim></port></output></layer>\n{layer}</layers>\n<edges><edge from-layer=\"0\" \
         from-port=\"0\" to-layer=\"1\" to-port=\"0\"/></edges><rt_info><conversion_parameters/></rt_info>\
         </net>\n"
    )
}

pub const DATA: &str = "element_type=\"f32\" shape=\"4, 2\" offset=\"8\" size=\"32\"";

pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("openvino", net(DATA, "").into_bytes()),
        (
            "pmml",
            pmml("", "<Extension name=\"made\" value=\"2026\"/>").into_bytes(),
        ),
        (
            "xml",
            b"<?xml version=\"1.0\"?><a b=\"c\">d &amp; e &#x41;</a>".to_vec(),
        ),
    ]
}

#[test]
fn ordinary_documents_are_clean() {
    for (format, bytes) in samples() {
        let report = clean(&bytes);
        assert!(
            report.formats.iter().any(|one| one.format == format),
            "{report:#?}"
        );
        assert!(report.findings.is_empty(), "{report:#?}");
    }
}

/// A document in other encodings.
fn encodings(text: &str) -> Vec<Vec<u8>> {
    let wide = text.replacen("UTF-8", "UTF-16", 1);
    let marked = format!("\u{feff}{wide}");
    vec![
        text.as_bytes().to_vec(),
        format!("\u{feff}{text}").into_bytes(),
        marked.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        marked.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        wide.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        text.replacen("nobody", "caf\u{e9}", 1)
            .chars()
            .map(|one| one as u8)
            .collect(),
    ]
}

#[test]
fn entities_are_never_fetched_and_told() {
    for declared in [
        "<!DOCTYPE PMML [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>",
        "<!DOCTYPE PMML [<!ENTITY % x PUBLIC \"a\" 'http://example.org/x.dtd'> %x;]>",
        "<!DOCTYPE PMML [\n<!ENTITY a \"> ]\">\n<!ENTITY x  SYSTEM\n'//host/share'>]>",
    ] {
        for bytes in encodings(&pmml(declared, "<Extension>&x;</Extension>")) {
            let report = found(&bytes, "xml/external-entity", Severity::High, &[]);
            assert!(
                report.formats.iter().any(|one| one.format == "pmml"),
                "{report:#?}"
            );
        }
        // In any other document, and where the first element comes late.
        let other = format!("<!-- {} -->{declared}<other>&x;</other>", " ".repeat(9000));
        found(other.as_bytes(), "xml/external-entity", Severity::High, &[]);
    }
    let plain = pmml(
        "<!DOCTYPE PMML [<!ENTITY x \"SYSTEM 'a'\">]>",
        "<Extension>&x;</Extension>",
    );
    assert_eq!(rules(&clean(plain.as_bytes())), ["xml/document-type"]);
    let known = "<?xml version=\"1.0\"?><!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
                 \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\"><plist/>";
    let report = clean(known.as_bytes());
    assert_eq!(report.worst(), Some(Severity::Info), "{report:#?}");
    let unknown = known
        .replace("-//Apple//DTD", "x")
        .replace("www.apple.com/DTDs", "example.org");
    found(
        unknown.as_bytes(),
        "xml/document-type",
        Severity::Medium,
        &[],
    );
}

#[test]
fn entities_that_hold_each_other_are_told() {
    let mut laughs = "<!DOCTYPE PMML [<!ENTITY a0 \"lol\">".to_owned();
    for level in 1..10 {
        let inner = format!("&a{};", level - 1).repeat(10);
        laughs = format!("{laughs}<!ENTITY a{level} \"{inner}\">");
    }
    let bytes = pmml(&format!("{laughs}]>"), "<Extension>&a9;</Extension>");
    found(
        bytes.as_bytes(),
        "xml/entity-expansion",
        Severity::High,
        &[],
    );
    let few = pmml(
        "<!DOCTYPE PMML [<!ENTITY a \"b\"><!ENTITY c \"&a;&a;\">]>",
        "",
    );
    clean(few.as_bytes());
}

#[test]
fn a_long_entity_that_is_named_often_is_told() {
    let document = |long: usize, often: usize, attribute: bool| {
        let name = "&a;".repeat(often);
        let body = if attribute {
            format!("<b c=\"{name}\"/>")
        } else {
            format!("<b>{name}</b>")
        };
        format!(
            "<?xml version=\"1.0\"?><!DOCTYPE d [<!ENTITY a \"{}\">]><d>{body}</d>",
            "x".repeat(long)
        )
    };
    for attribute in [false, true] {
        let bytes = document(50_000, 10_000, attribute);
        found(
            bytes.as_bytes(),
            "xml/entity-expansion",
            Severity::High,
            &[],
        );
        for (long, often) in [(20, 10_000), (50_000, 10)] {
            clean(document(long, often, attribute).as_bytes());
        }
    }
}

#[test]
fn other_documents_are_not_taken_in() {
    let include = |href: &str| {
        format!(
            "<?xml version=\"1.0\"?><a xmlns:xi=\"http://www.w3.org/2001/XInclude\"><xi:include \
             href=\"{href}\" parse=\"text\"/></a>"
        )
    };
    for href in ["file:///etc/passwd", "../../secret", "/etc/passwd"] {
        found(include(href).as_bytes(), "xml/include", Severity::High, &[]);
    }
    found(
        include("part.xml").as_bytes(),
        "xml/include",
        Severity::Medium,
        &[],
    );
    let plain = include("part.xml").replace("xi:", "");
    clean(plain.as_bytes());
}

#[test]
fn extensions_of_pmml_hold_no_programs() {
    let extension = |text: &str| pmml("", &format!("<Extension extender=\"x\">{text}</Extension>"));
    for text in [
        "<script>eval(atob('x'))</script>",
        "java.lang.Runtime.getRuntime().exec('id')",
        "<![CDATA[<script>powershell -c x</script>]]>",
        "&#101;val(__import__('os'))",
    ] {
        found(
            extension(text).as_bytes(),
            "pmml/extension",
            Severity::High,
            &[],
        );
    }
    found(
        extension("see /bin/sh").as_bytes(),
        "pmml/extension",
        Severity::Medium,
        &[],
    );
    let value = pmml(
        "",
        "<Extension name=\"x\" value=\"cmd.exe /c powershell\"/>",
    );
    found(value.as_bytes(), "pmml/extension", Severity::High, &[]);
    clean(
        extension("<Timestamp>2026-11-23</Timestamp><X-Note>evaluated by hand</X-Note>").as_bytes(),
    );
    // Outside of extensions, words are words.
    let category =
        "<DataDictionary><DataField name=\"powershell /bin/sh eval(\"/></DataDictionary>";
    clean(pmml("", category).as_bytes());
}

#[test]
fn functions_and_tables_of_pmml_are_its_own() {
    let apply = |name: &str| {
        pmml(
            "",
            &format!(
                "<TransformationDictionary><DerivedField name=\"y\"><Apply function=\"{name}\">\
                 <FieldRef field=\"x\"/></Apply></DerivedField></TransformationDictionary>"
            ),
        )
    };
    found(
        apply("java.lang.Runtime").as_bytes(),
        "pmml/function",
        Severity::High,
        &[],
    );
    found(
        apply("com.example.Function").as_bytes(),
        "pmml/function",
        Severity::Medium,
        &[],
    );
    clean(apply("log10").as_bytes());
    clean(apply("x-log").as_bytes());
    let table = pmml("", "<MapValues><TableLocator/></MapValues>");
    found(
        table.as_bytes(),
        "pmml/external-table",
        Severity::Medium,
        &[],
    );
    clean(pmml("", "<MapValues><InlineTable/></MapValues>").as_bytes());
}

#[test]
fn constants_of_openvino_are_as_large_as_they_say() {
    for data in [
        "element_type=\"f32\" shape=\"4, 3\" offset=\"8\" size=\"32\"",
        "element_type=\"f32\" shape=\"4611686018427387904,4\" offset=\"0\" size=\"0\"",
        "element_type=\"i8\" shape=\"1\" offset=\"18446744073709551615\" size=\"1\"",
        "element_type=\"i8\" shape=\"-1\" offset=\"0\" size=\"1\"",
    ] {
        found(
            net(data, "").as_bytes(),
            "openvino/tensor-size",
            Severity::High,
            &[],
        );
    }
    for data in [
        "element_type=\"u4\" shape=\"3\" offset=\"0\" size=\"2\"",
        "element_type=\"i64\" shape=\"\" offset=\"0\" size=\"8\"",
        "element_type=\"string\" shape=\"3\" offset=\"0\" size=\"77\"",
    ] {
        clean(net(data, "").as_bytes());
    }
}

#[test]
fn openvino_loads_no_libraries_by_itself() {
    let layer = |kind: &str, version: &str, more: &str| {
        net(
            DATA,
            &format!(
                "<layer id=\"2\" name=\"a.so\" type=\"{kind}\" version=\"{version}\"><data {more}/></layer>"
            ),
        )
    };
    let library = layer("MatMul", "opset1", "implementation=\"../libx.so\"");
    found(library.as_bytes(), "openvino/library", Severity::High, &[]);
    found(
        layer("Mine", "extension", "").as_bytes(),
        "openvino/custom-layer",
        Severity::Medium,
        &[],
    );
    found(
        layer("PyFunc", "opset1", "").as_bytes(),
        "openvino/custom-layer",
        Severity::High,
        &[],
    );
    clean(layer("MatMul", "opset16", "transpose_a=\"false\"").as_bytes());
}

struct Beside(&'static str, Neighbour);

impl Neighbours for Beside {
    fn find(&self, name: &str) -> Neighbour {
        if name == self.0 {
            self.1
        } else {
            Neighbour::Missing
        }
    }
}

#[test]
fn weights_of_openvino_lie_beside_the_graph() {
    let with = |neighbour: Neighbour| -> FileReport {
        let beside = Beside("model.bin", neighbour);
        let options = Options {
            neighbours: Some(&beside),
            ..Options::default()
        };
        scan("folder/model.xml", &net(DATA, "").into_bytes(), &options)
    };
    assert_eq!(
        with(Neighbour::File(40)).state(Severity::Info),
        State::Clean
    );
    for (neighbour, severity) in [
        (Neighbour::File(39), Severity::Medium),
        (Neighbour::Link, Severity::High),
        (Neighbour::Outside, Severity::High),
    ] {
        let report = with(neighbour);
        assert_eq!(rules(&report), ["openvino/weights"]);
        assert_eq!(report.worst(), Some(severity));
    }
    assert_eq!(
        with(Neighbour::Missing).state(Severity::High),
        State::Incomplete
    );
}

#[test]
fn broken_documents_and_deep_ones_are_no_surprise() {
    for (format, bytes) in samples() {
        for at in 0..bytes.len() {
            for change in [0x01, 0x1c, 0x80] {
                let mut other = bytes.clone();
                other[at] ^= change;
                fuzz::format(format, &other);
            }
            fuzz::format(format, &bytes[..at]);
        }
    }
    let deep = pmml("", &"<a>".repeat(100_000));
    let report = look(deep.as_bytes());
    assert!(rules(&report).contains(&"pmml/broken"), "{report:#?}");
    assert_ne!(report.state(Severity::High), State::Clean);
    let long = pmml("", &format!("<a b=\"{}\"/>", "x".repeat(20 << 20)));
    assert_ne!(look(long.as_bytes()).state(Severity::High), State::Clean);
}
