//! One regression tree, grown best-first: of all leaves the one is split next whose split explains most.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::bins::Bins;

/// The most bytes of histograms kept for leaves that may still be split; others are counted anew from their rows.
const HISTOGRAMS_MAX: usize = 256 << 20;

/// What a tree may look like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) leaves_max: usize,
    pub(super) depth_max: usize,
    /// The least rows of a leaf, at least 1.
    pub(super) rows_min: usize,
    pub(super) l2: f64,
}

/// A node: a split by bins, or a leaf.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Node {
    Split {
        feature: usize,
        /// Rows of this bin or a lower one go `below`.
        bin: u8,
        below: usize,
        otherwise: usize,
    },
    Leaf(f64),
}

/// A tree, its root first.
#[derive(Debug, Clone)]
pub(super) struct Tree(pub(super) Vec<Node>);

impl Tree {
    /// Returns the value of the leaf that a row of `columns` falls into.
    pub(super) fn value(&self, columns: &[Vec<u8>], row: usize) -> f64 {
        let mut node = self.0[0];
        loop {
            match node {
                Node::Leaf(value) => return value,
                Node::Split {
                    feature,
                    bin,
                    below,
                    otherwise,
                } => {
                    let next = if columns[feature][row] <= bin {
                        below
                    } else {
                        otherwise
                    };
                    node = self.0[next];
                }
            }
        }
    }
}

/// Sum and number of the residuals in one bin.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    sum: f64,
    rows: u32,
}

/// The bins of some features, one after the other.
type Histogram = Vec<Bin>;

/// The best split of a leaf.
#[derive(Debug, Clone, Copy)]
struct Best {
    /// By how much it lowers the sum of squares, up to the constant factor.
    gain: f64,
    /// The feature's place among the tree's features.
    place: usize,
    bin: u8,
}

/// A leaf that can be split.
#[derive(Debug)]
struct Open {
    node: usize,
    depth: usize,
    /// Its rows, as a part of the grower's.
    rows: Range<usize>,
    best: Best,
    histogram: Option<Histogram>,
}

/// The largest gain first, then the oldest leaf.
impl Ord for Open {
    fn cmp(&self, other: &Self) -> Ordering {
        let gain = self.best.gain.total_cmp(&other.best.gain);
        gain.then(other.node.cmp(&self.node))
    }
}

impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Open {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Open {}

/// Grows trees on the same bins.
#[derive(Debug)]
pub(super) struct Grower<'a> {
    bins: &'a Bins,
    shape: Shape,
    /// The features of the tree, and where each starts in a histogram.
    features: Vec<usize>,
    starts: Vec<usize>,
    /// The rows of the tree: those of a leaf lie together.
    rows: Vec<u32>,
    /// Room for a leaf's residuals and for the rows that change sides.
    gathered: Vec<f64>,
    aside: Vec<u32>,
}

impl<'a> Grower<'a> {
    pub(super) fn new(bins: &'a Bins, shape: Shape) -> Self {
        Self {
            bins,
            shape,
            features: Vec::new(),
            starts: Vec::new(),
            rows: Vec::new(),
            gathered: Vec::new(),
            aside: Vec::new(),
        }
    }

    /// Grows a tree on some rows and features; a leaf holds the mean of its rows' residuals times `rate`, shrunk by l2.
    ///
    /// `on_leaf` is told of each leaf's rows and value.
    pub(super) fn grow(
        &mut self,
        rows: Vec<u32>,
        features: Vec<usize>,
        residuals: &[f64],
        rate: f64,
        mut on_leaf: impl FnMut(&[u32], f64),
    ) -> Tree {
        self.rows = rows;
        self.starts.clear();
        let mut start = 0;
        for feature in &features {
            self.starts.push(start);
            start += self.bins.cuts[*feature].len() + 1;
        }
        self.starts.push(start);
        self.features = features;

        // The rows of each node; its value is known once all are split.
        let whole = 0..self.rows.len();
        let mut ranges = Vec::from([whole.clone()]);
        let mut nodes = vec![Node::Leaf(0.0)];
        let mut open: BinaryHeap<Open> = BinaryHeap::new();
        let mut kept = 0;
        let mut leaves = 1;
        let histogram = self.histogram(whole.clone(), residuals);
        open.extend(self.open(0, 0, whole, histogram, &mut kept));
        while leaves < self.shape.leaves_max
            && let Some(leaf) = open.pop()
        {
            let feature = self.features[leaf.best.place];
            let middle = self.partition(&leaf.rows, feature, leaf.best.bin);
            let (below, otherwise) = (nodes.len(), nodes.len() + 1);
            nodes[leaf.node] = Node::Split {
                feature,
                bin: leaf.best.bin,
                below,
                otherwise,
            };
            nodes.extend([Node::Leaf(0.0); 2]);
            let parts = [leaf.rows.start..middle, middle..leaf.rows.end];
            ranges.extend(parts.clone());
            leaves += 1;
            if leaf.histogram.is_some() {
                kept -= self.histogram_bytes();
            }
            let [one, other] = self.children(&parts, leaf.histogram, leaf.depth + 1, residuals);
            let [one_rows, other_rows] = parts;
            open.extend(one.and_then(|of| self.open(below, leaf.depth + 1, one_rows, of, &mut kept)));
            open.extend(other.and_then(|of| self.open(otherwise, leaf.depth + 1, other_rows, of, &mut kept)));
        }
        for (node, rows) in nodes.iter_mut().zip(ranges) {
            if let Node::Leaf(value) = node {
                let rows = &self.rows[rows];
                let sum: f64 = rows.iter().map(|row| residuals[*row as usize]).sum();
                *value = rate * sum / (rows.len() as f64 + self.shape.l2);
                on_leaf(rows, *value);
            }
        }
        Tree(nodes)
    }

