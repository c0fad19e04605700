//! What a person or a program is told while `up` runs.
//!
//! For a person: bars while something trains, one line per change. For a program: one JSON line per event. All of it is
//! written on a thread of its own, so that whatever becomes of standard output stops nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use planner::names::ObjectName;
use planner::shown::escape;
use serde_json::{Value, json};

use super::banner::{self, Addresses, Served};
use crate::clock;
use crate::listeners::Bound;
use crate::logging::END;
use crate::news::{News, Phase};
use crate::terminal::{self, Colour, Heard, Line, Printer, Sink, Terminal, painted};

/// How many uncommitted files are named; all are counted.
const UNCOMMITTED_MAX: usize = 20;

/// Tells what happens.
#[derive(Debug, Clone)]
pub(crate) struct Presenter {
    terminal: Terminal,
    /// Whether standard output is a terminal.
    is_watched: bool,
    out: Printer<Told>,
    announced: BTreeSet<ObjectName>,
    ready: bool,
}

/// What the thread that writes is given.
#[derive(Debug)]
enum Told {
    /// Whole lines.
    Lines(String),
    /// A training run is so far.
    Progress {
        job: ObjectName,
        label: String,
        percent: u8,
    },
    /// A training run ended.
    Ended(ObjectName),
    /// Nothing is shown as under way any more.
    Stopping,
}

impl Presenter {
    /// Tells on `terminal`.
    pub(crate) fn new(terminal: Terminal) -> io::Result<Self> {
        let mut writer = Writer {
            is_json: terminal.is_json(),
            out: Sink::stdout(),
            bars: MultiProgress::new(),
            trainings: BTreeMap::new(),
        };
        Ok(Self {
            terminal,
            is_watched: io::stdout().is_terminal(),
            out: Printer::start("output", move |heard| writer.write(heard))?,
            announced: BTreeSet::new(),
            ready: false,
        })
    }

    /// Tells where it listens, which time zones schedules are read by and what requests may hold; nothing answers there yet.
    pub(crate) fn listening(
        &self,
        addresses: &Addresses,
        inference: &Bound,
        control_plane: &Bound,
        zones: &str,
    ) {
        let bounds = inference.bounds();
        self.event(|| {
            json!({
                "event": "listening", "inference": inference.address, "grpc": inference.grpc(),
                "control_plane": control_plane.address, "time_zones": zones, "bounds": bounds,
            })
        });
        self.text(
            Colour::Dim,
            &format!(
                "listening at {} for inference and at {} for the control plane",
                addresses.inference, addresses.control_plane
            ),
        );
        if let Some(line) = inference.grpc_line() {
            self.text(Colour::Dim, &line);
        }
        self.text(Colour::Dim, &format!("time zones: {zones}"));
        self.text(Colour::Dim, &bounds.to_string());
    }

    /// Tells which manifests differ from the newest commit.
    pub(crate) fn uncommitted(&self, files: &[String]) {
        if files.is_empty() {
            return;
        }
        self.event(|| json!({ "event": "uncommitted", "files": files }));
        let named: Vec<_> = files.iter().take(UNCOMMITTED_MAX).map(String::as_str).collect();
        let more = match files.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        self.text(
            Colour::Yellow,
            &format!("not committed, so it does not count: {}{more}", named.join(", ")),
        );
    }

    /// Tells that everything serves.
    pub(crate) fn ready(&mut self, served: &[Served], models: usize, addresses: &Addresses, folder: &str) {
        self.ready = true;
        self.event(|| {
            json!({
                "event": "ready", "inference": addresses.inference, "control_plane": addresses.control_plane,
                "models": models, "served": served, "curl": banner::offer(served, addresses),
            })
        });
        if !self.terminal.is_json() {
            self.lines(banner::lines(served, models, addresses, folder));
        }
    }

