//! The documents: the commands that they show exist, their links lead somewhere, and no tracked
//! file carries the path of somebody's machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::Run;
use crate::custos::Custos;
use crate::place::Scratch;
use crate::process;
use crate::tally::Suite;

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let root = &run.place.root;
    let tracked = tracked(root)?;
    let pages: Vec<&PathBuf> = tracked.iter().filter(|path| is_page(path)).collect();
    suite.check("internal links lead somewhere", || {
        let mut texts = BTreeMap::new();
        for page in &pages {
            texts.insert((*page).clone(), fs::read_to_string(root.join(page))?);
        }
        none(&dead_links(&texts, |path| root.join(path).exists()))
    });
    suite.check("no paths of one machine", || {
        let mut faults = Vec::new();
        for path in tracked.iter().filter(|path| !is_data(path)) {
            // Not text: nothing to read in it.
            let Ok(text) = fs::read_to_string(root.join(path)) else {
                continue;
            };
            faults.extend(machine_paths(&text).map(|line| format!("{}:{line}", path.display())));
        }
        none(&faults)
    });
    let scratch = Scratch::new("docs")?;
    let custos = Custos::new(run.place, &scratch)?;
    for page in pages.iter().filter(|page| !page.ends_with("CHANGELOG.md")) {
        let commands = shown_commands(&fs::read_to_string(root.join(page))?);
        if !commands.is_empty() {
            suite.check(&format!("commands of {}", page.display()), || {
                commands.iter().try_for_each(|words| exists(&custos, words))
            });
        }
    }
    suite.check("README shows the two commands", || {
        let readme = fs::read_to_string(root.join("README.md"))?;
        for command in ["cargo run --release -- demo", "cargo xtask test"] {
            ensure!(
                readme.contains(command),
                "README.md does not show `{command}`"
            );
        }
        Ok(())
    });
    Ok(())
}

fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let mut command = Command::new("git");
    command.args(["ls-files", "-z"]).current_dir(root);
    let done = process::run(&mut command, Duration::from_mins(1))?.success()?;
    let all = done
        .stdout
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from);
    // A file that is removed but not yet committed is still listed.
    Ok(all.filter(|path| root.join(path).is_file()).collect())
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md") && !is_data(path)
}

/// Other people's files and seeds: they say what they say.
fn is_data(path: &Path) -> bool {
    ["testdata", "fuzz/corpus", "examples/multimodal/data"]
        .iter()
        .any(|folder| path.starts_with(folder))
}

/// Links between pages whose file or heading is not there. Links with a scheme are not followed.
fn dead_links(pages: &BTreeMap<PathBuf, String>, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for (page, text) in pages {
        for link in links(text) {
            let (target, heading) = link.split_once('#').unwrap_or((link, ""));
            if target.contains(':') {
                continue;
            }
            let path = if target.is_empty() {
                page.clone()
            } else {
                resolve(page.parent().unwrap_or(Path::new("")), target)
            };
            let there = exists(&path);
            let headed = heading.is_empty()
                || pages
                    .get(&path)
                    .is_none_or(|text| headings(text).contains(heading));
            if !there || !headed {
                faults.push(format!("{}: {link} leads nowhere", page.display()));
            }
        }
    }
    faults
}

fn resolve(folder: &Path, target: &str) -> PathBuf {
    let mut path = folder.to_path_buf();
    for part in target.split('/') {
        match part {
            ".." => {
                path.pop();
            }
            "." | "" => {}
            part => path.push(part),
        }
    }
    path
}

/// Targets of `[text](target)` outside of code.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second piece of a line split at backticks is code. A link whose text is code is
        // whole in the piece behind it.
        for prose in line.split('`').step_by(2) {
            let mut rest = prose;
            while let Some((_, after)) = rest.split_once("](") {
                let Some((target, after)) = after.split_once(')') else {
                    break;
                };
                found.push(target.split_whitespace().next().unwrap_or(""));
                rest = after;
            }
        }
    }
    found
}

/// Anchors of the headings, as the usual renderers make them.
fn headings(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
                .map(|letter| if letter == ' ' { '-' } else { letter })
                .collect()
        })
        .collect()
}

