//! GGUF in all versions and both byte orders.

use custos_core::finding::Severity;

use custos_scan::{Options, State, scan};

use super::{cves, quiet, rules, told};
use crate::pickle::{Assembler, look};

/// What a file says; each field may lie.
#[derive(Clone)]
pub struct Gguf {
    pub big: bool,
    pub version: u32,
    pub keys: Vec<(String, Value)>,
    pub tensors: Vec<Tensor>,
    pub key_count: Option<u64>,
    pub tensor_count: Option<u64>,
    pub alignment: usize,
    pub data: Vec<u8>,
}

#[derive(Clone)]
pub enum Value {
    U32(u32),
    Text(String),
    /// A type, a count that may lie, and texts.
    Texts(u64, Vec<String>),
    /// A type and raw bytes.
    Raw(u32, Vec<u8>),
}

#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub dimensions: Vec<u64>,
    pub kind: u32,
    pub offset: u64,
}

impl Tensor {
    pub fn new(name: &str, dimensions: &[u64], kind: u32, offset: u64) -> Self {
        Self {
            name: name.into(),
            dimensions: dimensions.into(),
            kind,
            offset,
        }
    }
}

impl Gguf {
    pub fn sample() -> Self {
        let words = vec!["a".into(), "\u{200b}".into()];
        Self {
            big: false,
            version: 3,
            keys: vec![
                ("general.name".into(), Value::Text("small".into())),
                ("general.alignment".into(), Value::U32(32)),
                ("tokenizer.ggml.tokens".into(), Value::Texts(2, words)),
                (
                    "tokenizer.chat_template".into(),
                    Value::Text("{% for m in messages %}{{ m.content }}{% endfor %}".into()),
                ),
                (
                    "x.y".into(),
                    Value::Raw(
                        9,
                        [5_u32, 0, 0].iter().flat_map(|n| n.to_le_bytes()).collect(),
                    ),
                ),
            ],
            tensors: vec![
                Tensor::new("a", &[3, 5], 0, 0),
                Tensor::new("b", &[64], 8, 64),
            ],
            key_count: None,
            tensor_count: None,
            alignment: 32,
            data: vec![0; 64 + 68],
        }
    }

    #[allow(clippy::too_many_lines, reason = "field after field")]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        let u32 = |out: &mut Vec<u8>, number: u32| {
            out.extend(if self.big {
                number.to_be_bytes()
            } else {
                number.to_le_bytes()
            });
        };
        let u64 = |out: &mut Vec<u8>, number: u64| {
            out.extend(if self.big {
                number.to_be_bytes()
            } else {
                number.to_le_bytes()
            });
        };
        let count = |out: &mut Vec<u8>, number: u64| {
            if self.version == 1 {
                u32(out, number as u32);
            } else {
                u64(out, number);
            }
        };
        let text = |out: &mut Vec<u8>, text: &str| {
            count(out, text.len() as u64);
            out.extend(text.as_bytes());
        };
        u32(&mut out, self.version);
        count(
            &mut out,
            self.tensor_count.unwrap_or(self.tensors.len() as u64),
        );
        count(&mut out, self.key_count.unwrap_or(self.keys.len() as u64));
        for (key, value) in &self.keys {
            text(&mut out, key);
            match value {
                Value::U32(number) => {
                    u32(&mut out, 4);
                    u32(&mut out, *number);
                }
                Value::Text(value) => {
                    u32(&mut out, 8);
                    text(&mut out, value);
                }
                Value::Texts(said, values) => {
                    u32(&mut out, 9);
                    u32(&mut out, 8);
                    count(&mut out, *said);
                    for value in values {
                        text(&mut out, value);
                    }
                }
                Value::Raw(9, _) if self.version == 1 || self.big => {
                    u32(&mut out, 0);
                    out.push(1);
                }
                Value::Raw(kind, bytes) => {
                    u32(&mut out, *kind);
                    out.extend(bytes);
                }
            }
        }
        for tensor in &self.tensors {
            text(&mut out, &tensor.name);
            u32(&mut out, tensor.dimensions.len() as u32);
            for dimension in &tensor.dimensions {
                count(&mut out, *dimension);
            }
            u32(&mut out, tensor.kind);
            u64(&mut out, tensor.offset);
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out.extend(&self.data);
        out
    }

    pub fn with(change: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut file = Self::sample();
        change(&mut file);
        file.bytes()
    }
}

