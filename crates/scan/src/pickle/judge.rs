//! What the calls and names of a pickle mean.
//!
//! Denied globals are findings whatever is done with them. Allowed ones are none, as long as they
//! are used as allowed. Unknown ones are judged by evidence: a name alone is little, a call is
//! more, and a call with a command, an address, a path or program text is much.

use std::collections::BTreeMap;
use std::rc::Rc;

use custos_core::finding::{Confidence, Severity};

use super::layout::is_array;
use super::lists::{self, Danger, Standing, Uses};
use super::machine::{Call, Filling, Global, Here, Machine, Observer, Oddity, Outcome};
use super::show;
use super::signs::Signs;
use super::storage::{Storage, storage};
use super::value::{How, Node, Span, Value};
use super::views;
use crate::rules::{self, Rule};

/// Most different things that are reported of one stream.
const MAX_REPORTED: usize = 1_000;

/// What was seen in a stream, each kind of thing once.
#[derive(Debug, Default)]
pub(super) struct Judge {
    seen: BTreeMap<(&'static str, String), Seen>,
    // By the place of the global in the machine, which tells of each once and in order.
    standings: Vec<Rc<Names>>,
    /// Storages that torch will look for: key, and bytes that it needs.
    pub(super) storages: Vec<Storage>,
    /// Bytes that begin like a file of their own.
    pub(super) payloads: Vec<Span>,
    /// True if something was left out.
    pub(super) overflown: bool,
}

/// Something that was seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The rule.
    pub(super) rule: &'static Rule,
    /// How bad.
    pub(super) severity: Severity,
    /// How sure.
    pub(super) confidence: Confidence,
    /// What, in a sentence.
    pub(super) message: String,
    /// The reconstructed call or name.
    pub(super) evidence: String,
    /// Where first.
    pub(super) at: u64,
    /// How often.
    pub(super) count: u64,
}

// A global by all names that a loader may look for.
#[derive(Debug, Clone)]
struct Names {
    standing: Standing,
    shown: String,
    inner: bool,
    dotted: bool,
    // A function of Python that no object is made by.
    idle: bool,
}

impl Judge {
    /// Returns what was seen, in the order of the stream.
    pub(super) fn into_seen(mut self) -> Vec<Seen> {
        // Whoever is called is named as well.
        for (name, call) in [
            (
                &rules::pickle::PICKLE_UNKNOWN_NAME,
                &rules::pickle::PICKLE_UNKNOWN_CALL,
            ),
            (
                &rules::pickle::PICKLE_DANGEROUS_NAME,
                &rules::pickle::PICKLE_DANGEROUS_CALL,
            ),
        ] {
            let called = self.seen.keys().filter(|(rule, _)| *rule == call.id);
            let called: Vec<String> = called.map(|(_, shown)| shown.clone()).collect();
            for shown in called {
                self.seen.remove(&(name.id, shown));
            }
        }
        let mut seen: Vec<Seen> = self.seen.into_values().collect();
        seen.sort_by(|a, b| (a.at, a.rule.id).cmp(&(b.at, b.rule.id)));
        seen
    }

    /// Forgets all but what is known to hurt from here on.
    pub(super) fn only_dangers_from(&mut self, from: u64) {
        let call = rules::pickle::PICKLE_DANGEROUS_CALL.id;
        self.seen
            .retain(|(rule, _), seen| *rule == call && seen.at >= from);
        self.storages.clear();
        self.payloads.clear();
        self.overflown = false;
    }

    fn see(&mut self, key: impl Into<String>, seen: Seen) {
        let key = (seen.rule.id, key.into());
        if let Some(known) = self.seen.get_mut(&key) {
            known.count = known.count.saturating_add(1);
            if seen.severity > known.severity {
                let (at, count) = (known.at, known.count);
                *known = Seen { at, count, ..seen };
            }
        } else if self.seen.len() < MAX_REPORTED {
            self.seen.insert(key, seen);
        } else {
            self.overflown = true;
        }
    }

