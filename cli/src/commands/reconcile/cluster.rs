//! `aurora reconcile --namespace`: the reconciler of a cluster, beside its health and its metrics.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kubernetes::leadership::Terms;
use kubernetes::reconcile::{self, Listener, Mode, Options, Told};
use planner::finding::Finding;
use planner::names::EnvironmentName;
use reconciler::Pass;
use serde_json::{Value, json};
use server::{Known, Metrics, StatusSource};

use super::ReconcileArguments;
use crate::answers::ReconcileNowAnswer;
use crate::clock;
use crate::commands::registry::random_id;
use crate::controller::{Controller, identity};
use crate::failure::{DONE, ERROR, Failure, NO};
use crate::listeners::{Bound, BoundWebhook};
use crate::meters::Meters;
use crate::outward::{Outward, OutwardSettings};
use crate::serving::{self, Parts};
use crate::signals::Signals;
use crate::terminal::Terminal;

pub(super) fn run(arguments: &ReconcileArguments, namespace: &str) -> Result<ExitCode, Failure> {
    let environment = arguments.repository.environment.clone();
    let timeout = Duration::from_secs(arguments.timeout);
    if arguments.now {
        let signals = Signals::catch(ERROR)?;
        return serving::block_on(ask(arguments, namespace, &environment, timeout, signals))?;
    }
    let signals = Signals::catch(if arguments.once { ERROR } else { DONE })?;
    let installation = random_id()?;
    let options = Options {
        repository: arguments.source()?,
        follow: arguments.branch.follow(),
        environment,
        namespace: namespace.to_owned(),
        data_dir: arguments.data.data_dir.clone(),
        dataset_roots: arguments.datasets.roots()?,
        control_planes: arguments.upstream.control_planes()?,
        signing_key: arguments.signing.file(),
        identity: identity()?,
        installation,
        terms: Terms::default(),
    };
    if arguments.once {
        let converged = serving::block_on(once(options, timeout, signals))??;
        super::say(Terminal::new(arguments.output.output), &converged)?;
        return Ok(if converged.is_converged() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(NO)
        });
    }
    let bound = arguments.control_plane.bind(&arguments.listener, None)?;
    let webhook = arguments.webhook.bind(&options.repository, &arguments.listener)?;
    let outward = arguments
        .forge
        .outward(&arguments.repository.repo, &arguments.remote)?;
    let terminal = Terminal::new(arguments.output.output);
    serving::block_on(follow(options, (bound, webhook), outward, terminal, signals))?
}

async fn once(
    options: Options,
    timeout: Duration,
    signals: Signals,
) -> Result<reconciler::Converged, Failure> {
    let mut parts = Parts::begin(signals);
    let config = reconcile::config().await?;
    let stopped = parts.stopped();
    let quiet: Listener = Box::new(|_told| ());
    let running = reconcile::run(config, options, Mode::Once { timeout }, quiet, stopped);
    let mut running = std::pin::pin!(running);
    tokio::select! {
        converged = &mut running => Ok(converged?),
        asked = parts.wait() => {
            asked?;
            parts.stop().await?;
            running.await?;
            Err(Failure::new("stopped by a signal").hint("the next run goes on from here"))
        }
    }
}

async fn follow(
    options: Options,
    (bound, webhook): (Bound, Option<BoundWebhook>),
    outward: OutwardSettings,
    terminal: Terminal,
    signals: Signals,
) -> Result<ExitCode, Failure> {
    let mut parts = Parts::begin(signals);
    let config = reconcile::config().await?;
    let status = Arc::new(LastPass::default());
    let controller = Controller {
        name: "reconciler",
        verb: "reconciles",
        namespace: options.namespace.clone(),
        status: status.clone(),
        metrics: Metrics::new(),
    };
    if let Some(webhook) = webhook {
        parts.webhook(webhook, controller.metrics.clone())?;
    }
    let outward = Outward::start(&mut parts, &options.environment, outward, &controller.metrics);
    let listener = listener(
        controller.metrics.clone(),
        status,
        options.environment.clone(),
        outward,
    );
    let stopped = parts.stopped();
    let work = async move {
        let ended = reconcile::run(config, options, Mode::Follow, listener, stopped).await;
        ended.map(drop)
    };
    controller.run(parts, bound, terminal, work).await
}

async fn ask(
    arguments: &ReconcileArguments,
    namespace: &str,
    environment: &EnvironmentName,
    timeout: Duration,
    mut signals: Signals,
) -> Result<ExitCode, Failure> {
    signals.begin();
    let config = reconcile::config().await?;
    let asked = reconcile::request(config, namespace, environment, clock::now(), timeout);
    let found = tokio::select! {
        found = asked => found?,
        () = signals.next() => return Err(Failure::new("stopped by a signal")),
    };
    let status = found.status.unwrap_or_default();
    let terminal = Terminal::new(arguments.output.output);
    if terminal.is_json() {
        terminal.document(&ReconcileNowAnswer {
            environment,
            status: &status,
        })?;
    } else {
        let revision = status.attempted_revision.as_ref();
        let revision = revision.map_or("no commit", |revision| revision.short());
        terminal.line(format!(
            "{environment} was reconciled at {revision}: {} findings, {} waiting",
            status.counts.findings, status.counts.waiting
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Counts passes, and says what is found wrong as soon as that is news.
fn listener(
    metrics: Metrics,
    status: Arc<LastPass>,
    environment: EnvironmentName,
    mut outward: Outward,
) -> Listener {
    let mut known: Vec<Finding> = Vec::new();
    let mut meters = Meters::new(metrics.clone(), environment.clone());
    Box::new(move |told: Told<'_>| {
        metrics.reconciled(&environment, told.result, told.took, told.at);
        let Pass {
            behind,
            drifted,
            seen,
            reported,
            ..
        } = told.pass;
        if let Some(reported) = reported {
            outward.hear(reported);
        }
        outward.passed(told.result, told.took);
        for (model, live) in seen {
            match live {
                Some(live) => meters.serves(model, live.weight, live.is_idle),
                None => meters.gone(model),
            }
        }
        meters.pass(behind, drifted, told.standing.is_blind());
        let findings: Vec<Finding> = told.standing.findings().cloned().collect();
        for finding in findings.iter().filter(|finding| !known.contains(finding)) {
            tracing::warn!(%finding, "found");
        }
        status.set(&environment, &told, &findings);
        known = findings;
    })
}

/// What the last pass came to, for those who ask this process.
#[derive(Debug, Default)]
struct LastPass(Mutex<Option<(Instant, Value)>>);

impl LastPass {
    fn set(&self, environment: &EnvironmentName, told: &Told<'_>, findings: &[Finding]) {
        let waiting: Vec<String> = told.standing.waiting().map(ToString::to_string).collect();
        let status = json!({ "environment": {
            "name": environment, "revision": told.pass.attempted, "result": told.result,
            "suspended": told.pass.suspended, "findings": findings, "waiting": waiting,
        } });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), status));
    }
}

impl StatusSource for LastPass {
    fn known(&self) -> Known {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Known::Process(last.as_ref().map_or(Value::Null, |(_, status)| status.clone()))
    }

    fn age_seconds(&self) -> Option<f64> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|(at, _)| at.elapsed().as_secs_f64())
    }
}
