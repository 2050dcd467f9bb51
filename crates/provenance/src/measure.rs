//! Instruments: the monotonic clock, `/proc`, and the energy counters of the processor.
//!
//! This is the one module of the crate that reads the monotonic clock. It reads counters; what
//! they mean for a step is decided in [`run`](crate::run). Each counter that cannot be read gives
//! `None`, never a zero.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use custos_core::limits::MAX_ENTRY_BYTES;

/// A running clock that no change of the date disturbs.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts.
    #[allow(clippy::disallowed_methods, reason = "this is the measuring module")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns the time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Returns a duration in microseconds, at most the largest that fits.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The files of a machine's `/proc` and `/sys`, below a root that tests replace.
#[derive(Debug, Clone)]
pub struct Machine {
    root: PathBuf,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
        }
    }
}

/// Bytes that a process moved to and from storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageTraffic {
    /// Fetched.
    pub read: u64,
    /// Sent.
    pub written: u64,
}

/// Energy counters and busy CPU time, read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnergyMark {
    // Per processor package: microjoules, and the value at which the counter wraps.
    packages: Vec<(u64, u64)>,
    busy_ticks: u64,
}

impl Machine {
    /// Returns a machine whose files lie below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns a file of at most 64 KiB as text, if it is there.
    pub fn text(&self, path: &str) -> Option<String> {
        let path = self.path(path);
        let bytes = read_bounded(&path, MAX_ENTRY_BYTES)?;
        String::from_utf8(bytes).ok()
    }

    /// Returns where a file of the machine lies.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Returns the largest resident memory of a process so far, in bytes.
    pub fn peak_memory(&self, pid: &str) -> Option<u64> {
        let status = self.text(&format!("/proc/{pid}/status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    }

    /// Returns the storage traffic of a process and of its children that it waited for.
    pub fn storage_traffic(&self, pid: &str) -> Option<StorageTraffic> {
        let io = self.text(&format!("/proc/{pid}/io"))?;
        let field = |name: &str| -> Option<u64> {
            io.lines()
                .find_map(|line| line.strip_prefix(name))?
                .trim()
                .parse()
                .ok()
        };
        Some(StorageTraffic {
            read: field("read_bytes:")?,
            written: field("write_bytes:")?,
        })
    }

    /// Returns the processes of a process group that are not zombies, at most 4096 of them.
    pub fn group_members(&self, group: u32) -> Vec<u32> {
        self.processes()
            .filter(|pid| self.in_group(*pid, group))
            .take(4096)
            .collect()
    }

    /// Returns the numbers of all processes that can be seen.
    pub(crate) fn processes(&self) -> impl Iterator<Item = u32> {
        let entries = std::fs::read_dir(self.path("/proc")).into_iter().flatten();
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
    }

    /// Returns true if a process was started with this `NAME=value` in its environment, and that
    /// can be seen. A process that has ended has no environment.
    pub(crate) fn has_mark(&self, pid: u32, mark: &[u8]) -> bool {
        /// Environment and arguments of a process have a quarter of the stack, 2 MiB as a rule.
        const LIMIT: usize = 8 << 20;
        read_bounded(&self.path(&format!("/proc/{pid}/environ")), LIMIT)
            .is_some_and(|all| all.split(|byte| *byte == 0).any(|line| line == mark))
    }

    // proc_pid_stat(5): pid (comm) state ppid pgrp ...; comm may hold anything, even a bracket.
    fn in_group(&self, pid: u32, group: u32) -> bool {
        let Some(stat) = self.text(&format!("/proc/{pid}/stat")) else {
            return false;
        };
        let Some((_, rest)) = stat.rsplit_once(')') else {
            return false;
        };
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next();
        let own = fields.nth(1).and_then(|field| field.parse::<u32>().ok());
        own == Some(group) && !matches!(state, Some("Z" | "X"))
    }

    /// Reads the energy counters, if the processor has some and they may be read.
    pub fn energy_mark(&self) -> Option<EnergyMark> {
        let mut packages = Vec::new();
        let entries = std::fs::read_dir(self.path("/sys/class/powercap")).ok()?;
        for entry in entries.take(1024) {
            let name = entry.ok()?.file_name();
            let Some(name) = name.to_str() else { continue };
            // `intel-rapl:0` is a package; `intel-rapl:0:0` is a part that it already counts.
            let Some(number) = name.strip_prefix("intel-rapl:") else {
                continue;
            };
            if number.contains(':') {
                continue;
            }
            let file = |file: &str| -> Option<u64> {
                self.text(&format!("/sys/class/powercap/{name}/{file}"))?
                    .trim()
                    .parse()
                    .ok()
            };
            packages.push((file("energy_uj")?, file("max_energy_range_uj")?));
        }
        if packages.is_empty() {
            return None;
        }
        Some(EnergyMark {
            packages,
            busy_ticks: self.busy_ticks()?,
        })
    }

    // proc_stat(5): user nice system idle iowait irq softirq steal; guest time is in user.
    fn busy_ticks(&self) -> Option<u64> {
        let stat = self.text("/proc/stat")?;
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line
            .split_ascii_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        let idle = ticks.get(3)?.checked_add(*ticks.get(4)?)?;
        ticks
            .iter()
            .take(8)
            .try_fold(0_u64, |sum, tick| sum.checked_add(*tick))?
            .checked_sub(idle)
    }
}

impl EnergyMark {
    /// Estimates the energy of a step that used `cpu` of CPU time between `self` and `later`:
    /// the energy of all packages, by the step's share of the busy CPU time of the machine.
    pub fn share_until(&self, later: &Self, cpu: Duration) -> Option<u64> {
        if self.packages.len() != later.packages.len() {
            return None;
        }
        let mut energy = 0_u64;
        for ((before, range), (after, _)) in self.packages.iter().zip(&later.packages) {
            let used = match after.checked_sub(*before) {
                Some(used) => used,
                None => range.checked_sub(*before)?.checked_add(*after)?,
            };
            energy = energy.checked_add(used)?;
        }
        // A tick is 10 ms on every Linux that we know of (`USER_HZ` is 100).
        let busy = later
            .busy_ticks
            .checked_sub(self.busy_ticks)?
            .checked_mul(10_000)?;
        let own = micros(cpu);
        // Ticks are coarse: a step cannot have used more than everything.
        let busy = busy.max(own).max(1);
        let share = u128::from(energy)
            .checked_mul(u128::from(own))?
            .checked_div(busy.into())?;
        u64::try_from(share).ok()
    }
}

/// Returns the bytes of a regular file or a file of `/proc`, `None` if it has more than `limit`.
pub(crate) fn read_bounded(path: &Path, limit: usize) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).ok()?;
    let kind = file.metadata().ok()?;
    if !kind.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(limit).ok()?;
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .ok()?;
    (u64::try_from(bytes.len()).ok()? <= limit).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let machine = Machine::below(folder.path());
        (folder, machine)
    }

