//! A thread of its own for a model that another process evaluates: whoever waits for that keeps no other model waiting.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use crate::http::reply::Failure;

type Job = Box<dyn FnOnce() + Send>;

/// The thread; it ends with this. One request at a time is evaluated there.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Absent where no thread could be had.
    jobs: Option<Sender<Job>>,
    turn: Arc<Semaphore>,
}

impl Lane {
    pub(super) fn start() -> Self {
        let (jobs, taken) = mpsc::channel::<Job>();
        let thread = thread::Builder::new()
            .name("foreign model".to_owned())
            .spawn(move || {
                for job in taken {
                    job();
                }
            });
        let thread = thread.inspect_err(|error| {
            tracing::error!(%error, "a model that another process evaluates has no thread to be asked on");
        });
        Self {
            jobs: thread.is_ok().then_some(jobs),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Runs `work` there; 503 when its turn does not come in time.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = tokio::time::timeout(patience, self.turn.clone().acquire_owned())
            .await
            .map_err(|_elapsed| {
                Failure::unavailable("too many requests for this model at once, try again".to_owned())
            })?
            .expect("invariant: the semaphore is never closed");
        let (done, told) = oneshot::channel();
        let job: Job = Box::new(move || {
            // A request that nobody waits for any more is evaluated all the same: it has begun.
            drop(done.send(work()));
            drop(turn);
        });
        let is_taken = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !is_taken {
            return Err(Failure::unavailable(
                "this process has no thread for the model: raise its limit of processes".to_owned(),
            ));
        }
        told.await.map_err(|_panicked| {
            Failure::internal("failed to evaluate the request: a fault of the server".to_owned())
        })
    }
}
