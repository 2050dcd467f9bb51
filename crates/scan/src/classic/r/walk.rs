//! A walk through the objects, in the order of the file and without recursion.

use std::collections::BTreeMap;
use std::rc::Rc;

use custos_core::finding::{Location, Severity};

use super::calls::{self, Danger};
use super::reader::{Fault, Reader};
use crate::rules::{self, Rule};
use crate::text;
use crate::work::Look;

/// Most objects that wait for their turn.
const MAX_WAITING: usize = 4 << 20;
/// Most objects that are referred to again.
const MAX_REFERENCES: usize = 4 << 20;
/// Longest text that is looked at.
const MAX_TEXT: usize = 256 << 10;
/// Most texts that are looked at: columns of data frames are data.
const MAX_INSPECTED: u64 = 10_000;
/// Most different findings of one kind of place.
const MAX_TOLD: usize = 200;

/// Longest name of a symbol that is kept.
const MAX_NAME: usize = 256;

// Types, by the names that R gives them.
const SYMSXP: u32 = 1;
const LISTSXP: u32 = 2;
const CLOSXP: u32 = 3;
const ENVSXP: u32 = 4;
const PROMSXP: u32 = 5;
const LANGSXP: u32 = 6;
const CHARSXP: u32 = 9;
const DOTSXP: u32 = 17;
const BCODESXP: u32 = 21;
const ATTRLISTSXP: u32 = 239;
const ATTRLANGSXP: u32 = 240;
const BCREPREF: u32 = 243;
const BCREPDEF: u32 = 244;
const REFSXP: u32 = 255;

/// Functions that find others by their names.
const FINDERS: [&str; 8] = [
    "::",
    ":::",
    "get",
    "get0",
    "match.fun",
    "do.call",
    "getExportedValue",
    "getFromNamespace",
];

/// Why the walk ended.
pub(super) enum Stop {
    Fault(Fault),
    /// A type that there is not.
    Type(u32),
    /// A limit of ours.
    Large(&'static str),
    /// It was said already.
    Told,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// In what an object lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a place of its own")]
struct Within {
    environment: bool,
    // What a promise or stray byte code evaluates.
    promise: bool,
    function: bool,
    code: bool,
    // The function of a call.
    head: bool,
    // An argument of what finds functions by their names, such as `::`.
    finder: bool,
    // The list of a workspace; the name of one of its entries; the value.
    workspace: bool,
    binding: bool,
    bound: bool,
}

impl Within {
    // The same place, of something that is neither called nor bound.
    const fn plain(self) -> Self {
        Self {
            head: false,
            finder: false,
            workspace: false,
            binding: false,
            bound: false,
            ..self
        }
    }
}

// What is read next.
#[derive(Clone, Copy)]
enum Next {
    Item(Within),
    Items(u64, Within),
    // Byte code: its instructions, and then its constants.
    Code(Within),
    // How many constants, and then they.
    Counted(Within),
    Constants(u64, Within),
    // A part of a language object in byte code: its type, and then it.
    Typed(Within),
}

// Something that was seen, and will be told at the end.
struct Seen {
    rule: &'static Rule,
    severity: Severity,
    message: String,
    at: u64,
    evidence: Option<String>,
    published: bool,
}

pub(super) struct Walk<'l, 'i, 'w, 's, 'r> {
    look: &'l mut Look<'i, 'w, 's>,
    reader: &'r mut Reader<'i>,
    waiting: Vec<Next>,
    // Names of symbols; other objects have none.
    references: Vec<Option<Rc<str>>>,
    texts: u64,
    steps: u64,
    // The name that the next value of a workspace is bound to.
    bound: Option<Rc<str>>,
    seen: BTreeMap<(String, Severity), Seen>,
    // The call whose text is still to come, and when it was seen.
    last: Option<((String, Severity), u64)>,
}

impl<'l, 'i, 'w, 's, 'r> Walk<'l, 'i, 'w, 's, 'r> {
    pub(super) fn new(
        look: &'l mut Look<'i, 'w, 's>,
        reader: &'r mut Reader<'i>,
        workspace: bool,
    ) -> Self {
        let root = Within {
            workspace,
            ..Within::default()
        };
        Self {
            look,
            reader,
            waiting: vec![Next::Item(root)],
            references: Vec::new(),
            texts: 0,
            steps: 0,
            bound: None,
            seen: BTreeMap::new(),
            last: None,
        }
    }

