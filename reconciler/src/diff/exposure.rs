//! Each version that a commit gives another share of the requests: how it differs from what serves, by what was recorded
//! when it was published, and what the environment's gates say of it.
//!
//! What could not be looked up is unknown, never unchanged. Nothing here depends on the time but what windows say.

use std::collections::BTreeMap;

use planner::Timestamp;
use planner::deployment::{DeclaredDeployment, Pin};
use planner::desired::Desired;
use planner::endpoint::{Endpoint, Url};
use planner::gates::{self, Facts, Judged, Outcome, Tracks, judge, raises};
use planner::names::{Digest, ModelName, ObjectName, Revision, Track, Version, Weight};
use planner::signature::{Compatibility, compare};
use planner::training::{RunPolicy, Training};
use planner::window;
use registry::Store;
use registry::metadata::{Attestation, VersionMetadata};
use serde::Serialize;

use crate::policy::{Commit, promoted, signers_of};
use crate::source::Source;
use crate::upstream::{Elsewhere, Rates, ask};

/// How many settings are named that differ.
const SETTINGS_MAX: usize = 8;

/// What a comparison looks at besides the two commits.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The registry; absent where nobody named one.
    pub records: Records<'a>,
    /// The repository of both commits, for what other environments serve.
    pub source: &'a Source,
    /// Whom else may be asked.
    pub elsewhere: Elsewhere<'a>,
    /// Why the commit overrides windows, if it does.
    pub overridden: Option<&'a str>,
    /// When windows are looked at.
    pub now: Timestamp,
}

/// Where a version comes from that the registry may lack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Importing {
    /// The other environment's control plane.
    pub from: Url,
    /// Why nobody can say whether the registry has it; absent where it lacks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// What versions were recorded with.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a>(pub Option<&'a Store>);

/// A version whose share of the requests a commit changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exposure {
    /// The model.
    pub model: ModelName,
    /// The track that serves it at the commit.
    pub track: Track,
    /// The version.
    pub version: Version,
    /// The percent of the requests that reaches it before, at most.
    pub from: Weight,
    /// The percent that is to reach it.
    pub to: Weight,
    /// How many requests a second come for the model; absent where nobody named who counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The stable version before, which it is compared with; absent where the model is new, or it was stable itself.
    pub beside: Option<Version>,
    /// Whether it has to come from another environment first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<Importing>,
    /// Whether one that was made elsewhere says not to have seen the rows that it was measured on; absent of one that was fitted
    /// here, was not measured, or is not at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holdout: Option<Attestation>,
    /// How it differs from that.
    pub compared: Compared,
    /// What each gate says, where requests are to reach it more often.
    pub gates: Vec<Judged>,
}

/// How many requests come for a model, on both tracks.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Rate {
    /// So many a second over the last minute.
    PerSecond(f64),
    /// Why nobody knows.
    Unknown(String),
}

/// How a version differs from the stable of before.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compared {
    /// There is nothing to compare it with.
    Alone,
    /// It could not be looked up.
    Unknown(String),
    /// Both were.
    Known(Box<Changed>),
}

/// What two versions were recorded with, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// What it means for clients.
    pub signature: Compatibility,
    /// What both reached.
    pub metrics: Metrics,
    /// The data that each was fitted on: where it was, and its digest; absent where it is the same.
    pub dataset: Option<[Option<(String, Digest)>; 2]>,
    /// How the fits differ, each as `name: before -> after`: the algorithm and its settings.
    pub settings: Vec<String>,
    /// The size of each artifact in bytes.
    pub bytes: [u64; 2],
    /// When each was published.
    pub trained_at: [Timestamp; 2],
    /// The job that made the new one, if one did.
    pub job: Option<ObjectName>,
    /// The commit that asked for it.
    pub revision: Option<Revision>,
}

/// What two versions reached on one holdout.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Metrics {
    /// Each metric of both.
    Measured(Vec<Pair>),
    /// Why they cannot be compared.
    NotComparable(String),
}

/// What two versions reached by one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// The metric.
    pub metric: String,
    /// What the stable reached.
    pub before: f64,
    /// What the new one reached.
    pub after: f64,
}

