//! Runs engine code on a thread of its own: bounded in number, with a deadline and a deep stack,
//! and with panics caught.
//!
//! The engine's own timer is cooperative and does not fire inside a built-in, so the caller does
//! not wait for it: at the deadline the answer is [`Fault::TimedOut`] and the thread is left to
//! end by itself. Threads that were left count against [`MAX_RUNNING`], so that a policy which
//! never ends cannot take the machine: then the answer is [`Fault::Busy`].

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::limits::{MAX_RUNNING, STACK_BYTES};

/// Why guarded work has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    Busy { limit: usize },
    Panicked { message: String },
    TimedOut { limit: Duration },
}

/// Runs `work` and returns its result, or the fault, at most `deadline` later.
pub(crate) fn run<T: Send + 'static>(
    deadline: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    let slot = Slot::take()?;
    let (sender, receiver) = sync_channel(1);
    let spawned = thread::Builder::new()
        .name("policy".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            // The closure is consumed, so nothing half-changed is seen after a panic.
            let outcome = catch_unwind(AssertUnwindSafe(work));
            drop(slot);
            // Nobody listens any more if the deadline has passed.
            let _ = sender.send(outcome);
        });
    if spawned.is_err() {
        // The system gives no thread: as good as too many running.
        return Err(Fault::Busy {
            limit: RUNNING.load(Ordering::Relaxed),
        });
    }
    match receiver.recv_timeout(deadline) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(panic)) => Err(Fault::Panicked {
            message: panic_text(&*panic),
        }),
        Err(RecvTimeoutError::Timeout) => Err(Fault::TimedOut { limit: deadline }),
        Err(RecvTimeoutError::Disconnected) => Err(Fault::Panicked {
            message: "the evaluation ended without an answer".to_owned(),
        }),
    }
}

static RUNNING: AtomicUsize = AtomicUsize::new(0);

struct Slot;

impl Slot {
    fn take() -> Result<Self, Fault> {
        let taken = RUNNING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |running| {
            if running < MAX_RUNNING {
                running.checked_add(1)
            } else {
                None
            }
        });
        if taken.is_err() {
            return Err(Fault::Busy { limit: MAX_RUNNING });
        }
        Ok(Self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "panic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer() {
        let fault = run(Duration::from_secs(30), || -> u8 { panic!("told so") }).unwrap_err();
        assert_eq!(
            fault,
            Fault::Panicked {
                message: "told so".into()
            }
        );
    }

    #[test]
    fn work_that_does_not_end_is_left_behind() {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let limit = Duration::from_millis(20);
        let fault = run(limit, move || wait.recv().is_err()).unwrap_err();
        assert_eq!(fault, Fault::TimedOut { limit });
        drop(release);
    }

    #[test]
    fn a_result_comes_back() {
        assert_eq!(run(Duration::from_secs(30), || 7), Ok(7));
    }
}
