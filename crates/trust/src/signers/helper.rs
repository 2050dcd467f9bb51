//! What a helper program prints: the credential plugins of Kubernetes, the credential helpers of
//! Docker. It may be a secret, so it is erased when dropped, and no error repeats it.

use std::io::Read as _;
use std::process::{Child, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

/// Longest pause before a helper that has printed everything is looked at again.
const PAUSE: Duration = Duration::from_millis(50);

/// How much of a helper is waited for.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct Patience {
    /// Time until it has ended.
    pub time: Duration,
    /// Bytes that it may print.
    pub bytes: usize,
}

/// A helper that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// What it printed.
    pub output: Zeroizing<Vec<u8>>,
    /// How it ended.
    pub status: ExitStatus,
}

/// Reads what `child` prints to its piped standard output, and waits until it has ended. `None` if
/// that takes too long, or is too much; then it is killed.
#[allow(
    clippy::disallowed_methods,
    reason = "how long another program may run is no matter of evidence"
)]
pub fn finish(mut child: Child, patience: Patience) -> Option<Finished> {
    let started = Instant::now();
    let left = || patience.time.saturating_sub(started.elapsed());
    let output = read(&mut child, patience.bytes, left());
    let mut pause = Duration::from_millis(1);
    // A helper may close its output and stay.
    while output.is_some() {
        match child.try_wait() {
            Ok(Some(status)) => return output.map(|output| Finished { output, status }),
            Ok(None) if !left().is_zero() => thread::sleep(pause.min(left())),
            _ => break,
        }
        pause = pause.saturating_mul(2).min(PAUSE);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn read(child: &mut Child, most: usize, time: Duration) -> Option<Zeroizing<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    let stdout = child.stdout.take()?;
    let limit = most.saturating_add(1);
    thread::spawn(move || {
        // Of the final size at once: a vector that grows leaves its old bytes behind.
        let mut output = Zeroizing::new(Vec::with_capacity(limit.saturating_add(1)));
        let end = u64::try_from(limit).unwrap_or(u64::MAX);
        let outcome = stdout.take(end).read_to_end(&mut output);
        let fits = output.len() <= most;
        // Nobody listens any more if the time is up.
        let _ = sender.send(outcome.ok().filter(|_| fits).map(|_| output));
    });
    receiver.recv_timeout(time).ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn run(script: &str, patience: Patience) -> Option<Finished> {
        let child = Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        finish(child.unwrap(), patience)
    }

    const LONG: Patience = Patience {
        time: Duration::from_mins(1),
        bytes: 8,
    };

    #[test]
    fn what_is_printed_and_how_it_ends() {
        let done = run("printf 12345678; exit 3", LONG).unwrap();
        assert_eq!(
            (done.output.as_slice(), done.status.code()),
            (&b"12345678"[..], Some(3))
        );
        assert!(run("printf 123456789", LONG).is_none(), "too much");
        // It has closed its output before it ends.
        let done = run("exec >&-; sleep 0.2; exit 4", LONG).unwrap();
        assert_eq!((done.output.len(), done.status.code()), (0, Some(4)));
    }

    #[test]
    fn nobody_waits_forever() {
        let short = Patience {
            time: Duration::from_millis(200),
            ..LONG
        };
        // With its output open, closed, or left to a child.
        for script in ["exec sleep 3600", "exec sleep 3600 >&-", "sleep 3 & exit 0"] {
            assert!(run(script, short).is_none(), "{script}");
        }
    }
}
