//! What one listener accepts on: a socket, or one for each of a name's addresses.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use tokio::net::{TcpListener, TcpStream};

/// Sockets whose connections are one listener's: they share its places and its limits.
#[derive(Debug)]
pub struct Sockets {
    sockets: Vec<TcpListener>,
    /// Whose turn it is, so that a busy one starves none.
    turn: AtomicUsize,
}

impl From<TcpListener> for Sockets {
    fn from(socket: TcpListener) -> Self {
        vec![socket].into()
    }
}

impl From<Vec<TcpListener>> for Sockets {
    fn from(sockets: Vec<TcpListener>) -> Self {
        Self {
            sockets,
            turn: AtomicUsize::new(0),
        }
    }
}

impl Sockets {
    /// Waits for a connection on any of them.
    pub(super) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        poll_fn(|context| {
            for at in 0..self.sockets.len() {
                let socket = &self.sockets[(first.wrapping_add(at)) % self.sockets.len()];
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
        self.sockets
            .into_iter()
            .filter_map(|socket| socket.into_std().ok())
    }
}
