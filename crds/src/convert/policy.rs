//! Windows and gates of an environment.

use kube::core::ObjectMeta;
use planner::endpoint::Endpoint;
use planner::gates::{Gates, PromotionOrder, Tolerance};
use planner::names::{Malformed, Weight};
use planner::schedule::{Schedule, ScheduleText, is_zone};
use planner::window::Window;

use super::Problem;
use super::training::no_zone;
use crate::policy::{GatesSpec, PromotionSpec, WindowSpec};

/// Returns what an environment says of times.
///
/// A zone that is not compiled in would leave a window without slots, and one that never opens refuses nothing.
pub(super) fn windows(specs: &[WindowSpec]) -> Result<Vec<Window>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut windows = Vec::with_capacity(specs.len());
    for (index, spec) in specs.iter().enumerate() {
        match window(spec, &format!("spec.windows[{index}]")) {
            Ok(window) => windows.push(window),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(windows)
    } else {
        Err(problems)
    }
}

fn window(spec: &WindowSpec, field: &str) -> Result<Window, Problem> {
    let WindowSpec {
        kind,
        cron,
        time_zone,
        duration,
        reason,
    } = spec;
    if !is_zone(time_zone) {
        return Err(no_zone(time_zone, &format!("{field}.timeZone")));
    }
    let text = ScheduleText {
        cron: cron.clone(),
        time_zone: time_zone.clone(),
    };
    let schedule = Schedule::try_from(text).map_err(|malformed: Malformed| {
        Problem::new(
            format!("{field}.cron"),
            malformed.to_string(),
            "write minute, hour, day of month, month and weekday, e.g. \"0 18 * * FRI\"",
        )
    })?;
    Ok(Window {
        kind: (*kind).into(),
        schedule,
        duration: *duration,
        reason: reason.clone(),
    })
}

/// Returns what an environment demands of raises.
pub(super) fn gates(spec: &GatesSpec) -> Result<Gates, Problem> {
    let GatesSpec {
        signature,
        metric,
        max_weight_step,
        on_unknown,
    } = spec;
    let problem = |field: &str, malformed: &Malformed| {
        Problem::new(
            field,
            malformed.to_string(),
            "write at most three decimals, e.g. 0.5",
        )
    };
    let tolerance = metric
        .as_ref()
        .map(|metric| Tolerance::try_from(metric.tolerance_percent))
        .transpose()
        .map_err(|malformed| problem("spec.gates.metric.tolerancePercent", &malformed))?;
    let step = Weight::try_from(u64::from(*max_weight_step))
        .map_err(|malformed| problem("spec.gates.maxWeightStep", &malformed))?;
    Ok(Gates {
        signature: (*signature).into(),
        metric: tolerance,
        max_weight_step: step,
        on_unknown: (*on_unknown).into(),
    })
}

/// Returns through which environment versions come before this one.
pub(super) fn promotion(spec: &PromotionSpec, metadata: &ObjectMeta) -> Result<PromotionOrder, Problem> {
    let PromotionSpec {
        from,
        soak,
        status,
        key_file,
    } = spec;
    if metadata.name.as_deref() == Some(from.as_str()) {
        return Err(Problem::new(
            "spec.promotion.from",
            format!("versions come from {from} itself"),
            "name the environment in which they serve before this one",
        ));
    }
    Ok(PromotionOrder {
        from: from.clone(),
        soak: *soak,
        status: status.clone().map(|url| Endpoint {
            url,
            key_file: key_file.clone(),
        }),
    })
}

/// Returns a window in its wire form.
pub(super) fn window_spec(window: &Window) -> WindowSpec {
    let Window {
        kind,
        schedule,
        duration,
        reason,
    } = window;
    let ScheduleText { cron, time_zone } = schedule.text().clone();
    WindowSpec {
        kind: (*kind).into(),
        cron,
        time_zone,
        duration: *duration,
        reason: reason.clone(),
    }
}
