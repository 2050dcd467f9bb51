//! Where connections may go: the defence against server-side request forgery.
//!
//! The rule is applied to the addresses that a name resolved to, and the connection goes to those
//! very addresses, so neither a second look-up nor an odd spelling of an address gets around it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::Refusal;
use crate::url::{Origin, Url};

/// What kind of network an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Zone {
    /// The metadata service of a cloud, which hands out credentials.
    Metadata,
    /// Link-local (RFC 3927, RFC 4291).
    LinkLocal,
    /// This machine.
    Loopback,
    /// A network of somebody's own: RFC 1918, RFC 4193, RFC 6598, RFC 2544.
    Private,
    /// The Internet.
    Public,
    /// No single host that a client talks to: multicast, broadcast, reserved, documentation.
    Special,
}

impl Zone {
    /// Returns the zone of an address. An IPv4 address inside of an IPv6 address counts.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => match embedded(address) {
                Some(inner) => Self::of_v4(inner),
                None => Self::of_v6(address),
            },
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            // AWS, Google, Azure; Alibaba; Oracle; Azure's wire server.
            [169, 254, 169, 254 | 253 | 252 | 250]
            | [169, 254, 170, 2 | 23]
            | [100, 100, 100, 200]
            | [192, 0, 0, 192]
            | [168, 63, 129, 16] => Self::Metadata,
            [169, 254, ..] => Self::LinkLocal,
            [127, ..] => Self::Loopback,
            [10, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [100, 64..=127, ..]
            | [198, 18..=19, ..] => Self::Private,
            // The last but one leads into 6to4 (RFC 7526), and so to an address inside of another.
            [0 | 224..=255, ..]
            | [192, 0, 0 | 2, _]
            | [198, 51, 100, _]
            | [192, 88, 99, _]
            | [203, 0, 113, _] => Self::Special,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        match address.segments() {
            [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Self::Metadata,
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            [0xfc00..=0xfdff, ..] => Self::Private,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            // Everything that is a unicast address of the Internet lies in 2000::/3. Not so what
            // protocols have for themselves (RFC 2928): Teredo hides an IPv4 address.
            [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Self::Special,
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Special,
        }
    }
}

// IPv4-mapped and -compatible addresses, NAT64 (RFC 6052, RFC 8215) and 6to4 (RFC 3056) reach the
// IPv4 address inside of them.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0 | 1, 0, 0, 0, high, low] => {
            (high, low)
        }
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => (high, low),
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
}

/// Which destinations a client may talk to.
///
/// Over `https`, every public address, and with [`Guard::private`] those of private networks and
/// of this machine. Beyond that only what the caller's own configuration named: the origin
/// (scheme, host and port) given to [`Guard::naming`] may be anywhere, and may speak plain `http`.
#[derive(Debug, Clone)]
pub struct Guard {
    private: bool,
    named: Vec<Origin>,
}

impl Guard {
    /// Allows public addresses: for URLs that others wrote.
    pub const fn public() -> Self {
        Self {
            private: false,
            named: Vec::new(),
        }
    }

    /// Allows private networks and this machine as well: for services inside of a company.
    pub const fn private() -> Self {
        Self {
            private: true,
            named: Vec::new(),
        }
    }

    /// Allows the origin of `url`, wherever it is: the caller's configuration named it.
    pub fn naming(mut self, url: &Url) -> Self {
        self.named.push(url.origin().clone());
        self
    }

    pub(crate) fn naming_origin(mut self, origin: Origin) -> Self {
        self.named.push(origin);
        self
    }

    /// Decides what can be decided without a look-up.
    pub(crate) fn check_origin(&self, origin: &Origin) -> Result<(), Refusal> {
        if self.named.contains(origin) {
            return Ok(());
        }
        if !origin.is_tls() {
            return Err(Refusal::PlainHttp);
        }
        // Its address is link-local, but a proxy would look the name up for us.
        if origin.host() == "metadata.google.internal" {
            return Err(Refusal::Zone(Zone::Metadata));
        }
        match origin.address() {
            Some(address) => self.check_address(origin, address),
            None => Ok(()),
        }
    }