    pub(super) fn run(&mut self) -> Result<(), Stop> {
        let outcome = self.walk();
        for (_, seen) in std::mem::take(&mut self.seen) {
            let mut place = self.look.here();
            place.offset = Some(seen.at);
            let mut finding = seen.rule.finding(place, seen.message);
            finding.severity = seen.severity;
            finding.evidence = seen.evidence;
            if seen.published {
                finding.cves = vec!["CVE-2024-27322".to_owned()];
            }
            self.look.work.find(finding);
        }
        outcome
    }

    fn walk(&mut self) -> Result<(), Stop> {
        while let Some(next) = self.waiting.pop() {
            self.steps = self.steps.wrapping_add(1);
            if self.steps.is_multiple_of(1 << 14) {
                let path = &self.look.input.path;
                self.look.work.tick(path).map_err(|_| Stop::Told)?;
            }
            if self.waiting.len() > MAX_WAITING {
                return Err(Stop::Large("objects in objects"));
            }
            self.next(next)?;
        }
        Ok(())
    }

    fn next(&mut self, next: Next) -> Result<(), Stop> {
        match next {
            Next::Item(within) => self.item(within)?,
            Next::Items(0, _) | Next::Constants(0, _) => {}
            Next::Items(left, within) => {
                self.waiting
                    .push(Next::Items(left.saturating_sub(1), within));
                self.waiting.push(Next::Item(within));
            }
            Next::Code(within) => {
                let within = Within {
                    code: true,
                    ..within.plain()
                };
                self.waiting.push(Next::Counted(within));
                // The instructions are numbers; what they call is among the constants.
                self.waiting.push(Next::Item(Within::default()));
            }
            Next::Counted(within) => {
                let count = self.count()?;
                self.waiting.push(Next::Constants(count, within));
            }
            Next::Constants(left, within) => {
                self.waiting
                    .push(Next::Constants(left.saturating_sub(1), within));
                match self.kind()? {
                    21 => self.waiting.push(Next::Code(within)),
                    kind => self.language(kind, within)?,
                }
            }
            Next::Typed(within) => {
                let kind = self.kind()?;
                self.language(kind, within)?;
            }
        }
        Ok(())
    }

    // Language objects in byte code have the type before each part.
    fn language(&mut self, mut kind: u32, within: Within) -> Result<(), Stop> {
        if kind == BCREPREF {
            self.reader.int()?;
            return Ok(());
        }
        if kind == BCREPDEF {
            self.reader.int()?;
            kind = self.kind()?;
        }
        if !matches!(kind, LISTSXP | LANGSXP | ATTRLANGSXP | ATTRLISTSXP) {
            self.waiting.push(Next::Item(within));
            return Ok(());
        }
        let call = matches!(kind, LANGSXP | ATTRLANGSXP);
        let rest = if call { within.plain() } else { within };
        let first = Within { head: call, ..rest };
        self.waiting.extend([
            Next::Typed(rest),
            Next::Typed(first),
            Next::Item(within.plain()),
        ]);
        if matches!(kind, ATTRLANGSXP | ATTRLISTSXP) {
            self.waiting.push(Next::Item(within.plain()));
        }
        Ok(())
    }

    fn item(&mut self, within: Within) -> Result<(), Stop> {
        let at = self.reader.cursor.position();
        let flags = self.reader.int()?.cast_unsigned();
        let kind = flags & 0xff;
        if matches!(kind, LISTSXP | CLOSXP | PROMSXP | LANGSXP | DOTSXP) {
            self.list(at, flags, within);
            return Ok(());
        }
        let plain = within.plain();
        if flags & 1 << 9 != 0 && kind < 26 && kind != ENVSXP {
            self.waiting.push(Next::Item(plain));
        }
        match kind {
            // Nothing, and environments that every R has.
            241 | 242 | 250..=254 => {}
            REFSXP => {
                let packed = flags >> 8;
                let index = if packed == 0 { self.kind()? } else { packed };
                self.reference(at, index, within);
            }
            247..=249 => {
                self.reader.int()?;
                let count = self.count()?;
                self.waiting.push(Next::Items(count, Within::default()));
                self.refer(None)?;
            }
            SYMSXP => self.symbol(at, within)?,
            ENVSXP => {
                self.reader.int()?;
                self.refer(None)?;
                let inside = Within {
                    environment: true,
                    promise: false,
                    function: false,
                    code: false,
                    ..plain
                };
                self.waiting.push(Next::Items(4, inside));
            }
            22 => {
                self.refer(None)?;
                self.waiting.push(Next::Items(2, plain));
            }
            23 => self.refer(None)?,
            25 => {}
            7 | 8 => {
                let len = self.count()?;
                self.reader.text(len, 0)?;
            }
            CHARSXP => self.characters(at, within)?,
            BCODESXP => {
                self.reader.int()?;
                self.code(at, within);
            }
            // Information, state, attributes.
            238 => self.waiting.push(Next::Items(3, plain)),
            kind => self.vector(kind, within)?,
        }
        Ok(())
    }