    // Below protocol 3 a loader maps old names; one that does not exists as well. What is worse
    // counts.
    fn names(global: &Global) -> Names {
        let plain = lists::standing(&global.module, &global.name);
        let mapped = (global.protocol < 3)
            .then(|| lists::mapped(&global.module, &global.name))
            .flatten();
        let standing = match (&mapped, plain) {
            (_, Standing::Denied(danger)) => Standing::Denied(danger),
            (Some((module, name)), _) => lists::standing(module, name),
            (None, plain) => plain,
        };
        let (module, name) = (&global.module, &global.name);
        let shown = match mapped {
            Some((to, as_name)) if standing != plain => {
                format!("{module}.{name} (loaded as {to}.{as_name})")
            }
            _ => format!("{module}.{name}"),
        };
        let dunder = |part: &str| part.len() > 4 && part.starts_with("__") && part.ends_with("__");
        let allowed = matches!(standing, Standing::Allowed(_));
        Names {
            idle: !allowed && is_function_of_python(module, name),
            standing,
            shown,
            inner: !allowed && name.split('.').any(dunder),
            dotted: !allowed && name.contains('.'),
        }
    }

    fn names_at(&self, place: u32) -> Option<Rc<Names>> {
        self.standings.get(usize::try_from(place).ok()?).cloned()
    }

    fn denied(
        &mut self,
        names: &Names,
        danger: &'static Danger,
        (at, call): (u64, Option<String>),
    ) {
        let (rule, severity, verb) = if call.is_some() {
            (
                &rules::pickle::PICKLE_DANGEROUS_CALL,
                danger.severity,
                "calls",
            )
        } else {
            let milder = danger.severity.min(Severity::High);
            (&rules::pickle::PICKLE_DANGEROUS_NAME, milder, "names")
        };
        let message = format!("loading {verb} `{}`, which {}", names.shown, danger.does);
        self.see(
            names.shown.clone(),
            Seen {
                rule,
                severity,
                confidence: Confidence::High,
                message,
                evidence: call.unwrap_or_else(|| names.shown.clone()),
                at,
                count: 1,
            },
        );
    }

    fn unknown_call(&mut self, names: &Names, signs: Signs, (at, call): (u64, String)) {
        let strong = Signs::ADDRESS.and(Signs::SHELL).and(Signs::CODE);
        let weak = Signs::PATH
            .and(Signs::INNER_NAME)
            .and(Signs::PAYLOAD)
            .and(Signs::HOST);
        let (severity, confidence) = if signs.any(strong) {
            (Severity::Critical, Confidence::High)
        } else if names.inner || names.idle {
            (Severity::High, Confidence::High)
        } else if signs.any(weak) || names.dotted {
            (Severity::High, Confidence::Medium)
        } else {
            (Severity::Medium, Confidence::Medium)
        };
        let why = if names.idle {
            "which no object is made by"
        } else {
            "which is on no list"
        };
        let mut message = format!("loading calls `{}`, {why}", names.shown);
        if !signs.is_empty() {
            message = format!("{message}, with {signs}");
        }
        self.see(
            names.shown.clone(),
            Seen {
                rule: &rules::pickle::PICKLE_UNKNOWN_CALL,
                severity,
                confidence,
                message,
                evidence: call,
                at,
                count: 1,
            },
        );
    }

    fn simple(&mut self, at: u64, rule: &'static Rule, (message, evidence): (String, String)) {
        let seen = Seen {
            rule,
            severity: rule.severity,
            confidence: Confidence::High,
            message,
            evidence: evidence.clone(),
            at,
            count: 1,
        };
        self.see(evidence, seen);
    }

    fn view(&mut self, here: Here<'_, '_>, callee: u32, call: &Call) {
        let Here { at, machine } = here;
        let fault = machine
            .global(callee)
            .and_then(|global| views::fault(global, call.arguments, machine));
        if let Some(fault) = fault {
            let message = format!("a tensor reaches beyond its storage: {fault}");
            let evidence = show::call(call, machine);
            self.simple(at, &rules::tensors::TORCH_VIEW, (message, evidence));
        }
    }

    // Of values that were not looked at nobody knows how the call is to be judged.
    fn signs(&mut self, arguments: Value, machine: &Machine<'_>) -> Signs {
        let signs = machine.signs(arguments);
        self.overflown |= signs.any(Signs::UNSEEN) && machine.is_tired();
        signs
    }