#[test]
fn all_versions_and_byte_orders_are_covered() {
    for version in 1..=3 {
        for big in [false, true] {
            let report = quiet(&Gguf::with(|file| {
                (file.version, file.big) = (version, big);
            }));
            assert_eq!(rules(&report), [""; 0], "{version} {big}");
        }
    }
    // An empty model, and one that is aligned otherwise.
    quiet(&Gguf::with(|file| {
        file.tensors.clear();
        file.data.clear();
    }));
    quiet(&Gguf::with(|file| {
        file.keys[1].1 = Value::U32(64);
        file.alignment = 64;
    }));
    let unknown = look(&Gguf::with(|file| file.version = 4));
    assert!(!unknown.gaps.is_empty());
}

#[test]
fn products_and_sums_that_exceed_64_bits() {
    let rule = "gguf/overflow";
    // CVE-2026-33298: the size of one tensor wraps.
    for dimensions in [&[1 << 32, 1 << 32][..], &[1 << 61, 8], &[1 << 62]] {
        let file = Gguf::with(|file| file.tensors[0].dimensions = dimensions.into());
        let report = told(&file, rule, Severity::High);
        assert_eq!(cves(&report, rule), ["CVE-2026-33298"]);
        assert!(!report.gaps.is_empty());
    }
    // CVE-2025-53630 and CVE-2026-27940: each size fits, and their sum does not.
    let file = Gguf::with(|file| {
        file.tensors = (0..3)
            .map(|number| Tensor::new(&format!("t{number}"), &[(1 << 60) - 1], 0, 0))
            .collect();
    });
    let report = told(&file, rule, Severity::High);
    assert_eq!(cves(&report, rule), ["CVE-2025-53630", "CVE-2026-27940"]);
}

#[test]
fn counts_that_the_file_has_no_room_for() {
    // What Databricks published in 2024: counts of keys, tensors, letters and elements.
    let cases = [
        Gguf::with(|file| file.key_count = Some(u64::MAX)),
        Gguf::with(|file| file.key_count = Some(1 << 61)),
        Gguf::with(|file| file.tensor_count = Some(1 << 60)),
        Gguf::with(|file| file.keys[2].1 = Value::Texts(1 << 62, vec!["a".into()])),
        Gguf::with(|file| {
            let elements = [
                12_u32.to_le_bytes().to_vec(),
                (1_u64 << 61).to_le_bytes().to_vec(),
            ];
            file.keys[4].1 = Value::Raw(9, elements.concat());
        }),
        Gguf::with(|file| file.keys[4].1 = Value::Raw(8, u64::MAX.to_le_bytes().to_vec())),
    ];
    for (number, file) in cases.iter().enumerate() {
        let report = told(file, "gguf/count", Severity::High);
        assert!(!report.gaps.is_empty(), "{number}");
    }
}

#[test]
fn tensors_outside_of_the_file_or_on_top_of_each_other() {
    let far = Gguf::with(|file| file.tensors[1].offset = 1 << 40);
    told(&far, "gguf/tensor", Severity::High);
    let wraps = Gguf::with(|file| file.tensors[1].offset = u64::MAX - 31);
    told(&wraps, "gguf/tensor", Severity::High);
    let deep = Gguf::with(|file| file.tensors[0].dimensions = vec![1; 5]);
    told(&deep, "gguf/tensor", Severity::High);
    let rows = Gguf::with(|file| file.tensors[1].dimensions = vec![33]);
    told(&rows, "gguf/tensor", Severity::High);
    let shared = Gguf::with(|file| file.tensors[1].offset = 32);
    told(&shared, "gguf/layout", Severity::Medium);
    let odd = Gguf::with(|file| {
        file.tensors[1].offset = 65;
        file.data.push(0);
    });
    told(&odd, "gguf/layout", Severity::Medium);
    let kind = Gguf::with(|file| file.tensors[1].kind = 999);
    told(&kind, "gguf/type", Severity::Medium);
    for alignment in [0, 3, 48, u32::MAX] {
        let file = Gguf::with(|file| file.keys[1].1 = Value::U32(alignment));
        told(&file, "gguf/alignment", Severity::High);
    }
}

