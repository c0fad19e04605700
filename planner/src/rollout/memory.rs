//! How a rollout's memory is written: with names of its own and the version of the form.
//!
//! A later program may write what this one cannot read. It says so by a higher `format`, and then nothing is read, so
//! that nothing is taken for lost and written over.

use serde::{Deserialize, Deserializer, Serialize};

use super::{Ceiling, Frozen, Lost, Retry, State, Status, Thinned, Transition};
use crate::Timestamp;
use crate::deployment::ResolvedPin;
use crate::memory::{self, Format};
use crate::names::Weight;
use crate::per_track::PerTrack;

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Absent in what the first version wrote.
    #[serde(default)]
    format: Format,
    state: State,
    since: Timestamp,
    stable: Option<ResolvedPin>,
    canary: Option<ResolvedPin>,
    weight: Weight,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    routed_at: Option<Timestamp>,
    lost: Option<Lost>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thinned: Option<Thinned>,
    paused: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ceiling: Option<Ceiling>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frozen: Option<Frozen>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stable_retry: Option<Retry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canary_retry: Option<Retry>,
    history: Vec<Transition>,
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        memory::read(deserializer).map(|memory: Memory| memory.into())
    }
}

impl From<Memory> for Status {
    fn from(memory: Memory) -> Self {
        let Memory {
            format: _,
            state,
            since,
            stable,
            canary,
            weight,
            routed_at,
            lost,
            thinned,
            paused,
            ceiling,
            frozen,
            stable_retry,
            canary_retry,
            history,
        } = memory;
        Self {
            state,
            since,
            serving: PerTrack { stable, canary },
            weight,
            routed_at,
            lost,
            thinned,
            paused,
            ceiling,
            frozen,
            retry: PerTrack {
                stable: stable_retry,
                canary: canary_retry,
            },
            history,
        }
    }
}

impl From<Status> for Memory {
    fn from(status: Status) -> Self {
        let Status {
            state,
            since,
            serving: PerTrack { stable, canary },
            weight,
            routed_at,
            lost,
            thinned,
            paused,
            ceiling,
            frozen,
            retry:
                PerTrack {
                    stable: stable_retry,
                    canary: canary_retry,
                },
            history,
        } = status;
        Self {
            format: Format::default(),
            state,
            since,
            stable,
            canary,
            weight,
            routed_at,
            lost,
            thinned,
            paused,
            ceiling,
            frozen,
            stable_retry,
            canary_retry,
            history,
        }
    }
}
