//! Commands that install packages: `!pip install x`, `python -m pip install -U y`, `uv add z`.

use custos_core::finding::Location;

use super::python::take;
use crate::supply::dependency::Manifest;
use crate::supply::requirement::{self, Line};
use crate::work::Look;

/// Most words of one command.
const MOST: usize = 1_000;

/// Returns the words of a command that installs Python packages, without its beginning.
pub(crate) fn command(line: &str) -> Option<Vec<String>> {
    let line = line.trim().trim_start_matches(['!', '%', '$', ' ']);
    let line = line.strip_prefix("RUN ").unwrap_or(line);
    let words = split(line);
    let at = words
        .iter()
        .position(|word| word == "install" || word == "add")?;
    let (before, after) = words.split_at_checked(at)?;
    let tool = before.iter().any(|word| {
        let name = word.rsplit('/').next().unwrap_or(word);
        matches!(name, "pip" | "pip3" | "uv" | "pipx" | "poetry") || name.starts_with("pip3.")
    });
    let plain = before
        .iter()
        .all(|word| !word.contains(['(', '"', '=', '#']));
    (tool && plain && before.len() <= 6).then(|| after.get(1..).unwrap_or_default().to_vec())
}

/// Reads what is installed, and from where.
pub(crate) fn words(
    look: &mut Look<'_, '_, '_>,
    at: &Location,
    words: &[String],
    into: &mut Manifest,
) {
    let with_value = [
        "-i",
        "--index-url",
        "--extra-index-url",
        "-f",
        "--find-links",
        "--trusted-host",
        "-r",
        "-c",
        "-e",
        "--requirement",
        "--constraint",
        "--editable",
        "--target",
        "-t",
        "--prefix",
        "--python",
        "--cache-dir",
        "--root",
        "--platform",
        "--abi",
        "--implementation",
        "--group",
        "--index",
    ];
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if ["&&", "||", ";", "|", ">", "2>&1", "&"].contains(&word.as_str()) {
            break;
        }
        let line = if with_value.contains(&word.as_str()) {
            let value = words.next().map_or("", String::as_str);
            requirement::line(&format!("{word} {value}"))
        } else {
            requirement::line(word)
        };
        match line {
            // Where a text is told by its line, the command has it.
            Some(Line::Requirement(one)) => into.dependencies.push(one),
            Some(line) => take(look, at.line.unwrap_or(1), line, into),
            None => {}
        }
    }
}

// Words of a shell: quotes keep spaces.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut any) = (Vec::new(), String::new(), None, false);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => (quote, any) = (Some(letter), true),
            (None, ' ' | '\t' | '\n' | '\\') => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
                if words.len() >= MOST {
                    return words;
                }
            }
            // A comment.
            (None, '#') if word.is_empty() => return words,
            _ => word.push(letter),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_install_are_told_from_prose() {
        let words = |line| command(line).map(|words| words.join(" "));
        assert_eq!(
            words("!pip install -q x==1 'y>=2'").as_deref(),
            Some("-q x==1 y>=2")
        );
        assert_eq!(words("%pip install a").as_deref(), Some("a"));
        assert_eq!(
            words("RUN python3 -m pip install a # b").as_deref(),
            Some("a")
        );
        assert_eq!(words("uv pip install a").as_deref(), Some("a"));
        for none in [
            "print('pip install x')",
            "!apt install x",
            "pip list",
            "x = pip.install(a)",
        ] {
            assert_eq!(words(none), None, "{none}");
        }
    }
}
