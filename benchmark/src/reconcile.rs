//! `benchmark reconcile`: what keeping the objects of many models in a cluster costs, beside `kubectl apply` of the same.
//!
//! ```text
//! fleet (repository), seed (registry) ──> aurora reconcile ──> API server <── kubectl apply --server-side
//! ```
//!
//! There the reconciler is alone: no operator runs, and the controller-manager is stopped meanwhile. Then everything is on:
//! until all serve, and until as many do beside others that fail for ever.

mod cluster;
mod whole;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use self::cluster::Cluster;
use self::whole::On;
use crate::figures::{Limit, Report};
use crate::ground::Place;
use crate::process::{self, Aurora, Role};
use crate::scale::fleet::{self, Fleet};
use crate::scale::meter::Reading;
use crate::scale::{Site, megabytes, settle};

/// How many models are declared where nothing is said.
pub const MODELS: usize = 1_000;
/// How often it is looked whether something is as it should be.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How often all objects are counted: the API server has other things to do.
const COUNT_EVERY: Duration = Duration::from_millis(20);
/// How long one commit may take before the run is given up.
const COMMIT_PATIENCE: Duration = Duration::from_mins(1);
/// The model whose pin is changed: one that has two versions.
const CHANGED: usize = 0;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// How long rest is watched.
    pub rest: Duration,
    /// How many commits change a pin.
    pub pins: usize,
    /// One of how many models is there when everything is on.
    pub whole_divisor: usize,
}

impl Effort {
    /// What a figure is published from.
    pub const FULL: Self = Self {
        rest: Duration::from_mins(1),
        pins: 10,
        whole_divisor: 1,
    };

    /// What shows within a minute that everything works.
    pub const QUICK: Self = Self {
        rest: Duration::from_secs(5),
        pins: 3,
        whole_divisor: 10,
    };
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
struct Measured {
    objects: usize,
    /// Until all objects are there, in seconds.
    applied: f64,
    /// The same by kubectl.
    kubectl: f64,
    /// From each commit until its object has changed, in seconds.
    pins: Vec<f64>,
    rest: Rest,
    whole: Whole,
}

/// What a process takes once nothing is left to do.
#[derive(Debug, Clone, PartialEq)]
struct Rest {
    /// In percent of a core.
    processor: f64,
    /// In MB, each second.
    resident: Vec<f64>,
    /// The most since it started, in MB.
    peak: f64,
}

impl Rest {
    /// Watches processes side by side for so long.
    fn watch<const N: usize>(mut processes: [&mut Aurora; N], rest: Duration) -> Result<[Self; N]> {
        let mut before = Vec::new();
        for process in &processes {
            before.push(Reading::of(process)?);
        }
        let began = Instant::now();
        let mut resident = [const { Vec::new() }; N];
        while began.elapsed() < rest {
            thread::sleep(Duration::from_secs(1));
            for (process, resident) in processes.iter_mut().zip(&mut resident) {
                process.check_running()?;
                resident.push(megabytes(process.memory().resident));
            }
        }
        let mut shares = Vec::new();
        for (process, before) in processes.iter().zip(&before) {
            shares.push(Reading::of(process)?.since(before).share() * 100.0);
        }
        Ok(std::array::from_fn(|at| Self {
            processor: shares[at],
            resident: std::mem::take(&mut resident[at]),
            peak: megabytes(processes[at].memory().peak),
        }))
    }

