//! `gradient_boosting`: regression trees on squared loss, grown best-first over histograms of at most 255 bins, as
//! scikit-learn's `HistGradientBoostingRegressor` and LightGBM grow them.
//!
//! The base is the mean of the answers; each tree learns what those before it leave. All numbers are doubles. One
//! thread: what else runs on the machine keeps its cores.

mod bins;
mod grow;

use rand::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;
use registry::artifact::{Child, Graph, Limits, Split, Trees};
use registry::metadata::Fit;

use self::bins::Bins;
use self::grow::{Grower, Node, Shape, Tree};
use super::{FitError, Fitted, Rows, Settings};

const NAME: &str = "gradient_boosting";

pub(super) fn fit(
    train: &Rows,
    answers: &[f64],
    settings: &Settings,
    seed: u64,
) -> Result<Box<dyn Fitted>, FitError> {
    let share = settings["column_sample"];
    let columns = count(share, train.width);
    if columns == 0 {
        return Err(FitError::NoColumns {
            share,
            features: train.width,
        });
    }
    let sampled = count(settings["subsample"], train.len()).max(1);
    let bins = Bins::of(train);
    let mut grower = Grower::new(&bins, shape(settings));
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let base = answers.iter().sum::<f64>() / answers.len() as f64;
    let mut residuals: Vec<f64> = answers.iter().map(|answer| answer - base).collect();
    let mut after = residuals.clone();
    let mut losses = vec![mean_square(&residuals)];
    let mut trees = Vec::new();
    let mut splits = 0;
    let trees_max = whole(settings["trees"]);
    // A tree has one leaf more than splits.
    let splits_max = (Limits::default().tree_nodes_max - trees_max) / 2;
    for _ in 0..trees_max {
        let rows = draw(&mut random, train.len(), sampled);
        let features = draw(&mut random, train.width, columns);
        let features = features.into_iter().map(|at| at as usize).collect();
        let all = rows.len() == train.len();
        let tree = grower.grow(
            rows,
            features,
            &residuals,
            settings["learning_rate"],
            |rows, value| {
                if all {
                    for row in rows {
                        after[*row as usize] -= value;
                    }
                }
            },
        );
        if !all {
            // Rows that the tree has not seen are predicted by it too.
            for (row, left) in after.iter_mut().enumerate() {
                *left -= tree.value(&bins.columns, row);
            }
        }
        residuals.copy_from_slice(&after);
        losses.push(mean_square(&residuals));
        splits += tree.0.len() / 2;
        if splits > splits_max {
            return Err(FitError::TooLarge {
                algorithm: NAME,
                what: "splits in all trees",
                size: splits,
                max: splits_max,
            });
        }
        trees.push(tree);
    }
    let boosted = Boosted {
        base,
        bins,
        trees,
        losses,
    };
    let is_finite = |tree: &Tree| {
        tree.0
            .iter()
            .all(|node| !matches!(node, Node::Leaf(value) if !value.is_finite()))
    };
    if boosted.base.is_finite() && boosted.trees.iter().all(is_finite) {
        Ok(Box::new(boosted))
    } else {
        Err(FitError::NotFinite { algorithm: NAME })
    }
}

fn mean_square(residuals: &[f64]) -> f64 {
    let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
    squares / residuals.len() as f64
}

fn shape(settings: &Settings) -> Shape {
    Shape {
        leaves_max: whole(settings["max_leaves"]),
        depth_max: whole(settings["max_depth"]),
        rows_min: whole(settings["min_leaf_weight"].ceil()).max(1),
        l2: settings["l2"],
    }
}

/// Returns a setting as a count.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "settings are whole and not negative; a cast saturates"
)]
fn whole(setting: f64) -> usize {
    setting as usize
}

/// Returns the share of `n`, rounded down.
fn count(share: f64, n: usize) -> usize {
    whole((share * n as f64).floor()).min(n)
}

/// Draws `k` of the numbers below `n`, ascending; all of them without drawing.
fn draw(random: &mut Xoshiro256PlusPlus, n: usize, k: usize) -> Vec<u32> {
    let n = u32::try_from(n).expect("invariant: a table has fewer than 2^32 rows and columns");
    if k >= n as usize {
        return (0..n).collect();
    }
    let mut left = k;
    (0..n)
        .filter(|at| {
            let takes = random.r#gen::<f64>() * f64::from(n - at) < left as f64;
            left -= usize::from(takes);
            takes
        })
        .collect()
}

struct Boosted {
    base: f64,
    bins: Bins,
    trees: Vec<Tree>,
    /// The mean squared error without a tree and after each.
    losses: Vec<f64>,
}

impl Fitted for Boosted {
    fn graph(&self) -> Graph {
        let mut trees = Trees {
            width: self.bins.cuts.len(),
            base: self.base,
            roots: Vec::with_capacity(self.trees.len()),
            splits: Vec::new(),
            leaves: Vec::new(),
        };
        for tree in &self.trees {
            self.add(tree, &mut trees);
        }
        Graph::Trees(trees)
    }

    /// Predicts by bins, where the artifact compares numbers.
    fn predict(&self, rows: &Rows) -> Vec<f64> {
        let columns = self.bins.columns_of(rows);
        let predict = |row| {
            let leaves = self.trees.iter().map(|tree| tree.value(&columns, row));
            self.base + leaves.sum::<f64>()
        };
        (0..rows.len()).map(predict).collect()
    }

    fn fit(&self) -> Fit {
        let mut fit = Fit {
            loss: Fit::curve(&self.losses),
            ..Fit::default()
        };
        if self.trees.iter().all(|tree| tree.0.len() == 1) {
            fit.warnings.push(
                "no tree splits, so that every prediction is the mean: lower `min_leaf_weight`, or give more rows"
                    .to_owned(),
            );
        }
        fit
    }
}

impl Boosted {
    /// Appends a tree; splits and leaves keep their order.
    fn add(&self, tree: &Tree, trees: &mut Trees) {
        const FEW: &str = "invariant: fewer than 2^31 nodes";
        let (mut split, mut leaf) = (trees.splits.len(), trees.leaves.len());
        let children = tree.0.iter().map(|node| {
            let (next, child) = match node {
                Node::Leaf(_) => (&mut leaf, Child::leaf as fn(usize) -> Option<Child>),
                Node::Split { .. } => (&mut split, Child::split as fn(usize) -> Option<Child>),
            };
            *next += 1;
            child(*next - 1).expect(FEW)
        });
        let children: Vec<Child> = children.collect();
        for node in &tree.0 {
            match *node {
                Node::Leaf(value) => trees.leaves.push(value),
                Node::Split {
                    feature,
                    bin,
                    below,
                    otherwise,
                } => trees.splits.push(Split {
                    threshold: self.bins.cuts[feature][usize::from(bin)],
                    feature: u32::try_from(feature).expect(FEW),
                    below: children[below],
                    otherwise: children[otherwise],
                }),
            }
        }
        trees.roots.push(children[0]);
    }
}
