//! Tree ensembles on a flat layout: one array of splits, one of leaf values, children as tagged indices.

/// The sum of one leaf per tree, plus a base.
#[derive(Debug, Clone, PartialEq)]
pub struct Trees {
    /// How many inputs a row has.
    pub width: usize,
    /// Added to the sum of the leaves.
    pub base: f64,
    /// Where each tree starts.
    pub roots: Vec<Child>,
    /// The splits of all trees.
    pub splits: Vec<Split>,
    /// The leaf values of all trees.
    pub leaves: Vec<f64>,
}

/// One decision: `row[feature] < threshold`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// What the input is compared with.
    pub threshold: f64,
    /// The input's index in a row.
    pub feature: u32,
    /// Where a smaller input goes.
    pub below: Child,
    /// Where an equal, larger or NaN input goes.
    pub otherwise: Child,
}

/// An index into [`Trees::splits`] or [`Trees::leaves`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child(u32);

impl Child {
    const LEAF: u32 = 1 << 31;

    /// Points to a split; `None` from index 2³¹ on.
    pub fn split(index: usize) -> Option<Self> {
        u32::try_from(index)
            .ok()
            .filter(|n| n & Self::LEAF == 0)
            .map(Self)
    }

    /// Points to a leaf; `None` from index 2³¹ on.
    pub fn leaf(index: usize) -> Option<Self> {
        Self::split(index).map(|child| Self(child.0 | Self::LEAF))
    }

    /// Says whether it points to a leaf.
    pub const fn is_leaf(self) -> bool {
        self.0 & Self::LEAF != 0
    }

    /// Returns the index of the split or leaf.
    pub const fn index(self) -> usize {
        (self.0 & !Self::LEAF) as usize
    }
}