    fn histogram_bytes(&self) -> usize {
        self.starts[self.features.len()] * size_of::<Bin>()
    }

    /// Says whether a leaf of so many rows at this depth may be split.
    fn may_split(&self, rows: &Range<usize>, depth: usize) -> bool {
        depth < self.shape.depth_max && rows.len() >= 2 * self.shape.rows_min
    }

    /// Returns the histograms of those parts that may be split: the larger one's is what the smaller leaves of the whole.
    fn children(
        &mut self,
        parts: &[Range<usize>; 2],
        whole: Option<Histogram>,
        depth: usize,
        residuals: &[f64],
    ) -> [Option<Histogram>; 2] {
        let wanted = parts.each_ref().map(|rows| self.may_split(rows, depth));
        let smaller = usize::from(parts[0].len() > parts[1].len());
        let mut histograms = [None, None];
        match whole {
            Some(mut whole) if wanted[1 - smaller] => {
                let part = self.histogram(parts[smaller].clone(), residuals);
                for (whole, part) in whole.iter_mut().zip(&part) {
                    whole.sum -= part.sum;
                    whole.rows -= part.rows;
                }
                histograms[1 - smaller] = Some(whole);
                histograms[smaller] = wanted[smaller].then_some(part);
            }
            _ => {
                for at in 0..2 {
                    if wanted[at] {
                        histograms[at] = Some(self.histogram(parts[at].clone(), residuals));
                    }
                }
            }
        }
        histograms
    }

    /// Counts the residuals of some rows.
    fn histogram(&mut self, rows: Range<usize>, residuals: &[f64]) -> Histogram {
        let rows = &self.rows[rows];
        self.gathered.clear();
        self.gathered
            .extend(rows.iter().map(|row| residuals[*row as usize]));
        let mut histogram = vec![Bin::default(); self.starts[self.features.len()]];
        for (place, feature) in self.features.iter().enumerate() {
            let column = &self.bins.columns[*feature];
            let bins = &mut histogram[self.starts[place]..self.starts[place + 1]];
            for (row, residual) in rows.iter().zip(&self.gathered) {
                let bin = &mut bins[usize::from(column[*row as usize])];
                bin.sum += residual;
                bin.rows += 1;
            }
        }
        histogram
    }

    /// Looks for the best split of a leaf; `None` where none lowers the error.
    fn open(
        &self,
        node: usize,
        depth: usize,
        rows: Range<usize>,
        histogram: Histogram,
        kept: &mut usize,
    ) -> Option<Open> {
        if !self.may_split(&rows, depth) {
            return None;
        }
        let best = self.best(&histogram, rows.len())?;
        let bytes = self.histogram_bytes();
        let keeps = *kept + bytes <= HISTOGRAMS_MAX;
        if keeps {
            *kept += bytes;
        }
        Some(Open {
            node,
            depth,
            rows,
            best,
            histogram: keeps.then_some(histogram),
        })
    }

    fn best(&self, histogram: &[Bin], rows: usize) -> Option<Best> {
        let Shape { rows_min, l2, .. } = self.shape;
        let explained = |sum: f64, rows: usize| sum * sum / (rows as f64 + l2);
        let mut best: Option<Best> = None;
        for place in 0..self.features.len() {
            let bins = &histogram[self.starts[place]..self.starts[place + 1]];
            let total: f64 = bins.iter().map(|bin| bin.sum).sum();
            let whole = explained(total, rows);
            let (mut sum, mut below) = (0.0, 0);
            for (at, bin) in (0_u8..).zip(&bins[..bins.len() - 1]) {
                sum += bin.sum;
                below += bin.rows as usize;
                if below < rows_min || bin.rows == 0 {
                    continue;
                }
                if rows - below < rows_min {
                    break;
                }
                let gain = explained(sum, below) + explained(total - sum, rows - below) - whole;
                // What rounding leaves of equal residuals is no gain.
                if gain > 1e-12 * whole.abs() && best.is_none_or(|best| gain > best.gain) {
                    best = Some(Best { gain, place, bin: at });
                }
            }
        }
        best
    }

    /// Moves a leaf's rows that go below in front of the others, in order; returns where the others start.
    fn partition(&mut self, range: &Range<usize>, feature: usize, bin: u8) -> usize {
        let column = &self.bins.columns[feature];
        self.aside.clear();
        let mut to = range.start;
        for from in range.clone() {
            let row = self.rows[from];
            if column[row as usize] <= bin {
                self.rows[to] = row;
                to += 1;
            } else {
                self.aside.push(row);
            }
        }
        self.rows[to..range.end].copy_from_slice(&self.aside);
        to
    }
}