#[test]
fn what_is_there_twice_or_follows_the_end() {
    let key = Gguf::with(|file| {
        let first = file.keys[0].clone();
        file.keys.push(first);
    });
    told(&key, "gguf/duplicate", Severity::Medium);
    let tensor = Gguf::with(|file| file.tensors[1].name = "a".into());
    told(&tensor, "gguf/duplicate", Severity::Medium);
    let payload = Assembler::protocol(4).call("posix", "system", "id").stop();
    let hidden = Gguf::with(|file| {
        file.data.resize(160, 0);
        file.data.extend(&payload);
    });
    told(&hidden, "gguf/trailing", Severity::Medium);
    assert!(rules(&look(&hidden)).contains(&"pickle/dangerous-call"));
    // Two formats at once: the archive at the end is looked at.
    let archive = crate::archive::archive(&[crate::archive::Member::new("m/data.pkl", &payload)]);
    let both = [Gguf::sample().bytes(), archive].concat();
    assert!(rules(&look(&both)).contains(&"pickle/dangerous-call"));
}

#[test]
fn marks_and_versions_that_are_not_there() {
    let sample = Gguf::sample().bytes();
    let other = [b"GGUG".as_slice(), &sample[4..]].concat();
    let newer = [b"GGUF\x63\0\0\0".as_slice(), &sample[8..]].concat();
    for bytes in [&other[..16], &newer, &sample[..2], &sample[..4]] {
        let report = scan("x.gguf", &bytes.to_vec(), &Options::default());
        assert_eq!(report.state(Severity::High), State::Incomplete);
        assert!(rules(&report).contains(&"gguf/broken"), "{report:#?}");
    }
    let report = scan("x.gguf", &sample, &Options::default());
    assert_eq!(report.state(Severity::Low), State::Clean, "{report:#?}");
    // A pointer of git-lfs has the name of what it stands for.
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n".to_vec();
    let report = scan("x.gguf", &pointer, &Options::default());
    assert_eq!(report.state(Severity::Medium), State::Clean, "{report:#?}");
}

#[test]
fn cve_2024_34359_a_template_that_leaves_its_sandbox() {
    let with = |template: &str| {
        Gguf::with(|file| {
            file.keys.retain(|(key, _)| !key.contains("template"));
            let value = Value::Text(template.into());
            file.keys.push(("tokenizer.chat_template".into(), value));
        })
    };
    for template in [
        "{% for x in ().__class__.__base__.__subclasses__() %}{% if 'warning' in x.__name__ %}{{ x()._module.__builtins__['__import__']('os').popen('id').read() }}{% endif %}{% endfor %}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    ] {
        told(&with(template), "template/inner-attribute", Severity::High);
    }
    let ordinary = "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}{{ '[INST] ' + message['content'] | trim + ' [/INST]' }}{% endfor %}";
    assert!(quiet(&with(ordinary)).findings.is_empty());
}

#[test]
fn names_of_tensors_that_reach_out() {
    for name in ["../x", "a\0b", "\u{1b}]0;x"] {
        let bytes = Gguf::with(|file| file.tensors[0].name = name.into());
        told(&bytes, "gguf/name", Severity::High);
    }
    let bytes = Gguf::with(|file| file.tensors[0].name = "blk.0/attn:0".into());
    assert!(quiet(&bytes).findings.is_empty());
}
