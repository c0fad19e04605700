//! Trees as one array: the two ways on from a split lie side by side, a leaf leads to itself, and several walks are taken
//! in step, so that one does not wait for the memory of another.
//!
//! The number of a leaf stands where a split has its threshold. All comparisons are brought to one: `x ≤ threshold`, with a bit that says where a NaN goes. `x < t` is `x ≤ the number
//! before t`; the opposites swap their ways.

use crate::refusal::{Limits, Refusal};
use crate::types::Real;

/// How a split compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    AtMost,
    Less,
    AtLeast,
    More,
    Equal,
    NotEqual,
}

/// Where a way leads: to a split or a leaf of the ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Child {
    Split(usize),
    Leaf(usize),
}

/// A split as a model writes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Split<T> {
    pub(super) feature: usize,
    pub(super) threshold: T,
    pub(super) mode: Mode,
    /// Whether a NaN takes the way of those that the comparison holds for.
    pub(super) missing_is_true: bool,
    pub(super) when_true: Child,
    pub(super) when_false: Child,
}

/// An ensemble as a model writes it.
#[derive(Debug)]
pub(super) struct Ensemble<T> {
    pub(super) roots: Vec<Child>,
    pub(super) splits: Vec<Split<T>>,
    /// What each leaf adds to which target: ranges of `weights`.
    pub(super) leaves: Vec<std::ops::Range<usize>>,
    pub(super) weights: Vec<(u32, T)>,
    /// How many targets or classes there are.
    pub(super) targets: usize,
}

/// A number of a request, as thresholds compare it.
pub(super) trait Threshold: Real {
    /// Returns the largest number below.
    fn before(self) -> Self;
}

impl Threshold for f32 {
    fn before(self) -> Self {
        self.next_down()
    }
}

impl Threshold for f64 {
    fn before(self) -> Self {
        self.next_down()
    }
}

/// A split or leaf: 12 bytes for FP32.
#[derive(Debug, Clone, Copy)]
struct Node<T> {
    threshold: T,
    /// The feature, and the bits below.
    feature: u32,
    /// Where the walk goes on if the comparison holds; the other way is the next one.
    next: u32,
}

/// A NaN goes where the comparison holds.
const MISSING_IS_TRUE: u32 = 1 << 31;
/// It compares for equality.
const IS_EQUAL: u32 = 1 << 30;
/// It is a split: a leaf leads to itself, whatever a row says.
const IS_SPLIT: u32 = 1 << SPLIT_BIT;
const SPLIT_BIT: u32 = 29;
const FEATURE: u32 = IS_SPLIT - 1;

/// How many walks are taken in step.
const LANES: usize = 8;

/// What leaves add.
#[derive(Debug)]
enum Leaves<T> {
    /// One number of one target: it stands in the node.
    Single,
    /// The leaf of each node, its range, and the numbers.
    Many {
        leaf: Vec<u32>,
        ranges: Vec<std::ops::Range<usize>>,
        weights: Vec<(u32, T)>,
    },
}

/// An ensemble, ready to be walked.
#[derive(Debug)]
pub(super) struct Forest<T> {
    nodes: Vec<Node<T>>,
    roots: Vec<u32>,
    /// The longest way from each root.
    depths: Vec<u32>,
    leaves: Leaves<T>,
    has_equal: bool,
    pub(super) targets: usize,
}

impl<T: Threshold> Forest<T> {
    /// Lays an ensemble out, and refuses ways that do not end, and features that a row does not have.
    pub(super) fn new(
        ensemble: &Ensemble<T>,
        width: usize,
        place: &str,
        limits: &Limits,
    ) -> Result<Self, Refusal> {
        let fail = |problem: String| Refusal::inconsistent(place, problem);
        if let Some(at) = ensemble.splits.iter().position(|split| split.feature >= width) {
            let feature = ensemble.splits[at].feature;
            return Err(fail(format!("looks at feature {feature}, and a row has {width}")));
        }
        if let Some(at) = ensemble.splits.iter().position(|split| split.threshold.is_nan()) {
            return Err(fail(format!("has NaN as the threshold of split {at}")));
        }
        let mut forest = Self {
            nodes: Vec::with_capacity(2 * ensemble.splits.len() + ensemble.roots.len()),
            roots: Vec::with_capacity(ensemble.roots.len()),
            depths: Vec::with_capacity(ensemble.roots.len()),
            leaves: Leaves::Single,
            has_equal: ensemble
                .splits
                .iter()
                .any(|split| matches!(split.mode, Mode::Equal | Mode::NotEqual)),
            targets: ensemble.targets,
        };
        let mut leaf = Vec::new();
        let mut seen = vec![false; ensemble.splits.len()];
        for (tree, root) in ensemble.roots.iter().enumerate() {
            let depth = forest.lay_out(ensemble, *root, &mut leaf, &mut seen, limits);
            forest
                .depths
                .push(depth.map_err(|problem| fail(format!("{problem} (in tree {tree})")))?);
        }
        forest.keep_leaves(ensemble, leaf);
        Ok(forest)
    }

