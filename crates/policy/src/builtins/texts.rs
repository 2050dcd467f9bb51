//! Functions over texts that the engine answers in another way than OPA.

use std::net::{IpAddr, Ipv6Addr};

use regorus::Value;

use super::{OUT_OF_RANGE, string};

const NOT_A_NETWORK: &str = "not a network such as 10.0.0.0/8";
const NOT_A_TIME: &str = "not a time such as 2026-11-20T14:02:00Z";

/// Counts occurrences that do not overlap, as OPA does; the engine's own panics on an empty
/// text, and counts those that overlap.
pub(super) fn count(args: &[Value]) -> Result<Value, &'static str> {
    let (text, part) = (string(args, 0)?, string(args, 1)?);
    let count = if part.is_empty() {
        text.chars().count().saturating_add(1)
    } else {
        text.matches(part).count()
    };
    u64::try_from(count)
        .map(Value::from)
        .map_err(|_| OUT_OF_RANGE)
}

/// Replaces all at once, as OPA does; the engine's own replaces in what it has replaced.
pub(super) fn replace_all(args: &[Value]) -> Result<Value, &'static str> {
    let Some(Value::Object(pairs)) = args.first() else {
        return Err("the first argument is not an object");
    };
    let text = string(args, 1)?;
    let mut table = Vec::new();
    for pair in pairs.iter() {
        match pair {
            (Value::String(old), Value::String(new)) if !old.is_empty() => table.push((old, new)),
            _ => return Err("not an object of texts, or a text to replace is empty"),
        }
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let found = table
            .iter()
            .find_map(|(old, new)| Some((rest.strip_prefix(old.as_ref())?, new)));
        if let Some((behind, new)) = found {
            out.push_str(new);
            rest = behind;
        } else {
            out.push(next);
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(Value::from(out))
}

/// Tells whether a network holds an address or a network. As in OPA, `::ffff:10.0.0.1` is
/// `10.0.0.1`; for the engine's own it lies in no IPv4 network.
pub(super) fn network_contains(args: &[Value]) -> Result<Value, &'static str> {
    let (outer, bits) = network(string(args, 0)?).ok_or(NOT_A_NETWORK)?;
    let inner = string(args, 1)?;
    let found = match inner.parse::<IpAddr>() {
        Ok(address) => (address.to_canonical(), u8::MAX),
        Err(_) => network(inner).ok_or("neither an address nor a network")?,
    };
    let contains = match (outer, found) {
        (IpAddr::V4(outer), (IpAddr::V4(inner), length)) => {
            length >= bits
                && cut(outer.to_bits().into(), bits, 32) == cut(inner.to_bits().into(), bits, 32)
        }
        (IpAddr::V6(outer), (IpAddr::V6(inner), length)) => {
            length >= bits && cut(outer.to_bits(), bits, 128) == cut(inner.to_bits(), bits, 128)
        }
        _ => false,
    };
    Ok(Value::from(contains))
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let digits = bits.len() <= 3 && bits.bytes().all(|byte| byte.is_ascii_digit());
    let plain = bits == "0" || !bits.starts_with('0');
    let bits: u8 = bits.parse().ok().filter(|_| digits && plain)?;
    match address.parse().ok()? {
        IpAddr::V4(address) => (bits <= 32).then_some((IpAddr::V4(address), bits)),
        IpAddr::V6(address) => (bits <= 128).then(|| mapped(address, bits)),
    }
}

// A network of IPv4 addresses written in the form of IPv6.
fn mapped(address: Ipv6Addr, bits: u8) -> (IpAddr, u8) {
    match (address.to_ipv4_mapped(), bits.checked_sub(96)) {
        (Some(inner), Some(bits)) => (IpAddr::V4(inner), bits),
        _ => (IpAddr::V6(address), bits),
    }
}

fn cut(address: u128, bits: u8, width: u32) -> u128 {
    let below = width.saturating_sub(u32::from(bits));
    address.checked_shr(below).unwrap_or_default()
}

/// Reads a time of RFC 3339 and nothing else: in the form that OPA reads.
pub(super) fn parse_time(args: &[Value]) -> Result<Value, &'static str> {
    let text = string(args, 0)?;
    if !is_rfc3339(text) {
        return Err(NOT_A_TIME);
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| NOT_A_TIME)?;
    i64::try_from(time.as_nanosecond())
        .map(Value::from)
        .map_err(|_| OUT_OF_RANGE)
}

// The parser accepts other forms too, and a 60th second.
fn is_rfc3339(text: &str) -> bool {
    let shape = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text
                .bytes()
                .zip(shape.bytes())
                .all(|(byte, like)| match like {
                    b'0' => byte.is_ascii_digit(),
                    like => byte == like,
                })
    };
    let Some((moment, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let zone = match rest.strip_prefix(['.', ',']) {
        Some(fraction) if (1..=9).contains(&digits(fraction)) => {
            fraction.get(digits(fraction)..).unwrap_or_default()
        }
        Some(_) => return false,
        None => rest,
    };
    shape(moment, "0000-00-00T00:00:00")
        && !moment.ends_with(":60")
        && (zone == "Z" || shape(zone, "+00:00") || shape(zone, "-00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(outer: &str, inner: &str) -> Result<bool, &'static str> {
        network_contains(&[Value::from(outer), Value::from(inner)])
            .map(|value| value == Value::from(true))
    }

    #[test]
    fn networks_hold_addresses_and_networks() {
        for (outer, inner, expected) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.0.0.1", true),
            ("10.0.0.0/8", "10.0.0.0/16", true),
            ("10.0.0.0/16", "10.0.0.0/8", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "10.0.0.1", false),
            ("10.1.2.3/8", "10.0.0.1", true),
            ("1.2.3.4/32", "1.2.3.4", true),
            ("fe80::/10", "fe80::1", true),
        ] {
            assert_eq!(contains(outer, inner), Ok(expected), "{outer} {inner}");
        }
        for (outer, inner) in [
            ("10.0.0.0", "10.0.0.1"),
            ("10.0.0.0/33", "10.0.0.1"),
            ("10.0.0.0/+8", "10.0.0.1"),
            ("10.0.0.0/08", "10.0.0.1"),
            ("10.0.0.0/8", "010.0.0.1"),
            ("10.0.0.0/8", ""),
        ] {
            assert!(contains(outer, inner).is_err(), "{outer} {inner}");
        }
    }

    #[test]
    fn texts_are_replaced_once() {
        let pairs = Value::from_json_str(r#"{"a": "b", "b": "c"}"#).unwrap();
        let replaced = replace_all(&[pairs, Value::from("abé")]);
        assert_eq!(replaced, Ok(Value::from("bcé")));
        let empty = Value::from_json_str(r#"{"": "b"}"#).unwrap();
        assert!(replace_all(&[empty, Value::from("a")]).is_err());
    }

    #[test]
    fn times_have_one_form() {
        for good in [
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.5Z",
            "2026-01-01T00:00:00.123456789+01:00",
            "2026-01-01T00:00:00-00:00",
        ] {
            assert!(parse_time(&[Value::from(good)]).is_ok(), "{good}");
        }
        for bad in [
            "2026-01-01 00:00:00Z",
            "2026-01-01t00:00:00z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00+01",
            "2026-01-01T00:00:00+0100",
            "20260101T000000Z",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+01:00[Europe/Paris]",
            "2026-02-30T00:00:00Z",
            "\u{e9}026-01-01T00:00:00Z",
            "",
        ] {
            assert!(parse_time(&[Value::from(bad)]).is_err(), "{bad}");
        }
    }
}
