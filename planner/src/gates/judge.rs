//! What each gate says of a raise.

use std::collections::BTreeMap;

use super::{
    Facts, Gate, Gates, Judged, OnFault, Outcome, Promoted, PromotionOrder, Raise, Tolerance, Tracks,
    VersionFacts,
};
use crate::Timestamp;
use crate::commits::Verify;
use crate::deployment::Pin;
use crate::names::Version;
use crate::signature::{Compatibility, compare};
use crate::training::Metric;
use crate::trust::Signer;
use crate::window::Closed;

/// What a raise is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// What the environment demands, if anything.
    pub gates: Option<&'a Gates>,
    /// Why no raise is allowed now, where that is so.
    pub closed: Option<&'a Closed>,
    /// The reason that the commit gives for a raise while none is allowed.
    pub overridden: Option<&'a str>,
    /// What the tracks serve before the change; absent where the model is new.
    pub before: Option<&'a Tracks>,
    /// The versions that the manifest allows to break clients.
    pub allow_breaking: &'a [Version],
    /// What is known of the versions; absent where nobody could look.
    pub facts: Option<&'a Facts>,
    /// Whether somebody who is trusted must have signed a version.
    pub verify: Verify,
    /// Who signed the versions; absent where nobody looked.
    pub signers: Option<&'a BTreeMap<Version, Signer>>,
    /// Through which environment versions come, if through one.
    pub promotion: Option<&'a PromotionOrder>,
    /// What that says of the versions.
    pub promoted: Option<&'a BTreeMap<Version, Promoted>>,
    /// When a soak is judged.
    pub now: Timestamp,
}

/// Returns what each gate that the environment has says of a raise.
pub fn judge(raise: &Raise, ground: Ground<'_>) -> Vec<Judged> {
    let mut judged = Vec::new();
    let mut say = |gate, (outcome, why): Said, waits: Option<&Closed>| {
        judged.push(Judged {
            gate,
            track: raise.track,
            outcome,
            why,
            waits: waits.cloned(),
        });
    };
    if let Some(gates) = ground.gates {
        say(Gate::WeightStep, step(raise, gates), None);
        // A first version breaks nobody, and is worse than none.
        if let Some(before) = ground.before {
            say(Gate::Signature, signature(raise, before, gates, ground), None);
            if let Some(tolerance) = gates.metric {
                say(
                    Gate::Metric,
                    metric(raise, before, gates, tolerance, ground.facts),
                    None,
                );
            }
        }
    }
    if ground.verify != Verify::Off {
        say(Gate::Trust, trust(raise, ground), None);
    }
    if let Some(order) = ground.promotion {
        let (said, waits) = promotion(raise, order, ground);
        say(Gate::Promotion, said, waits.as_ref());
    }
    if let Some(closed) = ground.closed {
        let waits = Some(closed).filter(|_| ground.overridden.is_none());
        say(
            Gate::Window,
            match ground.overridden {
                Some(reason) => (
                    Outcome::Allowed,
                    format!("{closed}; the commit overrides that: {reason}"),
                ),
                None => (Outcome::Stops, closed.to_string()),
            },
            waits,
        );
    }
    judged
}

type Said = (Outcome, String);

fn step(raise: &Raise, gates: &Gates) -> Said {
    let step = raise.to.percent() - raise.from.percent();
    let most = gates.max_weight_step;
    if step <= most.percent() {
        return (
            Outcome::Passes,
            format!("{} -> {}, at most {most} more", raise.from, raise.to),
        );
    }
    let why = format!(
        "{} gets {} -> {} of the requests: {step}% more at once, where {most} are allowed",
        raise.pin.version, raise.from, raise.to
    );
    (Outcome::Stops, why)
}

fn signature(raise: &Raise, before: &Tracks, gates: &Gates, ground: Ground<'_>) -> Said {
    const WHAT: &str = "signature";
    let (stable, new) = match both(before, raise, ground.facts) {
        Ok(both) => both,
        Err(why) => return unknown(gates, WHAT, &why),
    };
    let found = compare(&stable.signature, &new.signature);
    let Compatibility::Breaking(differences) = found else {
        let why = format!("{} beside {}", found.as_str(), before.stable.version);
        return (Outcome::Passes, why);
    };
    let why = format!(
        "{} breaks clients of {}: {}",
        raise.pin.version,
        before.stable.version,
        differences.join("; ")
    );
    if ground.allow_breaking.contains(&raise.pin.version) {
        return (Outcome::Allowed, format!("{why}; allowBreaking names it"));
    }
    match gates.signature {
        OnFault::Refuse => (Outcome::Stops, why),
        OnFault::Allow => (Outcome::Allowed, format!("{why}; the environment allows it")),
    }
}

fn metric(
    raise: &Raise,
    before: &Tracks,
    gates: &Gates,
    tolerance: Tolerance,
    facts: Option<&Facts>,
) -> Said {
    const WHAT: &str = "metric";
    let compared = facts
        .ok_or_else(|| "no registry could be read".to_owned())
        .and_then(|facts| compared(raise, before, facts));
    let Compared { metric, stable, new } = match compared {
        Ok(compared) => compared,
        Err(why) => return unknown(gates, WHAT, &why),
    };
    let slack = stable.abs() * f64::from(tolerance) / 100.0;
    let is_worse = if metric.larger_is_better() {
        new < stable - slack
    } else {
        new > stable + slack
    };
    let name = metric.as_str();
    let why = format!(
        "{name} {new:.4} of {} beside {stable:.4} of {} on the same holdout",
        raise.pin.version, before.stable.version
    );
    if new.is_nan() || stable.is_nan() {
        return unknown(gates, WHAT, &format!("{name} is no number"));
    }
    if is_worse {
        return (Outcome::Stops, format!("{why}: worse by more than {tolerance}"));
    }
    (Outcome::Passes, why)
}