    #[test]
    fn reads_what_the_kernel_says_of_a_process() {
        let own = std::process::id().to_string();
        let machine = Machine::default();
        assert!(machine.peak_memory(&own).unwrap() > 100_000);
        assert!(machine.storage_traffic(&own).is_some());
        let group = rustix::process::getpgrp()
            .as_raw_nonzero()
            .get()
            .unsigned_abs();
        assert!(machine.group_members(group).contains(&std::process::id()));
    }

    #[test]
    fn a_name_with_brackets_does_not_hide_a_process() {
        let (_folder, machine) = machine(&[
            ("proc/7/stat", "7 (a) S 1 99 (b) S 1 5 5 0"),
            ("proc/8/stat", "8 (dead) Z 1 5 5 0"),
            ("proc/9/stat", "9 (other) S 1 6 6 0"),
        ]);
        assert_eq!(machine.group_members(5), [7]);
    }

    #[test]
    fn a_mark_is_a_whole_line_of_the_environment() {
        let (_folder, machine) = machine(&[
            ("proc/7/environ", "PATH=/bin\0RUN=1\0"),
            ("proc/8/environ", "PATH=/bin\0XRUN=1\0RUN=12\0"),
            ("proc/9/environ", ""),
            ("proc/self/environ", "RUN=1\0"),
        ]);
        let marked = |pid: &u32| machine.has_mark(*pid, b"RUN=1");
        assert_eq!(machine.processes().filter(marked).collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn energy_is_shared_by_busy_time_and_survives_a_wrap() {
        let files = |energy: &'static str, stat: &'static str| {
            machine(&[
                ("sys/class/powercap/intel-rapl:0/energy_uj", energy),
                (
                    "sys/class/powercap/intel-rapl:0/max_energy_range_uj",
                    "1000000\n",
                ),
                ("sys/class/powercap/intel-rapl:0:0/energy_uj", "77"),
                ("proc/stat", stat),
            ])
        };
        let (_a, before) = files("900000\n", "cpu  100 0 0 50 50 0 0 0 0 0\n");
        let (_b, after) = files("100000\n", "cpu  300 0 0 90 90 0 0 0 0 0\n");
        let (before, after) = (before.energy_mark().unwrap(), after.energy_mark().unwrap());
        // 200,000 microjoules were used, and one of the two busy seconds was the step's.
        assert_eq!(
            before.share_until(&after, Duration::from_secs(1)),
            Some(100_000)
        );
        assert_eq!(
            before.share_until(&after, Duration::from_secs(9)),
            Some(200_000)
        );
    }

    #[test]
    fn without_counters_there_is_no_energy() {
        let (_folder, machine) = machine(&[("proc/stat", "cpu 1 2 3 4 5 6 7 8\n")]);
        assert_eq!(machine.energy_mark(), None);
        assert_eq!(machine.peak_memory("1"), None);
        assert_eq!(machine.storage_traffic("1"), None);
    }

    #[test]
    fn a_file_beyond_the_limit_is_not_read() {
        let (folder, _) = machine(&[("f", "12345")]);
        assert_eq!(read_bounded(&folder.path().join("f"), 5).unwrap(), b"12345");
        assert_eq!(read_bounded(&folder.path().join("f"), 4), None);
        assert_eq!(read_bounded(folder.path(), 4), None);
    }
}