impl Exposure {
    /// Says whether a gate stops it that a person must mend.
    pub fn is_stopped(&self) -> bool {
        let mut gates = self.gates.iter();
        gates.any(|judged| judged.outcome.stops() && judged.waits.is_none())
    }

    /// Says what there is to know, a line each.
    pub fn lines(&self) -> Vec<String> {
        let share = format!("requests: {} -> {}", self.from, self.to);
        let mut lines = match &self.rate {
            None => vec![share],
            Some(Rate::PerSecond(all)) => {
                let of = |weight: Weight| shown_rate(all * f64::from(weight.percent()) / 100.0);
                vec![format!(
                    "{share}, {} -> {} a second of {} over the last minute",
                    of(self.from),
                    of(self.to),
                    shown_rate(*all)
                )]
            }
            Some(Rate::Unknown(why)) => {
                vec![
                    share,
                    format!("unknown: how many requests a second that is: {why}"),
                ]
            }
        };
        lines.extend(
            self.import
                .as_ref()
                .map(|Importing { from, unknown }| match unknown {
                    None => format!("imports {} from {from}", self.version),
                    Some(why) => format!("unknown: whether {} is imported from {from}: {why}", self.version),
                }),
        );
        lines.extend(self.holdout.map(|word| {
            match word {
                Attestation::Attested => {
                    "holdout: attested: the model names the rows that it was fitted to".to_owned()
                }
                Attestation::Unattested => {
                    "holdout: unattested: the model may have been fitted to the rows that it was measured on"
                        .to_owned()
                }
                Attestation::Trusted => {
                    "holdout: trusted: nothing kept the program that fitted it from the rows that it was measured on"
                        .to_owned()
                }
            }
        }));
        match (&self.compared, &self.beside) {
            (Compared::Known(changed), Some(beside)) => lines.extend(changed.lines(beside)),
            (Compared::Unknown(why), _) => lines.push(format!("unknown: {why}")),
            (Compared::Alone | Compared::Known(_), _) => {}
        }
        for judged in &self.gates {
            let says = match judged.outcome {
                Outcome::Passes => "passes",
                Outcome::Stops if judged.waits.is_some() => "waits",
                Outcome::Stops => "STOPS",
                Outcome::Unknown => "STOPS, unknown",
                Outcome::Allowed => "allowed",
            };
            lines.push(format!("gate {}: {says}: {}", judged.gate.as_str(), judged.why));
            if judged.outcome.stops() {
                lines.push(format!("  hint: {}", judged.hint(&self.version)));
            }
        }
        lines
    }
}

/// Writes a rate with as many digits as say something.
fn shown_rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 10.0 => format!("{rate:.0}"),
        rate if rate >= 0.1 => format!("{rate:.1}"),
        rate if rate > 0.0 => "under 0.1".to_owned(),
        _ => "0".to_owned(),
    }
}

impl Changed {
    fn lines(&self, beside: &Version) -> Vec<String> {
        let mut lines = Vec::new();
        lines.push(match &self.signature {
            Compatibility::Same => "signature: same".to_owned(),
            Compatibility::Additive(what) => format!("signature: additive: {}", what.join("; ")),
            Compatibility::Breaking(what) => format!("signature: BREAKING: {}", what.join("; ")),
        });
        match &self.metrics {
            Metrics::Measured(measured) => {
                lines.extend(measured.iter().map(
                    |Pair {
                         metric,
                         before,
                         after,
                     }| {
                        format!("{metric}: {after:.4} beside {before:.4} of {beside}, same holdout")
                    },
                ));
            }
            Metrics::NotComparable(why) => lines.push(format!("metrics: not comparable: {why}")),
        }
        if let Some(both) = &self.dataset {
            let [before, after] = both.each_ref().map(|data| match data {
                Some((uri, digest)) => format!("{uri} ({})", digest.short()),
                None => "none".to_owned(),
            });
            lines.push(format!("data: {before} -> {after}"));
        }
        if !self.settings.is_empty() {
            lines.push(format!("fit: {}", self.settings.join(", ")));
        }
        let [before, after] = self.bytes;
        lines.push(format!("size: {before} -> {after} bytes"));
        let [before, after] = self.trained_at;
        let days = (after - before).num_days();
        let when = match days {
            0 => "within a day of".to_owned(),
            days if days > 0 => format!("{days} days after"),
            days => format!("{} days before", -days),
        };
        let by = match (&self.job, &self.revision) {
            (Some(job), Some(revision)) => format!(" by MLTrainingJob/{job} at {}", revision.short()),
            (Some(job), None) => format!(" by MLTrainingJob/{job}"),
            (None, _) => " by hand".to_owned(),
        };
        lines.push(format!(
            "published: {}, {when} {beside},{by}",
            after.format("%F %R UTC")
        ));
        lines
    }
}

