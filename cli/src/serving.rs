//! The parts of a process that serves: started together, drained together; one that ends by itself ends all.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{io, net, thread};

use registry::Store;
use server::keys::Access;
use server::{
    ControlPlane, Doors, Health, InferenceOptions, Infrastructure, Limits, Metrics, Router, RouterOptions,
    Runtime, Sockets, StatusSource, Webhook,
};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::failure::{Context as _, Failure, chain};
use crate::limits;
use crate::listeners::{Bound, BoundSockets, BoundWebhook};
use crate::signals::Signals;
use crate::supervisor::Supervisor;

/// Threads of the loops: two even on one core, so that one slow step does not stop the other.
const LOOPS: usize = 2;
/// Threads that answer inference requests, one per core: a second one on a core only takes the other's turn. More than
/// these cost memory and gain little: answering is short, and evaluation has its own threads.
const THREADS_MAX: usize = 8;
/// Threads that may block for the inference listener, besides one per core that evaluates: lists, metrics, keys.
const INFERENCE_ASIDE: usize = 8;
/// Threads that may block for the control plane: what hangs there hangs nothing else.
const CONTROL_PLANE_ASIDE: usize = 16;
/// Open files that are left for all but connections.
const FILES_LEFT: usize = 512;
/// How long threads that block may take at the very end.
const END: Duration = Duration::from_millis(500);
/// How long a thread that may block waits for work: for ever. Where no other can be started, what may block waits for
/// these; a runtime that has none panics.
const BLOCKING_STAYS: Duration = Duration::MAX;

/// Runs a future on a new runtime to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = runtime(
        LOOPS,
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(LOOPS)
            .thread_keep_alive(BLOCKING_STAYS),
    )
    .context(|| "cannot start the threads that keep the environment".to_owned())?;
    let value = runtime.block_on(future);
    runtime.shutdown_timeout(END);
    Ok(value)
}

/// Builds a runtime with so many workers, where there is room for its threads, and starts a first one that may block.
fn runtime(workers: usize, builder: &mut tokio::runtime::Builder) -> io::Result<tokio::runtime::Runtime> {
    limits::try_threads(workers + 1)?;
    let runtime = builder.enable_all().build()?;
    drop(runtime.spawn_blocking(|| ()));
    Ok(runtime)
}

/// What runs, and what asks it to end.
#[derive(Debug)]
pub(crate) struct Parts {
    signals: Signals,
    stop: watch::Sender<bool>,
    /// How many files the process may have open.
    files: usize,
    running: JoinSet<(&'static str, Result<(), String>)>,
    supervisor: Supervisor,
}

impl Parts {
    /// Begins with nothing running; a signal ends it in order from here on.
    pub(crate) fn begin(signals: Signals) -> Self {
        signals.begin();
        Self {
            signals,
            stop: watch::Sender::new(false),
            files: limits::files(),
            running: JoinSet::new(),
            supervisor: Supervisor::from_environment(),
        }
    }

