//! Starting the command, waiting for it, passing signals on, and measuring it.
//!
//! The command leads a process group of its own, so that whatever it starts can be told to stop
//! with it. What leaves the group is known by a variable of its environment, unless it takes that
//! off as well: then nobody can tell it from a stranger. Until it is reaped its process id cannot be given to another process: so everything
//! that is asked of `/proc`, and every signal, comes before the reaping.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use custos_core::clock::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, pidfd_open,
    pidfd_send_signal, waitid,
};

use super::declaration::Places;
use super::{Environment, Output, RunError, Stdin, Step};
use crate::material::Program;
use crate::measure::{Machine, Stopwatch, StorageTraffic};
use crate::process::timespec;

/// Longest time between two looks at the command.
const LOOK: Duration = Duration::from_millis(50);
/// Time that a process gets to end by itself once it was told to.
const GRACE: Duration = Duration::from_secs(10);
/// Time that processes get to end by themselves once the command they belong to has ended.
const LINGER: Duration = Duration::from_millis(500);

/// Names the run to whatever it starts.
const MARK: &str = "STEP_OF_CUSTOS";

/// Returns the environment with the mark of a run that begins now.
pub(super) fn mark(environment: Environment, now: Timestamp) -> Environment {
    /// Tells apart runs of one process; its id and the time those of processes.
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let value = format!("{}-{}-{run}", std::process::id(), now.as_micros());
    environment.marked(MARK, &value)
}

/// A request to stop, shared with whoever may make it.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Returns a request that nobody has made.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a request that this process makes on SIGINT, SIGTERM, SIGHUP and SIGQUIT from now
    /// on, instead of ending at once.
    pub fn on_signals() -> io::Result<Self> {
        let interrupt = Self::new();
        for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
            let number = usize::try_from(signal.as_raw()).unwrap_or_default();
            let flag = Arc::clone(&interrupt.0);
            signal_hook::flag::register_usize(signal.as_raw(), flag, number)?;
        }
        Ok(interrupt)
    }

    /// Makes the request, as if this signal had come.
    pub fn raise(&self, signal: i32) {
        self.0.store(
            usize::try_from(signal).unwrap_or_default(),
            Ordering::SeqCst,
        );
    }

    pub(super) fn pending(&self) -> Option<i32> {
        i32::try_from(self.0.load(Ordering::SeqCst))
            .ok()
            .filter(|signal| *signal > 0)
    }
}

/// What surrounds the command.
pub(super) struct Control<'a> {
    pub interrupt: &'a Interrupt,
    pub machine: &'a Machine,
}

/// A command that ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub status: ExitStatus,
    pub ending: Ending,
    pub wall: Duration,
    pub cpu_user: Duration,
    pub cpu_system: Duration,
    pub peak_memory: PeakMemory,
    pub traffic: Option<StorageTraffic>,
    pub energy: Option<u64>,
    /// True if processes that it left running were ended.
    pub processes_ended: bool,
}

/// Why a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Interrupted { signal: i32 },
    Own,
    TimedOut { limit: Duration },
}

/// The largest resident memory of one process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeakMemory {
    /// Counted by the kernel, children included.
    Counted(u64),
    /// Seen from time to time, of the command itself.
    Sampled(u64),
    Unknown,
}

/// Runs the command to its end.
pub(super) fn run(
    step: &Step,
    places: &Places,
    program: &Program,
    control: &Control<'_>,
) -> Result<Finished, RunError> {
    let own_peak = control.machine.peak_memory("self");
    let energy = control.machine.energy_mark();
    let clock = Stopwatch::start();
    let child = start(step, places, program).map_err(RunError::NotStarted)?;
    let mut running = Running {
        group: step.stdin != Stdin::Inherited,
        pid: pid(&child).map_err(RunError::Wait)?,
        mark: step
            .environment
            .value(MARK)
            .map(|value| [MARK.as_bytes(), b"=", value.as_bytes()].concat()),
        descriptor: None,
        control,
        sampled: None,
    };
    running.descriptor = pidfd_open(running.pid, PidfdFlags::empty()).ok();
    let ending = running
        .wait(step.time_limit, &clock)
        .map_err(RunError::Wait)?;
    let wall = clock.elapsed();
    let traffic = control.machine.storage_traffic(&running.text());
    let processes_ended = running.end_rest();
    let used = reap(&child).map_err(RunError::Wait)?;
    let cpu = used.rusage.utime.saturating_add(used.rusage.stime);
    let energy = energy.and_then(|before| {
        control
            .machine
            .energy_mark()
            .and_then(|after| before.share_until(&after, cpu))
    });
    Ok(Finished {
        status: used.status,
        ending,
        wall,
        cpu_user: used.rusage.utime,
        cpu_system: used.rusage.stime,
        peak_memory: peak(used.rusage.maxrss, own_peak, running.sampled),
        traffic,
        energy,
        processes_ended,
    })
}

// Between fork and exec the child is a copy of this process, and the kernel counts that: a value
// up to our own peak may be ours, not the command's.
fn peak(counted: u64, own: Option<u64>, sampled: Option<u64>) -> PeakMemory {
    match (own, sampled) {
        (Some(own), _) if counted > own => PeakMemory::Counted(counted),
        (_, Some(sampled)) => PeakMemory::Sampled(sampled),
        _ => PeakMemory::Unknown,
    }
}

