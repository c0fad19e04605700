//! What is large leaves the others their turn.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{IoSlice, Read as _};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderMap;
use tokio::io::AsyncWrite as _;

use crate::http::body::{Body, BodyLimits};
use crate::http::budget::Budget;
use crate::http::place::{Peer, PeerLoad, Place};
use crate::http::socket::{BYTES_AT_ONCE, Socket};
use crate::http::stream::Stream;

const LARGE: usize = 32 << 20;
const PATIENCE: Duration = Duration::from_mins(1);

fn place() -> Arc<Place> {
    let load = PeerLoad {
        peer: Peer::of([127, 0, 0, 1].into()),
        admitted: AtomicUsize::new(0),
    };
    Arc::new(Place::new(Arc::new(load), false, false))
}

#[tokio::test]
async fn a_large_answer_is_written_piece_by_piece() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // A client that takes as much as it can get.
    let client = std::thread::spawn(move || {
        let (mut stream, _address) = listener.accept().unwrap();
        let mut bytes = vec![0; 1 << 20];
        let mut taken = 0;
        while taken < LARGE {
            taken += stream.read(&mut bytes).unwrap();
        }
    });
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut socket = Socket::new(Stream::Plain(stream), place(), PATIENCE);
    let bytes = vec![0; LARGE];
    let mut written = 0;
    poll_fn(|ctx| {
        let before = written;
        while written < LARGE {
            let rest = [IoSlice::new(&[]), IoSlice::new(&bytes[written..])];
            match Pin::new(&mut socket).poll_write_vectored(ctx, &rest) {
                Poll::Ready(part) => written += part.unwrap(),
                Poll::Pending => return Poll::Pending,
            }
            assert!(
                written - before <= BYTES_AT_ONCE,
                "{} in one turn",
                written - before
            );
        }
        Poll::Ready(())
    })
    .await;
    client.join().unwrap();
}

#[tokio::test]
async fn a_large_body_is_taken_piece_by_piece() {
    let chunk = Bytes::from(vec![b' '; 64 << 10]);
    let taken = Cell::new(0);
    let stream = futures_util::stream::iter((0..LARGE / chunk.len()).map(|_| {
        taken.set(taken.get() + chunk.len());
        Ok::<_, warp::Error>(chunk.clone())
    }));
    let limits = BodyLimits {
        bytes: LARGE,
        timeout: PATIENCE,
        held: Budget::new(LARGE, LARGE),
    };
    let (headers, place) = (HeaderMap::new(), place());
    let mut reading = pin!(Body::read(stream, &headers, &limits, &place));
    let body = poll_fn(|ctx| {
        let before = taken.get();
        let read = reading.as_mut().poll(ctx);
        let in_this_turn = taken.get() - before;
        assert!(in_this_turn <= BYTES_AT_ONCE, "{in_this_turn} in one turn");
        read
    })
    .await;
    assert_eq!(body.unwrap().len(), LARGE);
}
