//! Trees as one array: the two ways on from a split lie side by side, a leaf leads to itself, and several walks are taken
//! in step, so that one does not wait for the memory of another.
//!
//! The number of a leaf stands where a split has its threshold. All comparisons are brought to one: `x ≤ threshold`, with a bit that says where a NaN goes. `x < t` is `x ≤ the number
//! before t`; the opposites swap their ways. Where several ways lead to one split, as those of several categories do, that
//! node is there again for each, and what lies below it once.

use super::walk::{
    BLOCK, FEATURE, Far, IS_EQUAL, IS_SPLIT, LANES, MISSING_IS_TRUE, Node, Nodes, ragged_down, rows_down,
    trees_down,
};
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
    nodes: Nodes<T>,
    roots: Vec<u32>,
    /// The longest way from each root.
    depths: Vec<u32>,
    /// How many steps a way has, about.
    steps: u32,
    /// Whether most ways are much shorter than the longest.
    is_ragged: bool,
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
        let mut laid = LaidOut {
            nodes: Vec::with_capacity(2 * ensemble.splits.len() + ensemble.roots.len()),
            leaf: Vec::new(),
            roots: Vec::with_capacity(ensemble.roots.len()),
            depths: Vec::with_capacity(ensemble.roots.len()),
            ways: Ways::default(),
        };
        let mut heights = Heights::new(ensemble, limits.tree_depth_max);
        let mut known = vec![None; ensemble.splits.len()];
        for (tree, root) in ensemble.roots.iter().enumerate() {
            heights
                .of(*root)
                .and_then(|height| laid.add(ensemble, *root, height, &mut known))
                .map_err(|problem| fail(format!("{problem} (in tree {tree})")))?;
        }
        let leaves = laid.keep_leaves(ensemble);
        Ok(Self {
            nodes: Nodes::packed(laid.nodes),
            roots: laid.roots,
            is_ragged: laid.ways.are_ragged(&laid.depths),
            depths: laid.depths,
            steps: laid.ways.steps(),
            leaves,
            has_equal: ensemble
                .splits
                .iter()
                .any(|split| matches!(split.mode, Mode::Equal | Mode::NotEqual)),
            targets: ensemble.targets,
        })
    }

    /// Adds, for each row, what its leaves say; `scores` has the targets of each row.
    ///
    /// Trees are added in their order, so that a row has the same answer alone and among others.
    pub(super) fn add(&self, rows: &[T], width: usize, scores: &mut [T], take: impl FnMut(&mut T, T)) {
        match &self.nodes {
            Nodes::Near(nodes) => self.add_of(nodes, rows, width, scores, take),
            Nodes::Far(nodes) => self.add_of(nodes, rows, width, scores, take),
        }
    }

    fn add_of<N: Node<T>>(
        &self,
        nodes: &[N],
        rows: &[T],
        width: usize,
        scores: &mut [T],
        mut take: impl FnMut(&mut T, T),
    ) {
        let count = scores.len() / self.targets.max(1);
        if count < LANES {
            for (row, scores) in rows
                .chunks_exact(width)
                .zip(scores.chunks_exact_mut(self.targets))
            {
                self.one_row(nodes, row, scores, &mut take);
            }
            return;
        }
        let is_plain = self.is_plain(rows);
        for (root, depth) in self.roots.iter().zip(&self.depths) {
            let blocks = rows
                .chunks(width * LANES)
                .zip(scores.chunks_mut(self.targets * LANES));
            for (rows, scores) in blocks {
                let at = rows_down(nodes, is_plain, *root, *depth, rows, width);
                for (at, scores) in at.iter().zip(scores.chunks_exact_mut(self.targets)) {
                    self.leaf(nodes, *at, scores, &mut take);
                }
            }
        }
    }

    /// Says whether all numbers only have to be compared with thresholds.
    fn is_plain(&self, numbers: &[T]) -> bool {
        !self.has_equal && !numbers.iter().any(|x| x.is_nan())
    }

    /// One row through several trees in step.
    fn one_row<N: Node<T>>(
        &self,
        nodes: &[N],
        row: &[T],
        scores: &mut [T],
        take: &mut impl FnMut(&mut T, T),
    ) {
        let is_plain = self.is_plain(row);
        if self.is_ragged {
            let mut at = [0; BLOCK];
            for roots in self.roots.chunks(BLOCK) {
                let at = &mut at[..roots.len()];
                at.copy_from_slice(roots);
                ragged_down(nodes, is_plain, row, self.steps, at);
                for at in &*at {
                    self.leaf(nodes, *at, scores, take);
                }
            }
            return;
        }
        let (groups, rest) = self.roots.as_chunks();
        let (depths, depths_of_rest) = self.depths.as_chunks::<LANES>();
        for (roots, depths) in groups.iter().zip(depths) {
            let depth = depths.iter().copied().max().unwrap_or(0);
            for at in trees_down(nodes, is_plain, row, depth, *roots) {
                self.leaf(nodes, at, scores, take);
            }
        }
        if let (Some(last), Some(depth)) = (rest.last(), depths_of_rest.iter().copied().max()) {
            let roots = std::array::from_fn(|lane| *rest.get(lane).unwrap_or(last));
            for at in trees_down(nodes, is_plain, row, depth, roots)
                .into_iter()
                .take(rest.len())
            {
                self.leaf(nodes, at, scores, take);
            }
        }
    }

    #[inline]
    fn leaf<N: Node<T>>(&self, nodes: &[N], at: u32, scores: &mut [T], take: &mut impl FnMut(&mut T, T)) {
        match &self.leaves {
            Leaves::Single => take(&mut scores[0], nodes[at as usize].threshold()),
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
        self.nodes.bytes() + 2 * size_of_val(self.roots.as_slice()) + leaves
    }
}

