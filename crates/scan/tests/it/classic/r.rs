//! R: promises, byte code, functions and workspaces (CVE-2024-27322).

use custos_core::finding::Severity;

use crate::pickle::look;
use crate::tensors::{cves, quiet, rules, told};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Xdr,
    Native,
    Ascii,
}

/// Writes objects, item by item.
pub struct Writer {
    out: Vec<u8>,
    coding: Coding,
}

const NIL: u32 = 254;
const GLOBAL: u32 = 253;
const UNBOUND: u32 = 252;
const TAG: u32 = 1 << 10;
const OBJECT_LIST: u32 = 0x113;
const ATTRIBUTES: u32 = 1 << 9;

impl Writer {
    pub fn new(coding: Coding) -> Self {
        let mark = match coding {
            Coding::Xdr => b"X\n",
            Coding::Native => b"B\n",
            Coding::Ascii => b"A\n",
        };
        let mut writer = Self {
            out: mark.to_vec(),
            coding,
        };
        for number in [2, 0x0004_0302, 0x0002_0300] {
            writer = writer.int(number);
        }
        writer
    }

    pub fn int(mut self, number: u32) -> Self {
        match self.coding {
            Coding::Xdr => self.out.extend(number.to_be_bytes()),
            Coding::Native => self.out.extend(number.to_le_bytes()),
            Coding::Ascii => self.out.extend(format!("{}\n", number as i32).as_bytes()),
        }
        self
    }

    fn real(mut self, number: f64) -> Self {
        match self.coding {
            Coding::Xdr => self.out.extend(number.to_be_bytes()),
            Coding::Native => self.out.extend(number.to_le_bytes()),
            Coding::Ascii => self.out.extend(format!("{number}\n").as_bytes()),
        }
        self
    }

    pub fn letters(mut self, text: &str) -> Self {
        self = self.int(0x0004_0009).int(text.len() as u32);
        match self.coding {
            Coding::Ascii => {
                let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
                self.out.extend(format!("{escaped}\n").as_bytes());
            }
            _ => self.out.extend(text.as_bytes()),
        }
        self
    }

    pub fn symbol(self, name: &str) -> Self {
        self.int(1).letters(name)
    }

    pub fn text(self, text: &str) -> Self {
        self.int(16).int(1).letters(text)
    }

    /// A call of a function with one text.
    pub fn call(self, name: &str, argument: &str) -> Self {
        self.int(6).symbol(name).int(2).text(argument).int(NIL)
    }

    pub fn done(self) -> Vec<u8> {
        self.out
    }
}

pub fn data_frame(coding: Coding) -> Vec<u8> {
    let mut writer = Writer::new(coding)
        .int(OBJECT_LIST | ATTRIBUTES)
        .int(2)
        .int(14)
        .int(2)
        .real(1.5)
        .real(-2.0)
        .text("two\nlines");
    // Names and class.
    writer = writer
        .int(2 | TAG)
        .symbol("names")
        .int(16)
        .int(2)
        .letters("a")
        .letters("b");
    writer = writer.int(2 | TAG).symbol("class").text("data.frame");
    writer.int(NIL).done()
}

