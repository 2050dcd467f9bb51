//! Reading parts of objects: what an answer has to be, and a reader that keeps a few blocks.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use custos_net::{Client, Request, Response};

use super::{MAX_RANGE, Object, ObjectError, Store, xml};

/// Times a call is tried when the service is busy or out of reach.
const ATTEMPTS: u32 = 3;

/// Makes a call that may be repeated.
pub(super) fn send(
    client: &Client,
    what: &str,
    request: &dyn Fn() -> Result<Request, ObjectError>,
) -> Result<Response, ObjectError> {
    let mut attempt = 1_u32;
    loop {
        let outcome = client.send(&request()?);
        let again = match &outcome {
            Ok(answer) => matches!(answer.status(), 429 | 500 | 502 | 503 | 504),
            Err(error) => matches!(error.class(), custos_net::Class::Undecided),
        };
        if again && attempt < ATTEMPTS {
            std::thread::sleep(std::time::Duration::from_millis(200).saturating_mul(attempt));
            attempt = attempt.saturating_add(1);
            continue;
        }
        let answer = outcome?;
        let status = answer.status();
        if (200..300).contains(&status) || matches!(status, 404 | 412 | 416) {
            return Ok(answer);
        }
        return Err(refused(what, &answer));
    }
}

/// Returns the error that an answer is.
pub(super) fn refused(what: &str, answer: &Response) -> ObjectError {
    let body = String::from_utf8_lossy(answer.body());
    let code = xml::text(&body, "Code").unwrap_or_default();
    let plain = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    ObjectError::Refused {
        what: what.to_owned(),
        status: answer.status(),
        code: if plain { code } else { String::new() },
    }
}

/// Returns the value of `Range`.
pub(super) fn header(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end.saturating_sub(1))
}

/// Returns true if a range can be asked for: it lies in the object, and is neither empty nor large.
pub(super) fn is_sound(object: &Object, range: &Range<u64>) -> bool {
    let len = range.end.saturating_sub(range.start);
    range.start < range.end && range.end <= object.size && len <= MAX_RANGE
}

/// Returns the bytes of an answer if they are exactly those of the range of that object.
pub(super) fn checked(
    object: &Object,
    range: &Range<u64>,
    answer: Response,
) -> Result<Vec<u8>, ObjectError> {
    let changed = || ObjectError::Changed {
        key: object.key.clone(),
    };
    let wrong = |what| Err(ObjectError::Answer { what });
    match answer.status() {
        404 | 412 | 416 => return Err(changed()),
        206 => {
            let expected = format!(
                "bytes {}-{}/{}",
                range.start,
                range.end.saturating_sub(1),
                object.size
            );
            if answer.header("content-range") != Some(expected.as_str()) {
                return wrong("another range than the one that was asked for");
            }
        }
        // All of it, where all of it was asked for.
        200 if range.start == 0 && range.end == object.size => {}
        _ => return wrong("the whole object in place of a range"),
    }
    if answer
        .header("etag")
        .is_some_and(|etag| !is_same(etag, &object.etag))
    {
        return Err(changed());
    }
    let len = range.end.saturating_sub(range.start);
    if u64::try_from(answer.body().len()) != Ok(len) {
        return wrong("another number of bytes than was asked for");
    }
    Ok(answer.into_body().to_vec())
}

// Azure's lists leave out the quotes that its headers have.
fn is_same(a: &str, b: &str) -> bool {
    a.trim_matches('"') == b.trim_matches('"')
}

/// How much is read at a place that nobody could foresee, and most at once where one range follows
/// another.
const FIRST: u64 = 256 << 10;
const MOST: u64 = 8 << 20;
/// Most bytes that are kept, beside the newest range.
const KEPT: u64 = 8 << 20;

/// An object that can be read at any place.
///
/// Somebody who reads on gets larger and larger ranges, so that an object that is read from its
/// beginning to its end is asked for in a few pieces; somebody who looks at many places of a large one
/// gets little more than these.
pub struct ObjectReader<'s> {
    store: &'s dyn Store,
    object: Object,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    // Where each begins; the newest at the end.
    kept: VecDeque<(u64, Arc<Vec<u8>>)>,
    // Where the newest range ends, and how long it was asked to be.
    end: u64,
    ahead: u64,
}

impl Read {
    fn find(&self, at: u64) -> Option<(u64, Arc<Vec<u8>>)> {
        let holds = |(start, bytes): &&(u64, Arc<Vec<u8>>)| {
            let len = u64::try_from(bytes.len()).unwrap_or(0);
            (*start..start.saturating_add(len)).contains(&at)
        };
        self.kept.iter().rev().find(holds).cloned()
    }

    fn keep(&mut self, start: u64, bytes: &Arc<Vec<u8>>) {
        let len = |bytes: &Vec<u8>| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let sum = |kept: &VecDeque<(u64, Arc<Vec<u8>>)>| {
            let lens = kept.iter().map(|(_, bytes)| len(bytes));
            lens.fold(0, u64::saturating_add)
        };
        while sum(&self.kept) > KEPT {
            self.kept.pop_front();
        }
        self.end = start.saturating_add(len(bytes));
        self.kept.push_back((start, Arc::clone(bytes)));
    }
}

impl<'s> ObjectReader<'s> {
    /// Reads an object of a list.
    pub fn new(store: &'s dyn Store, object: Object) -> Self {
        Self {
            store,
            object,
            read: Mutex::default(),
        }
    }

    /// Returns its size in bytes, as the list said; another size is an error when it is read.
    pub const fn len(&self) -> u64 {
        self.object.size
    }

    /// Returns true if there are no bytes.
    pub const fn is_empty(&self) -> bool {
        self.object.size == 0
    }

    /// Reads at `offset` until `buffer` is full or the object ends, and returns how many bytes there
    /// were.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0_usize;
        while let Some(target) = buffer.get_mut(done..).filter(|target| !target.is_empty()) {
            let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            if at >= self.object.size {
                break;
            }
            let (start, bytes) = self.range(at).map_err(io::Error::other)?;
            let within = usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
            let rest = bytes.get(within..).unwrap_or_default();
            let count = rest.len().min(target.len());
            if count == 0 {
                break;
            }
            for (to, from) in target.iter_mut().zip(rest) {
                *to = *from;
            }
            done = done.saturating_add(count);
        }
        Ok(done)
    }

    // A range that holds the byte at `at`, and where it begins.
    fn range(&self, at: u64) -> Result<(u64, Arc<Vec<u8>>), ObjectError> {
        let poisoned = |_| ObjectError::Answer {
            what: "another thread failed while it read",
        };
        let mut read = self.read.lock().map_err(poisoned)?;
        if let Some(found) = read.find(at) {
            return Ok(found);
        }
        let goes_on = at > 0 && at == read.end;
        read.ahead = if goes_on {
            read.ahead.saturating_mul(4).min(MOST)
        } else {
            FIRST
        };
        let end = at.saturating_add(read.ahead).min(self.object.size);
        let bytes = Arc::new(self.store.read(&self.object, at..end)?);
        read.keep(at, &bytes);
        Ok((at, bytes))
    }
}
