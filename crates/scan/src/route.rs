//! Which parsers look at something: by what is in it, never by its name.
//!
//! Every parser that may be meant looks, so that a file which is two things at once is seen as
//! both. A name that says something else than the content is a finding of its own.

use std::io;

use custos_core::finding::Location;

use crate::archive::{self, zip};
use crate::source::{ReadAt, read_full};
use crate::work::{Covered, Input, Look, Work};
use crate::{classic, executable, graphs, hub, media, pickle, rules, supply, tensors, text};

/// How many bytes of the beginning decide.
const HEAD: usize = 4 << 10;

/// The beginning of something.
pub(crate) struct Head {
    bytes: Vec<u8>,
    size: u64,
}

impl Head {
    /// Reads the beginning of something.
    pub(crate) fn of(bytes: &dyn ReadAt) -> io::Result<Self> {
        let size = bytes.len();
        if let Some(held) = bytes.held() {
            let bytes = held.get(..HEAD).unwrap_or(held).to_vec();
            return Ok(Self { bytes, size });
        }
        let mut buffer = vec![0; HEAD];
        let count = read_full(bytes, 0, &mut buffer)?;
        buffer.truncate(count);
        Ok(Self {
            bytes: buffer,
            size,
        })
    }

    /// Returns true if it may begin, as a text, with `<`, behind marks and spaces: decoding the rest
    /// is then worth its time.
    pub(crate) fn may_be_markup(&self) -> bool {
        // Spaces beyond ASCII, marks of the order of bytes, and UTF-16.
        matches!(
            self.bytes.first(),
            Some(0 | 9..=13 | b' ' | b'<' | 0xc2 | 0xe1..=0xe3 | 0xef | 0xfe | 0xff)
        )
    }

    /// Returns the first bytes, at most 4 KiB of them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns true if it begins so.
    pub(crate) fn starts_with(&self, magic: &[u8]) -> bool {
        self.bytes.starts_with(magic)
    }
}

/// How a parser is chosen and run.
pub(crate) struct Format {
    /// Its name, as reports give it.
    pub(crate) name: &'static str,
    /// Extensions that mean it, in lower case.
    pub(crate) extensions: &'static [&'static str],
    /// Tells by the content whether it may be this; a doubtful case is one more look.
    pub(crate) recognises: fn(&Head, &Input<'_>) -> bool,
    /// Looks at it, and says what of it was understood.
    pub(crate) examine: fn(&mut Look<'_, '_, '_>),
}

// All formats; each group is a module of its own. The order is that of the answer, no more.
static GROUPS: &[&[Format]] = &[
    archive::FORMATS,
    pickle::FORMATS,
    tensors::FORMATS,
    graphs::FORMATS,
    classic::FORMATS,
    media::FORMATS,
    supply::FORMATS,
    executable::FORMATS,
    hub::FORMATS,
    text::FORMATS,
];

/// Returns all formats.
pub(crate) fn formats() -> impl Iterator<Item = &'static Format> {
    GROUPS.iter().copied().flatten()
}

/// Returns the formats of the group that one belongs to.
pub(crate) fn group(name: &str) -> impl Iterator<Item = &'static Format> {
    let holds = move |group: &&[Format]| group.iter().any(|format| format.name == name);
    GROUPS.iter().copied().find(holds).into_iter().flatten()
}

/// Returns true if another format than this one recognises the content: where none does, the name
/// alone says what the loader is that will read it.
pub(crate) fn is_known_otherwise(name: &str, head: &Head, input: &Input<'_>) -> bool {
    // A text asks the same of all others.
    text::is_text(head)
        || formats().any(|format| format.name != name && (format.recognises)(head, input))
}

/// Looks at an input with every parser that recognises it.
pub(crate) fn examine(input: &Input<'_>, work: &mut Work<'_>) -> Covered {
    let mut covered = Covered::default();
    let head = match Head::of(input.bytes) {
        Ok(head) => head,
        Err(error) => {
            work.gap(&input.path, format!("it cannot be read: {error}"));
            return covered;
        }
    };
    if head.size == 0 {
        work.recognise(&input.path, "empty");
        return covered;
    }
    let mut names = Vec::new();
    for format in formats() {
        if (format.recognises)(&head, input) {
            names.push(format);
            work.recognise(&input.path, format.name);
            let mut look = Look {
                input,
                work,
                covered: Covered::default(),
            };
            (format.examine)(&mut look);
            covered.join(&look.covered);
        }
    }
    if covered.of(head.size).unknown > 0 {
        let mut look = Look {
            input,
            work,
            covered: Covered::default(),
        };
        // What is values to a graph has no name of a format.
        if graphs::values::cover(&mut look) {
            covered.join(&look.covered);
            work.recognise(&input.path, "graph-values");
            return covered;
        }
    }
    if names.is_empty() {
        work.gap(&input.path, "nothing that is known was recognised");
    } else {
        compare_name(input, &names, work);
    }
    covered
}

/// Returns true if bytes that ought to be values are a file of some kind: a stream that ends, an
/// archive with a directory, a program. Two bytes of a tensor that happen to be a mark are none.
pub(crate) fn is_surely_something(input: &Input<'_>) -> bool {
    executable::is_surely(input) || zip::has_directory(input) || pickle::is_surely(input)
}

fn compare_name(input: &Input<'_>, found: &[&Format], work: &mut Work<'_>) {
    let extension = input.extension();
    let meant = |format: &&Format| format.extensions.contains(&extension.as_str());
    if extension.is_empty() || found.iter().any(meant) {
        return;
    }
    // No extension promises a list of dependencies. Of several formats, the last is the most
    // general: `.txt` is a text, and a LightGBM model at times.
    let promised = GROUPS
        .iter()
        .filter(|group| !std::ptr::eq(**group, supply::FORMATS));
    let Some(expected) = promised.copied().flatten().rfind(|one| meant(one)) else {
        return;
    };
    let found: Vec<&str> = found.iter().map(|format| format.name).collect();
    let message = format!(
        "`.{extension}` means {}, and the content is {}",
        expected.name,
        found.join(" and ")
    );
    let location = Location {
        path: input.path.clone(),
        ..Location::default()
    };
    work.see(&rules::scanning::EXTENSION, location, message);
}