/// Returns the versions whose share of the requests changes, by model and track.
pub(super) fn exposures(base: &Desired, head: &Desired, ground: &Ground<'_>) -> Vec<Exposure> {
    let closed = window::closed(&base.environment.windows, ground.now);
    let mut exposures = Vec::new();
    let mut rates = ground.elsewhere.traffic.map(Rates::new);
    let declared = base.deployments.values().map(|declared| &declared.spec);
    let served: BTreeMap<&ModelName, Tracks> =
        declared.map(|spec| (&spec.model, Tracks::from(spec))).collect();
    for found in head.deployments.values() {
        let declared = &found.spec;
        if declared.suspend.is_some() {
            continue;
        }
        let before = served.get(&declared.model);
        let after = Tracks::from(declared);
        if before == Some(&after) {
            continue;
        }
        let rate = rates.as_mut().map(|rates| match rates.of(&declared.model) {
            Ok(per_second) => Rate::PerSecond(per_second),
            Err(why) => Rate::Unknown(why),
        });
        let seen = Seen::look(declared, before, &after, ground.records);
        let facts = seen.facts();
        let promoted = base.environment.promotion.as_ref().map(|order| {
            let (name, digest) = (&base.environment.name, |version: &Version| seen.digest(version));
            let commit = Commit {
                source: ground.source,
                head: &head.revision,
                now: ground.now,
            };
            let mut ask = |at: &Endpoint, model: &ModelName| Some(ask(ground.elsewhere.planes, at, model));
            promoted(commit, found, name, order, &digest, &mut ask)
        });
        let raises = raises(before, &after, &declared.rejected, |pin| seen.has_served(pin));
        let trust = base.environment.models.trust();
        let signers = trust
            .zip(ground.records.0)
            .map(|(trust, store)| signers_of(&trust, store, &declared.model, after.clone()));
        let policy = gates::Ground {
            gates: base.environment.gates.as_ref(),
            closed: closed.as_ref(),
            overridden: ground.overridden,
            before,
            allow_breaking: &declared.allow_breaking,
            facts: facts.as_ref(),
            verify: base.environment.models.verify,
            signers: signers.as_ref(),
            promotion: base.environment.promotion.as_ref(),
            promoted: promoted.as_ref(),
            now: ground.now,
        };
        let tracks = [
            (Track::Stable, Some((&after.stable, Weight::FULL)), &raises.stable),
            (
                Track::Canary,
                after.canary.as_ref().map(|(pin, weight)| (pin, *weight)),
                &raises.canary,
            ),
        ];
        for (track, serves, raise) in tracks {
            let Some((pin, to)) = serves else {
                continue;
            };
            let from = before.map_or(Weight::ZERO, |before| before.share(pin));
            let was_there = before.is_some_and(|before| before.serves(pin));
            if from == to && was_there {
                continue;
            }
            let beside = before.filter(|before| !before.is_stable(pin));
            let maker = maker(head, &declared.model, &pin.version).filter(|_| seen.lacks(&pin.version));
            let import = match &head.environment.upstream {
                Some(upstream) if maker.is_none() && pin.digest.is_some() => seen.import(pin, upstream),
                Some(_) | None => None,
            };
            let is_to_come =
                maker.is_some() || import.as_ref().is_some_and(|import| import.unknown.is_none());
            let mut compared = beside.map_or(Compared::Alone, |before| seen.compare(&before.stable, pin));
            if let Some(job) = maker {
                compared = Compared::Unknown(format!("it waits for MLTrainingJob/{job}, which makes it"));
            } else if is_to_come {
                compared = Compared::Unknown("it is compared once it is imported".to_owned());
            }
            let mut gates = raise.as_ref().map_or_else(Vec::new, |raise| judge(raise, policy));
            if is_to_come {
                // They are judged once it is there.
                gates.retain(|judged| judged.outcome != Outcome::Unknown);
            }
            exposures.push(Exposure {
                model: declared.model.clone(),
                track,
                version: pin.version.clone(),
                from,
                to,
                rate: rate.clone(),
                beside: beside.map(|before| before.stable.version.clone()),
                import,
                holdout: seen.record(pin).ok().and_then(|record| record.lineage.holdout),
                compared,
                gates,
            });
        }
    }
    exposures.sort_by(|one, other| (&one.model, one.track).cmp(&(&other.model, other.track)));
    exposures
}