    fn vector(&mut self, kind: u32, within: Within) -> Result<(), Stop> {
        match kind {
            10 | 13 => self.values(4),
            14 => self.values(8),
            15 => self.values(16),
            24 => self.values(1),
            16 | 19 | 20 => {
                let count = self.count()?;
                let inside = Within {
                    finder: within.finder && kind == 16,
                    ..within.plain()
                };
                self.waiting.push(Next::Items(count, inside));
                Ok(())
            }
            kind => Err(Stop::Type(kind)),
        }
    }

    // Attributes, a tag, and two parts; which they are, the kind says.
    fn list(&mut self, at: u64, flags: u32, within: Within) {
        const ACTIVE: u32 = 1 << 27;
        let kind = flags & 0xff;
        let plain = within.plain();
        let (mut tag, mut first, mut rest) = (plain, plain, plain);
        match kind {
            PROMSXP => {
                self.promise(at, within);
                rest.promise = true;
            }
            CLOSXP => {
                (first.function, rest.function) = (true, true);
                self.function(at, within);
            }
            LANGSXP => first.head = true,
            _ => {
                (first.finder, rest.finder) = (within.finder, within.finder);
                rest.workspace = within.workspace;
                tag.binding = within.workspace;
                first.bound = within.workspace;
                // R calls the function of an active binding when somebody looks at it.
                first.promise |= flags & ACTIVE != 0 && within.environment;
            }
        }
        self.waiting.extend([Next::Item(rest), Next::Item(first)]);
        if flags & 1 << 10 != 0 {
            self.waiting.push(Next::Item(tag));
        }
        if flags & 1 << 9 != 0 {
            self.waiting.push(Next::Item(plain));
        }
    }

    fn promise(&mut self, at: u64, within: Within) {
        if within.environment {
            return;
        }
        let message = "an expression is stored that R evaluates when its value is asked for";
        self.see(Seen {
            rule: &rules::classic::R_PROMISE,
            severity: Severity::High,
            message: message.to_owned(),
            at,
            evidence: None,
            published: true,
        });
    }

    fn code(&mut self, at: u64, within: Within) {
        let stray = !within.function && !within.environment && !within.promise;
        if stray {
            let message = "byte code is stored that belongs to no function";
            self.see(Seen {
                rule: &rules::classic::R_BYTECODE,
                severity: Severity::High,
                message: message.to_owned(),
                at,
                evidence: None,
                published: true,
            });
        }
        let within = Within {
            promise: within.promise || stray,
            ..within
        };
        self.waiting.push(Next::Code(within));
    }

    fn function(&mut self, at: u64, within: Within) {
        const RUN: [&str; 4] = [".First", ".Last", ".First.sys", ".Last.sys"];
        let name = self.bound.as_deref().filter(|_| within.bound);
        if let Some(name) = name.filter(|name| RUN.contains(name)) {
            let message = format!("R calls the function `{name}` of a workspace by itself");
            self.see(Seen {
                rule: &rules::classic::R_STARTUP,
                severity: Severity::High,
                message,
                at,
                evidence: None,
                published: false,
            });
        }
    }

    fn symbol(&mut self, at: u64, within: Within) -> Result<(), Stop> {
        self.reader.int()?;
        let text: Rc<str> = self.letters()?.unwrap_or_default().into();
        let kept = (text.len() <= MAX_NAME).then(|| Rc::clone(&text));
        self.refer(kept)?;
        self.name(at, &text, within);
        Ok(())
    }

