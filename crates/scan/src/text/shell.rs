//! Shell scripts and Dockerfiles, as far as single commands tell what they do.

use custos_core::finding::{Location, Severity};

use crate::route::{Format, Head};
use crate::rules;
use crate::supply::requirement_line;
use crate::work::{Input, Look};

use super::{plain, shortened};

/// Longest script that is read.
const MAX_SCRIPT: usize = 4 << 20;

/// Scripts for a shell.
pub(super) const SCRIPT: Format = Format {
    name: "shell script",
    extensions: &["sh", "bash", "zsh"],
    recognises: recognises_script,
    examine: examine_script,
};

/// Recipes for images of containers.
pub(super) const DOCKERFILE: Format = Format {
    name: "dockerfile",
    extensions: &["dockerfile"],
    recognises: recognises_dockerfile,
    examine: examine_dockerfile,
};

/// Looks at commands that lie at a place.
pub(super) fn examine(look: &mut Look<'_, '_, '_>, at: &Location, source: &str) {
    for (number, line) in joined(source) {
        if let Some((severity, why)) = judge(&line) {
            tell(look, at, number, (severity, why, &line));
        }
        installs(look, at, number, &line);
    }
}

/// Looks at packages that a line of commands installs.
fn installs(look: &mut Look<'_, '_, '_>, at: &Location, number: u32, line: &str) {
    let base = at.line.unwrap_or(1);
    let location = Location {
        line: Some(base.saturating_add(number.saturating_sub(1))),
        ..at.clone()
    };
    for command in line.split("&&").flat_map(|part| part.split(';')) {
        // What is none, such as the marker behind a requirement, is left alone.
        requirement_line(look, &location, command);
    }
}

fn tell(
    look: &mut Look<'_, '_, '_>,
    at: &Location,
    number: u32,
    (severity, why, line): (Severity, &str, &str),
) {
    let base = at.line.unwrap_or(1);
    let location = Location {
        line: Some(base.saturating_add(number.saturating_sub(1))),
        ..at.clone()
    };
    let mut finding = rules::text::SHELL_COMMAND.finding(location, format!("a command {why}"));
    finding.severity = severity;
    finding.evidence = Some(shortened(line));
    look.work.find(finding);
}

// Lines, with those that go on put together; comments left out.
fn joined(source: &str) -> Vec<(u32, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(u32, String)> = None;
    for (number, line) in (1_u32..).zip(source.lines()) {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let (start, mut text) = open.take().unwrap_or((number, String::new()));
        match line.strip_suffix('\\') {
            Some(part) if text.len() < (64 << 10) => {
                text.push_str(part);
                text.push(' ');
                open = Some((start, text));
            }
            _ => {
                text.push_str(line);
                lines.push((start, text));
            }
        }
    }
    lines.extend(open);
    lines
}

// How bad a line of commands is, and why.
fn judge(line: &str) -> Option<(Severity, &'static str)> {
    const REMOTE: [&str; 7] = [
        "/dev/tcp/",
        "/dev/udp/",
        "nc -e",
        "ncat -e",
        "netcat -e",
        "bash -i >&",
        "sh -i >&",
    ];
    if REMOTE.iter().any(|mark| line.contains(mark)) {
        return Some((Severity::Critical, "opens a shell to another machine"));
    }
    let runs = |part: &str| {
        let part = part
            .trim_start()
            .trim_start_matches("sudo ")
            .trim_start_matches("-E ");
        let word = part.split_whitespace().next().unwrap_or_default();
        let word = word.rsplit('/').next().unwrap_or_default();
        matches!(
            word,
            "sh" | "bash" | "zsh" | "dash" | "python" | "python3" | "perl" | "ruby" | "node"
        )
    };
    let parts: Vec<&str> = line.split('|').collect();
    let fetched = |part: &&str| part.contains("curl ") || part.contains("wget ");
    let decoded = |part: &&str| {
        part.contains("base64 -d") || part.contains("base64 --decode") || part.contains("xxd -r")
    };
    let last = parts.iter().skip(1).any(|part| runs(part));
    if last && parts.iter().any(decoded) {
        return Some((Severity::High, "runs what it decodes"));
    }
    let substituted = ["$(curl", "$(wget", "`curl", "`wget", "<(curl", "<(wget"];
    let evaluated = line.contains("eval ")
        || line.contains("sh -c")
        || line.contains("source ")
        || line.contains("bash <");
    if last && parts.iter().any(fetched)
        || evaluated && substituted.iter().any(|mark| line.contains(mark))
    {
        return Some((
            Severity::Medium,
            "runs what it fetches, without a look at it",
        ));
    }
    let removed = line.contains("rm -rf /") || line.contains("rm -fr /");
    let rest = line.split("rm -rf ").nth(1).unwrap_or_default();
    let target = rest.split_whitespace().next().unwrap_or_default();
    if removed && matches!(target, "/" | "/*" | "/home" | "/etc" | "/usr") {
        return Some((Severity::High, "removes what the system needs"));
    }
    None
}

