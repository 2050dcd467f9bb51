//! Opcodes that name, call or ask for something, or take it from the memo.

use super::{
    Call, Global, Here, MAX_GLOBALS, MAX_NAME, Machine, Observer, Oddity, Outcome, Step, Stop,
};
use crate::pickle::signs::Signs;
use crate::pickle::value::{Kind, Node, Value};

impl Machine<'_> {
    pub(super) fn memoize(&mut self, at: u64, index: u32, observer: &mut dyn Observer) -> Step<()> {
        const FAR: usize = 1 << 24;
        let value = self.peek()?;
        let expected = self.memo.count.saturating_mul(4).saturating_add(FAR);
        if usize::try_from(index).unwrap_or(usize::MAX) > expected {
            observer.oddity(at, Oddity::HugeMemo);
        }
        if self.memo.put(index, value) {
            Ok(())
        } else {
            Err(Stop::Limit("memo"))
        }
    }

    pub(super) fn recall(&mut self, at: u64, index: u32, observer: &mut dyn Observer) -> Step<()> {
        let value = self.memo.get(index).unwrap_or_else(|| {
            observer.oddity(at, Oddity::MissingMemo);
            Value::Unknown
        });
        self.push(value)
    }

    pub(super) fn resolve(
        &mut self,
        at: u64,
        (module, name): (String, String),
        observer: &mut dyn Observer,
    ) -> Step<Value> {
        let global = Global {
            module,
            name,
            protocol: self.protocol,
        };
        if let Some(place) = self.places.get(&global) {
            return Ok(Value::Global(*place));
        }
        if self.globals.len() >= MAX_GLOBALS {
            return Err(Stop::Limit("globals"));
        }
        let place = u32::try_from(self.globals.len()).map_err(|_| Stop::Limit("globals"))?;
        observer.global(at, &global);
        self.places.insert(global.clone(), place);
        self.globals.push(global);
        Ok(Value::Global(place))
    }

    // Both have to be texts; a loader refuses anything else, and nobody else has a reason.
    pub(super) fn stack_global(
        &mut self,
        at: u64,
        (module, name): (Value, Value),
        observer: &mut dyn Observer,
    ) -> Step<Value> {
        let most = u32::try_from(MAX_NAME).unwrap_or(u32::MAX);
        let texts = (self.short_text(module, most), self.short_text(name, most));
        if let (Some(module), Some(name)) = texts {
            return self.resolve(at, (module, name), observer);
        }
        observer.oddity(at, Oddity::Unresolvable);
        Ok(Value::Unknown)
    }

    pub(super) fn call(&mut self, at: u64, call: Call, observer: &mut dyn Observer) -> Step<()> {
        let made = match (
            observer.call(Here { at, machine: self }, &call),
            call.callee,
        ) {
            (Outcome::Known, Value::Global(place)) => Value::Made(place),
            (_, callee) => {
                let arguments = call.arguments;
                match self.nodes.add(Node::Call { callee, arguments }) {
                    Some(made) => made,
                    None => Value::Faded(Kind::Made, self.signs(arguments)),
                }
            }
        };
        self.push(made)
    }

    // The size of an array that follows depends on the state of its type.
    pub(super) fn note_state(&mut self, target: Value, state: Value) {
        let Value::Node(place) = target else {
            return;
        };
        let Some(Node::Call {
            callee: Value::Global(class),
            ..
        }) = self.node(place)
        else {
            return;
        };
        if self
            .global(*class)
            .is_some_and(|global| global.name == "dtype")
        {
            self.states.insert(place, state);
        }
    }

    pub(super) fn persistent(
        &mut self,
        at: u64,
        id: Value,
        observer: &mut dyn Observer,
    ) -> Step<()> {
        observer.persistent(Here { at, machine: self }, id);
        let node = self.nodes.add(Node::Persistent(id));
        self.push(node.unwrap_or(Value::Faded(Kind::Made, Signs::NONE)))
    }

    pub(super) fn extension(
        &mut self,
        at: u64,
        code: u32,
        observer: &mut dyn Observer,
    ) -> Step<()> {
        observer.extension(at, code);
        let node = self.nodes.add(Node::Extension(code));
        self.push(node.unwrap_or(Value::Unknown))
    }
}
