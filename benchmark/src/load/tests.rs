use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\naurora-track: stable\r\n\r\nok";

/// Serves requests without a body: the n-th of a connection gets `answer(n)`; none closes the connection instead.
fn serve(answer: fn(usize) -> Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let heads = BufReader::new(stream.try_clone().unwrap()).lines();
                let ends = heads.map_while(Result::ok).filter(String::is_empty);
                for (n, _) in ends.enumerate() {
                    match answer(n) {
                        Some(answer) => stream.write_all(answer.as_bytes()).unwrap(),
                        None => return stream.shutdown(std::net::Shutdown::Both).unwrap(),
                    }
                }
            });
        }
    });
    address
}

fn load(address: SocketAddr, connections: usize) -> (Load, Vec<u8>) {
    let load = Load::connect(address, connections, Instant::now()).unwrap();
    (load, http::get(address, "/"))
}

fn ends_at(now: Duration, millis: u64) -> ControlFlow<()> {
    if now < Duration::from_millis(millis) {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}

#[test]
fn a_closed_loop_sends_as_many_as_it_is_told() {
    for connections in [1, 8] {
        let (mut load, request) = load(serve(|_| Some(OK)), connections);
        let replies = load.closed(&request, Until::Requests(1000)).unwrap();
        assert_eq!((replies.all.len(), replies.on_track("stable")), (1000, 1000));
        assert_eq!(replies.outcomes().len(), 1);
    }
}

#[test]
fn an_open_loop_sends_each_request_when_it_is_due() {
    let (mut load, request) = load(serve(|_| Some(OK)), 4);
    let mut ticks = 0;
    let mut until = |now| {
        ticks += 1;
        ends_at(now, 500)
    };
    let replies = load.open(&request, 1000.0, &mut until).unwrap();
    assert!(replies.all.len() >= 500, "{} replies", replies.all.len());
    assert_eq!(replies.failures().0, 0);
    assert!(ticks >= 500, "{ticks} ticks");
    let mut due: Vec<Duration> = replies.all.iter().map(|reply| reply.due).collect();
    due.sort();
    for (n, reply) in replies.all.iter().enumerate() {
        assert!(reply.due <= reply.sent && reply.sent <= reply.received);
        let gap = due[n].saturating_sub(due[0]).as_secs_f64() * 1000.0;
        assert!(
            (gap - f64::from(u32::try_from(n).unwrap())).abs() < 1e-3,
            "request {n} was due after {gap} ms"
        );
    }
}

#[test]
fn waiting_for_a_connection_counts_as_latency() {
    let slow = |_| {
        thread::sleep(Duration::from_millis(20));
        Some(OK)
    };
    let (mut load, request) = load(serve(slow), 1);
    let replies = load.open(&request, 100.0, &mut |now| ends_at(now, 100)).unwrap();
    // The tenth is due after 90 ms and has to wait until nine others have had 20 ms each.
    let latency = replies.latencies(|_| true).max();
    assert!(latency >= 110_000, "{latency} µs");
    assert!(replies.lateness().max() >= 90_000);
}

#[test]
fn a_lost_connection_is_a_failure_and_is_made_anew() {
    let (mut load, request) = load(serve(|n| (n < 3).then_some(OK)), 1);
    let replies = load.closed(&request, Until::Requests(8)).unwrap();
    let (failed, words) = replies.failures();
    assert_eq!((replies.all.len(), failed), (8, 2), "{words:?}");
}

#[test]
fn a_refusal_is_a_failure_and_its_connection_may_end() {
    const BUSY: &str =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy";
    let (mut load, request) = load(serve(|n| (n == 0).then_some(BUSY)), 1);
    let replies = load.closed(&request, Until::Requests(2)).unwrap();
    let (failed, words) = replies.failures();
    assert_eq!(failed, 2);
    assert!(
        words
            .iter()
            .all(|words| words.starts_with("status 503") && words.ends_with("busy")),
        "{words:?}"
    );
}
