//! What expressions of Python stand for: constants, and functions by their full names.

use std::io::Read as _;

use crate::text::code::{self, Value};

use super::sinks::{self, Kind};

/// Most bytes that are unpacked of a constant.
const MAX_UNPACKED: u64 = 1 << 20;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Signs(u8);

impl Signs {
    /// Out of text that nobody can read.
    pub(super) const DECODED: Self = Self(1);
    /// From another machine.
    pub(super) const FETCHED: Self = Self(1 << 1);
    /// Put together of pieces.
    pub(super) const COMPUTED: Self = Self(1 << 2);
    /// From the surroundings of whoever runs the program.
    pub(super) const SECRET: Self = Self(1 << 3);
    /// Handed in by whoever calls, and nothing of it stands in the program.
    pub(super) const GIVEN: Self = Self(1 << 4);

    /// Returns both.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns all but these.
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns true if one of these is there.
    pub(super) const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What an expression stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Val {
    /// A constant, as far as it is known.
    pub(super) value: Value,
    /// A module, function or object, by its full name.
    pub(super) path: Option<String>,
    /// Where it comes from.
    pub(super) signs: Signs,
}

impl Val {
    /// Returns a constant.
    pub(super) fn constant(value: Value) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }

    /// Returns something by its full name.
    pub(super) fn thing(path: impl Into<String>) -> Self {
        Self {
            path: Some(path.into()),
            ..Self::default()
        }
    }

    /// Returns it with more signs.
    pub(super) fn with(mut self, signs: Signs) -> Self {
        self.signs = self.signs.and(signs);
        self
    }

    /// Returns what it is part of, as a rule: `a` of `a.b`.
    pub(super) fn attribute(&self, name: &str) -> Self {
        let path = self.path.as_ref().filter(|path| path.len() < 200);
        let path = path.map(|path| plain(&format!("{path}.{name}")));
        // One variable of the environment is a setting; all of them are not.
        let setting = path
            .as_deref()
            .is_some_and(|path| path.starts_with("os.environ.") && path != "os.environ.copy");
        if setting {
            return Self {
                value: Value::Unknown,
                path,
                signs: Signs::default(),
            };
        }
        let tells = path.as_deref().and_then(sinks::kind) == Some(Kind::TellsSecrets);
        let signs = if tells {
            Signs::SECRET
        } else {
            Signs::default()
        };
        Self {
            value: Value::Unknown,
            path,
            signs: self.signs.and(signs),
        }
    }

    /// Returns `self[index]`.
    pub(super) fn item(&self, index: &Self) -> Self {
        let signs = self.signs.and(index.signs);
        let name = index.value.text();
        match (self.path.as_deref(), name) {
            (Some("os.environ"), _) => Self::default(),
            // `sys.modules['os']` is `os`, however it is reached.
            (Some("sys.modules"), Some(name)) => Self::thing(name).with(signs.and(Signs::COMPUTED)),
            (Some("<names>"), Some(name)) => {
                Self::thing(plain(&format!("builtins.{name}"))).with(signs.and(Signs::COMPUTED))
            }
            (Some(path), Some(name)) if path.ends_with(".__dict__") => {
                let module = path.trim_end_matches(".__dict__");
                Self::thing(plain(&format!("{module}.{name}"))).with(signs.and(Signs::COMPUTED))
            }
            (Some("builtins"), Some(name)) => {
                Self::thing(format!("builtins.{name}")).with(signs.and(Signs::COMPUTED))
            }
            (path, _) => Self {
                value: code::item(&self.value, &index.value),
                path: path
                    .map(|path| format!("{path}[]"))
                    .filter(|path| path.len() < 200),
                signs,
            },
        }
    }
}

/// Returns a name as it is listed, whichever way led to it.
pub(super) fn plain(path: &str) -> String {
    for prefix in [
        "__builtins__.",
        "__builtin__.",
        "builtins.__builtins__.",
        "builtins.__dict__.",
    ] {
        if let Some(rest) = path.strip_prefix(prefix) {
            return format!("builtins.{rest}");
        }
    }
    // What a module has imported is as good as what it is.
    let modules = [".os.", ".sys.modules", ".subprocess."];
    for module in modules {
        if let Some(at) = path.find(module) {
            return path.get(at.saturating_add(1)..).unwrap_or(path).to_owned();
        }
    }
    path.to_owned()
}

