//! Hands reports on to those who are told of them outside. Nothing waits for them.

pub(crate) mod notify;
mod traces;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::forge::{CommitState, GitHub, Reporter};
use planner::names::EnvironmentName;
use reconciler::Reported;
use server::Metrics;
use standalone::Event;
use tokio::sync::watch;

use self::notify::{Notifier, NotifySettings};
use self::traces::Exporter;
use crate::clock;
use crate::serving::Parts;

/// A forge, and the page that what it is told links to.
pub(crate) type LinkedGitHub = (GitHub, Option<String>);

/// How others are told, as the command line has it.
pub(crate) struct OutwardSettings {
    /// The forge, if there is one.
    pub(crate) github: Option<LinkedGitHub>,
    /// How those are told whom the environment names.
    pub(crate) notify: NotifySettings,
    /// Where traces go, if there are any, and what they are sent with.
    pub(crate) traces: Option<(web::Client, web::Url)>,
}

/// Who is told.
pub(crate) struct Outward {
    states: Option<watch::Sender<Option<CommitState>>>,
    notifier: Notifier,
    traces: Option<Exporter>,
}

impl Outward {
    /// Begins to tell of an environment.
    pub(crate) fn start(
        parts: &mut Parts,
        environment: &EnvironmentName,
        settings: OutwardSettings,
        metrics: &Metrics,
    ) -> Self {
        let OutwardSettings {
            github,
            notify,
            traces,
        } = settings;
        let states = github.map(|(github, link)| {
            let (states, wanted) = watch::channel(None);
            metrics.begin_told("github");
            let metrics = metrics.clone();
            let told = Arc::new(move |result| metrics.told("github", result));
            let reporter = Reporter::new(github, environment.clone(), link, told);
            let stopped = parts.stopped();
            parts.spawn("reporter", async move {
                // It ends where nobody reports any more, and why that is, somebody else says.
                let telling = async {
                    reporter.run(wanted).await;
                    std::future::pending::<()>().await;
                };
                // What was not told by then, the next start tells.
                tokio::select! {
                    () = telling => {}
                    () = stopped => {}
                }
                Ok::<(), Infallible>(())
            });
            states
        });
        Self {
            states,
            notifier: Notifier::new(environment.clone(), notify, metrics.clone()),
            traces: traces
                .map(|(client, url)| Exporter::new(environment.clone(), client, url, metrics.clone())),
        }
    }

    /// Hands a report on.
    pub(crate) fn hear(&mut self, reported: &Reported) {
        self.notifier.hear(reported);
        if let Some(traces) = &mut self.traces {
            traces.reported(reported);
        }
        if let (Some(states), Some(state)) = (&self.states, CommitState::of(&reported.after)) {
            states.send_if_modified(|known| {
                let is_new = known.as_ref() != Some(&state);
                *known = Some(state);
                is_new
            });
        }
    }

    /// Takes in what else happens.
    pub(crate) fn happened(&mut self, event: &Event) {
        if let Some(traces) = &mut self.traces {
            traces.happened(event, clock::now());
        }
    }

    /// Takes in that a pass ended, after what it reported.
    pub(crate) fn passed(&mut self, result: &'static str, took: Duration) {
        if let Some(traces) = &mut self.traces {
            traces.passed(result, took, clock::now());
        }
    }
}
