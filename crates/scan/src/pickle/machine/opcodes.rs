//! One opcode after the other, in groups.

use super::texts::{little, memo_index, number};
use super::{Call, Filling, Here, MAX_STACK, Machine, Next, Observer, Oddity, Step, Stop};
use crate::pickle::signs::Signs;
use crate::pickle::value::{Coding, How, Kind, Value};

impl Machine<'_> {
    pub(super) fn step(&mut self, at: u64, observer: &mut dyn Observer) -> Step<Next> {
        let opcode = self.cursor.u8()?;
        match opcode {
            b'N' | 0x88 | 0x89 | b'I' | b'L' | b'F' | b'G' | b'J' | b'K' | b'M' | 0x8a | 0x8b => {
                self.plain(opcode)?;
            }
            b'S' | b'V' | b'T' | b'U' | b'X' | 0x8c | 0x8d => self.text_of(opcode, observer)?,
            b'B' | b'C' | 0x8e | 0x96 | 0x97 | 0x98 => self.bytes(opcode, observer)?,
            b']' | b')' | b'}' | 0x8f | b'l' | b't' | b'd' | 0x91 | 0x85..=0x87 => {
                self.collect(opcode)?;
            }
            b'a' | b'e' | b's' | b'u' | 0x90 => self.put(opcode, at, observer)?,
            b'(' | b'0' | b'1' | b'2' => self.shift(opcode, at, observer)?,
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => {
                self.remember(opcode, at, observer)?;
            }
            b'c' | 0x93 | b'P' | b'Q' | 0x82..=0x84 => self.name(opcode, at, observer)?,
            b'i' | b'o' | b'R' | 0x81 | 0x92 => {
                let call = self.called(opcode, at, observer)?;
                self.call(at, call, observer)?;
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.peek()?;
                observer.build(Here { at, machine: self }, target, state);
                self.note_state(target, state);
                return Ok(Next::Built(target, state));
            }
            0x80 => self.version(at, observer)?,
            0x95 => self.frame(at, observer)?,
            b'.' => return Ok(Next::Stop),
            _ => return Err(Stop::Malformed("no opcode")),
        }
        Ok(Next::More)
    }

    // Numbers and the like.
    fn plain(&mut self, opcode: u8) -> Step<()> {
        let value = match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'I' => match self.line()?.as_slice() {
                b"00" => Value::Bool(false),
                b"01" => Value::Bool(true),
                digits => number(digits).ok_or(Stop::Malformed("a number is none"))?,
            },
            b'L' => {
                let line = self.line()?;
                let digits = line.strip_suffix(b"L").unwrap_or(&line);
                number(digits).ok_or(Stop::Malformed("a number is none"))?
            }
            b'F' => {
                self.line()?;
                Value::Number
            }
            b'G' => {
                self.cursor.skip(8)?;
                Value::Number
            }
            b'J' => Value::Int(i32::from_le_bytes(self.cursor.array()?).into()),
            b'K' => Value::Int(self.cursor.u8()?.into()),
            b'M' => Value::Int(self.cursor.u16()?.into()),
            0x8a => {
                let len = self.cursor.u8()?;
                little(&self.cursor.take(len.into())?)
            }
            _ => {
                let len = self.signed_len()?;
                self.cursor.skip(len)?;
                Value::Number
            }
        };
        self.push(value)
    }

    fn signed_len(&mut self) -> Step<u64> {
        let len = i32::from_le_bytes(self.cursor.array()?);
        u64::try_from(len).map_err(|_| Stop::Malformed("a negative length"))
    }

    fn text_of(&mut self, opcode: u8, observer: &mut dyn Observer) -> Step<()> {
        let text = match opcode {
            b'S' => return self.push_line(Coding::Quoted, observer),
            b'V' => return self.push_line(Coding::RawEscape, observer),
            b'T' => (self.signed_len()?, Coding::Bytes),
            b'U' => (self.cursor.u8()?.into(), Coding::Bytes),
            b'X' => (self.cursor.u32()?.into(), Coding::Utf8),
            0x8c => (self.cursor.u8()?.into(), Coding::Utf8),
            _ => (self.cursor.u64()?, Coding::Utf8),
        };
        self.push_text(text, observer)
    }

    fn bytes(&mut self, opcode: u8, observer: &mut dyn Observer) -> Step<()> {
        let len = match opcode {
            b'B' => self.cursor.u32()?.into(),
            b'C' => self.cursor.u8()?.into(),
            0x97 => return self.push(Value::Faded(Kind::Buffer, Signs::NONE)),
            // A buffer becomes one that cannot be changed.
            0x98 => {
                let value = self.pop()?;
                return self.push(value);
            }
            _ => self.cursor.u64()?,
        };
        self.push_bytes(len, observer)
    }

    fn collect(&mut self, opcode: u8) -> Step<()> {
        match opcode {
            b']' => self.push_container(Kind::List, Vec::new(), Signs::NONE),
            b')' => self.push_container(Kind::Tuple, Vec::new(), Signs::NONE),
            b'}' => self.push_container(Kind::Dict, Vec::new(), Signs::NONE),
            0x8f => self.push_container(Kind::Set, Vec::new(), Signs::NONE),
            b'l' => self.container_above_mark(Kind::List),
            b't' => self.container_above_mark(Kind::Tuple),
            b'd' => self.container_above_mark(Kind::Dict),
            0x91 => self.container_above_mark(Kind::FrozenSet),
            0x85 => self.tuple(1),
            0x86 => self.tuple(2),
            _ => self.tuple(3),
        }
    }

    // Puts items into what lies below them.
    fn put(&mut self, opcode: u8, at: u64, observer: &mut dyn Observer) -> Step<()> {
        match opcode {
            b'a' => {
                let item = self.pop()?;
                self.fill(at, (&[item], Filling::Append), observer)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.fill(at, (&[key, value], Filling::Set), observer)
            }
            _ => {
                let by = match opcode {
                    b'e' => Filling::Append,
                    b'u' => Filling::Set,
                    _ => Filling::Add,
                };
                let items = self.above_mark()?;
                self.fill(at, (&items, by), observer)
            }
        }
    }

    // The stack itself.
    fn shift(&mut self, opcode: u8, at: u64, observer: &mut dyn Observer) -> Step<()> {
        match opcode {
            b'(' => {
                if self.marks.len() >= MAX_STACK {
                    return Err(Stop::Limit("marks"));
                }
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.discard(at, observer),
            b'1' => self.above_mark().map(drop),
            _ => {
                let value = self.peek()?;
                self.push(value)
            }
        }
    }

    fn remember(&mut self, opcode: u8, at: u64, observer: &mut dyn Observer) -> Step<()> {
        let index = match opcode {
            b'p' | b'g' => memo_index(&self.line()?)?,
            b'q' | b'h' => self.cursor.u8()?.into(),
            b'r' | b'j' => self.cursor.u32()?,
            _ => u32::try_from(self.memo.count).map_err(|_| Stop::Limit("memo"))?,
        };
        match opcode {
            b'g' | b'h' | b'j' => self.recall(at, index, observer),
            _ => self.memoize(at, index, observer),
        }
    }

    // What is known by a name, an identifier or a number.
    fn name(&mut self, opcode: u8, at: u64, observer: &mut dyn Observer) -> Step<()> {
        match opcode {
            b'c' => {
                let names = self.two_lines()?;
                let value = self.resolve(at, names, observer)?;
                self.push(value)
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let value = self.stack_global(at, (module, name), observer)?;
                self.push(value)
            }
            b'P' => {
                let id = self.line_span(Coding::Bytes)?;
                self.persistent(at, id, observer)
            }
            b'Q' => {
                let id = self.pop()?;
                self.persistent(at, id, observer)
            }
            _ => {
                let code = match opcode {
                    0x82 => self.cursor.u8()?.into(),
                    0x83 => self.cursor.u16()?.into(),
                    _ => self.cursor.u32()?,
                };
                self.extension(at, code, observer)
            }
        }
    }

    // Takes what is called, and with what.
    fn called(&mut self, opcode: u8, at: u64, observer: &mut dyn Observer) -> Step<Call> {
        let (callee, arguments, how) = match opcode {
            b'i' => {
                let names = self.two_lines()?;
                let callee = self.resolve(at, names, observer)?;
                let arguments = self.above_mark()?;
                let arguments = self.container(Kind::Tuple, arguments, Signs::NONE);
                (callee, arguments, How::Instance)
            }
            b'o' => {
                let mut items = self.above_mark()?.into_iter();
                let callee = items.next().ok_or(Stop::Malformed("a call of nothing"))?;
                let arguments = self.container(Kind::Tuple, items.collect(), Signs::NONE);
                (callee, arguments, How::Instance)
            }
            0x92 => {
                let named = self.pop()?;
                let arguments = self.pop()?;
                let callee = self.pop()?;
                let arguments = self.container(Kind::Tuple, vec![arguments, named], Signs::NONE);
                (callee, arguments, How::NewEx)
            }
            _ => {
                let arguments = self.pop()?;
                let callee = self.pop()?;
                let how = if opcode == b'R' {
                    How::Reduce
                } else {
                    How::New
                };
                (callee, arguments, how)
            }
        };
        Ok(Call {
            callee,
            arguments,
            how,
        })
    }

    fn version(&mut self, at: u64, observer: &mut dyn Observer) -> Step<()> {
        let protocol = self.cursor.u8()?;
        if protocol > 5 {
            return Err(Stop::Malformed("an unknown protocol"));
        }
        if self.named || self.opcodes > 1 {
            observer.oddity(at, Oddity::ProtocolAgain);
        }
        self.named = true;
        self.protocol = protocol;
        Ok(())
    }

    fn frame(&mut self, at: u64, observer: &mut dyn Observer) -> Step<()> {
        let len = self.cursor.u64()?;
        let end = self.cursor.position().saturating_add(len);
        if len > self.cursor.left() || self.frame_end.is_some_and(|before| before > at) {
            observer.oddity(at, Oddity::Frame);
        }
        self.frame_end = Some(end);
        Ok(())
    }
}