/// Returns what a function of Python makes of constants, if that is known.
pub(super) fn known_call(path: &str, arguments: &[Val]) -> Option<Val> {
    let first = arguments.first();
    let all = arguments
        .iter()
        .fold(Signs::default(), |all, one| all.and(one.signs));
    let computed = all.and(Signs::COMPUTED);
    let made = match path {
        "builtins.chr" => match first?.value {
            Value::Number(code) => {
                let c = u32::try_from(code).ok().and_then(char::from_u32)?;
                Val::constant(Value::Text(c.to_string())).with(computed)
            }
            _ => return None,
        },
        "builtins.str" | "builtins.list" | "builtins.tuple" | "builtins.compile" => first?.clone(),
        "builtins.reversed" => {
            let value = code::method(&first?.value, "reversed", &[]);
            Val::constant(value).with(computed)
        }
        "builtins.map" => mapped(arguments, computed)?,
        "builtins.bytes" | "builtins.bytearray" => Val {
            value: bytes_of(&first?.value),
            path: None,
            signs: computed,
        },
        "builtins.getattr" => {
            let name = arguments.get(1)?;
            let found = first?.attribute(name.value.text()?);
            found.with(name.signs)
        }
        "builtins.__import__" | "importlib.import_module" | "importlib.__import__" => {
            let name = first?.value.text()?;
            let top = name.split('.').next().unwrap_or(name);
            let module = if path == "importlib.import_module" {
                name
            } else {
                top
            };
            Val::thing(module).with(first?.signs)
        }
        "builtins.globals" | "builtins.locals" | "builtins.vars" if arguments.is_empty() => {
            Val::thing("<names>")
        }
        "builtins.vars" => Val::thing(format!("{}.__dict__", first?.path.as_deref()?)),
        path if sinks::kind(path) == Some(Kind::Decodes) => Val {
            value: decoded(path, arguments),
            path: None,
            signs: all.and(Signs::DECODED),
        },
        _ => return None,
    };
    Some(made)
}

fn mapped(arguments: &[Val], signs: Signs) -> Option<Val> {
    let (function, Value::List(items)) = (arguments.first()?, &arguments.get(1)?.value) else {
        return None;
    };
    if function.path.as_deref() != Some("builtins.chr") {
        return None;
    }
    let one = |item: &Value| known_call("builtins.chr", &[Val::constant(item.clone())]);
    let items: Option<Vec<Value>> = items
        .iter()
        .map(|item| one(item).map(|made| made.value))
        .collect();
    Some(Val::constant(code::list(items?)).with(signs))
}

fn bytes_of(value: &Value) -> Value {
    match value {
        Value::Bytes(_) => value.clone(),
        Value::Text(text) => Value::Bytes(text.clone().into_bytes()),
        Value::List(items) => {
            let byte = |item: &Value| match item {
                Value::Number(number) => u8::try_from(*number).ok(),
                _ => None,
            };
            let bytes: Option<Vec<u8>> = items.iter().map(byte).collect();
            bytes.map(Value::Bytes).unwrap_or_default()
        }
        _ => Value::Unknown,
    }
}

fn decoded(path: &str, arguments: &[Val]) -> Value {
    let bytes = match arguments.first().map(|first| &first.value) {
        Some(Value::Bytes(bytes)) => bytes.clone(),
        Some(Value::Text(text)) => text.clone().into_bytes(),
        _ => return Value::Unknown,
    };
    let codec = arguments
        .get(1)
        .and_then(|codec| codec.value.text())
        .unwrap_or_default();
    let made = match path.rsplit('.').next().unwrap_or_default() {
        "b64decode" | "urlsafe_b64decode" | "standard_b64decode" | "decodebytes"
        | "decodestring" | "a2b_base64" => Some(base64(&bytes)),
        "unhexlify" | "a2b_hex" | "fromhex" | "b16decode" => hex(&bytes),
        "decompress" if path.starts_with("zlib") => inflated(&bytes),
        "decode" if codec.starts_with("rot") => {
            let text = Value::Text(String::from_utf8_lossy(&bytes).into_owned());
            return code::method(&text, "decode", &[Value::Text("rot13".to_owned())]);
        }
        "decode" if codec.starts_with("base64") => Some(base64(&bytes)),
        "decode" if codec.starts_with("hex") => hex(&bytes),
        _ => None,
    };
    made.map(Value::Bytes).unwrap_or_default()
}

// As Python does: what is no sign of the alphabet is passed over.
fn base64(text: &[u8]) -> Vec<u8> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0_u32);
    for byte in text {
        let six = match *byte {
            byte @ b'A'..=b'Z' => byte.saturating_sub(b'A'),
            byte @ b'a'..=b'z' => byte.saturating_sub(b'a').saturating_add(26),
            byte @ b'0'..=b'9' => byte.saturating_sub(b'0').saturating_add(52),
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            _ => continue,
        };
        bits = (bits << 6 | u32::from(six)) & 0xff_ffff;
        count = count.saturating_add(6);
        if count >= 8 {
            count = count.saturating_sub(8);
            out.push(u8::try_from(bits >> count & 0xff).unwrap_or(0));
        }
    }
    out
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let (pairs, _) = digits.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect()
}

fn inflated(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut reader = flate2::read::ZlibDecoder::new(bytes).take(MAX_UNPACKED);
    reader.read_to_end(&mut out).ok()?;
    Some(out)
}
