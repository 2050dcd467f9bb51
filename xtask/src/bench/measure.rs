//! Measuring: medians of interleaved runs, so that a slow minute of the machine hits both sides.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process;

/// No single measured run takes longer.
const LIMIT: Duration = Duration::from_mins(30);

/// Medians over the runs of one program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Wall time.
    pub wall: Duration,
    /// User and system time of the process.
    pub cpu: Duration,
    /// Peak resident memory, bytes.
    pub peak: u64,
}

/// One side of a comparison: one run and its measures.
pub type Side<'a> = Box<dyn Fn() -> Result<Sample> + 'a>;

/// A side that is a program, started afresh for each run.
pub fn program<'a>(make: impl Fn() -> Result<Command> + 'a) -> Side<'a> {
    Box::new(move || once(&mut make()?))
}

/// Runs all sides `runs` times in turns, after one turn that warms caches and is not counted.
pub fn in_turns(runs: usize, sides: &[Side<'_>]) -> Result<Vec<Sample>> {
    let mut taken: Vec<Vec<Sample>> = vec![Vec::new(); sides.len()];
    for turn in 0..=runs {
        for (side, samples) in sides.iter().zip(&mut taken) {
            let sample = side()?;
            if turn > 0 {
                samples.push(sample);
            }
        }
    }
    taken.iter().map(|samples| median(samples)).collect()
}

/// Runs one command and takes its measures.
pub fn once(command: &mut Command) -> Result<Sample> {
    let done = process::run(command, LIMIT)?.success()?;
    Ok(Sample {
        wall: done.wall,
        cpu: done.usage.utime + done.usage.stime,
        peak: done.usage.maxrss,
    })
}

/// The median of each measure by itself.
pub fn median(samples: &[Sample]) -> Result<Sample> {
    Ok(Sample {
        wall: middle(samples.iter().map(|sample| sample.wall))?,
        cpu: middle(samples.iter().map(|sample| sample.cpu))?,
        peak: middle(samples.iter().map(|sample| sample.peak))?,
    })
}

/// The median; of an even number, the lower one of the middle two.
pub fn middle<T: Ord>(values: impl Iterator<Item = T>) -> Result<T> {
    let mut values: Vec<T> = values.collect();
    values.sort();
    let index = values.len().saturating_sub(1) / 2;
    values
        .into_iter()
        .nth(index)
        .context("nothing was measured")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(middle([3, 1, 2].into_iter()).unwrap(), 2);
        assert_eq!(middle([4, 1, 2, 3].into_iter()).unwrap(), 2);
        assert!(middle(std::iter::empty::<u8>()).is_err());
    }

    #[test]
    fn sides_are_measured_in_turns() {
        let sleep = |time: &'static str| -> Side<'static> {
            program(move || {
                let mut command = Command::new("sleep");
                command.arg(time);
                Ok(command)
            })
        };
        let samples = in_turns(1, &[sleep("0.01"), sleep("0")]).unwrap();
        assert_eq!(samples.len(), 2);
        assert!(samples[0].wall >= Duration::from_millis(10));
        assert!(samples[0].peak > 0);
    }
}
