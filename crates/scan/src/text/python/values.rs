//! What expressions of Python stand for: constants, and functions by their full names.

mod decode;

use std::rc::Rc;

use crate::text::code::{self, Value};

use super::sinks::{self, Kind};

/// Most things that a list or dictionary is known to hold, and how deep.
const MAX_HELD: usize = 256;
const MAX_NESTED: u32 = 3;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Signs(u16);

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

    /// Out of a file in a place that others write to.
    pub(super) const OUTSIDE: Self = Self(1 << 5);
    /// Out of the list of all functions of a module that runs commands or code.
    pub(super) const LISTED: Self = Self(1 << 6);
    /// A key of a service that this program is not.
    pub(super) const KEY: Self = Self(1 << 7);
    /// A folder whose programs Python runs by itself.
    pub(super) const SITE: Self = Self(1 << 8);

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
    /// If it is a list or dictionary that holds such things: these, under their keys.
    pub(super) held: Option<Rc<[(Value, Self)]>>,
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

    /// Returns a list or dictionary, as far as things are in it.
    pub(super) fn holding(self, items: impl Iterator<Item = (Value, Self)>) -> Self {
        let things = items.filter(|(_, item)| {
            (item.path.is_some() || item.held.is_some()) && item.nesting() < MAX_NESTED
        });
        // Long constants are not held once more.
        let things = things.map(|(key, item)| match code::size(&item.value) {
            0..=MAX_HELD => (key, item),
            _ => (
                key,
                Self {
                    value: Value::Unknown,
                    ..item
                },
            ),
        });
        let held: Rc<[(Value, Self)]> = things.take(MAX_HELD).collect();
        Self {
            held: Some(held).filter(|held| !held.is_empty()),
            ..self
        }
    }

    fn items(&self) -> &[(Value, Self)] {
        self.held.as_deref().unwrap_or_default()
    }

    fn nesting(&self) -> u32 {
        let inner = self.items().iter().map(|(_, item)| item.nesting()).max();
        inner.map_or(0, |inner| inner.saturating_add(1))
    }

    /// Returns the thing in it that could do the most harm, if there are any.
    pub(super) fn worst(&self) -> Option<&Self> {
        let listed = |item: &Self| item.path.as_deref().and_then(sinks::kind).is_some();
        let mut items = self.items().iter().map(|(_, item)| item);
        let worst = items.clone().find(|item| listed(item));
        worst.or_else(|| items.next())
    }

    /// Returns what one of its items is: the one that could do the most harm, if any could.
    pub(super) fn one(&self) -> Self {
        let leads = |name: &str| {
            MODULES.contains(&name)
                || ["os", "subprocess", "builtins"]
                    .iter()
                    .any(|module| sinks::kind(&format!("{module}.{name}")).is_some())
        };
        let value = match &self.value {
            Value::List(items) => {
                let leading = items.iter().find(|item| item.text().is_some_and(leads));
                let only = items.first().filter(|_| items.len() == 1);
                leading.or(only).cloned().unwrap_or_default()
            }
            _ => Value::Unknown,
        };
        let worst = self.worst().cloned();
        worst.unwrap_or(Self::constant(value)).with(self.signs)
    }

    /// Returns what is one of the two: the one that could do more harm, if that is known.
    pub(super) fn or(self, other: Self) -> Self {
        let listed = |val: &Self| val.path.as_deref().and_then(sinks::kind).is_some();
        let known = self.path.is_some() || self.value.is_known() || self.held.is_some();
        let signs = self.signs.and(other.signs);
        if listed(&self) || known && !listed(&other) {
            self.with(signs)
        } else {
            other.with(signs)
        }
    }

    /// Returns it with more signs.
    pub(super) fn with(mut self, signs: Signs) -> Self {
        self.signs = self.signs.and(signs);
        self
    }

    /// Returns `self.name`.
    pub(super) fn attribute(&self, name: &str) -> Self {
        if name == "__globals__" || name == "func_globals" {
            return Self::thing("<names>").with(self.signs);
        }
        let path = self.path.as_ref();
        let path = path.filter(|path| path.len() < 200 && !path.starts_with("arg:"));
        let path = path.map(|path| plain(&format!("{path}.{name}")));
        // One variable of the environment is a setting; all of them are not.
        let setting = path
            .as_deref()
            .is_some_and(|path| path.starts_with("os.environ.") && path != "os.environ.copy");
        if setting {
            return Self {
                path,
                ..Self::default()
            };
        }
        let tells = path.as_deref().and_then(sinks::kind) == Some(Kind::TellsSecrets);
        let signs = if tells {
            Signs::SECRET
        } else {
            Signs::default()
        };
        Self {
            path,
            signs: self.signs.and(signs),
            ..Self::default()
        }
    }

    /// Returns `self[index]`.
    pub(super) fn item(&self, index: &Self) -> Self {
        let signs = self.signs.and(index.signs);
        if let Some(held) = self.under(&index.value) {
            return held.clone().with(signs);
        }
        let name = index.value.text();
        match (self.path.as_deref(), name) {
            (Some("os.environ"), name) => Self::default().with(key_of(name)),
            // `sys.modules['os']` is `os`, however it is reached.
            (Some("sys.modules"), Some(name)) => Self::thing(name).with(signs.and(Signs::COMPUTED)),
            // What a program has imported, or what it needs no import for.
            (Some("<names>"), Some("__builtins__" | "__builtin__")) => {
                Self::thing("builtins").with(signs.and(Signs::COMPUTED))
            }
            (Some("<names>"), Some(name)) => {
                let path = if MODULES.contains(&name) {
                    name.to_owned()
                } else {
                    plain(&format!("builtins.{name}"))
                };
                Self::thing(path).with(signs.and(Signs::COMPUTED))
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
                    .filter(|path| path.len() < 200 && !path.starts_with("arg:"))
                    .map(|path| format!("{path}[]")),
                signs,
                ..Self::default()
            },
        }
    }

    // What is held under a key; under one that nobody knows, the worst.
    fn under(&self, key: &Value) -> Option<&Self> {
        if *key == Value::Unknown {
            return self.worst();
        }
        let len = i64::try_from(self.items().len()).unwrap_or(i64::MAX);
        let positive = match key {
            Value::Number(at) if *at < 0 => Value::Number(at.saturating_add(len)),
            key => key.clone(),
        };
        let found = self.items().iter().find(|(under, _)| *under == positive);
        found.map(|(_, item)| item)
    }
}