/// Returns the job that makes a version of a model, by what the commit says.
fn maker<'a>(head: &'a Desired, model: &ModelName, version: &Version) -> Option<&'a ObjectName> {
    let mut jobs = head.trainings.iter();
    let makes = |training: &Training| {
        training.model == *model && matches!(&training.runs, RunPolicy::Fixed(fixed) if fixed == version)
    };
    jobs.find(|(_, declared)| makes(&declared.spec))
        .map(|(name, _)| name)
}

/// What was found of a model's versions.
struct Seen {
    /// Absent where there is no registry.
    records: Option<Vec<VersionMetadata>>,
    /// The digests that the model's history tells of, and that nobody aborted.
    served: Vec<(Version, Digest)>,
}

impl Seen {
    fn look(
        spec: &DeclaredDeployment,
        before: Option<&Tracks>,
        after: &Tracks,
        records: Records<'_>,
    ) -> Self {
        let Records(Some(store)) = records else {
            return Self {
                records: None,
                served: Vec::new(),
            };
        };
        let mut versions: Vec<&Version> = Vec::new();
        for tracks in before.into_iter().chain([after]) {
            versions.push(&tracks.stable.version);
            versions.extend(tracks.canary.as_ref().map(|(pin, _)| &pin.version));
        }
        versions.sort_unstable();
        versions.dedup();
        let found = versions.iter().filter_map(|version| {
            // What cannot be read is unknown.
            store.record(&spec.model, version).ok().flatten()
        });
        let records = found.collect();
        let served = if spec.rejected.is_empty() {
            Vec::new()
        } else {
            let observed = registry::Observer::new(store.clone()).observe(&spec.model).ok();
            observed.map_or_else(Vec::new, |observed| {
                let known = observed.history_digests.iter();
                known
                    .filter(|(_, digest)| !observed.aborted.contains(digest))
                    .map(|(version, digest)| (version.clone(), *digest))
                    .collect()
            })
        };
        Self {
            records: Some(records),
            served,
        }
    }

    /// Says whether there is a registry, and not this version in it.
    fn lacks(&self, version: &Version) -> bool {
        let records = self.records.as_ref();
        records.is_some_and(|records| records.iter().all(|record| record.version != *version))
    }

    /// Says whether a version is imported, as far as the registry is known.
    fn import(&self, pin: &Pin, upstream: &Endpoint) -> Option<Importing> {
        let unknown = match &self.records {
            None => Some("no registry was named: give --registry".to_owned()),
            Some(_) if self.lacks(&pin.version) => None,
            Some(_) => return None,
        };
        Some(Importing {
            from: upstream.url.clone(),
            unknown,
        })
    }

    fn has_served(&self, pin: &Pin) -> bool {
        self.served.iter().any(|(version, digest)| {
            *version == pin.version && pin.digest.is_none_or(|pinned| pinned == *digest)
        })
    }

    fn facts(&self) -> Option<Facts> {
        let records = self.records.as_ref()?.iter();
        Some(
            records
                .map(|record| (record.version.clone(), record.facts()))
                .collect(),
        )
    }

    fn digest(&self, version: &Version) -> Option<Digest> {
        let mut records = self.records.iter().flatten();
        let found = records.find(|record| record.version == *version)?;
        Some(found.artifact.digest)
    }

