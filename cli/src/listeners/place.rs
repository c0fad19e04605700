//! Where a listener listens: an address, this machine by its name, or everywhere.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the system may complete before they are accepted; it may allow fewer.
const BACKLOG: i32 = 4096;
/// How often a free port is looked for that both loopbacks have.
const TRIES: usize = 20;

/// Where to listen. No name but `localhost` is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// `127.0.0.1:8080`, `[::1]:8080`.
    At(SocketAddr),
    /// `localhost:8080`: the loopback of each family that the machine has.
    Localhost(u16),
    /// `:8080`: all interfaces, of each family that the machine has.
    Everywhere(u16),
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "an IP address and a port from 0 to 65535 are expected, e.g. 127.0.0.1:8080; localhost:8080 is this machine alone, :8080 all interfaces";
        if let Ok(address) = text.parse() {
            return Ok(Self::At(address));
        }
        match text.rsplit_once(':') {
            Some((host, port)) if host.eq_ignore_ascii_case("localhost") => port.parse().map(Self::Localhost),
            Some(("", port)) => port.parse().map(Self::Everywhere),
            Some(_) | None => return Err(EXPECTED),
        }
        .map_err(|_no_port| EXPECTED)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::Everywhere(port) => write!(f, ":{port}"),
        }
    }
}

impl Place {
    /// Returns the address that tells who can reach it.
    pub(super) fn address(self) -> SocketAddr {
        match self {
            Self::At(address) => address,
            Self::Localhost(port) => (Ipv4Addr::LOCALHOST, port).into(),
            Self::Everywhere(port) => (Ipv6Addr::UNSPECIFIED, port).into(),
        }
    }

    /// Returns where this machine reaches a listener that is here.
    pub(super) fn reached_at(self) -> SocketAddr {
        let address = self.address();
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
            // A listener on all interfaces takes IPv4 too, and a machine may have no other.
            IpAddr::V6(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
            _ => address,
        }
    }

    /// Says whether nobody else can listen here while somebody does on an address.
    pub(super) fn overlaps(self, taken: SocketAddr) -> bool {
        let asked = self.address();
        let is_same = match self {
            Self::At(_) => asked.ip() == taken.ip(),
            Self::Localhost(_) => taken.ip().is_loopback(),
            Self::Everywhere(_) => true,
        };
        asked.port() == taken.port()
            && (is_same || taken.ip().is_unspecified() || asked.ip().is_unspecified())
    }

    /// Takes the port: on one socket, or on one for each loopback.
    pub(super) fn listen(self) -> io::Result<Vec<TcpListener>> {
        match self {
            Self::At(address) => Ok(vec![listen(address)?]),
            Self::Localhost(port) => {
                let mut both = on_both_loopbacks(port);
                for _ in 1..TRIES {
                    // Somebody else has the port that was free on the first one.
                    let is_taken = both
                        .as_ref()
                        .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
                    if port != 0 || !is_taken {
                        break;
                    }
                    both = on_both_loopbacks(port);
                }
                both
            }
            Self::Everywhere(port) => match listen((Ipv6Addr::UNSPECIFIED, port).into()) {
                Err(error) if is_without_family(&error) => {
                    Ok(vec![listen((Ipv4Addr::UNSPECIFIED, port).into())?])
                }
                listening => Ok(vec![listening?]),
            },
        }
    }
}

fn on_both_loopbacks(port: u16) -> io::Result<Vec<TcpListener>> {
    let first = match listen((Ipv4Addr::LOCALHOST, port).into()) {
        Err(error) if is_without_family(&error) => {
            return Ok(vec![listen((Ipv6Addr::LOCALHOST, port).into())?]);
        }
        listening => listening?,
    };
    let port = first.local_addr()?.port();
    match listen((Ipv6Addr::LOCALHOST, port).into()) {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if is_without_family(&error) => Ok(vec![first]),
        Err(error) => Err(error),
    }
}

/// Says whether the machine has no addresses of a family, as a container without IPv6.
fn is_without_family(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// Listens as the standard library does, with room for more connections that nobody has accepted yet, and on the
/// addresses of both families where all are asked for, whatever the system's default is.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_this_machine_or_everywhere() {
        let at = |text: &str| Some(Place::At(text.parse().unwrap()));
        for (text, place) in [
            ("127.0.0.1:8080", at("127.0.0.1:8080")),
            ("[::1]:0", at("[::1]:0")),
            ("localhost:8080", Some(Place::Localhost(8080))),
            ("LocalHost:0", Some(Place::Localhost(0))),
            (":8080", Some(Place::Everywhere(8080))),
            ("8080", None),
            (":", None),
            ("localhost", None),
            ("localhost:", None),
            ("localhost:65536", None),
            (":-1", None),
            ("example.org:80", None),
            ("::1:8080", None),
        ] {
            assert_eq!(text.parse::<Place>().ok(), place, "{text:?}");
        }
    }

    #[test]
    fn who_asks_for_the_same_port_is_known_by_the_addresses_that_it_means() {
        for (place, taken, overlaps) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("localhost:80", "[::1]:80", true),
            ("localhost:80", "10.0.0.1:80", false),
            (":80", "10.0.0.1:80", true),
        ] {
            let place: Place = place.parse().unwrap();
            assert_eq!(
                place.overlaps(taken.parse().unwrap()),
                overlaps,
                "{place} {taken}"
            );
        }
    }
}
