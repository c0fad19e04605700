//! What requests may hold where no flag says so: a quarter of the memory that this process may have, at most.
//!
//! ```text
//! a quarter of the memory = 16 parts
//!   4   the first 16 KiB of each connection's body and answer, which count for nothing else
//!   4   bodies                    one body: all of them
//!   5   answers
//!   2   answers of the control plane
//!   1   the first 16 KiB of those
//! ```

use std::fmt;

use serde::Serialize;
use server::Limits;

use crate::memory_limit::MemoryLimit;

/// What each body and each answer may hold uncounted, in bytes.
const FREE_BYTES: u64 = 16 << 10;

/// The bounds by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Defaults {
    pub(super) connections: usize,
    pub(super) requests: usize,
    pub(super) body_bytes: usize,
    pub(super) bodies_bytes: usize,
    pub(super) answer_bytes: usize,
    pub(super) answers_bytes: usize,
    pub(super) control_plane_connections: usize,
    pub(super) control_plane_answers_bytes: usize,
}

/// What memory never raises: more serves nobody better.
const MOST: Defaults = Defaults {
    connections: 1024,
    requests: 512,
    body_bytes: 16 << 20,
    bodies_bytes: 64 << 20,
    answer_bytes: 64 << 20,
    answers_bytes: 256 << 20,
    control_plane_connections: 256,
    control_plane_answers_bytes: 128 << 20,
};

impl Defaults {
    /// Shares a quarter of `memory` bytes.
    pub(super) fn within(memory: u64) -> Self {
        let part = memory / 4 / 16;
        let least = |share: u64, most: usize| usize::try_from(share).unwrap_or(most).clamp(1, most);
        let connections = least(4 * part / (2 * FREE_BYTES), MOST.connections);
        let bodies_bytes = least(4 * part, MOST.bodies_bytes);
        let answers_bytes = least(5 * part, MOST.answers_bytes);
        Self {
            connections,
            requests: MOST.requests.min(connections),
            body_bytes: MOST.body_bytes.min(bodies_bytes),
            bodies_bytes,
            answer_bytes: MOST.answer_bytes.min(answers_bytes),
            answers_bytes,
            control_plane_connections: least(part / FREE_BYTES, MOST.control_plane_connections),
            control_plane_answers_bytes: least(2 * part, MOST.control_plane_answers_bytes),
        }
    }

    /// Shares a quarter of what a limit leaves; what is known of none is not shared.
    pub(super) fn of(memory: Option<&MemoryLimit>) -> Self {
        memory.map_or(MOST, |memory| Self::within(memory.bytes))
    }
}

/// The bounds of inference, for whoever starts the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Bounds {
    body_bytes: usize,
    bodies_bytes: usize,
    answer_bytes: usize,
    answers_bytes: usize,
    rows: usize,
    requests: usize,
    connections: usize,
    /// The memory that they are measured by, in bytes, and who limits it.
    memory_bytes: Option<u64>,
    memory_limited_by: Option<String>,
}

impl Bounds {
    pub(super) fn new(limits: &Limits, memory: Option<&MemoryLimit>) -> Self {
        Self {
            body_bytes: limits.body_bytes,
            bodies_bytes: limits.bodies_bytes,
            answer_bytes: limits.answer_bytes,
            answers_bytes: limits.answers_bytes,
            rows: limits.rows,
            requests: limits.requests,
            connections: limits.connections,
            memory_bytes: memory.map(|memory| memory.bytes),
            memory_limited_by: memory.map(|memory| memory.set_by.clone()),
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            body_bytes,
            bodies_bytes,
            answer_bytes,
            answers_bytes,
            rows,
            requests,
            connections,
            memory_bytes,
            memory_limited_by,
        } = self;
        let [body, bodies, answer, answers] =
            [body_bytes, bodies_bytes, answer_bytes, answers_bytes].map(|bytes| Size(*bytes as u64));
        write!(
            f,
            "at most {body} a body, {bodies} all; {answer} an answer, {answers} all; {rows} rows, {requests} requests, \
             {connections} connections"
        )?;
        if let (Some(bytes), Some(by)) = (memory_bytes, memory_limited_by) {
            write!(f, "; memory: {} ({by})", Size(*bytes))?;
        }
        Ok(())
    }
}

/// A number of bytes as people read it.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name): (u64, _) = match self.0 {
            bytes if bytes >= 1 << 30 => (1 << 30, "GiB"),
            bytes if bytes >= 1 << 20 => (1 << 20, "MiB"),
            _ => (1 << 10, "KiB"),
        };
        // One decimal, and none where it says nothing.
        match self.0 % unit * 10 / unit {
            0 => write!(f, "{} {name}", self.0 / unit),
            tenth => write!(f, "{}.{tenth} {name}", self.0 / unit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_held_together_is_a_quarter_of_the_memory_and_one_body_a_quarter_of_that() {
        for mebibytes in [1, 16, 64, 100, 128, 256, 1_000, 4_096, 24_000, 1 << 30] {
            let memory = mebibytes << 20;
            let defaults = Defaults::within(memory);
            let Defaults {
                connections,
                requests,
                body_bytes,
                bodies_bytes,
                answer_bytes,
                answers_bytes,
                control_plane_connections,
                control_plane_answers_bytes,
            } = defaults;
            let free = FREE_BYTES * (2 * connections + control_plane_connections) as u64;
            let held = free + (bodies_bytes + answers_bytes + control_plane_answers_bytes) as u64;
            assert!(held <= memory / 4, "{mebibytes}: {defaults:?}");
            assert!(body_bytes as u64 <= memory / 16, "{mebibytes}: {defaults:?}");
            assert!(body_bytes <= bodies_bytes && answer_bytes <= answers_bytes);
            assert!(requests <= connections);
        }
    }

    #[test]
    fn memory_raises_nothing_above_what_serves_anybody() {
        assert_eq!(Defaults::within(4 << 30), MOST);
        assert_eq!(Defaults::within(u64::MAX), MOST);
        assert_eq!(Defaults::of(None), MOST);
        let less = Defaults::within(64 << 20);
        assert_eq!(
            (
                less.body_bytes,
                less.bodies_bytes,
                less.answers_bytes,
                less.connections
            ),
            (4 << 20, 4 << 20, 5 << 20, 128)
        );
        // What nobody can serve with is bounded all the same.
        assert_eq!(Defaults::within(0).connections, 1);
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (1 << 20, "1 MiB"),
            (16 << 10, "16 KiB"),
            ((5 << 20) + (1 << 19), "5.5 MiB"),
            (25_276_510_208, "23.5 GiB"),
            (0, "0 KiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