fn recognises_script(head: &Head, input: &Input<'_>) -> bool {
    let named = matches!(input.extension().as_str(), "sh" | "bash" | "zsh");
    let first = head
        .bytes()
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let first = if first.starts_with(b"#!") {
        String::from_utf8_lossy(first)
    } else {
        std::borrow::Cow::Borrowed("")
    };
    let marked = first.starts_with("#!")
        && ["sh", "bash", "zsh", "dash"]
            .iter()
            .any(|shell| first.trim_end().ends_with(shell));
    (named || marked) && plain::is_text(head)
}

fn examine_script(look: &mut Look<'_, '_, '_>) {
    if let Some(text) = plain::whole(look, MAX_SCRIPT) {
        let here = look.here();
        examine(look, &here, &text);
    }
    plain::examine(look);
}

// The first instruction is `FROM`, or `ARG` before it.
fn recognises_dockerfile(head: &Head, input: &Input<'_>) -> bool {
    if !plain::is_text(head) {
        return false;
    }
    let text = String::from_utf8_lossy(head.bytes());
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let from = |line: &str| {
        let mut words = line.split_whitespace();
        let keyword = words.next().is_some_and(|word| word == "FROM");
        let image = words.find(|word| !word.starts_with("--"));
        let rest = words.next();
        keyword && image.is_some() && rest.is_none_or(|word| word.eq_ignore_ascii_case("as"))
    };
    let first = lines.find(|line| !line.starts_with("ARG "));
    let others = [
        "RUN ",
        "COPY ",
        "CMD ",
        "ENTRYPOINT ",
        "WORKDIR ",
        "ENV ",
        "ADD ",
        "USER ",
        "LABEL ",
        "EXPOSE ",
    ];
    let name = input.name().to_ascii_lowercase();
    first.is_some_and(from)
        && (name.contains("dockerfile")
            || lines.any(|line| others.iter().any(|word| line.starts_with(word))))
}

fn examine_dockerfile(look: &mut Look<'_, '_, '_>) {
    if let Some(text) = plain::whole(look, MAX_SCRIPT) {
        let here = look.here();
        let mut user = None;
        for (number, line) in joined(&text) {
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
            match word.to_ascii_uppercase().as_str() {
                "RUN" | "CMD" | "ENTRYPOINT" => {
                    if let Some((severity, why)) = judge(rest) {
                        tell(look, &here, number, (severity, why, &line));
                    }
                    installs(look, &here, number, rest);
                }
                "USER" => user = Some((number, rest.trim().to_owned())),
                "FROM" => {
                    user = None;
                    image(look, number, rest);
                }
                "ADD" => added(look, number, rest),
                "ENV" | "ARG" => variable(look, number, rest),
                _ => {}
            }
        }
        if let Some((number, name)) =
            user.filter(|(_, name)| matches!(name.as_str(), "root" | "0" | "0:0"))
        {
            docker(
                look,
                number,
                Severity::Low,
                format!("the container runs as `{name}`"),
            );
        }
    }
    plain::examine(look);
}

fn image(look: &mut Look<'_, '_, '_>, number: u32, rest: &str) {
    let name = rest
        .split_whitespace()
        .find(|word| !word.starts_with("--"))
        .unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    let moving = last.ends_with(":latest") || !last.contains([':', '@']) && name.contains('/');
    if moving && !name.contains('$') {
        let message = format!(
            "the base image `{}` is another one tomorrow",
            shortened(name)
        );
        docker(look, number, Severity::Low, message);
    }
}

fn added(look: &mut Look<'_, '_, '_>, number: u32, rest: &str) {
    let checked = rest.contains("--checksum=");
    let address = rest
        .split_whitespace()
        .find(|word| word.starts_with("http://") || word.starts_with("https://"));
    if let Some(address) = address.filter(|_| !checked) {
        let message = format!(
            "`{}` goes into the image without a look at it",
            shortened(address)
        );
        docker(look, number, Severity::Low, message);
    }
}

fn variable(look: &mut Look<'_, '_, '_>, number: u32, rest: &str) {
    let (name, value) = rest.split_once(['=', ' ']).unwrap_or((rest, ""));
    let upper = name.trim().to_ascii_uppercase();
    let secret = [
        "PASSWORD",
        "SECRET",
        "TOKEN",
        "API_KEY",
        "PRIVATE_KEY",
        "ACCESS_KEY",
    ]
    .iter()
    .any(|word| upper.ends_with(word));
    let value = value.trim().trim_matches(['"', '\'']);
    if secret && value.len() >= 8 && !value.contains('$') && !value.contains('<') {
        let message = format!(
            "the image keeps a secret in the variable `{}`",
            shortened(name)
        );
        docker(look, number, Severity::Medium, message);
    }
}

fn docker(look: &mut Look<'_, '_, '_>, number: u32, severity: Severity, message: String) {
    let location = Location {
        line: Some(number),
        ..look.here()
    };
    let mut finding = rules::text::DOCKERFILE.finding(location, message);
    finding.severity = severity;
    look.work.find(finding);
}