    fn refer(&mut self, name: Option<Rc<str>>) -> Result<(), Stop> {
        if self.references.len() >= MAX_REFERENCES {
            return Err(Stop::Large("references"));
        }
        self.references.push(name);
        Ok(())
    }

    fn reference(&mut self, at: u64, index: u32, within: Within) {
        let place = usize::try_from(index.saturating_sub(1)).unwrap_or(usize::MAX);
        if let Some(Some(name)) = self.references.get(place) {
            let name = Rc::clone(name);
            self.name(at, &name, within);
        }
    }

    fn name(&mut self, at: u64, name: &Rc<str>, within: Within) {
        if within.binding {
            self.bound = Some(Rc::clone(name));
        }
        if within.head && FINDERS.contains(&name.as_ref()) {
            // What waits on top are the arguments.
            if let Some(Next::Item(within) | Next::Typed(within)) = self.waiting.last_mut() {
                within.finder = true;
            }
        }
        let strong = calls::danger(name).is_some_and(|danger| !danger.weak);
        if within.head || within.finder || within.code && strong {
            self.called(at, name, within);
        }
    }

    fn called(&mut self, at: u64, name: &str, within: Within) {
        let stray = within.promise && !within.environment;
        let Some(Danger { does, .. }) = calls::danger(name).filter(|one| stray || !one.weak) else {
            return;
        };
        let (severity, place) = if stray {
            (Severity::Critical, "what R evaluates when it is looked at")
        } else if within.promise {
            (
                Severity::High,
                "what an environment evaluates when it is asked",
            )
        } else if within.function || within.code {
            (Severity::Medium, "a function that is stored")
        } else {
            (Severity::Medium, "an expression that is stored")
        };
        let key = self.see(Seen {
            rule: &rules::classic::R_CALL,
            severity,
            message: format!("{place} calls `{name}`, which {does}"),
            at,
            evidence: Some(format!("{name}(…)")),
            published: stray,
        });
        self.last = Some((key, self.steps));
    }

    fn see(&mut self, seen: Seen) -> (String, Severity) {
        let key = (seen.message.clone(), seen.severity);
        if self.seen.len() < MAX_TOLD {
            self.seen.entry(key.clone()).or_insert(seen);
        } else if !self.seen.contains_key(&key) {
            self.look.gap("more was seen in it than is kept");
        }
        key
    }

    // A text of a vector or of a name.
    fn characters(&mut self, at: u64, within: Within) -> Result<(), Stop> {
        let Some(text) = self.letters()? else {
            return Ok(());
        };
        if within.finder {
            self.called(at, &text, within);
        }
        if let Some((key, step)) = self.last.take_if(|_| !text.is_empty())
            && self.steps.saturating_sub(step) < 16
            && let Some(seen) = self.seen.get_mut(&key)
            && let Some(evidence) = &mut seen.evidence
            && let Some(name) = evidence.strip_suffix("(…)")
            && name != text
        {
            let shown: String = text.chars().take(200).collect();
            *evidence = format!("{name}({shown:?})");
        }
        self.texts = self.texts.saturating_add(1);
        if self.texts <= MAX_INSPECTED {
            let place = Location {
                offset: Some(at),
                ..self.look.here()
            };
            text::inspect(self.look, &place, &text);
        }
        Ok(())
    }

    // A length and as many bytes; `None` if a text lacks.
    fn letters(&mut self) -> Result<Option<String>, Stop> {
        let len = self.reader.int()?;
        if len == -1 {
            return Ok(None);
        }
        let len = u64::try_from(len).map_err(|_| Fault::Number)?;
        Ok(Some(self.reader.text(len, MAX_TEXT)?))
    }

    fn values(&mut self, size: u64) -> Result<(), Stop> {
        let count = self.count()?;
        Ok(self.reader.values(count, size)?)
    }

    // A length; that of a long vector is in two parts.
    fn count(&mut self) -> Result<u64, Stop> {
        let len = self.reader.int()?;
        if len != -1 {
            return Ok(u64::try_from(len).map_err(|_| Fault::Number)?);
        }
        let (high, low) = (self.kind()?, self.kind()?);
        Ok(u64::from(high).wrapping_shl(32) | u64::from(low))
    }

    fn kind(&mut self) -> Result<u32, Stop> {
        Ok(self.reader.int()?.cast_unsigned())
    }
}
