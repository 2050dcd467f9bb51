//! Tables in Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use super::measure::Sample;

/// A table with the method above it and remarks below it.
#[derive(Debug)]
pub struct Table {
    method: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    remarks: Vec<String>,
}

/// The columns of a comparison with a peer.
pub const COMPARISON: [&str; 8] = [
    "what",
    "wall",
    "CPU",
    "peak memory",
    "beside",
    "wall ratio",
    "CPU ratio",
    "aim",
];

impl Table {
    /// Starts a table.
    pub fn new(method: &str, columns: &[&'static str]) -> Self {
        Self {
            method: method.to_owned(),
            columns: columns.to_vec(),
            rows: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Adds a row without a peer.
    pub fn alone(&mut self, what: &str, sample: Sample) {
        let dash = || "-".to_owned();
        self.row([
            what.to_owned(),
            time(sample.wall),
            time(sample.cpu),
            memory(sample.peak),
            dash(),
            dash(),
            dash(),
            dash(),
        ]);
    }

    /// Adds a row of which only the wall time was measured.
    pub fn timed(&mut self, what: &str, wall: Duration) {
        let mut cells = vec!["-".to_owned(); COMPARISON.len()];
        cells.splice(..2, [what.to_owned(), time(wall)]);
        self.row(cells);
    }

    /// Adds a row that compares with a peer.
    pub fn beside(&mut self, ours: (&str, Sample), peer: (&str, Sample), aim: &str) {
        let (what, sample) = ours;
        self.row([
            what.to_owned(),
            time(sample.wall),
            time(sample.cpu),
            memory(sample.peak),
            peer.0.to_owned(),
            ratio(sample.wall, peer.1.wall),
            ratio(sample.cpu, peer.1.cpu),
            aim.to_owned(),
        ]);
    }

    /// Adds a remark.
    pub fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    /// Writes the table.
    pub fn render(&self, title: &str) -> String {
        let mut text = format!("### {title}\n\n{}\n\n", self.method);
        let _ = writeln!(text, "| {} |", self.columns.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(self.columns.len()));
        for row in &self.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        for remark in &self.remarks {
            let _ = write!(text, "\n{remark}\n");
        }
        text
    }
}

/// A duration with three digits.
pub fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{:.1} ms", seconds * 1e3)
    }
}

/// An amount of memory.
#[expect(
    clippy::cast_precision_loss,
    reason = "a number for people, to one decimal"
)]
pub fn memory(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Ours through theirs.
pub fn ratio(ours: Duration, theirs: Duration) -> String {
    if theirs.is_zero() {
        return "-".to_owned();
    }
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    if ratio < 0.1 {
        format!("{ratio:.4}")
    } else {
        format!("{ratio:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_has_a_cell_for_each_column() {
        let mut table = Table::new("How.", &COMPARISON);
        let sample = |millis| Sample {
            wall: Duration::from_millis(millis),
            ..Sample::default()
        };
        table.beside(("sign", sample(50)), ("peer", sample(100)), "<= 0.9");
        table.alone("peer", sample(100));
        let text = table.render("Title");
        assert!(text.contains("| sign | 50.0 ms | 0.0 ms | 0.0 MiB | peer | 0.50 | - | <= 0.9 |"));
        for line in text.lines().filter(|line| line.starts_with("| ")) {
            assert_eq!(line.matches('|').count(), COMPARISON.len() + 1, "{line}");
        }
    }
}
