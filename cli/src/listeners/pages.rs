//! A dashboard and inference in one process: where the one finds the other, and that it may.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use server::{Access, Origin};

use super::Bound;

impl Bound {
    /// Returns where browsers reach it by its address; nothing of a listener on all interfaces, which has many.
    pub(super) fn origin(&self) -> Option<Origin> {
        let is_one = !self.address.ip().is_unspecified();
        is_one.then(|| Origin::of_address(self.address, self.tls.is_some()))
    }

    /// Returns where browsers reach inference, as the dashboard that is here is told.
    pub(crate) fn inference(&self) -> Option<&Origin> {
        self.inference.as_ref()
    }

    /// Lets pages of a dashboard call that is opened at the addresses that it listens on.
    #[must_use]
    pub(crate) fn open_to_pages_of(self, dashboard: &Self) -> Self {
        let taken = dashboard.sockets.iter();
        let taken = taken.filter_map(|socket| socket.local_addr().ok());
        let is_tls = dashboard.tls.is_some();
        let origins = taken.flat_map(|address| origins(address, is_tls));
        let access = Access {
            origins: self.access.origins.and(origins),
            ..self.access
        };
        Self { access, ..self }
    }
}

/// Returns the origins that a page has which is opened at this address; of all interfaces, those of this machine.
fn origins(taken: SocketAddr, is_tls: bool) -> Vec<Origin> {
    let port = taken.port();
    let address: IpAddr = if taken.ip().is_unspecified() {
        Ipv4Addr::LOCALHOST.into()
    } else {
        taken.ip()
    };
    let named = address.is_loopback().then(|| Origin::of_localhost(port, is_tls));
    let by_address = Origin::of_address((address, port).into(), is_tls);
    [by_address].into_iter().chain(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_origin_that_it_is_opened_at() {
        for (taken, is_tls, expected) in [
            (
                "127.0.0.1:8000",
                false,
                &["http://127.0.0.1:8000", "http://localhost:8000"][..],
            ),
            ("[::1]:80", false, &["http://[::1]", "http://localhost"]),
            ("10.0.0.5:8443", true, &["https://10.0.0.5:8443"]),
            (
                "[::]:8000",
                false,
                &["http://127.0.0.1:8000", "http://localhost:8000"],
            ),
        ] {
            let origins = origins(taken.parse().unwrap(), is_tls);
            let shown: Vec<String> = origins.iter().map(Origin::to_string).collect();
            assert_eq!(shown, expected, "{taken}");
        }
    }
}
