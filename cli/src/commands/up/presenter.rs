//! What a person or a program is told while `up` runs.
//!
//! For a person: bars while something trains, one line per change. For a program: one JSON line per event. A closed
//! standard output silences it and stops nothing.

use std::collections::{BTreeMap, BTreeSet};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use planner::names::ObjectName;
use serde_json::{Value, json};

use super::banner::{self, Addresses, Served};
use crate::clock;
use crate::news::{News, Phase};
use crate::terminal::{Colour, Terminal};

/// Tells what happens.
#[derive(Debug)]
pub(crate) struct Presenter {
    terminal: Terminal,
    bars: MultiProgress,
    trainings: BTreeMap<ObjectName, ProgressBar>,
    announced: BTreeSet<ObjectName>,
    ready: bool,
}

impl Presenter {
    /// Tells on `terminal`.
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self {
            terminal,
            bars: MultiProgress::new(),
            trainings: BTreeMap::new(),
            announced: BTreeSet::new(),
            ready: false,
        }
    }

    /// Tells where it listens; nothing answers there yet.
    pub(crate) fn listening(&self, inference: std::net::SocketAddr, control_plane: std::net::SocketAddr) {
        self.event(
            || json!({ "event": "listening", "inference": inference, "control_plane": control_plane }),
        );
    }

    /// Tells which manifests differ from the newest commit.
    pub(crate) fn uncommitted(&self, files: &[String]) {
        if files.is_empty() {
            return;
        }
        self.event(|| json!({ "event": "uncommitted", "files": files }));
        self.text(
            Colour::Yellow,
            &format!("not committed, so it does not count: {}", files.join(", ")),
        );
    }

    /// Tells that everything serves.
    pub(crate) fn ready(&mut self, served: &[Served], models: usize, addresses: &Addresses, folder: &str) {
        self.ready = true;
        self.event(|| {
            json!({
                "event": "ready", "inference": addresses.inference, "control_plane": addresses.control_plane,
                "models": models, "served": served, "curl": banner::curl(served, addresses),
            })
        });
        if !self.terminal.is_json() {
            let terminal = self.terminal;
            self.bars
                .suspend(|| quiet(banner::print(terminal, served, models, addresses, folder)));
        }
    }

    /// Tells that it drains and ends.
    pub(crate) fn stopping(&self) {
        self.bars.clear().unwrap_or_default();
        self.event(|| json!({ "event": "stopping" }));
        self.text(
            Colour::Dim,
            "stopping: requests under way are answered; a second signal ends it at once",
        );
    }

    /// Tells what changed.
    pub(crate) fn news(&mut self, news: &[News]) {
        for item in news {
            self.event(|| serde_json::to_value(item).unwrap_or_default());
            if self.terminal.is_json() {
                continue;
            }
            if let News::Training { .. } = item {
                self.training(item);
            } else if (self.ready && !matches!(item, News::Settled { .. })) || item.is_bad() {
                self.change(item);
            }
        }
    }

    fn training(&mut self, news: &News) {
        let News::Training {
            job,
            version,
            phase,
            percent,
            message: _,
        } = news
        else {
            return;
        };
        match phase {
            Phase::Running => {
                if self.terminal.has_bars() {
                    let bars = &self.bars;
                    let bar = self
                        .trainings
                        .entry(job.clone())
                        .or_insert_with(|| bars.add(bar()));
                    bar.set_message(format!("training {job} {version}"));
                    bar.set_position(u64::from(percent.unwrap_or(0)));
                } else if self.announced.insert(job.clone()) {
                    self.text(Colour::Dim, &format!("training {job} {version}"));
                }
            }
            Phase::Succeeded | Phase::Failed | Phase::Ended => {
                self.announced.remove(job);
                if let Some(bar) = self.trainings.remove(job) {
                    bar.finish_and_clear();
                    self.bars.remove(&bar);
                }
                self.change(news);
            }
        }
    }

    fn change(&self, news: &News) {
        let time = clock::now().format("%H:%M:%S");
        let colour = if news.is_bad() { Colour::Red } else { Colour::Green };
        let mark = self.terminal.paint(colour, if news.is_bad() { "!" } else { "*" });
        let terminal = self.terminal;
        self.bars
            .suspend(|| quiet(terminal.line(format!("{time} {mark} {news}"))));
    }

    fn text(&self, colour: Colour, line: &str) {
        if !self.terminal.is_json() {
            let terminal = self.terminal;
            self.bars
                .suspend(|| quiet(terminal.line(terminal.paint(colour, line))));
        }
    }

    fn event(&self, value: impl FnOnce() -> Value) {
        if self.terminal.is_json() {
            quiet(self.terminal.event(&value()));
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<44} [{bar:24}] {percent:>3}%")
        .unwrap_or_else(|_invalid| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(100).with_style(style)
}

/// Serving goes on although nobody reads what is said.
fn quiet(written: std::io::Result<()>) {
    if let Err(error) = written {
        tracing::debug!(%error, "standard output is closed");
    }
}