    /// Returns a future that ends when all parts are asked to end.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move {
            // Nobody left to ask is the same as being asked.
            let _asked = stop.wait_for(|stop| *stop).await;
        }
    }

    /// Returns who is told how it goes.
    pub(crate) fn supervisor(&self) -> &Supervisor {
        &self.supervisor
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
    pub(crate) fn inference(
        &mut self,
        runtime: &Runtime,
        bound: Bound,
        health: Health,
    ) -> Result<(), Failure> {
        let runtime = runtime.clone();
        self.answer(bound, move |doors, access, limits, stopped| {
            let options = InferenceOptions {
                access,
                limits,
                health,
            };
            server::serve_inference(runtime, doors, options, stopped)
        })
    }

    /// Starts passing inference requests on.
    pub(crate) fn router(
        &mut self,
        router: &Router,
        bound: Bound,
        answer_timeout: Duration,
    ) -> Result<(), Failure> {
        let router = router.clone();
        self.answer(bound, move |doors, access, limits, stopped| {
            let options = RouterOptions {
                access,
                limits,
                answer_timeout,
            };
            server::serve_router(router, doors, options, stopped)
        })
    }

    /// Starts the listener of inference on threads of its own.
    fn answer<F: Future<Output = ()>>(
        &mut self,
        bound: Bound,
        serve: impl FnOnce(Doors, Access, Limits, Pin<Box<dyn Future<Output = ()> + Send>>) -> F + Send + 'static,
    ) -> Result<(), Failure> {
        let (sockets, tls, access, limits) = bound.into_parts()?;
        let limits = self.within(limits, if sockets.grpc.is_empty() { 3 } else { 2 });
        let stopped = Box::pin(self.stopped());
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = Threads {
            name: "inference",
            workers: cores.min(THREADS_MAX),
            aside: cores + INFERENCE_ASIDE,
        };
        let supervisor = self.supervisor.clone();
        let serving = threads.run(sockets, move |sockets| async move {
            // Where requests are answered: it lasts as long as these threads do.
            drop(tokio::spawn(supervisor.watch()));
            serve(sockets.over(tls.as_ref()), access, limits, stopped).await;
        })?;
        self.spawn("inference", serving);
        Ok(())
    }

    /// Starts answering the control plane's requests.
    pub(crate) fn control_plane(
        &mut self,
        store: Store,
        status: Arc<dyn StatusSource>,
        infrastructure: Arc<dyn Infrastructure>,
        metrics: Metrics,
        bound: Bound,
    ) -> Result<(), Failure> {
        let inference = bound.inference().cloned();
        let (sockets, tls, access, limits) = bound.into_parts()?;
        let sockets = sockets.http;
        let control_plane = ControlPlane {
            store,
            status,
            infrastructure,
            inference,
            metrics,
            access,
            limits: self.within(limits, 1),
        };
        let stopped = self.stopped();
        let threads = Threads {
            name: "control plane",
            workers: 1,
            aside: CONTROL_PLANE_ASIDE,
        };
        let serving = threads.run(sockets, move |sockets| {
            server::serve_control_plane(control_plane, sockets.over(tls), stopped)
        })?;
        self.spawn("control plane", serving);
        Ok(())
    }

    /// Starts taking webhooks.
    pub(crate) fn webhook(&mut self, bound: BoundWebhook, metrics: Metrics) -> Result<(), Failure> {
        let nudge = bound.on_call();
        let issued = bound.issuer.as_ref().map(|(_, keys)| keys.issued.clone());
        let webhook = Webhook {
            nudge,
            secrets: bound.secrets,
            issued,
            metrics,
            limits: bound.limits,
        };
        let stopped = self.stopped();
        let threads = Threads {
            name: "webhook",
            workers: 1,
            aside: 1,
        };
        let keys = async move {
            match bound.issuer {
                Some((name, keys)) => keys.keep(&name).await,
                None => std::future::pending().await,
            }
        };
        let serving = threads.run(vec![bound.socket], |sockets| async move {
            tokio::select! {
                () = server::serve_webhook(webhook, sockets, stopped) => {}
                () = keys => {}
            }
        })?;
        self.spawn("webhook", serving);
        Ok(())
    }

    /// Keeps a listener within its quarters of the files that connections may take.
    fn within(&self, limits: Limits, quarters: usize) -> Limits {
        let left = FILES_LEFT.min(self.files / 4);
        let connections = limits.connections;
        let limits = limits.within((self.files - left) / 4 * quarters);
        if limits.connections < connections {
            tracing::warn!(
                files = self.files,
                asked = connections,
                connections = limits.connections,
                "fewer connections than were asked for: the limit on open files (ulimit -n) is low"
            );
        }
        limits
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
            signals: _,
            stop,
            files: _,
            mut running,
            supervisor,
        } = self;
        supervisor.stopping();
        stop.send_replace(true);
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

/// Sockets that are to be listened on by the runtime that they are handed to.
trait Listening: Send + 'static {
    type Sockets;

    fn listen(self) -> io::Result<Self::Sockets>;
}

impl Listening for Vec<net::TcpListener> {
    type Sockets = Sockets;

    fn listen(self) -> io::Result<Sockets> {
        let sockets: io::Result<Vec<_>> = self.into_iter().map(TcpListener::from_std).collect();
        Ok(sockets?.into())
    }
}

impl Listening for BoundSockets {
    type Sockets = Doors;

    fn listen(self) -> io::Result<Doors> {
        let grpc = if self.grpc.is_empty() {
            None
        } else {
            Some(self.grpc.listen()?)
        };
        Ok(Doors {
            http: self.http.listen()?,
            grpc,
        })
    }
}

/// The threads of one listener: whatever the loops, or the other listener, do, it answers.
struct Threads {
    name: &'static str,
    workers: usize,
    /// Threads that may block.
    aside: usize,
}