/// Returns what is said of a variable of the environment: keys of services that the whole world
/// knows are nobody else's business.
pub(super) fn key_of(name: Option<&str>) -> Signs {
    const OWNERS: [&str; 13] = [
        "AWS_",
        "AZURE_",
        "HF_",
        "HUGGING",
        "GITHUB_",
        "GH_",
        "GITLAB_",
        "OPENAI_",
        "ANTHROPIC_",
        "GOOGLE_",
        "WANDB_",
        "NPM_",
        "PYPI_",
    ];
    let name = name.unwrap_or_default();
    let secret = ["KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"];
    let known = OWNERS.iter().any(|owner| name.starts_with(owner));
    if known && secret.iter().any(|word| name.contains(word)) {
        Signs::KEY
    } else {
        Signs::default()
    }
}

/// Modules that lead to the rest of Python, by whatever way they are reached.
const MODULES: [&str; 9] = [
    "os",
    "sys",
    "subprocess",
    "builtins",
    "importlib",
    "posix",
    "pty",
    "shutil",
    "socket",
];

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
        "builtins.str" | "builtins.list" | "builtins.tuple" | "builtins.compile"
        | "builtins.iter" | "io.BytesIO" | "io.StringIO" | "os.path.expanduser"
        | "os.path.abspath" | "os.path.expandvars" | "os.fspath" => first?.clone(),
        "builtins.next" => first?.worst().or(first)?.clone(),
        "os.path.join" => joined(arguments).with(all),
        "pathlib.Path" | "pathlib.PosixPath" => Val {
            path: Some(format!("{path}()")),
            ..joined(arguments).with(all)
        },
        "builtins.reversed" => {
            let value = code::method(&first?.value, "reversed", &[]);
            Val::constant(value).with(computed)
        }
        "builtins.map" => mapped(arguments, computed)?,
        "builtins.bytes" | "builtins.bytearray" => {
            Val::constant(bytes_of(&first?.value)).with(computed)
        }
        path if sinks::kind(path) == Some(Kind::Decodes) => {
            Val::constant(decode::decoded(path, arguments)).with(all.and(Signs::DECODED))
        }
        _ => return by_name(path, arguments),
    };
    Some(made)
}

// What is reached by a name that is an argument.
fn by_name(path: &str, arguments: &[Val]) -> Option<Val> {
    let first = arguments.first();
    let made = match path {
        "builtins.getattr" => {
            let name = arguments.get(1)?;
            let found = first?.attribute(name.value.text()?);
            found.with(name.signs)
        }
        "operator.getitem" => first?.item(arguments.get(1)?),
        "operator.attrgetter" | "operator.methodcaller" => {
            let name = first?.value.text()?;
            Val::thing(format!("{path}({name})")).with(first?.signs)
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
        path if path.starts_with("operator.attrgetter(") => {
            let name = path.trim_end_matches(')').rsplit('(').next()?;
            first?
                .attribute(name)
                .with(first?.signs.and(Signs::COMPUTED))
        }
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

// The parts of a path to a file, as far as they are known.
fn joined(parts: &[Val]) -> Val {
    let texts: Vec<&str> = parts
        .iter()
        .map(|part| part.value.text().unwrap_or("?"))
        .collect();
    let known = texts.iter().any(|text| *text != "?");
    let value = if known && texts.len() < 20 {
        Value::Text(texts.join("/"))
    } else {
        Value::Unknown
    };
    Val::constant(value)
}