    /// Tells that it drains, for how long at most, and ends.
    pub(crate) fn stopping(&self, drain: Duration) {
        self.say(Told::Stopping, 0, 0);
        let seconds = drain.as_secs();
        self.event(|| json!({ "event": "stopping", "drain_seconds": seconds }));
        self.text(
            Colour::Dim,
            &format!(
                "stopping: requests under way are answered, for {seconds} s at most; a second signal ends it at once"
            ),
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

    /// Waits until all of it is written, for a moment.
    pub(crate) fn flush(&self) {
        let _is_written = self.out.flush(END);
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
                let label = format!("training {job} {version}");
                if self.terminal.has_bars() {
                    let told = Told::Progress {
                        job: job.clone(),
                        label,
                        percent: percent.unwrap_or(0),
                    };
                    self.say(told, 256, 0);
                } else if self.announced.insert(job.clone()) {
                    self.text(Colour::Dim, &label);
                }
            }
            Phase::Succeeded | Phase::Failed | Phase::Ended => {
                self.announced.remove(job);
                self.say(Told::Ended(job.clone()), 0, 0);
                self.change(news);
            }
        }
    }

    fn change(&self, news: &News) {
        let now = clock::now();
        // A person at a terminal knows the day; a file or a journal does not.
        let time = if self.is_watched {
            now.format("%H:%M:%S").to_string()
        } else {
            terminal::time(now)
        };
        let (colour, mark) = if news.is_bad() {
            (Colour::Red, "!")
        } else {
            (Colour::Green, "*")
        };
        let mut lines = news.lines().into_iter();
        let first = Line::from(format!("{time} "))
            .painted(colour, mark)
            .and(format!(" {}", lines.next().unwrap_or_default()));
        self.lines(std::iter::once(first).chain(lines.map(Line::from)));
    }

    fn text(&self, colour: Colour, line: &str) {
        if !self.terminal.is_json() {
            self.lines([painted(colour, line)]);
        }
    }

    fn lines(&self, lines: impl IntoIterator<Item = Line>) {
        let lines: Vec<String> = lines.into_iter().map(|line| self.terminal.render(line)).collect();
        let count = lines.len();
        let text = lines.concat();
        let bytes = text.len();
        self.say(Told::Lines(text), bytes, u64::try_from(count).unwrap_or(u64::MAX));
    }

    fn event(&self, value: impl FnOnce() -> Value) {
        if self.terminal.is_json() {
            let text = terminal::event(&terminal::at(clock::now(), value()));
            let bytes = text.len();
            self.say(Told::Lines(text), bytes, 1);
        }
    }

    fn say(&self, told: Told, bytes: usize, lines: u64) {
        self.out.say(told, bytes, lines);
    }
}

/// Writes, on its own thread.
struct Writer {
    is_json: bool,
    out: Sink,
    bars: MultiProgress,
    trainings: BTreeMap<ObjectName, ProgressBar>,
}

impl Writer {
    fn write(&mut self, heard: Heard<Told>) {
        match heard {
            Heard::Said(Told::Lines(text)) => self.lines(&text),
            Heard::Missed(lines) => self.lines(&terminal::missed(self.is_json, lines)),
            Heard::Said(Told::Progress { job, label, percent }) => {
                let bars = &self.bars;
                let bar = self.trainings.entry(job).or_insert_with(|| bars.add(bar()));
                bar.set_message(escape(&label).into_owned());
                bar.set_position(u64::from(percent));
            }
            Heard::Said(Told::Ended(job)) => {
                if let Some(bar) = self.trainings.remove(&job) {
                    bar.finish_and_clear();
                    self.bars.remove(&bar);
                }
            }
            Heard::Said(Told::Stopping) => self.bars.clear().unwrap_or_default(),
        }
    }

    fn lines(&mut self, text: &str) {
        let Self {
            is_json, out, bars, ..
        } = self;
        bars.suspend(|| out.write(text, |lines| terminal::missed(*is_json, lines)));
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<44} [{bar:24}] {percent:>3}%")
        .unwrap_or_else(|_invalid| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(100).with_style(style)
}