impl Threads {
    fn runtime(&self) -> io::Result<tokio::runtime::Runtime> {
        runtime(
            self.workers,
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(self.workers)
                .max_blocking_threads(self.aside)
                .thread_keep_alive(BLOCKING_STAYS)
                .thread_name(self.name),
        )
    }

    /// Serves on them; the future that is returned ends when that does.
    fn run<S: Listening, F: Future<Output = ()>>(
        self,
        sockets: S,
        serve: impl FnOnce(S::Sockets) -> F + Send + 'static,
    ) -> Result<impl Future<Output = io::Result<()>>, Failure> {
        let name = self.name;
        self.start(sockets, serve)
            .context(|| format!("cannot start the threads of the {name}"))
    }

    fn start<S: Listening, F: Future<Output = ()>>(
        self,
        sockets: S,
        serve: impl FnOnce(S::Sockets) -> F + Send + 'static,
    ) -> io::Result<impl Future<Output = io::Result<()>>> {
        let (build, is_built) = mpsc::channel();
        let (ends, ended) = oneshot::channel();
        thread::Builder::new().name(self.name.to_owned()).spawn(move || {
            // Whoever starts it waits for what is sent here.
            let runtime = match self.runtime() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _starter = build.send(Err(error));
                    return;
                }
            };
            let _starter = build.send(Ok(()));
            let served = runtime.block_on(async {
                serve(sockets.listen()?).await;
                Ok(())
            });
            runtime.shutdown_timeout(END);
            // Whoever waited for it may have been stopped.
            let _told = ends.send(served);
        })?;
        is_built
            .recv()
            .unwrap_or_else(|_gone| Err(io::Error::other("its thread ended")))?;
        Ok(async {
            ended
                .await
                .unwrap_or_else(|_dropped| Err(io::Error::other("its thread died")))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Mutex;

    use clap::Parser;
    use registry::Owner;
    use server::Known;

    use super::*;
    use crate::listeners::{ControlPlaneArguments, InferenceArguments, ListenerArguments};
    use crate::machine::Machine;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        inference: InferenceArguments,
        #[command(flatten)]
        control_plane: ControlPlaneArguments,
        #[command(flatten)]
        listener: ListenerArguments,
    }

    /// A data directory on a file system that does not answer while somebody holds this.
    struct Hanging(Arc<Mutex<()>>);

    impl StatusSource for Hanging {
        fn known(&self) -> Known {
            drop(self.0.lock());
            Known::Process(serde_json::Value::Null)
        }

        fn age_seconds(&self) -> Option<f64> {
            None
        }
    }

    fn ask(address: SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn answer(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_control_plane_that_hangs_stops_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner {
            environment: "dev".parse().unwrap(),
            installation: "1".to_owned(),
        };
        let store = Store::init(folder.path(), &owner, crate::clock::now()).unwrap();
        let given = [
            "aurora",
            "--inference",
            "127.0.0.1:0",
            "--control-plane",
            "127.0.0.1:0",
        ];
        let flags = Flags::parse_from(given);
        let inference = flags.inference.bind(&flags.listener).unwrap();
        let control_plane = flags.control_plane.bind(&flags.listener, None).unwrap();
        let (asked, asked_too) = (inference.address, control_plane.address);
        let gate = Arc::new(Mutex::new(()));
        let shut = gate.lock().unwrap();
        block_on(async {
            let mut parts = Parts::begin(Signals::catch(0).unwrap());
            let metrics = Metrics::new();
            let runtime = Runtime::new(metrics.clone());
            let status = Arc::new(Hanging(gate.clone()));
            parts.inference(&runtime, inference, Health::Ready).unwrap();
            parts
                .control_plane(store, status, Arc::new(Machine), metrics, control_plane)
                .unwrap();
            let hanging: Vec<_> = (0..100).map(|_| ask(asked_too, "/status")).collect();
            // Both make their answers where files may be read.
            assert!(answer(ask(asked, "/v2/models")).starts_with("HTTP/1.1 200"));
            assert!(answer(ask(asked, "/metrics")).starts_with("HTTP/1.1 200"));
            assert!(answer(ask(asked_too, "/health")).starts_with("HTTP/1.1 200"));
            drop(hanging);
            drop(shut);
            parts.stop().await.unwrap();
        })
        .unwrap();
    }
}
