//! What a replica does about a Lease that it has seen: values in, values out.

use std::time::Duration;

use super::Moment;

/// How long things take in an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// A Lease that was not seen to change for this long may be taken.
    pub duration: Duration,
    /// A leader is none any more this long after the beginning of its last renewal; shorter than `duration` by more than
    /// `written_within`.
    pub renewed_within: Duration,
    /// A leader's write is given up after this.
    pub written_within: Duration,
    /// How often a replica looks.
    pub look_every: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renewed_within: Duration::from_secs(10),
            written_within: Duration::from_secs(4),
            look_every: Duration::from_secs(2),
        }
    }
}

/// What a Lease says, as far as it decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who leads; empty: nobody.
    pub holder: String,
    /// When its holder says to have renewed it; only whether it changes is looked at.
    pub renewed: String,
    /// How often it has changed hands.
    pub transitions: i32,
    /// How long its holder wants others to wait.
    pub duration: Duration,
}

/// A Lease, and since when it reads so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    record: Record,
    since: Moment,
}

impl Seen {
    /// Returns what is seen after a look that was answered at `now`; an unchanged Lease is seen since before.
    pub(super) fn after(before: Option<Self>, record: Option<Record>, now: Moment) -> Option<Self> {
        let record = record?;
        Some(match before {
            Some(before) if before.record == record => before,
            _ => Self { record, since: now },
        })
    }
}

/// What a replica does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Write the Lease over what was read: nobody holds it, its holder is gone, or it is ours.
    Write,
    /// Another holds it.
    Wait,
}

/// Decides on what was seen last.
pub(super) fn decide(seen: Option<&Seen>, identity: &str, terms: Terms, now: Moment) -> Decision {
    let Some(Seen { record, since }) = seen else {
        return Decision::Write;
    };
    // The longer of the two: replicas of two releases may have other terms.
    let duration = terms.duration.max(record.duration);
    let is_expired = now.saturating_sub(*since) >= duration;
    if record.holder.is_empty() || record.holder == identity || is_expired {
        Decision::Write
    } else {
        Decision::Wait
    }
}

/// Why a leader is none any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// Another leads.
    #[error("{holder:?} leads now")]
    Taken {
        /// Who.
        holder: String,
    },
    /// The API server took no renewal in time.
    #[error("the lead could not be renewed in time")]
    NotRenewed,
}

/// Says whether, and why, a replica whose last renewal began at `renewed_at` leads no more.
pub(super) fn loss(
    renewed_at: Option<Moment>,
    seen: Option<&Seen>,
    identity: &str,
    terms: Terms,
    now: Moment,
) -> Option<Loss> {
    let is_in_time = renewed_at.is_some_and(|at| now.saturating_sub(at) < terms.renewed_within);
    match seen {
        Some(Seen { record, .. }) if record.holder != identity => Some(Loss::Taken {
            holder: record.holder.clone(),
        }),
        _ => (!is_in_time).then_some(Loss::NotRenewed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    fn record(holder: &str, renewed: &str) -> Record {
        Record {
            holder: holder.to_owned(),
            renewed: renewed.to_owned(),
            transitions: 0,
            duration: at(15),
        }
    }

    fn seen(holder: &str, since: u64) -> Seen {
        Seen {
            record: record(holder, "a"),
            since: at(since),
        }
    }

    #[test]
    fn lease_is_written_where_it_is_ours_or_nobodys_or_expired() {
        let terms = Terms::default();
        for (found, now, expected) in [
            (None, 100, Decision::Write),
            (Some(seen("", 100)), 100, Decision::Write),
            (Some(seen("us", 100)), 100, Decision::Write),
            (Some(seen("other", 100)), 100, Decision::Wait),
            (Some(seen("other", 100)), 114, Decision::Wait),
            (Some(seen("other", 100)), 115, Decision::Write),
            // A clock that stands still or goes back makes nothing expire.
            (Some(seen("other", 100)), 99, Decision::Wait),
        ] {
            assert_eq!(
                decide(found.as_ref(), "us", terms, at(now)),
                expected,
                "{found:?} at {now}"
            );
        }
    }

    #[test]
    fn the_longer_duration_counts() {
        let mut patient = seen("other", 100);
        patient.record.duration = at(60);
        assert_eq!(
            decide(Some(&patient), "us", Terms::default(), at(159)),
            Decision::Wait
        );
        assert_eq!(
            decide(Some(&patient), "us", Terms::default(), at(160)),
            Decision::Write
        );
        patient.record.duration = at(1);
        assert_eq!(
            decide(Some(&patient), "us", Terms::default(), at(114)),
            Decision::Wait
        );
    }

    #[test]
    fn whatever_its_holder_changes_is_seen_as_new() {
        let before = Some(seen("other", 100));
        let unchanged = Seen::after(before.clone(), Some(record("other", "a")), at(110));
        assert_eq!(unchanged, before, "what others do to the object renews nothing");
        for changed in [
            record("other", "b"),
            record("third", "a"),
            Record {
                transitions: 1,
                ..record("other", "a")
            },
        ] {
            let after = Seen::after(before.clone(), Some(changed), at(110)).unwrap();
            assert_eq!(after.since, at(110), "{after:?}");
        }
        assert_eq!(
            Seen::after(before, None, at(110)),
            None,
            "a Lease that was deleted is nobody's"
        );
    }

    #[test]
    fn lead_is_lost_to_another_or_to_time() {
        let terms = Terms::default();
        let taken = Loss::Taken {
            holder: "other".to_owned(),
        };
        for (renewed_at, holder, now, expected) in [
            (Some(100), "us", 100, None),
            (Some(100), "us", 109, None),
            (Some(100), "us", 110, Some(Loss::NotRenewed)),
            (None, "us", 100, Some(Loss::NotRenewed)),
            (Some(100), "other", 100, Some(taken.clone())),
            (Some(100), "other", 120, Some(taken)),
        ] {
            let found = loss(renewed_at.map(at), Some(&seen(holder, 100)), "us", terms, at(now));
            assert_eq!(found, expected, "{renewed_at:?} {holder} at {now}");
        }
    }

    /// Whoever takes a Lease has not seen it change for its duration; what its holder wrote last began before that.
    #[test]
    fn no_write_of_a_leader_goes_on_when_another_may_lead() {
        let Terms {
            duration,
            renewed_within,
            written_within,
            look_every,
        } = Terms::default();
        assert!(renewed_within + written_within < duration);
        assert!(look_every * 2 < renewed_within, "a renewal may fail once");
    }
}