    /// Lays one tree out, level by level; returns its longest way.
    fn lay_out(
        &mut self,
        ensemble: &Ensemble<T>,
        root: Child,
        leaf: &mut Vec<u32>,
        seen: &mut [bool],
        limits: &Limits,
    ) -> Result<u32, String> {
        let first = self.nodes.len();
        self.roots.push(index(first)?);
        self.reserve(leaf, 1);
        let mut open = vec![(root, first)];
        let mut depth = 0;
        while !open.is_empty() {
            let mut below = Vec::new();
            for (child, at) in open {
                match child {
                    Child::Leaf(found) => {
                        if found >= ensemble.leaves.len() {
                            return Err(format!(
                                "leads to leaf {found}, and there are {}",
                                ensemble.leaves.len()
                            ));
                        }
                        leaf[at] = index(found)?;
                        self.nodes[at] = Node {
                            threshold: T::zero(),
                            feature: 0,
                            next: index(at)?,
                        };
                    }
                    Child::Split(found) => {
                        let split = ensemble.splits.get(found).ok_or_else(|| {
                            format!("leads to split {found}, and there are {}", ensemble.splits.len())
                        })?;
                        if std::mem::replace(&mut seen[found], true) {
                            return Err(format!("comes to split {found} twice"));
                        }
                        let next = self.nodes.len();
                        self.reserve(leaf, 2);
                        let (node, ways) = normal(split, index(next)?)?;
                        self.nodes[at] = node;
                        below.extend([(ways[0], next), (ways[1], next + 1)]);
                    }
                }
            }
            open = below;
            depth += u32::from(!open.is_empty());
            if depth as usize > limits.tree_depth_max {
                return Err(format!(
                    "is deeper than the {} splits allowed",
                    limits.tree_depth_max
                ));
            }
        }
        Ok(depth)
    }

    /// Keeps what leaves add; `leaf` is the leaf of each node.
    fn keep_leaves(&mut self, ensemble: &Ensemble<T>, leaf: Vec<u32>) {
        if ensemble.targets != 1 || ensemble.leaves.iter().any(|range| range.len() != 1) {
            self.leaves = Leaves::Many {
                leaf,
                ranges: ensemble.leaves.clone(),
                weights: ensemble.weights.clone(),
            };
            return;
        }
        let leaves = self.nodes.iter_mut().zip(leaf);
        for (node, leaf) in leaves.filter(|(node, _)| node.feature & IS_SPLIT == 0) {
            node.threshold = ensemble.weights[ensemble.leaves[leaf as usize].start].1;
        }
    }

    fn reserve(&mut self, leaf: &mut Vec<u32>, nodes: usize) {
        let empty = Node {
            threshold: T::zero(),
            feature: 0,
            next: 0,
        };
        self.nodes.resize(self.nodes.len() + nodes, empty);
        leaf.resize(self.nodes.len(), 0);
    }

    /// Adds, for each row, what its leaves say; `scores` has the targets of each row.
    ///
    /// Trees are added in their order, so that a row has the same answer alone and among others.
    pub(super) fn add(&self, rows: &[T], width: usize, scores: &mut [T], mut take: impl FnMut(&mut T, T)) {
        let count = scores.len() / self.targets.max(1);
        if count < LANES {
            for (row, scores) in rows
                .chunks_exact(width)
                .zip(scores.chunks_exact_mut(self.targets))
            {
                if self.is_plain(row) {
                    self.one_row::<true>(row, scores, &mut take);
                } else {
                    self.one_row::<false>(row, scores, &mut take);
                }
            }
            return;
        }
        let is_plain = self.is_plain(rows);
        for (tree, root) in self.roots.iter().enumerate() {
            let blocks = rows
                .chunks(width * LANES)
                .zip(scores.chunks_mut(self.targets * LANES));
            for (rows, scores) in blocks {
                let depth = self.depths[tree];
                let at = if is_plain {
                    self.rows_down::<true>(*root, depth, rows, width)
                } else {
                    self.rows_down::<false>(*root, depth, rows, width)
                };
                for (at, scores) in at.iter().zip(scores.chunks_exact_mut(self.targets)) {
                    self.leaf(*at, scores, &mut take);
                }
            }
        }
    }

    /// Says whether all numbers only have to be compared with thresholds.
    fn is_plain(&self, numbers: &[T]) -> bool {
        !self.has_equal && !numbers.iter().any(|x| x.is_nan())
    }