    fn record(&self, pin: &Pin) -> Result<&VersionMetadata, String> {
        let Some(records) = &self.records else {
            return Err("no registry was named: give --registry".to_owned());
        };
        let found = records.iter().find(|record| record.version == pin.version);
        let found = found.ok_or_else(|| format!("the registry has no {}", pin.version))?;
        if pin.digest.is_some_and(|digest| digest != found.artifact.digest) {
            return Err(format!("{} has another digest in the registry", pin.version));
        }
        Ok(found)
    }

    fn compare(&self, old: &Pin, new: &Pin) -> Compared {
        match (self.record(old), self.record(new)) {
            (Ok(old), Ok(new)) => Compared::Known(Box::new(changed(old, new))),
            (Err(why), _) | (_, Err(why)) => Compared::Unknown(why),
        }
    }
}

fn changed(old: &VersionMetadata, new: &VersionMetadata) -> Changed {
    let digest = |record: &VersionMetadata| record.dataset.as_ref().map(|dataset| dataset.digest);
    let same_data = digest(old) == digest(new);
    let data = |record: &VersionMetadata| {
        let dataset = record.dataset.as_ref();
        dataset.map(|dataset| (dataset.uri.clone(), dataset.digest))
    };
    Changed {
        signature: compare(&old.facts().signature, &new.facts().signature),
        metrics: metrics(old, new),
        dataset: (!same_data).then(|| [data(old), data(new)]),
        settings: settings(old, new),
        bytes: [old.artifact.bytes, new.artifact.bytes],
        trained_at: [old.trained_at, new.trained_at],
        job: new.lineage.job.clone(),
        revision: new.lineage.revision.clone(),
    }
}

/// Compares on the new version's holdout: what the stable reached when the new one was trained, else what it reached by
/// itself where the holdout was the same.
fn metrics(old: &VersionMetadata, new: &VersionMetadata) -> Metrics {
    let not_evaluated =
        |record: &VersionMetadata| Metrics::NotComparable(format!("{} was not evaluated", record.version));
    let Some(ours) = &new.metrics else {
        return not_evaluated(new);
    };
    let baseline = new.baseline.as_ref();
    let baseline = baseline.filter(|baseline| baseline.digest == old.artifact.digest);
    let before = match baseline {
        Some(baseline) => &baseline.values,
        None => match &old.metrics {
            Some(theirs) if theirs.holdout_digest == ours.holdout_digest => &theirs.values,
            Some(_) => return Metrics::NotComparable("different holdout".to_owned()),
            None => return not_evaluated(old),
        },
    };
    let pairs = ours.values.iter();
    let pairs = pairs.filter_map(|(name, after)| {
        Some(Pair {
            metric: name.clone(),
            before: *before.get(name)?,
            after: *after,
        })
    });
    Metrics::Measured(pairs.collect())
}

fn settings(old: &VersionMetadata, new: &VersionMetadata) -> Vec<String> {
    let mut settings = Vec::new();
    if old.algorithm != new.algorithm {
        // Each has settings of its own.
        return vec![format!("algorithm: {} -> {}", old.algorithm, new.algorithm)];
    }
    let mut names: Vec<&String> = old
        .hyperparameters
        .keys()
        .chain(new.hyperparameters.keys())
        .collect();
    names.sort_unstable();
    names.dedup();
    let shown = |value: Option<&f64>| value.map_or("none".to_owned(), f64::to_string);
    let pairs = names.iter().map(|name| {
        let pair = (old.hyperparameters.get(*name), new.hyperparameters.get(*name));
        (name, pair)
    });
    settings.extend(
        pairs
            .filter(|(_, (before, after))| before != after)
            .map(|(name, (before, after))| format!("{name}: {} -> {}", shown(before), shown(after))),
    );
    if old.seed != new.seed {
        let shown = |seed: Option<u64>| seed.map_or("none".to_owned(), |seed| seed.to_string());
        settings.push(format!("seed: {} -> {}", shown(old.seed), shown(new.seed)));
    }
    let more = settings.len().saturating_sub(SETTINGS_MAX);
    settings.truncate(SETTINGS_MAX);
    settings.extend((more > 0).then(|| format!("and {more} more")));
    settings
}
