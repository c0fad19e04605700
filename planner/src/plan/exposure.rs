//! What the environment's policy lets through of the raises that a manifest asks for.
//!
//! What is held keeps what it serves. No commit is judged by a policy that it brought along itself.

use std::cell::OnceCell;

use super::Waiting;
use super::deployments::{Decided, finding};
use super::pins::{Context, Refusal};
use crate::Timestamp;
use crate::deployment::{Canary, DeclaredDeployment, Pin, ResolvedPin};
use crate::desired::{Dating, Declared, Desired};
use crate::environment::Environment;
use crate::gates::{Gate, Ground, Judged, Outcome, Raise, Tracks, judge, raises};
use crate::names::{Track, Weight};
use crate::observed::{DeploymentObject, Kept, Observed, PolicyAge};
use crate::trust::Trust;
use crate::window::{self, Closed};

/// Whose word counts on raises, and what it is now.
pub(super) struct Policy<'a> {
    environment: &'a Environment,
    now: Timestamp,
    /// Why no raise is allowed now; looked for once anybody asks.
    closed: OnceCell<Option<Closed>>,
}

/// Returns the environment whose word on raises counts.
pub fn whose_word<'a>(desired: &'a Desired, observed: &'a Observed) -> &'a Environment {
    match (observed.policy, &observed.environment) {
        (PolicyAge::New | PolicyAge::NewAndHolds, Some(last)) => last,
        // Where nothing was applied before, nothing else counts.
        (PolicyAge::Older, _) | (_, None) => &desired.environment,
    }
}

impl<'a> Policy<'a> {
    pub(super) fn new(desired: &'a Desired, observed: &'a Observed, now: Timestamp) -> Self {
        Self {
            environment: whose_word(desired, observed),
            now,
            closed: OnceCell::new(),
        }
    }

    /// Returns what whoever loads a version holds it to.
    pub(super) fn trust(&self) -> Option<Trust> {
        self.environment.models.trust()
    }

    fn closed(&self) -> Option<&Closed> {
        let closed = || window::closed(&self.environment.windows, self.now);
        self.closed.get_or_init(closed).as_ref()
    }
}

/// What a model's tracks come to serve.
pub(super) struct Exposed {
    pub(super) stable: ResolvedPin,
    pub(super) canary: Option<Canary<ResolvedPin>>,
    /// Both, where more is held back.
    pub(super) kept: Option<Kept>,
    /// Why the commit overrides a window, where one would have held it.
    pub(super) overridden: Option<String>,
}

