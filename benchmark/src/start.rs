//! `benchmark start`: from the start of the binary to the first correct prediction, on an empty data directory and again.

use anyhow::Result;

use crate::figures::{Limit, Report};
use crate::ground::{Ground, Place, Readiness};

/// Measures `runs` first starts, each followed by a second one on the same data directory.
pub fn run(place: &Place, runs: usize) -> Result<Report> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let ground = Ground::new(place)?;
        for starts in [&mut first, &mut second] {
            let mut aurora = ground.start(None)?;
            starts.push(ground.wait_until_ready(&mut aurora)?);
            aurora.stop()?;
        }
    }
    let mut report = Report::new("benchmark start");
    let seconds = |starts: &[Readiness], of: fn(&Readiness) -> std::time::Duration| -> Vec<f64> {
        starts.iter().map(|start| of(start).as_secs_f64()).collect()
    };
    let mut add = |name: &str, limit: f64, starts: &[Readiness]| {
        let figure = format!("{name}: first correct prediction");
        report.figure(
            figure,
            "s",
            Limit::AtMost(limit),
            &seconds(starts, |start| start.first),
        );
        let figure = format!("{name}: every track correct");
        report.figure(
            figure,
            "s",
            Limit::AtMost(limit),
            &seconds(starts, |start| start.all),
        );
    };
    add("empty data directory", 10.0, &first);
    add("second start", 1.0, &second);
    Ok(report)
}
