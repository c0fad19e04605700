//! What people change in an MLDeployment, as edits of its manifest. Empty where it says so already.

use planner::deployment::{DeclaredDeployment, Pin};
use planner::names::{Version, Weight};

use super::{Edit, Scalar};

const STABLE_VERSION: &[&str] = &["spec", "stable", "version"];
const STABLE_DIGEST: &[&str] = &["spec", "stable", "digest"];
const CANARY: &[&str] = &["spec", "canary"];
const CANARY_VERSION: &[&str] = &["spec", "canary", "version"];
const CANARY_DIGEST: &[&str] = &["spec", "canary", "digest"];
const CANARY_WEIGHT: &[&str] = &["spec", "canary", "weight"];
const REJECTED: &[&str] = &["spec", "rejected"];

/// Lets stable serve a version. A canary of that version goes: it is promoted, with its digest where none is given.
pub fn pin_stable(manifest: &DeclaredDeployment, pin: &Pin) -> Vec<Edit> {
    let canary = manifest.canary.as_ref().map(|canary| &canary.pin);
    let tried = canary.filter(|canary| canary.version == pin.version);
    let pin = &Pin {
        version: pin.version.clone(),
        digest: pin.digest.or_else(|| tried?.digest),
    };
    let mut edits = pinned(&manifest.stable, STABLE_VERSION, STABLE_DIGEST, pin);
    edits.extend(is_canary(manifest, &pin.version).then_some(Edit::Remove { path: CANARY }));
    edits
}

/// Lets the canary serve a version. Without a weight it keeps the one that the manifest has, or begins with none.
pub fn pin_canary(manifest: &DeclaredDeployment, pin: &Pin, weight: Option<Weight>) -> Vec<Edit> {
    let percent = |weight: Weight| Scalar::Whole(u64::from(weight.percent()));
    let Some(canary) = &manifest.canary else {
        let mut fields = vec![("version", text(&pin.version))];
        fields.extend(pin.digest.map(|digest| ("digest", text(&digest))));
        fields.push(("weight", weight.map_or(Scalar::Whole(0), percent)));
        return vec![Edit::Insert {
            path: CANARY,
            fields,
            after: &["stable"],
        }];
    };
    let mut edits = pinned(&canary.pin, CANARY_VERSION, CANARY_DIGEST, pin);
    let weight = weight.filter(|weight| *weight != canary.weight);
    edits.extend(weight.map(|weight| Edit::Set {
        path: CANARY_WEIGHT,
        value: percent(weight),
        after: &["version"],
    }));
    edits
}

/// Lets stable serve an earlier version, and says of the one that served that it may not come back.
pub fn roll_back(manifest: &DeclaredDeployment, to: &Pin) -> Vec<Edit> {
    let mut edits = pin_stable(manifest, to);
    edits.extend(reject(
        manifest,
        &manifest.stable.version,
        is_canary(manifest, &to.version),
    ));
    edits
}

/// Takes the canary away, and says of its version that it may not come back.
pub fn withdraw_canary(manifest: &DeclaredDeployment) -> Vec<Edit> {
    let Some(canary) = &manifest.canary else {
        return Vec::new();
    };
    let mut edits = vec![Edit::Remove { path: CANARY }];
    edits.extend(reject(manifest, &canary.pin.version, true));
    edits
}

fn is_canary(manifest: &DeclaredDeployment, version: &Version) -> bool {
    let canary = manifest.canary.as_ref();
    canary.is_some_and(|canary| canary.pin.version == *version)
}

fn reject(manifest: &DeclaredDeployment, version: &Version, is_canary_going: bool) -> Option<Edit> {
    (!manifest.rejected.contains(version)).then(|| Edit::Add {
        path: REJECTED,
        value: text(version),
        // What is to go cannot have a neighbour.
        after: if is_canary_going {
            &["stable"]
        } else {
            &["canary", "stable"]
        },
    })
}

/// Pins a track anew. A digest that is not given goes: it would be another version's.
fn pinned(
    before: &Pin,
    version: &'static [&'static str],
    digest: &'static [&'static str],
    pin: &Pin,
) -> Vec<Edit> {
    let mut edits = Vec::new();
    if before.version != pin.version {
        edits.push(Edit::Set {
            path: version,
            value: text(&pin.version),
            after: &[],
        });
    }
    match pin.digest {
        Some(value) if before.digest != pin.digest => edits.push(Edit::Set {
            path: digest,
            value: text(&value),
            after: &["version"],
        }),
        None if before.version != pin.version => edits.push(Edit::Remove { path: digest }),
        Some(_) | None => {}
    }
    edits
}

fn text(value: &impl ToString) -> Scalar {
    Scalar::Text(value.to_string())
}