/// How many splits there are at most on the ways from each split on.
struct Heights<'a, T> {
    ensemble: &'a Ensemble<T>,
    most: usize,
    known: Vec<Height>,
}

#[derive(Debug, Clone, Copy)]
enum Height {
    Unknown,
    /// It lies on the way that is looked at.
    Open,
    Known(u32),
}

impl<'a, T> Heights<'a, T> {
    fn new(ensemble: &'a Ensemble<T>, most: usize) -> Self {
        Self {
            ensemble,
            most,
            known: vec![Height::Unknown; ensemble.splits.len()],
        }
    }

    /// Returns that of a root; says what is wrong where a way does not end, is too long, or leads to what is not there.
    fn of(&mut self, root: Child) -> Result<u32, String> {
        let mut way = Vec::new();
        let mut height = self.or_open(root, &mut way)?;
        while let Some(at) = way.last().copied() {
            let split = &self.ensemble.splits[at];
            let ways = [split.when_true, split.when_false];
            let mut longest = Some(0);
            for child in ways {
                let below = self.or_open(child, &mut way)?;
                longest = longest.zip(below).map(|(longest, below)| longest.max(below));
                if below.is_none() {
                    break;
                }
            }
            if let Some(longest) = longest {
                height = Some(longest + 1);
                self.known[at] = Height::Known(longest + 1);
                way.pop();
            }
            if way.len().max(height.unwrap_or(0) as usize) > self.most {
                return Err(format!("is deeper than the {} splits allowed", self.most));
            }
        }
        Ok(height.unwrap_or(0))
    }

    /// Returns the height of a child where it is known; else it is the next on the way.
    fn or_open(&mut self, child: Child, way: &mut Vec<usize>) -> Result<Option<u32>, String> {
        match child {
            Child::Leaf(leaf) if leaf < self.ensemble.leaves.len() => Ok(Some(0)),
            Child::Leaf(leaf) => Err(format!(
                "leads to leaf {leaf}, and there are {}",
                self.ensemble.leaves.len()
            )),
            Child::Split(split) => match self.known.get(split) {
                None => Err(format!(
                    "leads to split {split}, and there are {}",
                    self.ensemble.splits.len()
                )),
                Some(Height::Known(height)) => Ok(Some(*height)),
                Some(Height::Open) => Err(format!("comes back to split {split}")),
                Some(Height::Unknown) => {
                    self.known[split] = Height::Open;
                    way.push(split);
                    Ok(None)
                }
            },
        }
    }
}

