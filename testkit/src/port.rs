//! Ports for programs that are told theirs and cannot be asked.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below those that systems give to connections by themselves (from 32768 on Linux): a program that is ended and started
/// again finds its port as it left it.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// Returns an address of the loopback that nothing listens on now: that of a [free port](free_port).
///
/// # Errors
///
/// None is left.
pub fn free_address() -> io::Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port()?).into())
}

/// Returns a port of the loopback that nothing listens on now. No two calls of a process return the same, and those of two
/// processes seldom do.
///
/// # Errors
///
/// None is left.
pub fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        // Neighbouring processes begin far apart.
        let place = (process::id().wrapping_mul(7_919).wrapping_add(step)) % COUNT;
        let port = u16::try_from(FIRST + place).expect("invariant: the last one is below 32768");
        if is_free(port) {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no port is free"))
}

/// Says whether nothing listens on a port now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
