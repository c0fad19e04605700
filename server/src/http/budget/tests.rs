use std::sync::atomic::AtomicUsize;

use super::*;
use crate::http::place::PeerLoad;

const KIB: usize = 1 << 10;

fn place(peer: u8) -> Arc<Place> {
    let load = PeerLoad {
        peer: Peer::of([10, 0, 0, peer].into()),
        admitted: AtomicUsize::new(0),
    };
    Arc::new(Place::new(Arc::new(load), false, false))
}

/// Plays a connection: gives back what it holds once it is asked to leave.
fn until_asked(place: Arc<Place>, held: Held) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        std::future::poll_fn(|ctx| {
            place.listen(ctx.waker());
            if place.is_leaving() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
        drop(held);
    })
}

#[tokio::test]
async fn the_first_kilobytes_are_free_and_the_rest_counts_until_it_is_dropped() {
    let budget = Budget::new(100 * KIB, 0);
    let (one, two) = (place(1), place(2));
    let mut first = budget.hold(one.clone());
    assert_eq!(first.grow_to(FREE_BYTES).await, Ok(()));
    assert_eq!(budget.held(), 0);
    assert_eq!(first.grow_to(FREE_BYTES + 60 * KIB).await, Ok(()));
    let mut second = budget.hold(two);
    assert_eq!(second.grow_to(FREE_BYTES + 40 * KIB).await, Ok(()));
    assert_eq!(budget.held(), 100 * KIB);
    // Small ones go on whatever large ones hold.
    assert_eq!(budget.hold(one).grow_to(FREE_BYTES).await, Ok(()));
    first.shrink_to(FREE_BYTES + KIB);
    assert_eq!(budget.held(), 41 * KIB);
    drop(first);
    drop(second);
    assert_eq!(budget.held(), 0);
    assert!(budget.state().peers.is_empty() && budget.state().holders.is_empty());
}

#[tokio::test]
async fn what_is_larger_than_all_may_be_takes_it_alone() {
    use crate::http::reply::{counted, json_bytes};
    let budget = Budget::new(80 * KIB, 80 * KIB);
    let large = || json_bytes(hyper::StatusCode::OK, vec![b' '; 500 * KIB]);
    let mut other = budget.hold(place(1));
    assert_eq!(other.grow_to(FREE_BYTES + KIB).await, Ok(()));
    assert!(counted(large(), &budget, &place(2)).await.is_err());
    drop(other);
    let answer = counted(large(), &budget, &place(2)).await.unwrap();
    assert_eq!(budget.held(), 80 * KIB);
    drop(answer);
    assert_eq!(budget.held(), 0);
}

#[tokio::test]
async fn where_there_is_no_room_nobody_waits_for_ever() {
    let budget = Budget::new(80 * KIB, 0);
    let mut other = budget.hold(place(1));
    assert_eq!(other.grow_to(FREE_BYTES + 60 * KIB).await, Ok(()));
    assert_eq!(
        budget.hold(place(2)).grow_to(FREE_BYTES + 30 * KIB).await,
        Err(Full)
    );
    // Whoever is on pace, or is not waited for, keeps what it has.
    assert!(!other.place.is_leaving());
    // One peer gets seven eighths.
    assert_eq!(other.grow_to(FREE_BYTES + 70 * KIB).await, Ok(()));
    assert_eq!(other.grow_to(FREE_BYTES + 71 * KIB).await, Err(Full));
    assert_eq!(budget.hold(place(2)).grow_to(FREE_BYTES + 10 * KIB).await, Ok(()));
}

#[tokio::test]
async fn room_that_comes_in_time_is_taken() {
    let budget = Budget::new(80 * KIB, 80 * KIB);
    let mut first = budget.hold(place(1));
    assert_eq!(first.grow_to(FREE_BYTES + 80 * KIB).await, Ok(()));
    let mut second = budget.hold(place(2));
    let (grown, ()) = tokio::join!(second.grow_to(FREE_BYTES + 80 * KIB), async {
        tokio::task::yield_now().await;
        drop(first);
    });
    assert_eq!(grown, Ok(()));
}

#[tokio::test]
async fn whoever_is_behind_makes_room() {
    let budget = Budget::new(80 * KIB, 0);
    let mut places = Vec::new();
    let mut connections = Vec::new();
    for peer in 1..=4 {
        let place = place(peer);
        let mut held = budget.hold(place.clone());
        assert_eq!(held.grow_to(FREE_BYTES + 20 * KIB).await, Ok(()));
        connections.push(until_asked(place.clone(), held));
        places.push(place);
    }
    // The second and the third are waited for and do nothing; the third was waited for first.
    places[2].wait_for_client();
    tokio::time::sleep(Duration::from_millis(20)).await;
    places[1].wait_for_client();
    let mut newcomer = budget.hold(place(5));
    assert_eq!(newcomer.grow_to(FREE_BYTES + 20 * KIB).await, Ok(()));
    let left: Vec<_> = places.iter().map(|place| place.is_leaving()).collect();
    assert_eq!(left, [false, false, true, false]);
    for connection in connections {
        connection.abort();
    }
}

#[tokio::test]
async fn a_client_that_moves_keeps_pace() {
    let place = place(1);
    let now = clock::now();
    assert_eq!(place.behind_since(now + 1_000_000_000), None);
    place.wait_for_client();
    assert_eq!(place.behind_since(now), None);
    assert!(place.behind_since(now + 10_000_000).is_some());
    let waited = place.behind_since(u64::MAX).expect("waited for");
    // A byte now and then is no pace; what comes at once buys no more than the slack.
    place.client_moved(1);
    let earned = place.behind_since(u64::MAX).expect("waited for") - waited;
    assert!(earned < 100, "{earned} microseconds");
    place.client_moved(100 << 20);
    let until = place.behind_since(u64::MAX).expect("waited for");
    assert!(until <= clock::now() + 1_000_000);
    place.settle_pace();
    assert_eq!(place.behind_since(u64::MAX - 1), None);
}
