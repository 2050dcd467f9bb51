//! Objects: groups, datasets and named types, each a header of messages (specification IV.A).

use std::collections::BTreeSet;

use super::data::{Dataset, Filter};
use super::file::{Fields, File, Stop, broken, text, to_u64, to_usize};
use super::types::{self, Datatype};

/// Most objects of a file.
const MAX_OBJECTS: usize = 1 << 20;
/// Longest path that is told.
const MAX_PATH: usize = 4 << 10;
/// Most bytes of paths that are kept.
const MAX_PATHS: usize = 64 << 20;
/// Most messages of an object.
const MAX_MESSAGES: usize = 1 << 18;

/// A message of a header.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) kind: u16,
    flags: u8,
    /// Where its bytes begin, as an address.
    at: u64,
    bytes: Vec<u8>,
}

impl Message {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Objects that are still to be looked at.
#[derive(Debug, Default)]
pub(super) struct Queue {
    list: Vec<(u64, String)>,
    // Bytes of the paths in it.
    bytes: usize,
    full: bool,
}

impl Queue {
    /// Adds an object under a name in a group.
    pub(super) fn add(&mut self, address: u64, group: &str, name: &str) {
        let path = if group.len() > MAX_PATH || self.bytes > MAX_PATHS {
            String::new()
        } else {
            format!("{}/{name}", group.trim_end_matches('/'))
        };
        if self.list.len() >= MAX_OBJECTS {
            self.full = true;
            return;
        }
        self.bytes = self.bytes.saturating_add(path.len());
        self.list.push((address, path));
    }
}

impl File<'_, '_, '_, '_> {
    /// Looks at all objects that can be reached from one.
    pub(super) fn objects(&mut self, root: u64) -> Result<(), Stop> {
        let mut queue = Queue::default();
        queue.add(root, "", "");
        let mut count = 0_usize;
        while let Some((address, path)) = queue.list.pop() {
            queue.bytes = queue.bytes.saturating_sub(path.len());
            if !self.meet(address) {
                continue;
            }
            count = count.saturating_add(1);
            if count > MAX_OBJECTS || queue.full {
                let path = &self.look.input.path;
                return Err(self.look.work.limit(path, "objects").into());
            }
            let outcome = self.object(address, &path, &mut queue);
            self.note(outcome, address, &path)?;
        }
        Ok(())
    }

    fn object(&mut self, address: u64, path: &str, queue: &mut Queue) -> Result<(), Stop> {
        let messages = self.messages(address)?;
        let mut dataset = Dataset::default();
        for message in messages {
            let outcome = self.message(&message, (path, queue), &mut dataset);
            self.note(outcome, message.at, path)?;
        }
        self.dataset(&dataset, path)
    }

    /// Reads the header of an object: all of its messages, from all of its blocks.
    pub(super) fn messages(&mut self, address: u64) -> Result<Vec<Message>, Stop> {
        let head = self.peek(address, 6)?;
        let mut messages = Vec::new();
        let mut blocks = Vec::new();
        let is_new = head.starts_with(b"OHDR");
        let mut order = false;
        if is_new {
            let flags = head.get(5).copied().unwrap_or(0);
            order = flags & 4 != 0;
            let times = if flags & 0x20 == 0 { 0 } else { 16 };
            let phase = if flags & 0x10 == 0 { 0 } else { 4 };
            let width = 1_usize << (flags & 3);
            let prefix = 6_usize.saturating_add(times).saturating_add(phase);
            let prefix = to_u64(prefix.saturating_add(width));
            let bytes = self.structure(address, prefix)?;
            let mut fields = self.fields(&bytes);
            fields.skip(to_usize(prefix).saturating_sub(width))?;
            let size = fields.number(width)?;
            let start = address.saturating_add(prefix);
            blocks.push((start, size));
            self.mark(start.saturating_add(size), 4);
        } else {
            let bytes = self.structure(address, 16)?;
            let mut fields = self.fields(&bytes);
            if fields.u8()? != 1 {
                return broken(format!("there is no object at {}", self.place(address)));
            }
            fields.skip(7)?;
            blocks.push((address.saturating_add(16), u64::from(fields.u32()?)));
        }
        let mut seen = BTreeSet::new();
        while let Some((start, size)) = blocks.pop() {
            if !seen.insert(start) || messages.len() > MAX_MESSAGES {
                return broken("the blocks of an object do not end");
            }
            let bytes = self.structure(start, size)?;
            let from = messages.len();
            block(self.fields(&bytes), (start, is_new, order), &mut messages)?;
            for message in messages.get(from..).unwrap_or_default() {
                if message.kind == 0x10 {
                    let mut fields = self.fields(&message.bytes);
                    let next = (fields.address()?, fields.length()?);
                    if let (Some(next), size) = next {
                        blocks.push(self.continuation(next, size, is_new)?);
                    }
                }
            }
        }
        Ok(messages)
    }

    // Where the messages of a further block are.
    fn continuation(&mut self, at: u64, size: u64, is_new: bool) -> Result<(u64, u64), Stop> {
        if !is_new {
            return Ok((at, size));
        }
        let magic = self.structure(at, 4)?;
        self.fields(&magic).expect(b"OCHK")?;
        self.mark(at, size);
        Ok((at.saturating_add(4), size.saturating_sub(8)))
    }