    // The class that a reconstructing function makes an object of.
    fn made_of(&mut self, at: u64, call: &Call, machine: &Machine<'_>) {
        let first = machine
            .items(call.arguments)
            .and_then(|(items, _)| items.first().copied());
        let Some(Value::Global(place)) = first else {
            return;
        };
        let Some(names) = self.names_at(place) else {
            return;
        };
        let shown = || show::call(call, machine);
        match names.standing {
            Standing::Denied(danger) => self.denied(&names, danger, (at, Some(shown()))),
            Standing::Unknown => {
                let signs = self.signs(call.arguments, machine);
                // It is handed on, and not called here.
                let names = Names {
                    idle: false,
                    ..(*names).clone()
                };
                self.unknown_call(&names, signs, (at, shown()));
            }
            Standing::Allowed(_) => {}
        }
    }
}

impl Observer for Judge {
    fn global(&mut self, at: u64, global: &Global) {
        let names = Rc::new(Self::names(global));
        self.standings.push(Rc::clone(&names));
        match names.standing {
            Standing::Denied(danger) => self.denied(&names, danger, (at, None)),
            Standing::Unknown => {
                let rule = if names.inner {
                    &rules::pickle::PICKLE_INNER_NAME
                } else {
                    &rules::pickle::PICKLE_UNKNOWN_NAME
                };
                let message = format!("loading imports `{}`, which is on no list", names.shown);
                self.simple(at, rule, (message, names.shown.clone()));
            }
            Standing::Allowed(_) => {}
        }
    }

    fn call(&mut self, here: Here<'_, '_>, call: &Call) -> Outcome {
        let Here { at, machine } = here;
        let Value::Global(place) = call.callee else {
            let shown = show::call(call, machine);
            let (rule, message) = match call.callee {
                Value::Unknown | Value::Faded(..) => (
                    &rules::pickle::PICKLE_UNRESOLVABLE,
                    "loading calls something that cannot be followed".to_owned(),
                ),
                _ => (
                    &rules::pickle::PICKLE_COMPUTED_CALL,
                    "loading calls what another call returned".to_owned(),
                ),
            };
            self.simple(at, rule, (message, shown));
            return Outcome::Kept;
        };
        let Some(names) = self.names_at(place) else {
            return Outcome::Kept;
        };
        match names.standing {
            Standing::Denied(danger) => {
                let shown = show::call(call, machine);
                self.denied(&names, danger, (at, Some(shown)));
                Outcome::Kept
            }
            Standing::Unknown => {
                let signs = self.signs(call.arguments, machine);
                self.unknown_call(&names, signs, (at, show::call(call, machine)));
                Outcome::Kept
            }
            Standing::Allowed(uses) => {
                self.view(here, place, call);
                self.allowed_call(here, (&names, uses), call)
            }
        }
    }

    fn build(&mut self, here: Here<'_, '_>, target: Value, state: Value) {
        let Here { at, machine } = here;
        match target {
            Value::Global(place) => {
                let shown = machine.global(place).map_or_else(String::new, show::global);
                let message = format!(
                    "loading sets attributes of `{shown}` itself, which changes what it does"
                );
                let evidence = format!("{shown} <- {}", show::value(state, machine));
                self.simple(
                    at,
                    &rules::pickle::PICKLE_STATE_ON_GLOBAL,
                    (message, evidence),
                );
            }
            Value::Made(_) | Value::Node(_) | Value::Faded(..) => {
                let plain = match target {
                    Value::Node(place) => {
                        matches!(machine.node(place), Some(Node::Container { .. }))
                    }
                    _ => false,
                };
                if plain {
                    let message = "loading puts state into a plain container".to_owned();
                    let evidence = show::value(state, machine);
                    self.simple(at, &rules::pickle::PICKLE_MALFORMED, (message, evidence));
                }
            }
            _ => {
                let message = "loading puts state into what cannot have any".to_owned();
                self.simple(
                    at,
                    &rules::pickle::PICKLE_MALFORMED,
                    (message, show::value(state, machine)),
                );
            }
        }
    }

