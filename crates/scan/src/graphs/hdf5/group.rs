//! Groups: what they name, and links that lead out of the file (specification III.A to D, IV.A.2.c,
//! g and r).

use custos_core::finding::Severity;

use super::file::{Fields, File, Stop, broken, text, to_u64, to_usize};
use super::object::Queue;
use crate::rules;

/// Longest name of a link that is shown.
const SHOWN: usize = 200;

impl File<'_, '_, '_, '_> {
    /// Follows the names of an old group: a tree of nodes of symbols, and a heap of names.
    pub(super) fn symbols(
        &mut self,
        (tree, heap): (u64, u64),
        path: &str,
        queue: &mut Queue,
    ) -> Result<(), Stop> {
        let names = self.local_heap(heap)?;
        let mut nodes = vec![tree];
        while let Some(node) = nodes.pop() {
            if !self.meet(node) {
                continue;
            }
            let magic = self.peek(node, 4)?;
            if magic == b"SNOD" {
                self.symbol_node(node, (path, &names), queue)?;
            } else {
                let keys = self.widths.length;
                self.old_tree((node, 0, keys), self.nodes.group, |_, _, child| {
                    nodes.push(child);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Reads a node of an old tree, and gives each of its keys with the level and the child.
    pub(super) fn old_tree(
        &mut self,
        (address, kind, key): (u64, u8, usize),
        half: u64,
        mut each: impl FnMut(&[u8], u8, u64) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let width = self.widths.address;
        let prefix = width.saturating_mul(2).saturating_add(8);
        let head = self.peek(address, to_u64(prefix))?;
        let mut fields = self.fields(&head);
        fields.expect(b"TREE")?;
        if fields.u8()? != kind {
            return broken("a tree is of another kind than what it is used for");
        }
        let level = fields.u8()?;
        let used = u64::from(fields.u16()?);
        let entry = to_u64(key.saturating_add(width));
        let needed = used.saturating_mul(entry).saturating_add(to_u64(key));
        let most = half.saturating_mul(2).max(used);
        let room = most.saturating_mul(entry).saturating_add(to_u64(key));
        let start = address.saturating_add(to_u64(prefix));
        let bytes = self.structure(start, needed)?;
        self.mark(address, to_u64(prefix).saturating_add(room));
        let mut fields = self.fields(&bytes);
        for _ in 0..used {
            let key = fields.take(key)?;
            if let Some(child) = fields.address()? {
                each(key, level, child)?;
            }
        }
        Ok(())
    }

    fn symbol_node(
        &mut self,
        address: u64,
        (path, names): (&str, &[u8]),
        queue: &mut Queue,
    ) -> Result<(), Stop> {
        let head = self.structure(address, 8)?;
        let mut fields = self.fields(&head);
        fields.skip(6)?;
        let count = u64::from(fields.u16()?);
        let entry = to_u64(self.widths.address.saturating_mul(2)).saturating_add(24);
        let start = address.saturating_add(8);
        let bytes = self.structure(start, count.saturating_mul(entry))?;
        let room = self.nodes.leaf.saturating_mul(2).saturating_mul(entry);
        self.mark(start, room);
        let mut fields = self.fields(&bytes);
        for _ in 0..count {
            let name = fields.number(self.widths.address)?;
            let object = fields.address()?;
            let cached = fields.u32()?;
            fields.skip(4)?;
            fields.skip(16)?;
            let name = names.get(to_usize(name)..).map(text);
            let Some(name) = name else {
                return broken("a name lies behind the end of its heap");
            };
            // 2: a soft link, whose target is a name in the heap.
            if let Some(object) = object.filter(|_| cached != 2) {
                queue.add(object, path, &name);
            }
        }
        Ok(())
    }

    /// Reads the names of an old group.
    pub(super) fn local_heap(&mut self, address: u64) -> Result<Vec<u8>, Stop> {
        let widths = self.widths;
        let size = widths.length.saturating_mul(2).saturating_add(8);
        let head = self.structure(address, to_u64(size.saturating_add(widths.address)))?;
        let mut fields = self.fields(&head);
        fields.expect(b"HEAP")?;
        fields.skip(4)?;
        let size = fields.length()?;
        fields.length()?;
        match fields.address()? {
            Some(data) => self.structure(data, size),
            None => Ok(Vec::new()),
        }
    }

    /// Follows the links of a new group that are kept in a heap.
    pub(super) fn link_info(
        &mut self,
        mut fields: Fields<'_>,
        path: &str,
        queue: &mut Queue,
    ) -> Result<(), Stop> {
        fields.skip(1)?;
        let flags = fields.u8()?;
        if flags & 1 != 0 {
            fields.skip(8)?;
        }
        let (heap, names) = (fields.address()?, fields.address()?);
        if flags & 2 != 0
            && let Some(order) = fields.address()?
        {
            self.new_tree(order)?;
        }
        let (Some(heap), Some(names)) = (heap, names) else {
            return Ok(());
        };
        let heap = self.fractal_heap(heap)?;
        let (records, one) = self.new_tree(names)?;
        for record in records.chunks_exact(one.max(1)) {
            let mut fields = self.fields(record);
            fields.skip(4)?;
            if let Some((bytes, _)) = self.heap_object(&heap, fields.rest())? {
                self.link(&mut self.fields(&bytes), path, queue)?;
            }
        }
        Ok(())
    }

    /// Looks at a link.
    pub(super) fn link(
        &mut self,
        fields: &mut Fields<'_>,
        path: &str,
        queue: &mut Queue,
    ) -> Result<(), Stop> {
        fields.skip(1)?;
        let flags = fields.u8()?;
        let kind = if flags & 8 == 0 { 0 } else { fields.u8()? };
        fields.skip(if flags & 4 == 0 { 0 } else { 8 })?;
        fields.skip(usize::from(flags & 16 != 0))?;
        let len = fields.number(1_usize << (flags & 3))?;
        let name = text(fields.take(to_usize(len))?);
        match kind {
            0 => {
                if let Some(object) = fields.address()? {
                    queue.add(object, path, &name);
                }
            }
            1 => {}
            64 => {
                let len = fields.u16()?;
                let mut value = self.fields(fields.take(usize::from(len))?);
                value.skip(1)?;
                let (file, object) = (value.text(1)?, value.text(1)?);
                let message = format!("`{path}/{name}` is `{object}` of the file `{file}`")
                    .replacen("//", "/", 1);
                self.leads_to(&file, (path, message));
            }
            other => {
                let message =
                    format!("`{name}` is a link of kind {other}, which a program has to define");
                let at = self.at(0, path);
                self.look.work.see(&rules::graphs::HDF5_LINK, at, message);
            }
        }
        Ok(())
    }

    /// Tells of another file that is read with this one.
    pub(super) fn leads_to(&mut self, file: &str, (path, message): (&str, String)) {
        let at = self.at(0, path);
        let mut finding = rules::graphs::HDF5_EXTERNAL.finding(at, message);
        let leads_out = crate::archive::zip::leads_out(file) || file.contains("://");
        if leads_out {
            finding.severity = Severity::High;
        }
        finding.evidence = Some(file.chars().take(SHOWN).collect());
        self.outside.push(finding);
    }
}
