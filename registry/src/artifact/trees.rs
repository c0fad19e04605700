//! Tree ensembles on a flat layout: one array of splits, one of leaf values, children as tagged indices.

use super::{ArtifactError, Limits};

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

impl Trees {
    /// Returns the value of the leaf that `row` falls into, starting from `root`.
    #[inline]
    pub(super) fn leaf(&self, root: Child, row: &[f64]) -> f64 {
        let mut child = root;
        // Invariant: `check` saw that every way ends in a leaf.
        while !child.is_leaf() {
            let split = &self.splits[child.index()];
            child = if row[split.feature as usize] < split.threshold {
                split.below
            } else {
                split.otherwise
            };
        }
        self.leaves[child.index()]
    }

    /// Checks that every index is in range, every number finite, and every way from a root ends in a leaf within
    /// `limits`; `place` names the ensemble in errors.
    pub(super) fn check(&self, place: &str, limits: &Limits) -> Result<(), ArtifactError> {
        let fail = |problem: String| {
            Err(ArtifactError::Inconsistent {
                place: place.to_owned(),
                problem,
            })
        };
        if self.splits.len() > limits.splits_max {
            return Err(ArtifactError::TooMany {
                what: "splits",
                max: limits.splits_max,
            });
        }
        if let Some(index) = self.leaves.iter().position(|value| !value.is_finite()) {
            return fail(format!("the value of leaf {index} is not finite"));
        }
        if !self.base.is_finite() {
            return fail("the base is not finite".to_owned());
        }
        for (index, split) in self.splits.iter().enumerate() {
            if split.feature as usize >= self.width {
                return fail(format!(
                    "split {index} looks at input {}, and a row has {}",
                    split.feature, self.width
                ));
            }
            if split.threshold.is_nan() {
                return fail(format!("the threshold of split {index} is NaN"));
            }
        }
        self.check_ways(limits).or_else(fail)
    }

    /// Walks all trees without recursion; a split that is met twice would make a cycle or share a subtree.
    fn check_ways(&self, limits: &Limits) -> Result<(), String> {
        let mut seen = vec![false; self.splits.len()];
        let mut open = Vec::new();
        for (tree, root) in self.roots.iter().enumerate() {
            open.push((*root, 0));
            while let Some((child, depth)) = open.pop() {
                let index = child.index();
                if child.is_leaf() {
                    if index >= self.leaves.len() {
                        return Err(format!(
                            "tree {tree} leads to leaf {index}, and there are {}",
                            self.leaves.len()
                        ));
                    }
                    continue;
                }
                let Some(split) = self.splits.get(index) else {
                    return Err(format!(
                        "tree {tree} leads to split {index}, and there are {}",
                        self.splits.len()
                    ));
                };
                if std::mem::replace(&mut seen[index], true) {
                    return Err(format!("split {index} is reached twice (in tree {tree})"));
                }
                if depth >= limits.depth_max {
                    return Err(format!(
                        "tree {tree} is deeper than the {} splits allowed",
                        limits.depth_max
                    ));
                }
                open.push((split.below, depth + 1));
                open.push((split.otherwise, depth + 1));
            }
        }
        Ok(())
    }
}