    fn fill(&mut self, here: Here<'_, '_>, target: Value, by: Filling) {
        let Here { at, machine } = here;
        let method = match by {
            Filling::Append => "extend",
            Filling::Set => "__setitem__",
            Filling::Add => "add",
        };
        let wanted = match by {
            Filling::Append | Filling::Add => Uses::SEQUENCE,
            Filling::Set => Uses::MAPPING,
        };
        let names = match target {
            Value::Global(place) => {
                let shown = machine.global(place).map_or_else(String::new, show::global);
                let message = format!("loading calls `{method}` of `{shown}` itself");
                self.simple(at, &rules::pickle::PICKLE_STATE_ON_GLOBAL, (message, shown));
                return;
            }
            Value::Made(place) => self.names_at(place),
            Value::Node(place) => match machine.node(place) {
                Some(Node::Call {
                    callee: Value::Global(place),
                    ..
                }) => {
                    let place = *place;
                    self.names_at(place)
                }
                _ => None,
            },
            _ => None,
        };
        let Some(names) = names else {
            let message = format!("loading calls `{method}` of something that is no container");
            let evidence = show::value(target, machine);
            self.simple(at, &rules::pickle::PICKLE_HIDDEN_CALL, (message, evidence));
            return;
        };
        match names.standing {
            Standing::Allowed(uses) if uses.any(wanted) => {}
            // The call that made it is a finding already.
            Standing::Denied(_) => {}
            Standing::Allowed(_) | Standing::Unknown => {
                let message = format!(
                    "loading calls `{method}` of an object of `{}`, which is not known to be a \
                     container",
                    names.shown
                );
                self.simple(
                    at,
                    &rules::pickle::PICKLE_HIDDEN_CALL,
                    (message, names.shown.clone()),
                );
            }
        }
    }

    fn persistent(&mut self, here: Here<'_, '_>, id: Value) {
        let Here { at, machine } = here;
        if let Some(storage) = storage(at, id, machine) {
            if self.storages.len() < 1 << 20 {
                self.storages.push(storage);
            } else {
                self.overflown = true;
            }
            return;
        }
        let message = "loading asks its reader for an object by an identifier".to_owned();
        let evidence = show::value(id, machine);
        self.simple(at, &rules::pickle::PICKLE_PERSISTENT, (message, evidence));
    }

    fn extension(&mut self, at: u64, code: u32) {
        let message =
            format!("loading takes entry {code} of a registry that only the reader knows");
        self.simple(
            at,
            &rules::pickle::PICKLE_EXTENSION,
            (message, code.to_string()),
        );
    }

    fn payload(&mut self, span: Span) {
        if self.payloads.len() < MAX_REPORTED {
            self.payloads.push(span);
        } else {
            self.overflown = true;
        }
    }

    fn oddity(&mut self, at: u64, oddity: Oddity) {
        let (rule, message) = match oddity {
            Oddity::ProtocolAgain => (
                &rules::pickle::PICKLE_ODD_STREAM,
                "the protocol is named again in mid-stream, which changes how names are found",
            ),
            Oddity::Unresolvable => (
                &rules::pickle::PICKLE_UNRESOLVABLE,
                "a name to be imported is no text of the stream",
            ),
            Oddity::Discarded => (
                &rules::pickle::PICKLE_DISCARDED,
                "what a call returned is thrown away: it was made for what it does",
            ),
            Oddity::MissingMemo => (
                &rules::pickle::PICKLE_MALFORMED,
                "a value is taken that nobody stored",
            ),
            Oddity::Frame => (
                &rules::pickle::PICKLE_ODD_STREAM,
                "a frame ends elsewhere than loaders agree on",
            ),
            Oddity::HugeMemo => (
                &rules::pickle::PICKLE_EXHAUSTION,
                "a memo index is so large that loaders run out of memory",
            ),
            Oddity::LeftOver => (
                &rules::pickle::PICKLE_ODD_STREAM,
                "more than one value is left at the end",
            ),
        };
        self.simple(at, rule, (message.to_owned(), String::new()));
    }
}

