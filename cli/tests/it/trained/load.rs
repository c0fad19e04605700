//! Requests all the time, and what was answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::post;

/// How many ask at a time.
const CLIENTS: usize = 3;

/// How long enough requests may take.
const PATIENCE: Duration = Duration::from_mins(4);

/// What was answered: by version, or by the code of a failure.
pub(super) type Counted = BTreeMap<String, usize>;

/// Clients that ask until they are told to end.
pub(super) struct Load {
    counts: Arc<Mutex<Counted>>,
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins to ask one model.
    pub(super) fn begin(ask: Ask) -> Self {
        let counts: Arc<Mutex<Counted>> = Arc::default();
        let is_over = Arc::new(AtomicBool::new(false));
        let clients = (0..CLIENTS).map(|_| {
            let (counts, is_over) = (counts.clone(), is_over.clone());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let told = ask.once();
                    let mut counts = counts.lock().expect("no panic under the lock");
                    *counts.entry(told).or_default() += 1;
                }
            })
        });
        let clients = clients.collect();
        Self {
            counts,
            is_over,
            clients,
        }
    }

    /// Returns what was answered so far.
    pub(super) fn counted(&self) -> Counted {
        self.counts.lock().expect("no panic under the lock").clone()
    }

    /// Returns how often a version has answered so far.
    pub(super) fn of(&self, version: &str) -> usize {
        self.counted().get(version).copied().unwrap_or_default()
    }

    /// Waits until so many requests were answered.
    pub(super) fn until_total(&self, wanted: usize) {
        let began = Instant::now();
        while self.counted().values().sum::<usize>() < wanted {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.counted());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends it, and returns all that was answered.
    pub(super) fn end(self) -> Counted {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("it only asks");
        }
        std::mem::take(&mut *self.counts.lock().expect("no panic under the lock"))
    }
}

/// What is asked, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) gateway: SocketAddr,
    pub(super) model: &'static str,
    pub(super) row: &'static str,
}

impl Ask {
    /// Asks once.
    pub(super) fn once(self) -> String {
        let path = format!("/predict/{}", self.model);
        let answer = post(
            self.gateway,
            &path,
            &[("content-type", "application/json")],
            self.row,
        );
        match answer.status {
            200 => answer.version().to_owned(),
            code => format!("{code} {}", answer.body),
        }
    }
}
