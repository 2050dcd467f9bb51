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

/// How much is read at once, and how many such blocks are kept.
const BLOCK: u64 = 4 << 20;
const KEPT: usize = 4;

/// An object that can be read at any place, a block at a time.
pub struct ObjectReader<'s> {
    store: &'s dyn Store,
    object: Object,
    // The newest at the end.
    kept: Mutex<VecDeque<(u64, Arc<Vec<u8>>)>>,
}

impl<'s> ObjectReader<'s> {
    /// Reads an object of a list.
    pub fn new(store: &'s dyn Store, object: Object) -> Self {
        Self {
            store,
            object,
            kept: Mutex::default(),
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
            let within = at.checked_rem(BLOCK).unwrap_or(0);
            let block = self
                .block(at.saturating_sub(within))
                .map_err(io::Error::other)?;
            let within = usize::try_from(within).unwrap_or(usize::MAX);
            let rest = block.get(within..).unwrap_or_default();
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

    fn block(&self, start: u64) -> Result<Arc<Vec<u8>>, ObjectError> {
        let poisoned = |_| ObjectError::Answer {
            what: "another thread failed while it read",
        };
        let mut kept = self.kept.lock().map_err(poisoned)?;
        if let Some((_, block)) = kept.iter().find(|(at, _)| *at == start) {
            return Ok(Arc::clone(block));
        }
        let end = start.saturating_add(BLOCK).min(self.object.size);
        let block = Arc::new(self.store.read(&self.object, start..end)?);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((start, Arc::clone(&block)));
        Ok(block)
    }
}