/// Trees one after the other, while an ensemble is laid out.
struct LaidOut<T> {
    nodes: Vec<Far<T>>,
    /// The leaf of each node.
    leaf: Vec<u32>,
    roots: Vec<u32>,
    /// The longest way from each root.
    depths: Vec<u32>,
    ways: Ways,
}

/// The ways to all leaves.
#[derive(Default)]
struct Ways {
    count: u64,
    splits: u64,
}

impl Ways {
    /// Returns how many splits a way has on average.
    fn steps(&self) -> u32 {
        let mean = (self.splits + self.count / 2).checked_div(self.count);
        mean.and_then(|mean| u32::try_from(mean).ok()).unwrap_or(0)
    }

    /// Says whether the longest ways are more than half again as long as most.
    fn are_ragged(&self, depths: &[u32]) -> bool {
        let longest: u64 = depths.iter().map(|depth| u64::from(*depth)).sum();
        let trees = depths.len() as u64;
        2 * longest > 3 * trees * u64::from(self.steps())
    }
}

impl<T: Threshold> LaidOut<T> {
    /// Lays one tree out, level by level; `known` says where each split lies that was laid out before.
    fn add(
        &mut self,
        ensemble: &Ensemble<T>,
        root: Child,
        height: u32,
        known: &mut [Option<usize>],
    ) -> Result<(), String> {
        let first = self.nodes.len();
        self.roots.push(index(first)?);
        self.depths.push(height);
        self.reserve(1);
        let mut open = vec![(root, first)];
        let mut depth: u32 = 0;
        while !open.is_empty() {
            let mut below = Vec::new();
            for (child, at) in open {
                match child {
                    Child::Leaf(found) => {
                        self.leaf[at] = index(found)?;
                        self.ways.count += 1;
                        self.ways.splits += u64::from(depth);
                        self.nodes[at] = Far {
                            threshold: T::zero(),
                            feature: 0,
                            next: index(at)?,
                        };
                    }
                    Child::Split(found) => {
                        if let Some(before) = known[found] {
                            self.nodes[at] = self.nodes[before];
                            continue;
                        }
                        known[found] = Some(at);
                        let next = self.nodes.len();
                        self.reserve(2);
                        let (node, ways) = normal(&ensemble.splits[found], index(next)?)?;
                        self.nodes[at] = node;
                        below.extend([(ways[0], next), (ways[1], next + 1)]);
                    }
                }
            }
            open = below;
            depth += 1;
        }
        Ok(())
    }

    /// Returns what leaves add; of one target it stands in the nodes from here on.
    fn keep_leaves(&mut self, ensemble: &Ensemble<T>) -> Leaves<T> {
        let leaf = std::mem::take(&mut self.leaf);
        if ensemble.targets != 1 || ensemble.leaves.iter().any(|range| range.len() != 1) {
            return Leaves::Many {
                leaf,
                ranges: ensemble.leaves.clone(),
                weights: ensemble.weights.clone(),
            };
        }
        let leaves = self.nodes.iter_mut().zip(leaf);
        for (node, leaf) in leaves.filter(|(node, _)| node.feature & IS_SPLIT == 0) {
            node.threshold = ensemble.weights[ensemble.leaves[leaf as usize].start].1;
        }
        Leaves::Single
    }

    fn reserve(&mut self, nodes: usize) {
        let empty = Far {
            threshold: T::zero(),
            feature: 0,
            next: 0,
        };
        self.nodes.resize(self.nodes.len() + nodes, empty);
        self.leaf.resize(self.nodes.len(), 0);
    }
}

/// Brings a split to the form that is walked, with its two ways in the order of the walk.
fn normal<T: Threshold>(split: &Split<T>, next: u32) -> Result<(Far<T>, [Child; 2]), String> {
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
    let node = Far {
        threshold,
        feature: feature | bits | IS_SPLIT,
        next,
    };
    Ok((node, ways))
}

fn index(value: usize) -> Result<u32, String> {
    u32::try_from(value).map_err(|_large| "has too many nodes".to_owned())
}