impl Judge {
    fn allowed_call(
        &mut self,
        here: Here<'_, '_>,
        (names, uses): (&Names, Uses),
        call: &Call,
    ) -> Outcome {
        let Here { at, machine } = here;
        if uses.any(Uses::GUARDED) {
            if let Err(how) = guard(names, call, machine) {
                let message = format!("loading calls `{}` {how}", names.shown);
                let shown = show::call(call, machine);
                self.simple(at, &rules::pickle::PICKLE_MISUSED_CALL, (message, shown));
                return Outcome::Kept;
            }
            self.made_of(at, call, machine);
            return Outcome::Kept;
        }
        let initialised = match call.how {
            How::New | How::NewEx => false,
            How::Instance => machine
                .items(call.arguments)
                .is_none_or(|(items, _)| !items.is_empty()),
            How::Reduce => true,
        };
        if initialised && global_of(call, machine).is_some_and(is_array) {
            let message = format!(
                "loading calls `{}`, so that loaders disagree where its array ends",
                names.shown
            );
            let shown = show::call(call, machine);
            self.simple(at, &rules::pickle::PICKLE_MISUSED_CALL, (message, shown));
            return Outcome::Known;
        }
        let made = !initialised && uses.any(Uses::OBJECT);
        if !made && !uses.any(Uses::TYPE.and(Uses::CALL)) {
            let signs = self.signs(call.arguments, machine);
            self.unknown_call(names, signs, (at, show::call(call, machine)));
            return Outcome::Kept;
        }
        if matches!(call.how, How::Reduce) && uses.any(Uses::CALL) {
            self.made_of(at, call, machine);
        }
        // Of a data type it matters later which one it is.
        if names.shown == "numpy.dtype" {
            return Outcome::Kept;
        }
        Outcome::Known
    }
}

fn global_of<'m>(call: &Call, machine: &'m Machine<'_>) -> Option<&'m Global> {
    match call.callee {
        Value::Global(place) => machine.global(place),
        _ => None,
    }
}

// What Python's own classes are made by is known: whoever calls another function does it for what
// that function does, and no pickler wrote the call. Exceptions are classes, with capital letters.
fn is_function_of_python(module: &str, name: &str) -> bool {
    const CLASSES: [&str; 7] = [
        "classmethod",
        "filter",
        "map",
        "memoryview",
        "property",
        "staticmethod",
        "super",
    ];
    matches!(module, "builtins" | "__builtin__" | "__builtins__")
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !CLASSES.contains(&name)
}

// An allowed name under a condition. `None`: the condition holds.
fn guard(names: &Names, call: &Call, machine: &Machine<'_>) -> Result<(), &'static str> {
    let arguments = machine
        .items(call.arguments)
        .map(|(items, _)| items.to_vec());
    let Some(arguments) = arguments else {
        return Err("with arguments that cannot be followed");
    };
    let global_name = names.shown.split(' ').next().unwrap_or_default();
    let last = global_name.rsplit('.').next().unwrap_or_default();
    match last {
        "encode" => match arguments.as_slice() {
            // How protocol 2 carries bytes; other codecs decode payloads.
            [Value::Text(_), codec]
                if machine.short_text(*codec, 8).as_deref() == Some("latin1") =>
            {
                Ok(())
            }
            _ => Err("otherwise than to carry bytes"),
        },
        "_reconstructor" | "__newobj__" | "__newobj_ex__" => match arguments.first() {
            Some(Value::Global(_)) => Ok(()),
            _ => Err("for something that is no class"),
        },
        "partial" => match arguments.first() {
            // What it is around is judged as if it were called.
            Some(Value::Global(_)) => Ok(()),
            _ => Err("around something that is not known"),
        },
        "getattr" => match arguments.as_slice() {
            [Value::Made(_) | Value::Global(_), name, ..] => {
                let name = machine.short_text(*name, 200);
                match name {
                    Some(name) if Signs::of_text(&name).is_empty() => Ok(()),
                    _ => Err("for something inner"),
                }
            }
            _ => Err("of something that is not known"),
        },
        _ => Err("in a way that is on no list"),
    }
}
