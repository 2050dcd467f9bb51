//! Values: texts are read, and what they refer to is followed.

use custos_core::finding::Location;

use super::file::{File, Stop, to_u64, to_usize};
use super::types::{Datatype, Kind, steps};
use crate::graphs::keras::{self, Home};

/// Largest text that is read.
const MAX_TEXT: u64 = 16 << 20;

impl File<'_, '_, '_, '_> {
    /// Looks at values of an attribute or of a dataset that lie one after another.
    pub(super) fn value(
        &mut self,
        datatype: &Datatype,
        bytes: &[u8],
        at: &Location,
    ) -> Result<(), Stop> {
        if datatype.is_bytes() && bytes.len() > 1 {
            let name = at.pointer.as_deref().unwrap_or_default();
            let name = name.trim_start_matches('/').to_owned();
            let mut bytes = bytes.to_vec();
            // A text is shorter than its type.
            if datatype.kind == Kind::Text && to_u64(bytes.len()) == datatype.size {
                let end = bytes.iter().rposition(|byte| *byte != 0);
                bytes.truncate(end.map_or(0, |end| end.saturating_add(1)));
            }
            self.look
                .work
                .opaque_member(self.look.input, &name, &bytes)?;
        }
        self.each(datatype, bytes, at)
    }

    // Types end somewhere, and with them this.
    fn each(&mut self, datatype: &Datatype, bytes: &[u8], at: &Location) -> Result<(), Stop> {
        if !datatype.refers() && !matches!(datatype.kind, Kind::Text) {
            return Ok(());
        }
        for offset in steps(bytes.len(), datatype.size) {
            let end = offset.saturating_add(to_usize(datatype.size));
            let one = bytes.get(offset..end).unwrap_or_default();
            match &datatype.kind {
                Kind::Text => self.says(one, at),
                Kind::Array(base) => self.each(base, one, at)?,
                Kind::Compound(members) => {
                    for (offset, member) in members {
                        let start = to_usize(*offset);
                        let end = start.saturating_add(to_usize(member.size));
                        match one.get(start..end) {
                            Some(one) => self.each(member, one, at)?,
                            None => {
                                return Err(Stop::Broken(
                                    "a member of a type lies outside of it".into(),
                                ));
                            }
                        }
                    }
                }
                Kind::Region => self.behind_value(one, None, at)?,
                Kind::VarText => self.behind_value(one, Some(&Datatype::TEXT), at)?,
                Kind::Var(base) => self.behind_value(one, Some(base), at)?,
                Kind::Bytes | Kind::Plain => {}
            }
        }
        Ok(())
    }

    // A value that lies in a collection.
    fn behind_value(
        &mut self,
        reference: &[u8],
        base: Option<&Datatype>,
        at: &Location,
    ) -> Result<(), Stop> {
        let mut fields = self.fields(reference);
        let count = if base.is_some() {
            u64::from(fields.u32()?)
        } else {
            1
        };
        let (address, index) = (fields.address()?, fields.u32()?);
        let (Some(address), Ok(index)) = (address.filter(|at| *at != 0), u16::try_from(index))
        else {
            return Ok(());
        };
        if count == 0 || !self.seen_values.insert((address, index)) {
            return Ok(());
        }
        let (start, len) = self.collected(address, index)?;
        let Some(base) = base else {
            return Ok(());
        };
        let part = self.values(start, len)?;
        let name = at
            .pointer
            .as_deref()
            .unwrap_or_default()
            .trim_start_matches('/');
        let name = format!("{name}#{index}");
        self.look
            .work
            .opaque_member(self.look.input, &name, &part)?;
        let at = Location {
            offset: Some(self.place(start)),
            ..at.clone()
        };
        if !base.refers() && !matches!(base.kind, Kind::Text) {
            return Ok(());
        }
        if len > MAX_TEXT {
            return Err(Stop::Unread(format!(
                "a text of {len} bytes is larger than what is read"
            )));
        }
        let bytes = self.peek(start, len)?;
        let bytes = bytes
            .get(..to_usize(count.saturating_mul(base.size)))
            .unwrap_or(&bytes);
        if matches!(base.kind, Kind::Text) && base.size == 1 {
            self.says(bytes, &at);
            return Ok(());
        }
        self.each(base, bytes, &at)
    }

    // Looks at a text: the configuration of a model, or any other.
    fn says(&mut self, bytes: &[u8], at: &Location) {
        let end = bytes.iter().position(|byte| *byte == 0);
        let bytes = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        if keras::is_config(bytes) {
            self.is_keras = true;
            keras::config(self.look, at, bytes, Home::Hdf5);
        } else {
            crate::text::inspect(self.look, at, &String::from_utf8_lossy(bytes));
        }
    }
}
