//! Files that a program runs or writes, and keys that it sends: how bad that is by where they lie
//! and where they go.

use custos_core::finding::Severity;

use crate::rules;
use crate::text::code::Value;
use crate::text::shortened;

use super::judge::{Called, Verdict, words};
use super::values::{Signs, Val};

/// Returns true for a name in a place that everybody writes to, or on another machine.
pub(super) fn is_outside(name: &Value) -> bool {
    const PLACES: [&str; 7] = [
        "/tmp/",
        "/var/tmp/",
        "/dev/shm/",
        "http://",
        "https://",
        "\\\\",
        "C:\\Users\\Public\\",
    ];
    let name = name.text().unwrap_or_default();
    PLACES.iter().any(|place| name.starts_with(place))
}

/// Returns what running a file by its name means.
pub(super) fn runs_file(called: &Called<'_>) -> Option<Verdict> {
    let rule = &rules::text::PYTHON_EXEC;
    let path = called.path;
    let second = path.starts_with("imp");
    let location = called.named.iter();
    let mut location = location.filter(|(name, _)| matches!(*name, "location" | "path"));
    let name = location.next().map(|(_, value)| value);
    let name = name.or_else(|| called.arguments.get(usize::from(second)))?;
    let shown = words(&name.value);
    if is_outside(&name.value) || name.signs.any(Signs::FETCHED) {
        let message = format!(
            "`{path}` runs the file `{}`, which lies where everybody writes",
            shortened(&shown)
        );
        return Some(Verdict::new(
            rule,
            Severity::High,
            Severity::Medium,
            message,
        ));
    }
    let message = if shown.is_empty() {
        format!("`{path}` runs a file")
    } else {
        format!("`{path}` runs the file `{}`", shortened(&shown))
    };
    Some(Verdict::new(rule, Severity::Medium, Severity::Info, message).likely())
}

/// Returns what it means that a key of a service is sent, if one is. A key goes to its service in
/// a header or by the library of the service; in an address or in what is posted, it is data.
pub(super) fn key_sent(called: &Called<'_>) -> Option<Verdict> {
    const SERVICES: [&str; 13] = [
        "amazonaws.com",
        "azure.com",
        "windows.net",
        "microsoftonline.com",
        "huggingface.co",
        "hf.co",
        "github.com",
        "gitlab.com",
        "openai.com",
        "anthropic.com",
        "googleapis.com",
        "npmjs.org",
        "wandb.ai",
    ];
    let keyed = |value: &Val| value.signs.any(Signs::KEY);
    let named = called.named.iter();
    let mut posted =
        named.filter(|(name, _)| matches!(*name, "data" | "json" | "params" | "files"));
    let sent = called.arguments.iter().any(keyed) || posted.any(|(_, value)| keyed(value));
    let address = called.arguments.iter().find_map(|one| one.value.text());
    let own = address.is_some_and(|address| SERVICES.iter().any(|host| address.contains(host)));
    let addressed = called.arguments.first().is_some_and(keyed);
    (sent && !own && (addressed || address.is_some())).then(|| {
        let message = format!(
            "`{}` sends a key out of the environment of the user to another machine",
            called.path
        );
        let rule = &rules::text::PYTHON_NETWORK;
        Verdict::new(rule, Severity::High, Severity::Low, message).likely()
    })
}

/// Returns what opening a file for writing means, if anything.
pub(super) fn opened(name: &Val, mode: &str) -> Option<Verdict> {
    const PLACES: [&str; 14] = [
        ".ssh/",
        "authorized_keys",
        ".bashrc",
        ".bash_profile",
        ".zshrc",
        "/.profile",
        "/etc/cron",
        "crontab",
        "/etc/passwd",
        "/etc/ld.so.preload",
        "sitecustomize.py",
        "usercustomize.py",
        "/etc/systemd",
        "LaunchAgents",
    ];
    let writes = mode.contains(['w', 'a', '+', 'x']);
    let site = name.signs.any(Signs::SITE);
    let name = name.value.text().unwrap_or_default();
    let place = site || PLACES.iter().any(|place| name.contains(place));
    (writes && place).then(|| {
        let message = format!(
            "the program writes `{}`, which others run or trust",
            shortened(name)
        );
        Verdict::new(
            &rules::text::PYTHON_WRITES,
            Severity::High,
            Severity::Medium,
            message,
        )
    })
}
