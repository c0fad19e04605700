//! Small builders: minimal, distinct names, so that swapped fields show.

use std::collections::BTreeMap;

use chrono::{Duration, NaiveDateTime};
use planner::Timestamp;
use planner::deployment::{
    CANARY_REPLICAS, Canary, DeclaredDeployment, Deployment, Pin, ResolvedDeployment, ResolvedPin,
    STABLE_REPLICAS,
};
use planner::desired::{Completeness, Dating, Declared, Desired};
use planner::environment::{Drift, Environment, RemovalLimits, Target};
use planner::finding::Location;
use planner::names::{Digest, ModelName, ObjectName, Revision, Track, Version, Weight};
use planner::observed::DeploymentObject;
use planner::rollout::{Commands, Means, Model, Rollout, Status, Tracks, rollout};
use planner::schedule::{Schedule, ScheduleText};
use planner::training::{
    Algorithm, DataSource, Dataset, Evaluation, Fit, Holdout, Metric, Rows, RunPolicy, Training,
};

/// `2026-01-01 00:00:00` and so many seconds.
pub(crate) fn time(seconds: i64) -> Timestamp {
    at("2026-01-01 00:00") + Duration::seconds(seconds)
}

pub(crate) fn at(text: &str) -> Timestamp {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M")
        .unwrap()
        .and_utc()
}

/// Version number `n`: the day of January 2026.
pub(crate) fn version(n: u32) -> Version {
    format!("v202601{:02}-000000", n + 1).parse().unwrap()
}

pub(crate) fn digest(n: u32) -> Digest {
    Digest::of(&n.to_be_bytes())
}

pub(crate) fn weight(percent: u64) -> Weight {
    percent.try_into().unwrap()
}

/// Revision number `n`.
pub(crate) fn revision(n: u64) -> Revision {
    format!("{n:010x}{}", "0".repeat(30)).parse().unwrap()
}

pub(crate) fn model(name: &str) -> ModelName {
    name.parse().unwrap()
}

pub(crate) fn object(name: &str) -> ObjectName {
    name.parse().unwrap()
}

/// Version `n` with digest `n`.
pub(crate) fn resolved(n: u32) -> ResolvedPin {
    ResolvedPin {
        version: version(n),
        digest: digest(n),
    }
}

/// Version `n` without a digest.
pub(crate) fn pin(n: u32) -> Pin {
    Pin {
        version: version(n),
        digest: None,
    }
}

fn deployment<P>(name: &str, stable: P, canary: Option<(P, u64)>) -> Deployment<P> {
    let canary = canary.map(|(pin, percent)| Canary {
        pin,
        weight: weight(percent),
        replicas: CANARY_REPLICAS,
    });
    Deployment {
        model: model(name),
        stable,
        replicas: STABLE_REPLICAS,
        canary,
        autoscaling: None,
        pod: None,
        route: None,
        engine: planner::engine::Engine::Aurora,
        suspend: None,
        rejected: Vec::new(),
        allow_breaking: Vec::new(),
    }
}

pub(crate) fn declared_deployment(name: &str, stable: u32, canary: Option<(u32, u64)>) -> DeclaredDeployment {
    deployment(name, pin(stable), canary.map(|(n, percent)| (pin(n), percent)))
}

pub(crate) fn resolved_deployment(stable: u32, canary: Option<(u32, u64)>) -> ResolvedDeployment {
    deployment(
        "m",
        resolved(stable),
        canary.map(|(n, percent)| (resolved(n), percent)),
    )
}

pub(crate) fn declared<S>(file: &str, spec: S, n: u64) -> Declared<S> {
    Declared {
        spec,
        revision: revision(n),
        committed_at: time(i64::try_from(n).unwrap()),
        dating: Dating::Known,
        location: Location {
            file: format!("environments/dev/{file}.yaml"),
            line: 1,
            column: 1,
        },
    }
}

pub(crate) fn training(name: &str, runs: RunPolicy) -> Training {
    Training {
        model: model(name),
        runs,
        rows: Some(Rows {
            dataset: Dataset {
                source: DataSource::Builtin("iris".to_owned()),
                sha256: None,
                features: Vec::new(),
                exclude: Vec::new(),
                target: None,
            },
            evaluation: Evaluation {
                metric: Metric::R2,
                bound: Some(0.5),
                holdout: Holdout::Percent { percent: 20, seed: 0 },
            },
        }),
        fit: Fit::Algorithm(Algorithm::LinearRegression),
        engine: planner::engine::Engine::Aurora,
        hyperparameters: BTreeMap::new(),
        seed: 0,
        active_deadline_seconds: 600,
        suspend: false,
        pod: None,
    }
}

pub(crate) fn schedule(cron: &str, time_zone: &str) -> Schedule {
    ScheduleText {
        cron: cron.to_owned(),
        time_zone: time_zone.to_owned(),
    }
    .try_into()
    .unwrap()
}

/// An MLDeployment object at revision 1.
pub(crate) fn deployment_object(spec: ResolvedDeployment) -> DeploymentObject {
    DeploymentObject {
        canary_revision: spec.canary.as_ref().map(|_| revision(1)),
        spec,
        revision: revision(1),
        stable_revision: revision(1),
        abort: None,
        overridden: None,
        kept: None,
        trust: None,
        behind: None,
    }
}

/// One step of a model that the registry was not looked at for.
pub(crate) fn step(
    spec: Option<&ResolvedDeployment>,
    commands: &Commands,
    tracks: &Tracks,
    status: Option<&Status>,
    now: Timestamp,
) -> Rollout {
    let object = spec.cloned().map(deployment_object);
    let model = Model {
        object: object.as_ref(),
        commands,
        registered: None,
        tracks,
        status,
        means: means_of(tracks),
    };
    rollout(&model, now)
}

/// Means that want as many replicas as there are, and whose route is followed at once.
pub(crate) fn means_of(tracks: &Tracks) -> Means {
    let wanted = |track| tracks.get(track).capacity.wanted;
    Means {
        settle: chrono::Duration::zero(),
        stable_replicas: Some(wanted(Track::Stable)),
        canary_replicas_min: wanted(Track::Canary),
        is_restarted_to_rename: false,
    }
}

pub(crate) fn environment() -> Environment {
    Environment {
        name: "dev".parse().unwrap(),
        target: Target::Standalone,
        commits: planner::commits::CommitPolicy::default(),
        models: planner::trust::ModelPolicy::default(),
        drift: Drift::Correct,
        suspend: None,
        notify: Vec::new(),
        registry_path: None,
        removal: RemovalLimits::default(),
        windows: Vec::new(),
        gates: None,
        promotion: None,
        upstream: None,
    }
}

/// An environment without models at revision `n`.
pub(crate) fn desired(n: u64) -> Desired {
    Desired {
        revision: revision(n),
        environment: environment(),
        completeness: Completeness::Complete,
        deployments: BTreeMap::new(),
        trainings: BTreeMap::new(),
        allowed: None,
        overrides: BTreeMap::new(),
        promoted: BTreeMap::new(),
    }
}
