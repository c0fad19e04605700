//! `benchmark idle`: memory and processor time of the process and its children while every model is loaded and nobody asks.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::figures::{Limit, Report};
use crate::ground::{Ground, Place};

/// Lets start and training pass before idleness counts.
const SETTLE: Duration = Duration::from_secs(3);

/// Watches an idle `aurora up` for `period`.
pub fn run(place: &Place, period: Duration) -> Result<Report> {
    let ground = Ground::new(place)?;
    let mut aurora = ground.start(None)?;
    ground.wait_until_ready(&mut aurora)?;
    thread::sleep(SETTLE);
    let (start, before) = (Instant::now(), aurora.usage()?);
    let mut resident = Vec::new();
    while start.elapsed() < period {
        thread::sleep(Duration::from_secs(1));
        aurora.check_running()?;
        #[expect(clippy::cast_precision_loss, reason = "a size in MB needs no 53 bits")]
        resident.push(aurora.usage()?.resident as f64 / 1e6);
    }
    let after = aurora.usage()?;
    let share =
        after.processor.saturating_sub(before.processor).as_secs_f64() / start.elapsed().as_secs_f64();
    aurora.stop()?;
    let mut report = Report::new("benchmark idle");
    report.figure("resident memory", "MB", Limit::AtMost(60.0), &resident);
    report.figure("processor", "% of a core", Limit::AtMost(1.0), &[share * 100.0]);
    Ok(report)
}
