//! Local addresses and ports of connections, if there are too many for the kernel to choose them.
//!
//! Pure.
//!
//! An unbound connect takes a port of one half of the local range, because the other half is left
//! to `bind` (`__inet_hash_connect` in Linux). Once that half is full, each connect looks at all of
//! it before it tries the other half: with 14,000 connections to one address that takes a
//! millisecond of the caller's time. A port that is bound by its number is found at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The local side of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Address and port are left to the kernel.
    Any,
    /// This address of the loopback network; the port is left to the kernel.
    Loopback(Ipv4Addr),
    /// The next port of [`Ports`]; the address is left to the kernel.
    NextPort,
}

impl Source {
    /// Returns the source of connection `number` to `target`. `number` is the index of the
    /// connection among all that are open at the same time, over all processes.
    pub(super) fn of(target: IpAddr, number: usize) -> Self {
        let block = number / CONNECTIONS_PER_ADDRESS;
        match target {
            _ if block == 0 => Self::Any,
            IpAddr::V4(target) if target.is_loopback() => Self::Loopback(loopback(block)),
            // ::1 is the only loopback address of IPv6, and another host sees one address of this
            // machine.
            _ => Self::NextPort,
        }
    }
}

/// Returns the loopback address for block `block` of connections: 127.0.0.1 for block 0.
fn loopback(block: usize) -> Ipv4Addr {
    let block = u32::try_from(block).unwrap_or(u32::MAX);
    // Wraps within 127.0.0.0/8, and leaves 127.0.0.0 and 127.255.255.255 out.
    let host = block % LOOPBACK_HOSTS + 1;
    Ipv4Addr::from(LOOPBACK_NETWORK | host)
}

/// The local ports that are bound by their number, each once before any is used again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    /// The first port of the local range.
    first: u16,
    /// Number of ports of the local range.
    count: u16,
    /// Number of ports that were taken.
    taken: u32,
}

impl Ports {
    /// Returns the ports of `range`, which has the first and the last one. A process whose
    /// connections begin at number `offset` of all processes begins with another port than the
    /// processes before it.
    pub(super) fn new(range: (u16, u16), offset: usize) -> Self {
        let (first, last) = range;
        let count = last.saturating_sub(first).saturating_add(1);
        let begun = offset % usize::from(count);
        Self {
            first,
            count,
            taken: u32::try_from(begun).unwrap_or_default(),
        }
    }

    /// Returns how many ports there are.
    pub(super) fn count(self) -> u16 {
        self.count
    }

    /// Takes the next port. The odd ones of the range come first: the kernel gives an unbound
    /// connect the even ones.
    pub(super) fn take(&mut self) -> u16 {
        let index = self.taken % u32::from(self.count);
        self.taken = self.taken.wrapping_add(1);
        let odd = u32::from(self.count) / 2;
        let place = if index < odd {
            2 * index + 1
        } else {
            2 * (index - odd)
        };
        self.first + u16::try_from(place).unwrap_or_default()
    }
}

/// Parses `/proc/sys/net/ipv4/ip_local_port_range`: the first and the last port, for IPv6, too.
pub(super) fn port_range(text: &str) -> Option<(u16, u16)> {
    let mut ports = text.split_whitespace().map(|port| port.parse().ok());
    let (first, last) = (ports.next()??, ports.next()??);
    (first <= last).then_some((first, last))
}

/// The range if the kernel does not tell it: that of Linux.
pub(super) const DEFAULT_RANGE: (u16, u16) = (32_768, 60_999);

/// Returns the unspecified address of the kind of `target`, with `port`.
pub(super) fn any_address(target: SocketAddr, port: u16) -> SocketAddr {
    match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, port).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, port).into(),
    }
}

/// Number of connections from one address to one server before another address, or a port bound by
/// its number, is used. Fewer than the 14,116 ports among which an unbound connect searches in
/// Linux's default range, because other programs need some, too.
const CONNECTIONS_PER_ADDRESS: usize = 10_000;

const LOOPBACK_NETWORK: u32 = 0x7F00_0000;
const LOOPBACK_HOSTS: u32 = 0x00FF_FFFE;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn only_many_connections_need_a_source_of_their_own() {
        let target = IpAddr::from([127, 0, 0, 1]);
        let loopback = |address: [u8; 4]| Source::Loopback(address.into());
        assert_eq!(Source::of(target, 9_999), Source::Any);
        assert_eq!(Source::of(target, 10_000), loopback([127, 0, 0, 2]));
        assert_eq!(Source::of(target, 60_000), loopback([127, 0, 0, 7]));
        // More blocks than the last byte of an address can number.
        assert_eq!(Source::of(target, 2_550_000), loopback([127, 0, 1, 0]));
    }

    #[test]
    fn a_host_with_one_address_gets_ports_that_are_bound_by_their_number() {
        for target in ["192.0.2.1", "2001:db8::1", "::1"] {
            let target = target.parse().unwrap();
            assert_eq!(Source::of(target, 9_999), Source::Any);
            assert_eq!(Source::of(target, 10_000), Source::NextPort);
        }
    }

    #[test]
    fn every_port_of_the_range_is_taken_once_and_the_odd_ones_come_first() {
        let mut ports = Ports::new((32_768, 60_999), 0);
        let taken: Vec<_> = (0..28_232).map(|_| ports.take()).collect();
        assert_eq!(taken[..2], [32_769, 32_771]);
        assert_eq!(taken[14_115..14_118], [60_999, 32_768, 32_770]);
        assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 28_232);
        assert_eq!(ports.take(), 32_769);
    }

    #[test]
    fn a_range_of_one_port_or_of_all_ports_has_no_port_outside_of_it() {
        for range in [(5, 5), (5, 7), (1, u16::MAX), (0, u16::MAX)] {
            let mut ports = Ports::new(range, 70_000);
            for _ in 0..100_000 {
                let port = ports.take();
                assert!(range.0 <= port && port <= range.1, "{port} {range:?}");
            }
        }
    }

    #[test]
    fn processes_begin_with_different_ports() {
        let first = |offset| Ports::new((32_768, 60_999), offset).take();
        assert_eq!(
            (first(0), first(10), first(28_232)),
            (32_769, 32_789, 32_769)
        );
    }

    #[test]
    fn the_range_is_read_as_the_kernel_writes_it() {
        assert_eq!(port_range("32768\t60999\n"), Some((32_768, 60_999)));
        for wrong in ["", "32768", "60999\t32768", "a b", "1 70000"] {
            assert_eq!(port_range(wrong), None, "{wrong}");
        }
    }
}
