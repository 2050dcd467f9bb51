//! Runs other programs: with a time limit, a cap on what is kept of their output, and no input.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use wait4::{ResourceUsage, Wait4 as _};

use crate::place::Stopwatch;

/// Most bytes kept of each stream of a program; the rest is read and dropped.
const KEPT: u64 = 8 << 20;

/// What a finished program left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Wall time.
    pub wall: Duration,
    /// Processor time and peak memory.
    pub usage: ResourceUsage,
}

impl Finished {
    /// The exit code; a program ended by a signal has none.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Both streams, for a message.
    pub fn words(&self) -> String {
        format!(
            "{}\n{}\n{}",
            self.status,
            self.stdout.trim_end(),
            self.stderr.trim_end()
        )
    }

    /// Fails unless the program exited with 0.
    pub fn success(self) -> Result<Self> {
        if self.status.success() {
            Ok(self)
        } else {
            bail!("it failed: {}", self.words())
        }
    }
}

/// Runs `command` to its end, and ends it when `limit` is over.
pub fn run(command: &mut Command, limit: Duration) -> Result<Finished> {
    let shown = shown(command);
    let clock = Stopwatch::start();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    // Polling backs off from 0.2 ms, so that short programs are timed well and long ones cost
    // nothing.
    let mut pause = Duration::from_micros(200);
    let used = loop {
        if let Some(used) = child.try_wait4()? {
            break used;
        }
        if clock.elapsed() > limit {
            child.kill()?;
            let _ = child.wait();
            bail!("{shown} did not end within {} s", limit.as_secs());
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    };
    let wall = clock.elapsed();
    let join = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Ok(Finished {
        status: used.status,
        stdout: join(stdout),
        stderr: join(stderr),
        wall,
        usage: used.rusage,
    })
}

/// The command as a person would type it, shortened.
fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    let mut line = words.join(" ");
    if let Some((end, _)) = line.char_indices().nth(300) {
        line.truncate(end);
        line.push_str(" ...");
    }
    format!("`{line}`")
}

fn drain(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut stream) = stream {
            // A read error ends the text early; the exit status still decides.
            let _ = stream.by_ref().take(KEPT).read_to_end(&mut kept);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_both_streams_and_the_code() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let done = run(&mut command, Duration::from_mins(1)).unwrap();
        assert_eq!(done.code(), Some(3));
        assert_eq!((done.stdout.trim(), done.stderr.trim()), ("out", "err"));
        assert!(done.usage.maxrss > 0);
        assert!(done.success().is_err());
    }

    #[test]
    fn ends_what_does_not_end() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let error = run(&mut command, Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
    }
}