fn start(step: &Step, places: &Places, program: &Program) -> io::Result<Child> {
    let mut command = Command::new(&program.path);
    if let Some((name, arguments)) = step.command.split_first() {
        // The program was resolved once, for its digest; it is not looked up again.
        command.arg0(name).args(arguments);
    }
    command.env_clear().current_dir(&places.directory);
    command.envs(step.environment.iter());
    match step.stdin {
        Stdin::Null => command.stdin(Stdio::null()).process_group(0),
        Stdin::Inherited => command.stdin(Stdio::inherit()),
    };
    match step.output {
        Output::Null => command.stdout(Stdio::null()).stderr(Stdio::null()),
        Output::Inherited => command.stdout(Stdio::inherit()),
        Output::Stderr => command.stdout(own_stderr()?),
    };
    command.spawn()
}

fn own_stderr() -> io::Result<Stdio> {
    Ok(Stdio::from(File::from(
        io::stderr().as_fd().try_clone_to_owned()?,
    )))
}

fn pid(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::InvalidData.into())
}

fn reap(child: &Child) -> io::Result<wait4::ResUse> {
    loop {
        // It has ended, so this answers at once.
        if let Some(used) = wait4::try_wait4_pid(child.id())? {
            return Ok(used);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

struct Running<'a> {
    // True if the command leads a group of its own.
    group: bool,
    pid: Pid,
    // A line of the environment that only this run's processes have.
    mark: Option<Vec<u8>>,
    descriptor: Option<OwnedFd>,
    control: &'a Control<'a>,
    sampled: Option<u64>,
}

impl Running<'_> {
    fn text(&self) -> String {
        self.pid.as_raw_nonzero().to_string()
    }

    // Waits until the command has ended, without reaping it.
    fn wait(&mut self, limit: Option<Duration>, clock: &Stopwatch) -> io::Result<Ending> {
        let mut ending = Ending::Own;
        let mut told_at: Option<Stopwatch> = None;
        let mut pause = Duration::from_millis(1);
        while !self.ended()? {
            if let Some(bytes) = self.control.machine.peak_memory(&self.text()) {
                self.sampled = Some(self.sampled.unwrap_or(0).max(bytes));
            }
            match told_at {
                None => {
                    let stop = self.control.interrupt.pending().map(|signal| {
                        (
                            Ending::Interrupted { signal },
                            Signal::from_named_raw(signal),
                        )
                    });
                    let late = limit
                        .filter(|limit| clock.elapsed() > *limit)
                        .map(|limit| (Ending::TimedOut { limit }, Some(Signal::TERM)));
                    if let Some((why, signal)) = stop.or(late) {
                        ending = why;
                        told_at = Some(Stopwatch::start());
                        self.signal(signal.unwrap_or(Signal::TERM));
                    }
                }
                Some(since) if since.elapsed() > GRACE => self.signal(Signal::KILL),
                Some(_) => {}
            }
            self.pause(pause);
            pause = pause.saturating_mul(2).min(LOOK);
        }
        // A request that came with the end counts: the caller wants no more.
        if let (Ending::Own, Some(signal)) = (ending, self.control.interrupt.pending()) {
            ending = Ending::Interrupted { signal };
        }
        Ok(ending)
    }

    fn ended(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(self.pid), options) {
                Ok(status) => return Ok(status.is_some()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn pause(&self, at_most: Duration) {
        let Some(descriptor) = &self.descriptor else {
            return std::thread::sleep(at_most);
        };
        let mut fds = [PollFd::new(descriptor, PollFlags::IN)];
        // Whatever ends the pause, the caller looks at the command next.
        let _ = poll(&mut fds, Some(&timespec(at_most)));
    }

    fn signal(&self, signal: Signal) {
        // It fails if all are gone, which is what was wanted.
        let _ = if self.group {
            kill_process_group(self.pid, signal)
        } else {
            kill_process(self.pid, signal)
        };
    }

    // Ends what the command left running: it could go on writing to a product that has a digest
    // already.
    fn end_rest(&self) -> bool {
        let clock = Stopwatch::start();
        let mut told = false;
        loop {
            let strays = self.strays();
            if strays.is_empty() && self.group_is_gone() {
                break;
            }
            if clock.elapsed() > LINGER {
                if self.group {
                    self.signal(Signal::KILL);
                }
                for stray in &strays {
                    // It fails if that one has just ended.
                    let _ = pidfd_send_signal(stray, Signal::KILL);
                }
                told = true;
            }
            if clock.elapsed() > GRACE {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        told
    }

    fn group_is_gone(&self) -> bool {
        let group = u32::try_from(self.pid.as_raw_nonzero().get());
        !self.group || group.is_ok_and(|group| self.control.machine.group_members(group).is_empty())
    }

    // Processes with the mark of this run. The descriptor comes first and the look at the mark
    // second, so that a number which was given to another process in between ends nobody else.
    fn strays(&self) -> Vec<OwnedFd> {
        let Some(mark) = &self.mark else {
            return Vec::new();
        };
        let machine = self.control.machine;
        let marked = machine.processes().filter_map(|number| {
            let pid = Pid::from_raw(i32::try_from(number).ok()?)?;
            let stray = machine.has_mark(number, mark) && pid != self.pid;
            let descriptor = stray.then(|| pidfd_open(pid, PidfdFlags::empty()).ok())??;
            machine.has_mark(number, mark).then_some(descriptor)
        });
        marked.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_that_may_be_our_own_is_not_the_command_s() {
        assert_eq!(peak(100, Some(50), Some(70)), PeakMemory::Counted(100));
        assert_eq!(peak(50, Some(50), Some(20)), PeakMemory::Sampled(20));
        assert_eq!(peak(50, None, Some(20)), PeakMemory::Sampled(20));
        assert_eq!(peak(50, None, None), PeakMemory::Unknown);
    }

    #[test]
    fn a_request_is_shared() {
        let interrupt = Interrupt::new();
        assert_eq!(interrupt.pending(), None);
        interrupt.clone().raise(15);
        assert_eq!(interrupt.pending(), Some(15));
    }
}