    /// Puts down what it takes; `whose` says of which process, if of several.
    fn put_down(&self, whose: &str, report: &mut Report) {
        let Self {
            processor,
            resident,
            peak,
        } = self;
        let of = |what: &str| format!("{whose}{what}");
        report.figure(of("processor at rest"), "% of a core", Limit::None, &[*processor]);
        report.figure(of("resident memory"), "MB", Limit::AtMost(128.0), resident);
        report.figure(of("peak memory"), "MB", Limit::AtMost(128.0), &[*peak]);
    }
}

/// What was measured with everything on.
#[derive(Debug, Clone, PartialEq)]
struct Whole {
    models: usize,
    /// Until all models serve, in seconds.
    all: f64,
    /// What reconciler and operator take once they do.
    rest: [Rest; 2],
    /// How many of them fail when some do.
    failing: usize,
    /// Until those that do not fail serve, without those that do, in seconds.
    without: f64,
    /// Beside them.
    beside: f64,
}

/// Measures `models` models. `say` is told how far it is.
pub fn run(place: &Place, models: usize, effort: Effort, say: &dyn Fn(&str)) -> Result<Report> {
    if models == 0 {
        bail!("--models wants a number above 0");
    }
    let site = Site::new(place, models)?;
    site.seed(say)?;
    let cluster = Cluster::start()?;
    say("the API server answers");
    let spec = format!(
        "{{ target: Kubernetes, namespace: {}, registry: {{ path: {} }} }}",
        cluster.ours(),
        serde_json::to_string(&site.data().join("registry"))?
    );
    let fleet = Fleet::declare(&site.folder.path().join("cluster"), &spec, models)?;
    let mut aurora = Aurora::start(&process::Options {
        aurora: site.aurora.clone(),
        repository: fleet.folder().to_owned(),
        environment: fleet::ENVIRONMENT.to_owned(),
        data: site.folder.path().join("cluster-data"),
        core: None,
        wrapper: Vec::new(),
        role: Role::Reconcile(cluster.reached()),
    })?;
    let objects = models * 2 + fleet::canaries(models).len() + 1;
    let applied = all_there(&mut aurora, &cluster, objects, site.patience(true) * 4)?;
    say(&format!(
        "{objects} objects are there after {:.1} s",
        applied.as_secs_f64()
    ));
    // Only one of the two has the machine.
    settle(&aurora)?;
    let kubectl = cluster.apply_by_kubectl(site.folder.path())?;
    say(&format!("kubectl took {:.1} s", kubectl.as_secs_f64()));
    let pins = changed_pins(&mut aurora, &cluster, &fleet, effort.pins)?;
    settle(&aurora)?;
    say("at rest");
    let [rest] = Rest::watch([&mut aurora], effort.rest)?;
    aurora.stop()?;
    drop(cluster);
    let measured = Measured {
        objects,
        applied: applied.as_secs_f64(),
        kubectl: kubectl.as_secs_f64(),
        pins,
        rest,
        whole: everything_on(&site, (models / effort.whole_divisor).max(10), effort.rest, say)?,
    };
    Ok(report(&measured))
}

/// Measures with everything on: `models`, then nine tenths of them, then these beside one tenth that fails for ever.
fn everything_on(site: &Site, models: usize, rest: Duration, say: &dyn Fn(&str)) -> Result<Whole> {
    let failing = models / 10;
    let good = models - failing;
    let until_all_serve = |good: usize, failing: usize| {
        let on = On::until_all_serve(site, good, failing)?;
        let took = on.took.as_secs_f64();
        say(&format!(
            "with everything on {good} models serve after {took:.1} s, beside {failing} that fail"
        ));
        anyhow::Ok(on)
    };
    let mut on = until_all_serve(models, 0)?;
    for process in on.processes() {
        settle(process)?;
    }
    say("at rest");
    let rest = Rest::watch(on.processes(), rest)?;
    let all = on.stop()?;
    Ok(Whole {
        models,
        all,
        rest,
        failing,
        without: until_all_serve(good, 0)?.stop()?,
        beside: until_all_serve(good, failing)?.stop()?,
    })
}

/// Waits until all objects are there, and returns how long that took from the start of the process.
fn all_there(aurora: &mut Aurora, cluster: &Cluster, objects: usize, patience: Duration) -> Result<Duration> {
    loop {
        let found = cluster.count()?;
        let took = aurora.started.elapsed();
        if found == objects {
            return Ok(took);
        }
        aurora.check_running()?;
        if took > patience {
            bail!(
                "{found} of {objects} objects are there after {} s:\n{}",
                patience.as_secs(),
                aurora.output_tail()
            );
        }
        thread::sleep(COUNT_EVERY);
    }
}

/// Changes a pin by commits, and returns for each how many seconds it took until the object had changed.
fn changed_pins(aurora: &mut Aurora, cluster: &Cluster, fleet: &Fleet, commits: usize) -> Result<Vec<f64>> {
    let name = fleet::model_name(CHANGED);
    let versions = [fleet::CANARY, fleet::STABLE].into_iter().cycle();
    let mut took = Vec::new();
    for version in versions.take(commits) {
        fleet.pin(CHANGED, version, None, &format!("pin {version}"))?;
        let committed = Instant::now();
        while cluster.stable(&name)? != version {
            aurora.check_running()?;
            if committed.elapsed() > COMMIT_PATIENCE {
                bail!("{name} is not at {version} yet:\n{}", aurora.output_tail());
            }
            thread::sleep(LOOK_EVERY);
        }
        took.push(committed.elapsed().as_secs_f64());
        // So that no commit waits for the report of the one before.
        thread::sleep(Duration::from_secs(1));
    }
    Ok(took)
}

fn report(measured: &Measured) -> Report {
    let Measured {
        objects,
        applied,
        kubectl,
        pins,
        rest,
        whole,
    } = measured;
    let mut report = Report::new("benchmark reconcile");
    report.figure("cold apply", "s", Limit::None, &[*applied]);
    report.figure("kubectl apply --server-side", "s", Limit::None, &[*kubectl]);
    report.figure(
        "cold apply / kubectl",
        "",
        Limit::AtMost(1.0),
        &[applied / kubectl],
    );
    report.figure(
        "changed pin to changed object",
        "s",
        Limit::MedianAtMost(1.0),
        pins,
    );
    rest.put_down("", &mut report);
    report.figure(
        format!("everything on: {} models serve", whole.models),
        "s",
        Limit::None,
        &[whole.all],
    );
    for (whose, rest) in ["reconciler: ", "operator: "].iter().zip(&whole.rest) {
        rest.put_down(whose, &mut report);
    }
    let good = whole.models - whole.failing;
    report.figure(format!("{good} models"), "s", Limit::None, &[whole.without]);
    report.figure(
        format!("{good} beside {} that fail", whole.failing),
        "s",
        Limit::None,
        &[whole.beside],
    );
    report.figure(
        "with / without what fails",
        "",
        Limit::AtMost(1.1),
        &[whole.beside / whole.without],
    );
    report.note(format!("{objects} objects each"));
    report
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_is_slower_than_kubectl_or_too_large_falls_short() {
        let rest = |peak| Rest {
            processor: 0.5,
            resident: vec![60.0, 61.0],
            peak,
        };
        let measured = Measured {
            objects: 2_005,
            applied: 12.0,
            kubectl: 10.0,
            pins: vec![0.25, 1.5, 0.5],
            rest: rest(130.0),
            whole: Whole {
                models: 1_000,
                all: 100.0,
                rest: [rest(90.0), rest(95.0)],
                failing: 100,
                without: 90.0,
                beside: 95.0,
            },
        };
        expect![[r#"
            benchmark reconcile                        median          maximum  limit
            cold apply                                   12 s             12 s
            kubectl apply --server-side                  10 s             10 s
            cold apply / kubectl                          1.2              1.2  each <= 1  FALLS SHORT
            changed pin to changed object               0.5 s            1.5 s  median <= 1 s  holds
            processor at rest                 0.5 % of a core  0.5 % of a core
            resident memory                           60.5 MB            61 MB  each <= 128 MB  holds
            peak memory                                130 MB           130 MB  each <= 128 MB  FALLS SHORT
            everything on: 1000 models serve            100 s            100 s
            reconciler: processor at rest     0.5 % of a core  0.5 % of a core
            reconciler: resident memory               60.5 MB            61 MB  each <= 128 MB  holds
            reconciler: peak memory                     90 MB            90 MB  each <= 128 MB  holds
            operator: processor at rest       0.5 % of a core  0.5 % of a core
            operator: resident memory                 60.5 MB            61 MB  each <= 128 MB  holds
            operator: peak memory                       95 MB            95 MB  each <= 128 MB  holds
            900 models                                   90 s             90 s
            900 beside 100 that fail                     95 s             95 s
            with / without what fails                    1.06             1.06  each <= 1.1  holds
            2005 objects each
        "#]]
        .assert_eq(&report(&measured).to_string());
    }
}
