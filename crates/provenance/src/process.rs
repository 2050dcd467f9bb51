//! Asking a program a question: clean environment, no input, bounded time, bounded output.
//!
//! For look-ups such as `git rev-parse`. The step itself is run by [`run`](crate::run).

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::measure::Stopwatch;

/// A question to a program.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// The program, by path.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: &'a [&'a OsStr],
    /// Its whole environment.
    pub environment: &'a [(&'a str, OsString)],
    /// Where it runs.
    pub directory: &'a Path,
    /// Longest time.
    pub time_limit: Duration,
    /// Most bytes of output; the rest is not waited for.
    pub output_limit: usize,
}

/// What a program answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Standard output, cut at the limit.
    pub output: Vec<u8>,
    /// True if there was more.
    pub cut: bool,
    /// Exit status; `None` if it was ended by us or by a signal.
    pub status: Option<i32>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The program did not start or broke off.
    #[error("it could not be run: {0}")]
    Io(std::io::ErrorKind),
    /// It took too long.
    #[error("it did not answer in time")]
    TimedOut,
}

/// Asks.
pub(crate) fn ask(question: &Question<'_>) -> Result<Answer, NoAnswer> {
    let mut child = Command::new(question.program)
        .args(question.arguments)
        .env_clear()
        .envs(
            question
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .current_dir(question.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| NoAnswer::Io(error.kind()))?;
    let read = match child.stdout.take() {
        Some(mut pipe) => read_until(&mut pipe, question),
        None => Err(NoAnswer::Io(std::io::ErrorKind::BrokenPipe)),
    };
    let (output, cut) = match read {
        Ok(read) => read,
        Err(error) => {
            end(&mut child);
            return Err(error);
        }
    };
    let status = if cut {
        end(&mut child);
        None
    } else {
        finish(&mut child, question.time_limit)?
    };
    Ok(Answer {
        output,
        cut,
        status,
    })
}

/// Finds a program on a search path, as a shell does; relative entries are passed over.
pub(crate) fn find_program(name: &OsStr, search_path: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(search_path?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
}

/// Returns true for a regular file that somebody may execute.
pub(crate) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn read_until(
    pipe: &mut ChildStdout,
    question: &Question<'_>,
) -> Result<(Vec<u8>, bool), NoAnswer> {
    let clock = Stopwatch::start();
    let mut output = Vec::new();
    let mut buffer = [0_u8; 8192];
    loop {
        let left = question
            .time_limit
            .checked_sub(clock.elapsed())
            .ok_or(NoAnswer::TimedOut)?;
        if !readable(pipe, left)? {
            continue;
        }
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok((output, false)),
            Ok(count) => output.extend(buffer.iter().take(count)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(NoAnswer::Io(error.kind())),
        }
        if output.len() > question.output_limit {
            output.truncate(question.output_limit);
            return Ok((output, true));
        }
    }
}

fn readable(pipe: &ChildStdout, at_most: Duration) -> Result<bool, NoAnswer> {
    let timeout = timespec(at_most.min(Duration::from_millis(200)));
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    match poll(&mut fds, Some(&timeout)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(NoAnswer::Io(std::io::Error::from(error).kind())),
    }
}

pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

// The pipe is closed, so the end is near; a program that closes it and lives on is ended.
fn finish(child: &mut Child, limit: Duration) -> Result<Option<i32>, NoAnswer> {
    let clock = Stopwatch::start();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.code()),
            Ok(None) if clock.elapsed() > limit => {
                end(child);
                return Err(NoAnswer::TimedOut);
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(NoAnswer::Io(error.kind())),
        }
    }
}

fn end(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It is not reaped yet, so the number is still its own.
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask_shell(script: &str, output_limit: usize, limit: Duration) -> Result<Answer, NoAnswer> {
        ask(&Question {
            program: Path::new("/bin/sh"),
            arguments: &[OsStr::new("-c"), OsStr::new(script)],
            environment: &[("ONLY", OsString::from("this"))],
            directory: Path::new("/"),
            time_limit: limit,
            output_limit,
        })
    }

    #[test]
    fn an_answer_is_output_and_status() {
        let answer = ask_shell("echo $ONLY $HOME; exit 3", 100, Duration::from_mins(1)).unwrap();
        assert_eq!(
            answer,
            Answer {
                output: b"this\n".to_vec(),
                cut: false,
                status: Some(3)
            }
        );
    }

    #[test]
    fn endless_output_is_cut_and_the_program_ended() {
        let answer = ask_shell("while :; do echo y; done", 1000, Duration::from_mins(1)).unwrap();
        assert!(answer.cut);
        assert_eq!((answer.output.len(), answer.status), (1000, None));
    }

    #[test]
    fn silence_ends_at_the_time_limit() {
        let silent = ask_shell("sleep 1000 & wait", 10, Duration::from_millis(50));
        assert_eq!(silent, Err(NoAnswer::TimedOut));
        let closed = ask_shell("exec >&-; sleep 1000", 10, Duration::from_millis(50));
        assert_eq!(closed, Err(NoAnswer::TimedOut));
    }

    #[test]
    fn a_program_is_found_on_absolute_entries_only() {
        let path = OsStr::new("relative::/nowhere:/bin:/usr/bin");
        assert_eq!(
            find_program(OsStr::new("sh"), Some(path)).unwrap(),
            Path::new("/bin/sh")
        );
        assert_eq!(
            find_program(OsStr::new("no-such-program"), Some(path)),
            None
        );
        assert_eq!(find_program(OsStr::new("sh"), None), None);
        assert_eq!(
            find_program(OsStr::new("sh"), Some(OsStr::new("bin:."))),
            None
        );
    }
}
