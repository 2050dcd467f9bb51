//! What `doctor` says about trust: how old the followed root is, when certificates end, which keys
//! were revoked, what waits for approval.

use custos_core::clock::Timestamp;
use custos_server::trusted_root::AuthorityInstance;
use custos_trust::tuf::Role;
use custos_trust::verify::Certificate;

use super::{Finding, told};
use crate::commands::trust_life;
use crate::context::Context;
use crate::home::Home;
use crate::key_life;
use crate::services::TrustPlace;
use crate::spool;
use crate::term::count;

const DAY: i64 = 86_400_000_000;
/// A certificate that ends within this many days is worth a warning.
const SOON: i64 = 30;

/// Looks at everything that the home trusts.
pub(super) fn check(context: &Context, home: &Home) -> Vec<Finding> {
    let now = context.now();
    let mut found = Vec::new();
    found.extend(followed(home, now));
    found.extend(own(home, now));
    found.extend(revoked(home));
    found.extend(pending(home, now));
    found
}

// The root that the home follows: each of its files, and when it was last brought up to date.
fn followed(home: &Home, now: Timestamp) -> Option<Finding> {
    let status = match trust_life::status_of(home) {
        Ok(Some(status)) => status,
        Ok(None) => return None,
        Err(failure) => {
            let mend = "custos trust update";
            return Some(Finding::fail("trust", told(&failure), mend));
        }
    };
    let (keys, threshold) = status.keys;
    let age = std::fs::metadata(key_life::metadata(home).dir().join("timestamp.json"))
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map(|since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
        .map(|at| updated(now.as_micros().saturating_sub(at)));
    let first = status.roles.iter().min_by_key(|(_, _, expires)| *expires)?;
    let (role, version, expires) = first;
    let told = age.as_deref().unwrap_or("never updated");
    let text = format!(
        "{threshold} of {keys} keys, {told}, {role} version {version} ends first, at {expires}"
    );
    // Timestamp and snapshot end every few days; these take their keys' holders some time.
    let soon = status.roles.iter().find(|(role, _, expires)| {
        matches!(role, Role::Root | Role::Targets)
            && expires.micros_since(now).div_euclid(DAY) < SOON
    });
    Some(if *expires <= now {
        let mend = "custos trust update; else ask its owners to publish";
        Finding::fail("trust", format!("EXPIRED: {text}"), mend)
    } else if age.is_none() {
        Finding::warn("trust", text, "custos trust update")
    } else if let Some((role, _, expires)) = soon {
        let left = expires.micros_since(now).div_euclid(DAY);
        let text = format!("{text}; {left} days left of {role}");
        Finding::warn("trust", text, "ask its owners to publish a new one")
    } else {
        Finding::ok("trust", text)
    })
}

fn updated(micros: i64) -> String {
    match micros.div_euclid(DAY) {
        days if days <= 0 => "updated today".to_owned(),
        days => format!(
            "updated {} ago",
            count(u64::try_from(days).unwrap_or(0), "day")
        ),
    }
}

// The certificates of an authority, own or followed, that are the first to end.
fn own(home: &Home, now: Timestamp) -> Vec<Finding> {
    let place = TrustPlace::of(home);
    if !place.trusted_root().exists() {
        return Vec::new();
    }
    let root = match place.read_root() {
        Ok(root) => root,
        Err(failure) => {
            let mend = "custos trust show";
            return vec![Finding::fail("authority", told(&failure), mend)];
        }
    };
    let mut found = Vec::new();
    for (name, authorities) in [
        ("ca", &root.certificate_authorities),
        ("timestamps", &root.timestamp_authorities),
    ] {
        // Authorities that ended are kept for what they once signed; the last one signs now.
        let last = authorities.iter().filter_map(ends).max();
        let Some(end) = last else { continue };
        let left = end.micros_since(now).div_euclid(DAY);
        let text = format!("its certificate ends at {end}");
        let mend = "make new certificates below the root, and publish them";
        found.push(if end <= now {
            Finding::fail(name, format!("EXPIRED: {text}"), mend)
        } else if left < SOON {
            Finding::warn(name, format!("{left} days left: {text}"), mend)
        } else {
            Finding::ok(name, text)
        });
    }
    found
}

fn ends(authority: &AuthorityInstance) -> Option<Timestamp> {
    let certificates = authority.cert_chain.certificates.iter();
    let ends = certificates.filter_map(|one| {
        let certificate = Certificate::parse(one.raw_bytes.as_slice()).ok()?;
        Some(certificate.validity().1)
    });
    // A chain holds as long as its weakest link.
    let end = ends.min()?;
    let until = authority.valid_for.and_then(|valid| valid.end);
    Some(until.map_or(end, |until| until.min(end)))
}

fn revoked(home: &Home) -> Vec<Finding> {
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let mut found = Vec::new();
    match key_life::load(home) {
        Ok(None) => {}
        Ok(Some(list)) => found.push(Finding::ok(
            "revoked",
            format!(
                "{}, {}, version {}",
                count(number(list.revoked().len()), "revocation"),
                count(number(list.rotations().len()), "rotation"),
                list.version()
            ),
        )),
        Err(failure) => {
            let mend = "custos trust update";
            found.push(Finding::fail("revoked", told(&failure), mend));
        }
    }
    let version = key_life::load(home)
        .ok()
        .flatten()
        .map_or(0, |l| l.version());
    let waiting = std::fs::read_dir(key_life::proposals(home)).map_or(0, |entries| {
        let files = entries.filter_map(Result::ok);
        let newer = |name: String| {
            let number = name.split('-').nth(1).and_then(|n| n.parse::<u64>().ok());
            number.is_some_and(|number| number > version)
        };
        files
            .filter(|entry| newer(entry.file_name().to_string_lossy().into_owned()))
            .count()
    });
    if waiting > 0 {
        found.push(Finding::warn(
            "proposals",
            format!("{} for approval", count(number(waiting), "proposal")),
            format!(
                "custos keys approve {}/FILE --key NAME",
                key_life::proposals(home).display()
            ),
        ));
    }
    found
}

fn pending(home: &Home, now: Timestamp) -> Option<Finding> {
    let waiting = match spool::list(home) {
        Ok(waiting) => waiting,
        Err(failure) => return Some(Finding::fail("spool", told(&failure), "custos log flush")),
    };
    let first = waiting.iter().map(|one| one.log_by).min()?;
    let text = format!(
        "{} to be logged, the first by {first}",
        count(
            u64::try_from(waiting.len()).unwrap_or(u64::MAX),
            "statement"
        )
    );
    Some(if first <= now {
        Finding::fail("spool", format!("OVERDUE: {text}"), "custos log flush")
    } else {
        Finding::warn("spool", text, "custos log flush")
    })
}