/// Returns what the tracks may come to serve of what is wanted; `None` where there is nothing to keep either.
pub(super) fn expose(
    policy: &Policy<'_>,
    declared: &Declared<DeclaredDeployment>,
    context: &Context<'_>,
    wanted: (ResolvedPin, Option<Canary<ResolvedPin>>),
    decided: &mut Decided<'_>,
) -> Option<Exposed> {
    let (stable, canary) = wanted;
    let carried = context.object.filter(|old| old.revision == declared.revision);
    let mut overridden = carried.and_then(|old| old.overridden.clone());
    if policy.environment.is_silent() {
        return Some(Exposed {
            stable,
            canary,
            kept: None,
            overridden,
        });
    }
    let after = Tracks::of(&stable, canary.as_ref());
    let old = context
        .object
        .map(|old| kept(old, declared, &stable, canary.as_ref()));
    let before = match &old {
        Some(Kept { stable, canary }) => Some(Tracks::of(stable, canary.as_ref())),
        None => recorded(context),
    };
    let registered = context.registered;
    let has_served = |pin: &Pin| {
        let known = registered.history_digests.get(&pin.version);
        known.is_some_and(|known| pin.digest == Some(*known) && !registered.aborted.contains(known))
    };
    let raises = raises(before.as_ref(), &after, &declared.spec.rejected, has_served);
    let ground = Ground {
        gates: policy.environment.gates.as_ref(),
        closed: if raises.stable.is_some() || raises.canary.is_some() {
            policy.closed()
        } else {
            None
        },
        overridden: context
            .desired
            .overrides
            .get(&declared.revision)
            .map(String::as_str),
        before: before.as_ref(),
        allow_breaking: &declared.spec.allow_breaking,
        facts: context.observed.facts.get(context.model),
        verify: policy.environment.models.verify,
        signers: context.observed.signers.get(context.model),
        promotion: policy.environment.promotion.as_ref(),
        promoted: context.desired.promoted.get(context.model),
        now: policy.now,
    };
    let mut is_held = |raise: Option<&Raise>| {
        let judged = raise.map(|raise| (raise, judge(raise, ground)));
        let Some((raise, judged)) = judged else {
            return false;
        };
        let stops: Vec<&Judged> = judged.iter().filter(|judged| judged.outcome.stops()).collect();
        for stop in &stops {
            hold(raise, stop, declared, decided);
        }
        let is_overridden =
            |judged: &Judged| judged.gate == Gate::Window && judged.outcome == Outcome::Allowed;
        if stops.is_empty() && judged.iter().any(is_overridden) {
            overridden = ground.overridden.map(str::to_owned);
        }
        !stops.is_empty()
    };
    let (holds_stable, holds_canary) = (is_held(raises.stable.as_ref()), is_held(raises.canary.as_ref()));
    let kept = old.as_ref().and_then(|old| old.canary.as_ref());
    let kept = kept.filter(|kept| !declared.spec.rejected.contains(&kept.pin.version));
    let canary = match (canary, kept) {
        (Some(canary), kept) if holds_canary => kept.map(|kept| Canary {
            pin: kept.pin.clone(),
            weight: kept.weight.min(canary.weight),
            replicas: canary.replicas,
        }),
        // A promotion that is held leaves its canary where it is.
        (None, Some(kept)) if holds_stable && kept.pin.digest == stable.digest => Some(kept.clone()),
        (canary, _) => canary,
    };
    let stable = if holds_stable { old?.stable } else { stable };
    let is_other = |canary: &Canary<ResolvedPin>| {
        canary.pin.digest != stable.digest && canary.pin.version != stable.version
    };
    let canary = canary.filter(is_other);
    let kept = (holds_stable || holds_canary).then(|| Kept {
        stable: stable.clone(),
        canary: canary.clone(),
    });
    Some(Exposed {
        stable,
        canary,
        kept,
        overridden,
    })
}

/// Returns what an object's tracks were let through to serve. Its spec does not say: somebody may have edited it, and that
/// is no way past a policy, nor does a policy hold what puts it right.
fn kept(
    object: &DeploymentObject,
    declared: &Declared<DeclaredDeployment>,
    stable: &ResolvedPin,
    canary: Option<&Canary<ResolvedPin>>,
) -> Kept {
    if let Some(kept) = &object.kept {
        return kept.clone();
    }
    let is_known = declared.dating != Dating::Provisional;
    if is_known && object.revision == declared.revision && object.behind.is_none() {
        // All of the manifest was let through.
        return Kept {
            stable: stable.clone(),
            canary: canary.cloned(),
        };
    }
    Kept {
        stable: object.spec.stable.clone(),
        canary: object.spec.canary.clone(),
    }
}

/// Returns what the model's tracks served by what the registry recorded, where the object was lost: that may serve again.
fn recorded(context: &Context<'_>) -> Option<Tracks> {
    let registered = context.registered;
    let pin = |track| {
        let version = registered.recorded.get(&track)?;
        let digest = registered.history_digests.get(version).copied()?;
        Some(Pin {
            version: version.clone(),
            digest: Some(digest),
        })
    };
    Some(Tracks {
        stable: pin(Track::Stable)?,
        canary: pin(Track::Canary).map(|pin| (pin, Weight::ZERO)),
    })
}

/// Says what holds a raise.
fn hold(raise: &Raise, stop: &Judged, declared: &Declared<DeclaredDeployment>, decided: &mut Decided<'_>) {
    match (stop.reason(), &stop.waits) {
        (Some(reason), _) => {
            let refusal = Refusal {
                reason,
                message: stop.why.clone(),
                hint: format!("what serves stays; {}", stop.hint(&raise.pin.version)),
            };
            let finding = finding(decided.name, declared, raise.track, refusal);
            decided.findings.push(finding);
        }
        (None, Some(closed)) => decided.waiting.push(Waiting::ForTime {
            deployment: decided.name.clone(),
            track: raise.track,
            version: raise.pin.version.clone(),
            closed: closed.clone(),
        }),
        (None, None) => {}
    }
}
