//! `gradient_boosting`: regression trees on squared loss by forust, copied into our own flat trees.
//!
//! The base is the mean of the answers. There is no branch for missing values: it would not map to an artifact. One
//! thread: as fast as two on 16,000 rows, and what else runs on the machine keeps its cores.

use forust_ml::gradientbooster::GrowPolicy;
use forust_ml::objective::ObjectiveType;
use forust_ml::sampler::SampleMethod;
use forust_ml::tree::Tree;
use forust_ml::{GradientBooster, Matrix};
use registry::artifact::{Child, Graph, Split, Trees};

use super::{FitError, Fitted, Rows, Settings};

const NAME: &str = "gradient_boosting";

pub(super) fn fit(
    train: &Rows,
    answers: &[f64],
    settings: &Settings,
    seed: u64,
) -> Result<Box<dyn Fitted>, FitError> {
    let share = settings["column_sample"];
    if (share * train.width as f64).floor() < 1.0 {
        return Err(FitError::NoColumns {
            share,
            features: train.width,
        });
    }
    let failed = |error: forust_ml::errors::ForustError| FitError::Library {
        algorithm: NAME,
        reason: error.to_string(),
    };
    let columns = by_column(train);
    let mut booster = booster(settings, seed, answers);
    booster
        .fit_unweighted(&Matrix::new(&columns, train.len(), train.width), answers, None)
        .map_err(failed)?;
    let trees = copy(&booster, train.width)?;
    Ok(Box::new(Boosted { booster, trees }))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "settings are within their ranges; forust computes in f32"
)]
fn booster(settings: &Settings, seed: u64, answers: &[f64]) -> GradientBooster {
    let subsample = settings["subsample"];
    let mean = answers.iter().sum::<f64>() / answers.len() as f64;
    let mut booster = GradientBooster::default()
        .set_objective_type(ObjectiveType::SquaredLoss)
        .set_iterations(settings["trees"] as usize)
        .set_max_leaves(settings["max_leaves"] as usize)
        .set_learning_rate(settings["learning_rate"] as f32)
        .set_max_depth(settings["max_depth"] as usize)
        .set_min_leaf_weight(settings["min_leaf_weight"] as f32)
        .set_l2(settings["l2"] as f32)
        .set_colsample_bytree(settings["column_sample"])
        .set_subsample(subsample as f32)
        .set_parallel(false)
        .set_seed(seed)
        .set_base_score(mean)
        .set_initialize_base_score(false)
        .set_allow_missing_splits(false)
        .set_create_missing_branch(false);
    booster.grow_policy = GrowPolicy::LossGuide;
    if subsample < 1.0 {
        booster = booster.set_sample_method(SampleMethod::Random);
    }
    booster
}

struct Boosted {
    booster: GradientBooster,
    trees: Trees,
}

impl Fitted for Boosted {
    fn graph(&self) -> Graph {
        Graph::Trees(self.trees.clone())
    }

    fn predict(&self, rows: &Rows) -> Vec<f64> {
        let columns = by_column(rows);
        let matrix = Matrix::new(&columns, rows.len(), rows.width);
        self.booster.predict(&matrix, false)
    }
}

/// forust wants columns one after the other.
fn by_column(rows: &Rows) -> Vec<f64> {
    (0..rows.width).flat_map(|at| rows.column(at)).collect()
}

fn copy(booster: &GradientBooster, width: usize) -> Result<Trees, FitError> {
    let mut trees = Trees {
        width,
        base: booster.base_score,
        roots: Vec::with_capacity(booster.trees.len()),
        splits: Vec::new(),
        leaves: Vec::new(),
    };
    for tree in &booster.trees {
        add(tree, &mut trees).ok_or_else(|| FitError::Library {
            algorithm: NAME,
            reason: "the trees have more than 2^31 nodes".to_owned(),
        })?;
    }
    let finite = trees.leaves.iter().all(|leaf| leaf.is_finite()) && trees.base.is_finite();
    if finite {
        Ok(trees)
    } else {
        Err(FitError::NotFinite { algorithm: NAME })
    }
}

/// Appends a tree; splits and leaves keep their order.
fn add(tree: &Tree, trees: &mut Trees) -> Option<()> {
    let (mut split, mut leaf) = (trees.splits.len(), trees.leaves.len());
    let children = tree.nodes.iter().map(|node| {
        let next = if node.is_leaf { &mut leaf } else { &mut split };
        let child = if node.is_leaf {
            Child::leaf(*next)
        } else {
            Child::split(*next)
        };
        *next += 1;
        child
    });
    let children: Vec<Child> = children.collect::<Option<_>>()?;
    for node in &tree.nodes {
        if node.is_leaf {
            trees.leaves.push(f64::from(node.weight_value));
        } else {
            trees.splits.push(Split {
                threshold: node.split_value,
                feature: u32::try_from(node.split_feature).ok()?,
                below: children[node.left_child],
                otherwise: children[node.right_child],
            });
        }
    }
    trees.roots.push(*children.first()?);
    Some(())
}