/// Judges whether somebody who is trusted has signed a version. What is not known is not trusted.
fn trust(raise: &Raise, ground: Ground<'_>) -> Said {
    let version = &raise.pin.version;
    let (outcome, why) = match ground.signers.and_then(|signers| signers.get(version)) {
        Some(Signer::Key(key)) => {
            return (Outcome::Passes, format!("{version} is signed by the key {key}"));
        }
        Some(Signer::Nobody(why)) => (Outcome::Stops, format!("{version} is not to be trusted: {why}")),
        Some(Signer::Unknown(why)) => (
            Outcome::Unknown,
            format!("who signed {version} is unknown: {why}"),
        ),
        None => (
            Outcome::Unknown,
            format!("who signed {version} is unknown: nobody looked"),
        ),
    };
    match ground.verify {
        Verify::Require => (outcome, why),
        Verify::Off | Verify::Warn => (Outcome::Allowed, format!("{why}; the environment only warns")),
    }
}

/// Judges whether a version has been stable in the environment before, and for long enough.
fn promotion(raise: &Raise, order: &PromotionOrder, ground: Ground<'_>) -> (Said, Option<Closed>) {
    let (from, version) = (&order.from, &raise.pin.version);
    let promoted = ground.promoted.and_then(|promoted| promoted.get(version));
    let since = match promoted {
        Some(Promoted::Since(since)) => *since,
        Some(Promoted::Not(what)) => {
            let why = format!("{version} is not what {from} serves as stable: {what}");
            return ((Outcome::Stops, why), None);
        }
        Some(Promoted::Asked) => {
            let closed = Closed {
                why: format!("{from} is being asked since when it serves {version}"),
                until: None,
            };
            return ((Outcome::Stops, closed.to_string()), Some(closed));
        }
        Some(Promoted::Unknown(_)) | None => {
            let why = match promoted {
                Some(Promoted::Unknown(why)) => why,
                _ => "nobody looked",
            };
            let on_unknown = ground.gates.copied().unwrap_or_default();
            return (unknown(&on_unknown, "way here", &format!("{from}: {why}")), None);
        }
    };
    let is_since = format!(
        "{version} is stable in {from} since {}",
        since.format("%F %R UTC")
    );
    let Some(soak) = order.soak else {
        return ((Outcome::Passes, is_since), None);
    };
    let until = since + soak.duration();
    if until <= ground.now {
        return (
            (Outcome::Passes, format!("{is_since}, for more than {soak}")),
            None,
        );
    }
    let closed = Closed {
        why: format!("{is_since}, and has to be for {soak}"),
        until: Some(until),
    };
    ((Outcome::Stops, closed.to_string()), Some(closed))
}

/// Two versions measured by one metric on one holdout.
struct Compared {
    metric: Metric,
    stable: f64,
    new: f64,
}

/// Compares a version with the present stable, on its own holdout: what was measured for the comparison, else what each
/// reached where the holdout is the same.
fn compared(raise: &Raise, before: &Tracks, facts: &Facts) -> Result<Compared, String> {
    let new = of(&raise.pin, facts)?;
    let version = &raise.pin.version;
    let metric = new.metric.ok_or_else(|| {
        if new.measured.is_empty() {
            format!("{version} was not evaluated")
        } else {
            format!("{version} does not say by which metric it was judged")
        }
    })?;
    let value = |measured: &BTreeMap<String, f64>, whose: &Version| {
        let value = measured.get(metric.as_str()).copied();
        value.ok_or_else(|| format!("{} of {whose} was not measured", metric.as_str()))
    };
    let stable = &before.stable;
    let baseline = new.baseline.as_ref().filter(|baseline| match stable.digest {
        Some(digest) => baseline.digest == digest,
        None => of(stable, facts).is_ok_and(|known| known.digest == baseline.digest),
    });
    let stable = if let Some(baseline) = baseline {
        value(&baseline.measured, &stable.version)?
    } else {
        let known = of(stable, facts)?;
        let why = match (known.holdout, new.holdout) {
            (Some(theirs), Some(ours)) if theirs == ours => None,
            (Some(_), Some(_)) => Some("different holdout".to_owned()),
            (_, None) => Some(format!("{version} was not evaluated")),
            (None, Some(_)) => Some(format!("{} was not evaluated", stable.version)),
        };
        if let Some(why) = why {
            return Err(format!(
                "{version} and {} are not comparable: {why}",
                stable.version
            ));
        }
        value(&known.measured, &stable.version)?
    };
    let new = value(&new.measured, version)?;
    Ok(Compared { metric, stable, new })
}

fn both<'a>(
    before: &Tracks,
    raise: &Raise,
    facts: Option<&'a Facts>,
) -> Result<(&'a VersionFacts, &'a VersionFacts), String> {
    let facts = facts.ok_or_else(|| "no registry could be read".to_owned())?;
    Ok((of(&before.stable, facts)?, of(&raise.pin, facts)?))
}

/// Returns what is known of what a pin stands for.
fn of<'a>(pin: &Pin, facts: &'a Facts) -> Result<&'a VersionFacts, String> {
    let known = facts
        .get(&pin.version)
        .filter(|known| pin.digest.is_none_or(|digest| digest == known.digest));
    known.ok_or_else(|| format!("the registry says nothing of {}", pin.version))
}

fn unknown(gates: &Gates, what: &str, why: &str) -> Said {
    let why = format!("whether its {what} will do is unknown: {why}");
    match gates.on_unknown {
        OnFault::Refuse => (Outcome::Unknown, why),
        OnFault::Allow => (Outcome::Allowed, format!("{why}; the environment allows it")),
    }
}
