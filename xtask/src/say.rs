//! The one place that prints: results to standard output, problems to standard error.

use std::io::Write as _;

/// Prints one line of result. A reader that has gone away is no error of ours.
pub fn line(text: &str) {
    // Its own tests report failures on purpose, and would be taken for real ones.
    if cfg!(test) {
        return;
    }
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints one line about something that went wrong or is worth a look.
pub fn problem(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Indents every line of `text`, keeping the last `max` lines.
pub fn indented_tail(text: &str, max: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let skip = lines.len().saturating_sub(max);
    let mut out = String::new();
    if skip > 0 {
        out.push_str("      ...\n");
    }
    for line in lines.iter().skip(skip) {
        out.push_str("      ");
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Writes a duration the way people read it.
pub fn seconds(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        let whole = duration.as_secs();
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}
