//! An address of its own for each Pod.
//!
//! The API server takes no loopback address into an EndpointSlice, and nothing but loopback can be listened on without
//! rights. So a Pod has `127.x.y.z` on this machine and `10.x.y.z` in the API.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// The port by which a test process holds an address, so that no other one takes it.
const GUARD_PORT: u16 = 65_535;
/// How many addresses are tried.
const TRIES_MAX: u32 = 10_000;

/// An address that is nobody else's while this lives.
#[derive(Debug)]
pub(crate) struct Address {
    local: Ipv4Addr,
    _guard: TcpListener,
}

impl Address {
    /// Takes one that is free.
    pub(crate) fn take() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        for _ in 0..TRIES_MAX {
            let local = candidate(std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            if let Ok(guard) = TcpListener::bind((local, GUARD_PORT)) {
                return Ok(Self { local, _guard: guard });
            }
        }
        Err(io::Error::other("no loopback address is free"))
    }

    /// Returns the address on this machine.
    pub(crate) fn local(&self) -> Ipv4Addr {
        self.local
    }
}

/// The n-th address that a process tries; another process begins elsewhere.
fn candidate(process: u32, n: u32) -> Ipv4Addr {
    // 127.1.0.0 to 127.254.255.255, without what ends in 0 or 255.
    let hosts = 254 * 256 * 254;
    let place = process.wrapping_mul(4_099).wrapping_add(n) % hosts;
    let octet = |value: u32| u8::try_from(value).unwrap_or(1);
    Ipv4Addr::new(
        127,
        octet(1 + place / (256 * 254)),
        octet(place / 254 % 256),
        octet(1 + place % 254),
    )
}

/// Returns how the API names an address of this machine.
pub(crate) fn in_api(local: Ipv4Addr) -> Ipv4Addr {
    let [_, a, b, c] = local.octets();
    Ipv4Addr::new(10, a, b, c)
}

/// Returns the address on this machine of a Pod or endpoint that the API names so.
pub fn on_machine(named: Ipv4Addr) -> Ipv4Addr {
    let [_, a, b, c] = named.octets();
    Ipv4Addr::new(127, a, b, c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_differ_and_are_named_in_the_api_without_loopback() {
        let [a, b] = [Address::take().unwrap(), Address::take().unwrap()];
        assert_ne!(a.local(), b.local());
        assert!(a.local().is_loopback());
        let named = in_api(a.local());
        assert!(!named.is_loopback(), "{named}");
        assert_eq!(on_machine(named), a.local());
    }

    #[test]
    fn candidates_are_hosts_of_their_own() {
        for (process, n) in [(0, 0), (1, 0), (4_194_304, 77), (u32::MAX, u32::MAX)] {
            let address = candidate(process, n);
            let [first, second, _, last] = address.octets();
            assert_eq!(first, 127);
            assert!(
                (1..=254).contains(&second) && (1..=254).contains(&last),
                "{address}"
            );
            assert_ne!(address, candidate(process, n.wrapping_add(1)));
        }
    }
}