    /// Decides about one address that the host of `origin` resolved to.
    pub(crate) fn check_address(&self, origin: &Origin, address: IpAddr) -> Result<(), Refusal> {
        if self.named.contains(origin) {
            return Ok(());
        }
        match Zone::of(address) {
            Zone::Public => Ok(()),
            Zone::Private | Zone::Loopback if self.private => Ok(()),
            zone => Err(Refusal::Zone(zone)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone(text: &str) -> Zone {
        Zone::of(text.parse().unwrap())
    }

    #[test]
    fn zones() {
        for (zone_of, addresses) in [
            (
                Zone::Metadata,
                &[
                    "169.254.169.254",
                    "169.254.170.2",
                    "100.100.100.200",
                    "168.63.129.16",
                    "fd00:ec2::254",
                    "::ffff:169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                    "2002:a9fe:a9fe::",
                    "::a9fe:a9fe",
                ][..],
            ),
            (Zone::LinkLocal, &["169.254.0.1", "fe80::1", "febf::1"]),
            (
                Zone::Loopback,
                &["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"],
            ),
            (
                Zone::Private,
                &[
                    "10.1.2.3",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "198.18.0.1",
                    "fd12::1",
                    "::ffff:10.0.0.1",
                ],
            ),
            (
                Zone::Special,
                &[
                    "0.0.0.0",
                    "255.255.255.255",
                    "224.0.0.1",
                    "::",
                    "ff02::1",
                    "2001:db8::1",
                    "fec0::1",
                ],
            ),
            (
                Zone::Public,
                &[
                    "1.1.1.1",
                    "172.32.0.1",
                    "100.128.0.1",
                    "2606:4700::1",
                    "64:ff9b::808:808",
                ],
            ),
        ] {
            for address in addresses {
                assert_eq!(zone(address), zone_of, "{address}");
            }
        }
    }

    #[test]
    fn addresses_that_lead_on_to_others_are_not_public() {
        // Teredo, ORCHID, the relay of 6to4.
        let teredo = "2001:0:4136:e378:8000:63bf:5601:5601";
        for address in [teredo, "2001:20::1", "2001:1ff::1", "192.88.99.1"] {
            assert_eq!(zone(address), Zone::Special, "{address}");
        }
        assert_eq!(zone("2001:200::1"), Zone::Public);
    }

    #[test]
    fn only_what_was_named_may_be_anywhere() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let named = url("http://169.254.169.254");
        let guard = Guard::public().naming(&named);
        let check = |guard: &Guard, text: &str| guard.check_origin(url(text).origin());
        assert_eq!(check(&guard, "http://169.254.169.254/x"), Ok(()));
        for (text, refusal) in [
            ("http://169.254.169.254:8080", Refusal::PlainHttp),
            ("https://169.254.169.254", Refusal::Zone(Zone::Metadata)),
            ("https://[::ffff:a9fe:a9fe]", Refusal::Zone(Zone::Metadata)),
            (
                "https://metadata.google.internal",
                Refusal::Zone(Zone::Metadata),
            ),
            ("https://10.0.0.1", Refusal::Zone(Zone::Private)),
            ("https://127.0.0.1", Refusal::Zone(Zone::Loopback)),
            ("http://example.org", Refusal::PlainHttp),
        ] {
            assert_eq!(check(&guard, text), Err(refusal), "{text}");
        }
        assert_eq!(check(&Guard::private(), "https://10.0.0.1"), Ok(()));
        assert_eq!(check(&Guard::private(), "https://127.0.0.1"), Ok(()));
        assert_eq!(
            check(&Guard::private(), "https://169.254.169.254"),
            Err(Refusal::Zone(Zone::Metadata))
        );
    }

    proptest! {
        #[test]
        fn an_address_does_not_become_public_by_being_wrapped(bits: u32) {
            let inner = Ipv4Addr::from(bits);
            let expected = Zone::of(inner.into());
            prop_assert_eq!(Zone::of(inner.to_ipv6_mapped().into()), expected);
            let [a, b, c, d] = inner.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
            prop_assert_eq!(Zone::of(nat64.into()), expected);
            let six_to_four = Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1);
            prop_assert_eq!(Zone::of(six_to_four.into()), expected);
        }
    }
}