    /// Several rows through one tree in step.
    #[inline]
    fn rows_down<const IS_PLAIN: bool>(
        &self,
        root: u32,
        depth: u32,
        rows: &[T],
        width: usize,
    ) -> [u32; LANES] {
        let mut at = [root; LANES];
        for _ in 0..depth {
            let mut moved = 0;
            for (row, at) in rows.chunks_exact(width).zip(&mut at) {
                let next = self.step::<IS_PLAIN>(*at, row);
                moved |= next ^ *at;
                *at = next;
            }
            // All are at leaves: few walks are as long as the longest.
            if moved == 0 {
                break;
            }
        }
        at
    }

    /// One row through several trees in step.
    fn one_row<const IS_PLAIN: bool>(&self, row: &[T], scores: &mut [T], take: &mut impl FnMut(&mut T, T)) {
        for (roots, depths) in self.roots.chunks(LANES).zip(self.depths.chunks(LANES)) {
            let mut at = [0; LANES];
            at[..roots.len()].copy_from_slice(roots);
            let depth = depths.iter().copied().max().unwrap_or(0);
            for _ in 0..depth {
                let mut moved = 0;
                for at in &mut at {
                    let next = self.step::<IS_PLAIN>(*at, row);
                    moved |= next ^ *at;
                    *at = next;
                }
                if moved == 0 {
                    break;
                }
            }
            for at in &at[..roots.len()] {
                self.leaf(*at, scores, take);
            }
        }
    }

    #[inline]
    fn step<const IS_PLAIN: bool>(&self, at: u32, row: &[T]) -> u32 {
        let node = &self.nodes[at as usize];
        let x = row[(node.feature & FEATURE) as usize];
        let holds = if !IS_PLAIN && node.feature & IS_EQUAL != 0 {
            x == node.threshold
        } else {
            x <= node.threshold
        };
        let holds = holds || (!IS_PLAIN && x.is_nan() && node.feature & MISSING_IS_TRUE != 0);
        node.next + (u32::from(!holds) & node.feature >> SPLIT_BIT)
    }

    #[inline]
    fn leaf(&self, at: u32, scores: &mut [T], take: &mut impl FnMut(&mut T, T)) {
        match &self.leaves {
            Leaves::Single => take(&mut scores[0], self.nodes[at as usize].threshold),
            Leaves::Many {
                leaf,
                ranges,
                weights,
            } => {
                for (target, weight) in &weights[ranges[leaf[at as usize] as usize].clone()] {
                    take(&mut scores[*target as usize], *weight);
                }
            }
        }
    }

    /// Returns how many trees there are.
    pub(super) fn trees(&self) -> usize {
        self.roots.len()
    }

    /// Returns about how many operations a row costs.
    pub(super) fn work(&self) -> usize {
        self.depths.iter().map(|depth| *depth as usize * 4 + 4).sum()
    }

    /// Returns how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let leaves = match &self.leaves {
            Leaves::Single => 0,
            Leaves::Many {
                leaf,
                ranges,
                weights,
            } => {
                size_of_val(leaf.as_slice())
                    + size_of_val(ranges.as_slice())
                    + size_of_val(weights.as_slice())
            }
        };
        size_of_val(self.nodes.as_slice()) + 2 * size_of_val(self.roots.as_slice()) + leaves
    }
}

/// Brings a split to the form that is walked, with its two ways in the order of the walk.
fn normal<T: Threshold>(split: &Split<T>, next: u32) -> Result<(Node<T>, [Child; 2]), String> {
    let feature = u32::try_from(split.feature)
        .ok()
        .filter(|feature| *feature <= FEATURE);
    let feature = feature.ok_or_else(|| format!("looks at feature {}", split.feature))?;
    let (threshold, is_equal, is_swapped) = match split.mode {
        Mode::AtMost => (split.threshold, false, false),
        Mode::More => (split.threshold, false, true),
        Mode::Less => (split.threshold.before(), false, false),
        Mode::AtLeast => (split.threshold.before(), false, true),
        Mode::Equal => (split.threshold, true, false),
        Mode::NotEqual => (split.threshold, true, true),
    };
    if threshold == T::neg_infinity() && matches!(split.mode, Mode::Less | Mode::AtLeast) {
        return Err("compares with the smallest number there is".to_owned());
    }
    // A NaN differs from every number.
    let missing_is_true = split.missing_is_true || split.mode == Mode::NotEqual;
    let (ways, missing_holds) = if is_swapped {
        ([split.when_false, split.when_true], !missing_is_true)
    } else {
        ([split.when_true, split.when_false], missing_is_true)
    };
    let bits = if missing_holds { MISSING_IS_TRUE } else { 0 } | if is_equal { IS_EQUAL } else { 0 };
    let node = Node {
        threshold,
        feature: feature | bits | IS_SPLIT,
        next,
    };
    Ok((node, ways))
}

fn index(value: usize) -> Result<u32, String> {
    u32::try_from(value).map_err(|_large| "has too many nodes".to_owned())
}