    fn message(
        &mut self,
        message: &Message,
        (path, queue): (&str, &mut Queue),
        dataset: &mut Dataset,
    ) -> Result<(), Stop> {
        let shared = self.shared(message)?;
        let message = shared.as_ref().unwrap_or(message);
        let mut fields = self.fields(&message.bytes);
        match message.kind {
            0x01 => dataset.space = types::dataspace(&mut fields)?,
            0x02 => self.link_info(fields, path, queue)?,
            0x03 => dataset.datatype = Some(Datatype::read(&mut fields, 0)?),
            0x06 => self.link(&mut fields, path, queue)?,
            0x07 => dataset.external = Some(message.bytes.clone()),
            0x08 => dataset.layout = Some((message.at, message.bytes.clone())),
            0x0b => dataset.filters = Filter::read(fields)?,
            0x0c => self.attribute(&message.bytes, message.at, path)?,
            0x0d => {
                let at = self.at(message.at, path);
                crate::text::inspect(self.look, &at, &text(&message.bytes));
            }
            0x0f => {
                return Err(Stop::Unread(
                    "messages that objects share are not read".into(),
                ));
            }
            0x11 => {
                let (tree, heap) = (fields.address()?, fields.address()?);
                if let (Some(tree), Some(heap)) = (tree, heap) {
                    self.symbols((tree, heap), path, queue)?;
                }
            }
            0x14 => return Err(Stop::Unread("it is one of several files".into())),
            0x15 => self.attribute_info(fields, path)?,
            0x17 => self.file_space(fields)?,
            // Nothing, fill values, times, counts, sizes of nodes, groups' hints.
            _ => {}
        }
        Ok(())
    }

    // What a message is that says where another is.
    fn shared(&mut self, message: &Message) -> Result<Option<Message>, Stop> {
        if message.flags & 2 == 0 {
            return Ok(None);
        }
        let bytes = self.behind(&message.bytes, message.kind)?;
        Ok(Some(Message {
            bytes,
            flags: 0,
            ..message.clone()
        }))
    }

    /// Returns the message that a reference to a shared one means.
    pub(super) fn behind(&mut self, reference: &[u8], kind: u16) -> Result<Vec<u8>, Stop> {
        let mut fields = self.fields(reference);
        let (version, place) = (fields.u8()?, fields.u8()?);
        if version == 1 {
            fields.skip(6)?;
        }
        if version == 3 && place == 1 {
            return Err(Stop::Unread(
                "messages that objects share are not read".into(),
            ));
        }
        let Some(address) = fields.address()? else {
            return broken("a shared message has no address");
        };
        let found = self.messages(address)?.into_iter();
        let found = found.filter(|one| one.kind == kind && one.flags & 2 == 0);
        match found.map(|one| one.bytes).next() {
            Some(bytes) => Ok(bytes),
            None => broken("a shared message is not where it should be"),
        }
    }

    /// Looks at an attribute: its name, its type, its values.
    pub(super) fn attribute(&mut self, bytes: &[u8], at: u64, path: &str) -> Result<(), Stop> {
        let mut fields = self.fields(bytes);
        let (version, flags) = (fields.u8()?, fields.u8()?);
        let mut sizes = [0; 3];
        for size in &mut sizes {
            *size = usize::from(fields.u16()?);
        }
        if version >= 3 {
            fields.skip(1)?;
        }
        let padded = |size: usize| {
            if version == 1 {
                size.next_multiple_of(8)
            } else {
                size
            }
        };
        let [name, datatype, space] = sizes.map(padded);
        let name = text(fields.take(name)?);
        let datatype = fields.take(datatype)?;
        let space = fields.take(space)?;
        let values = fields.rest();
        let shared = |bit: u8| version >= 2 && flags & bit != 0;
        let datatype = if shared(1) {
            self.behind(datatype, 0x03)?
        } else {
            datatype.to_vec()
        };
        let space = if shared(2) {
            self.behind(space, 0x01)?
        } else {
            space.to_vec()
        };
        let datatype = Datatype::read(&mut self.fields(&datatype), 0)?;
        let Some(dimensions) = types::dataspace(&mut self.fields(&space))? else {
            return Ok(());
        };
        let size = types::size_of(types::elements(&dimensions)?, datatype.size)?;
        let Some(values) = values.get(..to_usize(size)) else {
            return broken(format!(
                "the attribute `{name}` is shorter than its type says"
            ));
        };
        if path == "/" && matches!(name.as_str(), "keras_version" | "layer_names") {
            self.is_keras = true;
        }
        let here = format!("{path}@{name}");
        let place = at.saturating_add(to_u64(bytes.len().saturating_sub(fields.rest().len())));
        self.value(&datatype, values, &self.at(place, &here))
    }
}

// Reads the messages of a block.
fn block(
    mut fields: Fields<'_>,
    (start, is_new, order): (u64, bool, bool),
    messages: &mut Vec<Message>,
) -> Result<(), Stop> {
    let whole = fields.rest().len();
    let least = if is_new { 4 } else { 8 };
    while fields.rest().len() >= least {
        let kind = if is_new {
            u16::from(fields.u8()?)
        } else {
            fields.u16()?
        };
        let size = usize::from(fields.u16()?);
        let flags = fields.u8()?;
        fields.skip(match (is_new, order) {
            (false, _) => 3,
            (true, true) => 2,
            (true, false) => 0,
        })?;
        let at = start.saturating_add(to_u64(whole.saturating_sub(fields.rest().len())));
        messages.push(Message {
            kind,
            flags,
            at,
            bytes: fields.take(size)?.to_vec(),
        });
    }
    Ok(())
}
