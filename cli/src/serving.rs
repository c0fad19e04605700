//! The parts of a process that serves: started together, drained together; one that ends by itself ends all.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use registry::Store;
use server::{ControlPlane, InferenceOptions, Limits, Metrics, Runtime, StatusSource};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::failure::{Failure, chain};
use crate::listeners::Bound;
use crate::signals::Signals;

/// Threads that answer requests: two even on one core, so that one slow step does not stop the other.
const THREADS_MIN: usize = 2;
/// More of them cost memory and gain little: answering is short, and evaluation has its own threads.
const THREADS_MAX: usize = 8;
/// How long threads that block may take at the very end.
const END: Duration = Duration::from_millis(500);

/// Runs a future on a new runtime to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(THREADS_MIN, THREADS_MAX))
        .enable_all()
        .build()?;
    let value = runtime.block_on(future);
    runtime.shutdown_timeout(END);
    Ok(value)
}

/// What runs, and what asks it to end.
#[derive(Debug)]
pub(crate) struct Parts {
    signals: Signals,
    stop: watch::Sender<bool>,
    running: JoinSet<(&'static str, Result<(), String>)>,
}

impl Parts {
    /// Begins with nothing running; signals are caught from here on.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            signals: Signals::new()?,
            stop: watch::Sender::new(false),
            running: JoinSet::new(),
        })
    }

    /// Returns a future that ends when all parts are asked to end.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move {
            // Nobody left to ask is the same as being asked.
            let _asked = stop.wait_for(|stop| *stop).await;
        }
    }

    /// Starts a part.
    pub(crate) fn spawn<E: Error + 'static>(
        &mut self,
        name: &'static str,
        part: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.running
            .spawn(async move { (name, part.await.map_err(|error| chain(&error))) });
    }

    /// Starts answering inference requests.
    pub(crate) fn inference(&mut self, runtime: &Runtime, bound: Bound) -> io::Result<()> {
        let (listener, keys) = bound.into_parts()?;
        let options = InferenceOptions {
            keys,
            limits: Limits::default(),
        };
        let serving = server::serve_inference(runtime.clone(), listener, options, self.stopped());
        self.spawn("inference", async move {
            serving.await;
            Ok::<_, io::Error>(())
        });
        Ok(())
    }

    /// Starts answering the control plane's requests.
    pub(crate) fn control_plane(
        &mut self,
        store: Store,
        status: Arc<dyn StatusSource>,
        metrics: Metrics,
        bound: Bound,
    ) -> io::Result<()> {
        let (listener, keys) = bound.into_parts()?;
        let control_plane = ControlPlane {
            store,
            status,
            metrics,
            keys,
        };
        let serving = server::serve_control_plane(control_plane, listener, self.stopped());
        self.spawn("control plane", async move {
            serving.await;
            Ok::<_, io::Error>(())
        });
        Ok(())
    }

    /// Waits for a signal; fails as soon as a part ends by itself.
    pub(crate) async fn wait(&mut self) -> Result<(), Failure> {
        tokio::select! {
            () = self.signals.next() => Ok(()),
            Some(ended) = self.running.join_next() => Err(match ended {
                Ok((name, Ok(()))) => Failure::new(format!("the {name} ended by itself")),
                Ok((name, Err(error))) => Failure::new(format!("the {name} failed: {error}")),
                Err(error) => Failure::new(format!("a part of the process died: {error}")),
            }),
        }
    }

    /// Asks all parts to end and waits for them; a second signal ends the process at once.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        let Self {
            signals,
            stop,
            mut running,
        } = self;
        stop.send_replace(true);
        signals.end_with_next();
        while let Some(ended) = running.join_next().await {
            match ended {
                Ok((_name, Ok(()))) => {}
                Ok((name, Err(error))) => return Err(Failure::new(format!("the {name} failed: {error}"))),
                Err(error) => return Err(Failure::new(format!("a part of the process died: {error}"))),
            }
        }
        Ok(())
    }
}