/// Lines with the path of a home or of a workplace, as `LINE: TEXT`.
fn machine_paths(text: &str) -> impl Iterator<Item = String> {
    // Put together here, so that this file is not a finding itself.
    let marks: Vec<String> = [
        ("/ro", "ot/"),
        ("/wo", "rk/"),
        ("../sha", "red"),
        ("/Us", "ers/"),
    ]
    .iter()
    .map(|(one, two)| format!("{one}{two}"))
    .collect();
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let hit = marks.iter().any(|mark| {
            line.match_indices(mark.as_str()).any(|(at, _)| {
                // A path begins there: `target/work/` is another thing.
                let before = line.get(..at).and_then(|text| text.chars().next_back());
                let begins = before
                    .is_none_or(|letter| !letter.is_alphanumeric() && !".}>-_)*".contains(letter));
                // A root alone, as in a list of roots, names nobody's folder.
                let rest = line.get(at + mark.len()..).unwrap_or_default();
                begins && !rest.starts_with('"')
            })
        });
        if hit {
            found.push(format!("{}: {}", index + 1, line.trim()));
        }
    }
    found.into_iter()
}

/// Commands of `custos` in the code blocks, as words; a command that ends in a backslash goes on
/// in the next line.
fn shown_commands(text: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut in_code = false;
    let mut open = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if !in_code {
            continue;
        }
        open.push_str(line.trim_start_matches("$ "));
        if open.ends_with('\\') {
            open.pop();
            continue;
        }
        let whole = std::mem::take(&mut open);
        let whole = whole.replace("cargo run --release -- ", "custos ");
        if whole.starts_with("custos ") {
            let without_comment = whole.split(" #").next().unwrap_or_default();
            let words = without_comment.split_whitespace().skip(1);
            commands.push(
                words
                    .take_while(|word| !matches!(*word, "--" | "|" | ">" | "&&" | ";"))
                    .map(str::to_owned)
                    .collect(),
            );
        }
    }
    commands
}

/// Checks that the subcommand is there and that its help names every option shown.
fn exists(custos: &Custos, words: &[String]) -> Result<()> {
    let plain = |word: &&String| {
        word.chars()
            .all(|letter| letter.is_ascii_lowercase() || letter == '-')
    };
    let path: Vec<&String> = words
        .iter()
        .take_while(|word| !word.starts_with('-') && plain(word))
        .collect();
    // The first words that are names of commands: `keys generate trainer` has two.
    let mut help = None;
    for length in (1..=path.len().min(2)).rev() {
        let mut line: Vec<&str> = path.iter().take(length).map(|word| word.as_str()).collect();
        line.push("--help");
        let done = custos.run(&line)?;
        let is_group = done.stdout.contains("<COMMAND>") && length < path.len();
        if done.status.success() && !is_group {
            help = Some(done.stdout);
            break;
        }
    }
    let shown = words.join(" ");
    let help = match (help, path.is_empty()) {
        (Some(help), _) => help,
        (None, true) => custos.run(["--help"])?.stdout,
        (None, false) => bail!("there is no `custos {shown}`"),
    };
    for option in words.iter().filter(|word| word.starts_with("--")) {
        let name = option.split('=').next().context("split gives one")?;
        ensure!(help.contains(name), "`custos {shown}`: there is no {name}");
    }
    Ok(())
}

fn none(faults: &[String]) -> Result<()> {
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(list: &[(&str, &str)]) -> BTreeMap<PathBuf, String> {
        list.iter()
            .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn dead_links_are_found() {
        let pages = pages(&[
            (
                "README.md",
                "[a](docs/a.md) [b](docs/b.md#one-two) [c](https://x.y/z) [`d`](docs/d.md)",
            ),
            (
                "docs/a.md",
                "[up](../README.md) [self](#here)\n## Not here\n```\n[x](nowhere)\n```",
            ),
            ("docs/b.md", "# One, two!\n[gone](../c.md)"),
        ]);
        let found = dead_links(&pages, |path| pages.contains_key(path));
        assert_eq!(
            found,
            [
                "README.md: docs/d.md leads nowhere",
                "docs/a.md: #here leads nowhere",
                "docs/b.md: ../c.md leads nowhere",
            ]
        );
    }

    #[test]
    fn machine_paths_are_found() {
        let bad = format!("see {}{}x", "/ro", "ot/");
        assert_eq!(machine_paths(&bad).count(), 1);
        assert_eq!(machine_paths("target/work/x and /srv/custos").count(), 0);
        assert_eq!(
            machine_paths(&format!("[\"{}{}\"]", "/ro", "ot/")).count(),
            0
        );
    }

    #[test]
    fn commands_are_read_from_code_only() {
        let text = "custos nothing\n```sh\n$ custos keys generate a --kind p256 # why\n\
                    cargo run --release -- demo\ncustos run --name x \\\n  --input y -- sh -c z\n```\n";
        let found = shown_commands(text);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0], ["keys", "generate", "a", "--kind", "p256"]);
        assert_eq!(found[1], ["demo"]);
        assert_eq!(found[2], ["run", "--name", "x", "--input", "y"]);
    }
}