#[test]
fn promises_outside_of_environments() {
    let promise = |writer: Writer| writer.int(5 | TAG).int(GLOBAL).int(UNBOUND);
    for coding in [Coding::Xdr, Coding::Native, Coding::Ascii] {
        // CVE-2024-27322: the object itself is what somebody looks at.
        let bad = promise(Writer::new(coding)).call("system", "id").done();
        let report = told(&bad, "r/call", Severity::Critical);
        assert_eq!(cves(&report, "r/call"), ["CVE-2024-27322"]);
        assert_eq!(
            report.findings[0].evidence.as_deref(),
            Some(r#"system("id")"#)
        );
        told(&bad, "r/promise", Severity::High);
        // Inside of a list, and with an innocent call.
        let list = promise(Writer::new(coding).int(19).int(1))
            .call("sum", "1")
            .done();
        told(&list, "r/promise", Severity::High);
    }
    // In an environment R writes them all the time.
    let environment = |name: &str| {
        let writer = Writer::new(Coding::Xdr).int(4).int(0).int(GLOBAL);
        let writer = writer.int(2 | TAG).symbol("x");
        promise(writer)
            .call(name, "a")
            .int(NIL)
            .int(NIL)
            .int(NIL)
            .done()
    };
    assert_eq!(rules(&quiet(&environment("sum"))), [""; 0]);
    told(&environment("system"), "r/call", Severity::High);
}

#[test]
fn functions_and_expressions_that_are_stored() {
    let function = |body: &dyn Fn(Writer) -> Writer| {
        body(Writer::new(Coding::Xdr).int(3 | TAG).int(GLOBAL).int(NIL)).done()
    };
    let sum = function(&|writer| writer.call("sum", "x"));
    assert_eq!(rules(&quiet(&sum)), [""; 0]);
    let read = function(&|writer| writer.call("readLines", "x"));
    assert_eq!(rules(&quiet(&read)), [""; 0]);
    for body in [
        &(|writer: Writer| writer.call("system2", "id")) as &dyn Fn(Writer) -> Writer,
        // base::system("id")
        &|writer: Writer| {
            let writer = writer.int(6).int(6).symbol("::").int(2).symbol("base");
            let writer = writer.int(2).symbol("system").int(NIL);
            writer.int(2).text("id").int(NIL)
        },
        // do.call("system", ...)
        &|writer: Writer| writer.call("do.call", "system"),
    ] {
        told(&function(body), "r/call", Severity::Medium);
    }
    // Byte code of a function is ordinary, that of nothing is not.
    let code = |writer: Writer, name: &str| {
        let writer = writer.int(21).int(1).int(13).int(1).int(8);
        // Two constants: a call, and a symbol.
        let writer = writer.int(2).int(6).int(NIL).int(1).symbol(name);
        writer
            .int(2)
            .int(NIL)
            .int(16)
            .text("id")
            .int(254)
            .int(NIL)
            .int(1)
            .symbol("x")
    };
    let inside = |name: &str| {
        let writer = Writer::new(Coding::Xdr).int(3 | TAG).int(GLOBAL).int(NIL);
        code(writer, name).done()
    };
    assert_eq!(rules(&quiet(&inside("sum"))), [""; 0]);
    told(&inside("system"), "r/call", Severity::Medium);
    let stray = code(Writer::new(Coding::Xdr), "system").done();
    told(&stray, "r/byte-code", Severity::High);
    told(&stray, "r/call", Severity::Critical);
}

#[test]
fn functions_that_r_calls_by_itself() {
    let workspace = |name: &str| {
        let inner = Writer::new(Coding::Xdr)
            .int(2 | TAG)
            .symbol(name)
            .int(3 | TAG)
            .int(GLOBAL)
            .int(NIL)
            .call("sum", "1")
            .int(NIL)
            .done();
        [b"RDX2\n".to_vec(), inner].concat()
    };
    assert_eq!(rules(&quiet(&workspace("helper"))), [""; 0]);
    told(&workspace(".First"), "r/startup", Severity::High);
}

#[test]
fn broken_files() {
    let mut long = Writer::new(Coding::Xdr).int(14).int(0x7fff_ffff).done();
    long.extend([0; 8]);
    told(&long, "r/broken", Severity::Medium);
    told(
        &Writer::new(Coding::Xdr).int(99).done(),
        "r/broken",
        Severity::Medium,
    );
    told(
        &Writer::new(Coding::Ascii).int(14).done(),
        "r/broken",
        Severity::Medium,
    );
    let behind = [data_frame(Coding::Xdr), b"more".to_vec()].concat();
    told(&behind, "r/broken", Severity::Medium);
    // Lists in lists, far deeper than a stack.
    let mut deep = Writer::new(Coding::Xdr);
    for _ in 0..200_000 {
        deep = deep.int(19).int(1);
    }
    assert_eq!(rules(&look(&deep.int(NIL).done())), [""; 0]);
}
