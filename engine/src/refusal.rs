//! Why a file is not loaded, and what a file may hold.

/// Says why bytes are no model that this engine runs. A person must act: another read gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It holds more of something than allowed.
    #[error("the model has {found} {what}, more than the {max} allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// It is no protobuf message of ONNX.
    #[error("this is no ONNX file: {reason}")]
    Malformed {
        /// What the reader met.
        reason: String,
    },
    /// It is ONNX of a form that this engine does not run.
    #[error("{place}: {found}; supported: {supported}")]
    Unsupported {
        /// The node, attribute, tensor or value.
        place: String,
        /// What it is.
        found: String,
        /// What it would have to be.
        supported: String,
    },
    /// It contradicts itself or the specification.
    #[error("{place}: {problem}")]
    Inconsistent {
        /// The node, attribute, tensor or value.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Refusal {
    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Self::Malformed {
            reason: reason.into(),
        }
    }

    pub(crate) fn unsupported(
        place: impl Into<String>,
        found: impl Into<String>,
        supported: impl Into<String>,
    ) -> Self {
        Self::Unsupported {
            place: place.into(),
            found: found.into(),
            supported: supported.into(),
        }
    }

    pub(crate) fn inconsistent(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Inconsistent {
            place: place.into(),
            problem: problem.into(),
        }
    }
}

/// What a model may at most hold and cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The size of the file, in bytes.
    pub bytes_max: usize,
    /// The nodes of its graph.
    pub nodes_max: usize,
    /// The splits and leaves of all trees.
    pub tree_nodes_max: usize,
    /// The longest way from a root to a leaf.
    pub tree_depth_max: usize,
    /// The numbers and texts of its constants, those that follow from others included.
    pub constants_max: usize,
    /// The different texts of its constants.
    pub texts_max: usize,
    /// What these texts take together, in bytes.
    pub text_bytes_max: usize,
    /// What all steps keep for one row, in bytes.
    pub row_bytes_max: usize,
    /// About how many operations one row costs.
    pub row_work_max: usize,
}

impl Default for Limits {
    /// 256 MiB, 10,000 nodes, 8 M tree nodes, depth 1,024, 64 M constants, 1 M different texts of 64 MiB
    /// together, 16 MiB and 400 M operations a row.
    fn default() -> Self {
        Self {
            bytes_max: 256 << 20,
            nodes_max: 10_000,
            tree_nodes_max: 8_000_000,
            tree_depth_max: 1_024,
            constants_max: 64_000_000,
            texts_max: 1_000_000,
            text_bytes_max: 64 << 20,
            row_bytes_max: 16 << 20,
            row_work_max: 400_000_000,
        }
    }
}

impl Limits {
    /// Refuses what is over a limit.
    pub(crate) fn check(what: &'static str, found: usize, max: usize) -> Result<(), Refusal> {
        if found > max {
            return Err(Refusal::TooMany { what, found, max });
        }
        Ok(())
    }
}
