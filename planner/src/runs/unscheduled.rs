//! Jobs without a schedule: a fixed version, or one run per set of inputs.

use super::attempt::{Decision, continue_run};
use super::{Job, Phase, Record};
use crate::Timestamp;
use crate::names::Version;
use crate::observed::ObservedVersion;

/// Trained once, and only if the registry lacks the version.
pub(super) fn fixed(job: &Job<'_>, version: &Version, records: &[Record], now: Timestamp) -> Decision {
    if let Some(existing) = job.existing.get(version) {
        return Decision::of(made(version, existing));
    }
    let last = records
        .iter()
        .rev()
        .find(|record| record.version == *version && record.spec_hash == job.spec_hash);
    continue_run(job, version, None, (records, last), now)
}

/// One run per set of inputs. Its version is settled when it is created: the commit's time, `-N` where that is taken.
pub(super) fn per_inputs(job: &Job<'_>, records: &[Record], now: Timestamp) -> Decision {
    let of_these_inputs = job.existing.iter().rev().find(|(_, existing)| match existing {
        ObservedVersion::Sound { inputs, .. } => *inputs == Some(job.inputs),
        ObservedVersion::Damaged(_) => false,
    });
    if let Some((version, existing)) = of_these_inputs {
        return Decision::of(made(version, existing));
    }
    let last = records
        .iter()
        .rev()
        .find(|record| record.spec_hash == job.spec_hash);
    let damaged = last.and_then(|last| Some((&last.version, job.existing.get(&last.version)?)));
    match (last, damaged) {
        (_, Some((version, damaged @ ObservedVersion::Damaged(_)))) => Decision::of(made(version, damaged)),
        (Some(last), None) => continue_run(job, &last.version, None, (records, Some(last)), now),
        // The version was published by somebody else in the meantime, from other inputs: the run needs another name.
        (Some(_), Some((_, ObservedVersion::Sound { .. }))) | (None, _) => {
            let is_taken = |version: &Version| job.is_taken(version, records);
            let version = Version::at(job.committed_at, is_taken);
            continue_run(job, &version, None, (records, None), now)
        }
    }
}

/// The phase of a job whose version is there.
fn made(version: &Version, existing: &ObservedVersion) -> Phase {
    match existing {
        ObservedVersion::Sound { digest, .. } => Phase::Succeeded {
            version: version.clone(),
            digest: *digest,
        },
        ObservedVersion::Damaged(what) => Phase::Failed {
            version: version.clone(),
            message: format!(
                "the version exists but is damaged: {what}; remove its folder to train it again"
            ),
        },
    }
}
