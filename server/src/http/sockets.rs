//! What one listener accepts on: a socket, or one for each of a name's addresses.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use tokio::net::{TcpListener, TcpStream};

use super::tls::Tls;

/// Sockets whose connections are one listener's: they share its places and its limits.
#[derive(Debug)]
pub struct Sockets {
    listeners: Vec<TcpListener>,
    pub(super) tls: Option<Tls>,
    /// Whose turn it is, so that a busy one starves none.
    turn: AtomicUsize,
}

impl From<TcpListener> for Sockets {
    fn from(socket: TcpListener) -> Self {
        vec![socket].into()
    }
}

impl From<Vec<TcpListener>> for Sockets {
    fn from(listeners: Vec<TcpListener>) -> Self {
        Self {
            listeners,
            tls: None,
            turn: AtomicUsize::new(0),
        }
    }
}

impl Sockets {
    /// Lets connections be by TLS, and no other way.
    #[must_use]
    pub fn over(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// Waits for a connection on any of them.
    pub(super) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        poll_fn(|context| {
            for at in 0..self.listeners.len() {
                let socket = &self.listeners[(first.wrapping_add(at)) % self.listeners.len()];
                if let Poll::Ready(accepted) = socket.poll_accept(context) {
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Returns what the system has for the runtime, where that can be told.
    pub(super) fn into_std(self) -> impl Iterator<Item = std::net::TcpListener> {
        self.listeners
            .into_iter()
            .filter_map(|socket| socket.into_std().ok())
    }
}
