//! Reads the attributes of tree ensembles, of the old operators and of the new one.

use std::collections::HashMap;

use num_traits::AsPrimitive;

use super::flat::{Child, Ensemble, Mode, Split, Threshold};
use super::{Aggregate, Classes, Pair, Transform};
use crate::node::Node;
use crate::refusal::{Limits, Refusal};
use crate::types::Buffer;

/// What a regressor's attributes say.
pub(super) struct Regressor<T> {
    pub(super) ensemble: Ensemble<T>,
    pub(super) aggregate: Aggregate,
    /// One for each target.
    pub(super) base: Vec<T>,
    pub(super) transform: Transform,
}

/// What a classifier's attributes say.
pub(super) struct Classifier<T> {
    pub(super) ensemble: Ensemble<T>,
    /// One for each score that is summed.
    pub(super) base: Vec<T>,
    pub(super) classes: Classes<T>,
    pub(super) transform: Transform,
}

/// A type that both floats and doubles of a model become.
pub(super) trait Numbers: Threshold {
    fn from_buffer(buffer: Buffer) -> Option<Vec<Self>>;
}

impl Numbers for f32 {
    fn from_buffer(buffer: Buffer) -> Option<Vec<Self>> {
        match buffer {
            Buffer::F32(numbers) => Some(numbers),
            Buffer::F64(numbers) => Some(numbers.into_iter().map(AsPrimitive::as_).collect()),
            _ => None,
        }
    }
}

impl Numbers for f64 {
    fn from_buffer(buffer: Buffer) -> Option<Vec<Self>> {
        match buffer {
            Buffer::F64(numbers) => Some(numbers),
            Buffer::F32(numbers) => Some(numbers.into_iter().map(Self::from).collect()),
            _ => None,
        }
    }
}

/// Reads numbers from a list of floats, or from the tensor that stands for it.
fn numbers<T: Numbers>(
    node: &mut Node<'_, '_>,
    name: &'static str,
    tensor: Option<&'static str>,
) -> Result<Vec<T>, Refusal> {
    if let Some(tensor) = tensor
        && let Some((_, values)) = node.tensor(tensor)?
    {
        let place = node.attribute_place(tensor);
        let element = values.element();
        return T::from_buffer(values)
            .ok_or_else(|| Refusal::unsupported(place, format!("has {element}"), "FP32 or FP64"));
    }
    let floats = node.floats(name)?;
    T::from_buffer(Buffer::F32(floats)).ok_or_else(|| node.inconsistent("has no numbers"))
}

fn index(node: &Node<'_, '_>, name: &str, value: i64) -> Result<usize, Refusal> {
    usize::try_from(value).map_err(|_negative| {
        Refusal::inconsistent(
            node.attribute_place(name),
            format!("has {value}, which is no index"),
        )
    })
}

fn same_length(node: &Node<'_, '_>, name: &str, found: usize, wanted: usize) -> Result<(), Refusal> {
    if found != wanted {
        let problem = format!("has {found} entries, and there are {wanted}");
        return Err(Refusal::inconsistent(node.attribute_place(name), problem));
    }
    Ok(())
}

/// Counts what all ensembles of a model have together.
fn count(node: &mut Node<'_, '_>, nodes: usize) -> Result<(), Refusal> {
    node.build.tree_nodes += nodes;
    Limits::check(
        "splits and leaves of trees",
        node.build.tree_nodes,
        node.build.limits.tree_nodes_max,
    )
}

/// Reads the nodes of the old operators: one list for each property, a node named by tree and number; `prefix` is that of
/// the attributes that say what leaves add.
fn old_ensemble<T: Numbers>(
    node: &mut Node<'_, '_>,
    prefix: Prefix,
    targets: usize,
) -> Result<Ensemble<T>, Refusal> {
    node.ignore(&["nodes_hitrates", "nodes_hitrates_as_tensor"]);
    let trees = node.ints("nodes_treeids")?;
    let total = trees.len();
    count(node, total)?;
    let numbers_of = node.ints("nodes_nodeids")?;
    let features = node.ints("nodes_featureids")?;
    let thresholds: Vec<T> = numbers(node, "nodes_values", Some("nodes_values_as_tensor"))?;
    let modes = node.texts("nodes_modes")?;
    let when_true = node.ints("nodes_truenodeids")?;
    let when_false = node.ints("nodes_falsenodeids")?;
    let missing = node.ints("nodes_missing_value_tracks_true")?;
    for (name, found) in [
        ("nodes_nodeids", numbers_of.len()),
        ("nodes_featureids", features.len()),
        ("nodes_values", thresholds.len()),
        ("nodes_modes", modes.len()),
        ("nodes_truenodeids", when_true.len()),
        ("nodes_falsenodeids", when_false.len()),
    ] {
        same_length(node, name, found, total)?;
    }
    let mut known = HashMap::with_capacity(total);
    for (at, key) in trees.iter().copied().zip(numbers_of.iter().copied()).enumerate() {
        if known.insert(key, at).is_some() {
            return Err(node.inconsistent(format!("has node {} of tree {} twice", key.1, key.0)));
        }
    }
    // Splits and leaves are numbered apart, in the order of the nodes.
    let mut places = Vec::with_capacity(total);
    let (mut split_count, mut leaf_count) = (0, 0);
    for mode in &modes {
        places.push(if *mode == b"LEAF" {
            leaf_count += 1;
            Child::Leaf(leaf_count - 1)
        } else {
            split_count += 1;
            Child::Split(split_count - 1)
        });
    }
    let child = |node: &Node<'_, '_>, tree: i64, number: i64| {
        let at = known.get(&(tree, number)).copied();
        at.map(|at| places[at]).ok_or_else(|| {
            node.inconsistent(format!(
                "leads to node {number} of tree {tree}, which is not there"
            ))
        })
    };
    let mut splits = Vec::with_capacity(split_count);
    for (at, mode) in modes.iter().enumerate() {
        if *mode == b"LEAF" {
            continue;
        }
        splits.push(Split {
            feature: index(node, "nodes_featureids", features[at])?,
            threshold: thresholds[at],
            mode: mode_of(node, mode)?,
            missing_is_true: missing.get(at).is_some_and(|flag| *flag == 1),
            when_true: child(node, trees[at], when_true[at])?,
            when_false: child(node, trees[at], when_false[at])?,
        });
    }
    let mut roots = Vec::new();
    let mut previous = None;
    for (at, tree) in trees.iter().enumerate() {
        if previous != Some(tree) {
            roots.push(places[at]);
        }
        previous = Some(tree);
    }
    let leaf_at = |node: &Node<'_, '_>, tree: i64, number: i64| match known
        .get(&(tree, number))
        .map(|at| places[*at])
    {
        Some(Child::Leaf(leaf)) => Ok(Some(leaf)),
        // Some exporters give splits a weight, which nothing ever adds.
        Some(Child::Split(_)) => Ok(None),
        None => Err(node.inconsistent(format!(
            "gives node {number} of tree {tree} a weight, and it is not there"
        ))),
    };
    let (leaves, weights) = old_weights(node, prefix, targets, leaf_count, leaf_at)?;
    Ok(Ensemble {
        roots,
        splits,
        leaves,
        weights,
        targets,
    })
}

/// The names of the attributes that say what leaves add.
#[derive(Debug, Clone, Copy)]
struct Prefix {
    ids: &'static str,
    nodes: &'static str,
    trees: &'static str,
    weights: &'static str,
    weights_as_tensor: &'static str,
}

const TARGET: Prefix = Prefix {
    ids: "target_ids",
    nodes: "target_nodeids",
    trees: "target_treeids",
    weights: "target_weights",
    weights_as_tensor: "target_weights_as_tensor",
};

const CLASS: Prefix = Prefix {
    ids: "class_ids",
    nodes: "class_nodeids",
    trees: "class_treeids",
    weights: "class_weights",
    weights_as_tensor: "class_weights_as_tensor",
};

type Weights<T> = (Vec<std::ops::Range<usize>>, Vec<(u32, T)>);

fn old_weights<T: Numbers>(
    node: &mut Node<'_, '_>,
    names: Prefix,
    targets: usize,
    leaf_count: usize,
    leaf_at: impl Fn(&Node<'_, '_>, i64, i64) -> Result<Option<usize>, Refusal>,
) -> Result<Weights<T>, Refusal> {
    let ids = node.ints(names.ids)?;
    let nodes = node.ints(names.nodes)?;
    let trees = node.ints(names.trees)?;
    let weights: Vec<T> = numbers(node, names.weights, Some(names.weights_as_tensor))?;
    same_length(node, names.nodes, nodes.len(), ids.len())?;
    same_length(node, names.trees, trees.len(), ids.len())?;
    same_length(node, names.weights, weights.len(), ids.len())?;
    let mut of_leaves: Vec<(usize, u32, T)> = Vec::with_capacity(ids.len());
    for (((id, number), tree), weight) in ids.iter().zip(&nodes).zip(&trees).zip(&weights) {
        let target = index(node, names.ids, *id)?;
        if target >= targets {
            let problem = format!("has {target}, and there are {targets}");
            return Err(Refusal::inconsistent(node.attribute_place(names.ids), problem));
        }
        if let Some(leaf) = leaf_at(node, *tree, *number)? {
            of_leaves.push((leaf, u32::try_from(target).unwrap_or(u32::MAX), *weight));
        }
    }
    // Stable: what a leaf adds stays in the order of the attributes.
    of_leaves.sort_by_key(|(leaf, _, _)| *leaf);
    let mut leaves = Vec::with_capacity(leaf_count);
    let mut start = 0;
    for leaf in 0..leaf_count {
        let length = of_leaves[start..]
            .iter()
            .take_while(|(own, _, _)| *own == leaf)
            .count();
        leaves.push(start..start + length);
        start += length;
    }
    Ok((
        leaves,
        of_leaves
            .into_iter()
            .map(|(_, target, weight)| (target, weight))
            .collect(),
    ))
}

fn mode_of(node: &Node<'_, '_>, mode: &[u8]) -> Result<Mode, Refusal> {
    Ok(match mode {
        b"BRANCH_LEQ" => Mode::AtMost,
        b"BRANCH_LT" => Mode::Less,
        b"BRANCH_GTE" => Mode::AtLeast,
        b"BRANCH_GT" => Mode::More,
        b"BRANCH_EQ" => Mode::Equal,
        b"BRANCH_NEQ" => Mode::NotEqual,
        _ => {
            let place = node.attribute_place("nodes_modes");
            let found = format!("has {:?}", String::from_utf8_lossy(mode));
            return Err(Refusal::unsupported(
                place,
                found,
                "BRANCH_LEQ, _LT, _GTE, _GT, _EQ, _NEQ and LEAF",
            ));
        }
    })
}

/// Reads `TreeEnsembleRegressor`.
pub(super) fn regressor<T: Numbers>(node: &mut Node<'_, '_>) -> Result<Regressor<T>, Refusal> {
    let targets = node.int("n_targets", 1)?;
    let targets = index(node, "n_targets", targets)?.max(1);
    Limits::check("targets of a tree ensemble", targets, 100_000)?;
    let mut ensemble = old_ensemble(node, TARGET, targets)?;
    if targets == 1 {
        // skl2onnx names a leaf's number once for each class: of one target the first counts, as in onnxruntime.
        for leaf in &mut ensemble.leaves {
            leaf.end = leaf.end.min(leaf.start + 1);
        }
    }
    let aggregate = match node.text("aggregate_function", "SUM")?.as_str() {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => {
            let place = node.attribute_place("aggregate_function");
            return Err(Refusal::unsupported(
                place,
                format!("is {other:?}"),
                "SUM, AVERAGE, MIN and MAX",
            ));
        }
    };
    let base: Vec<T> = numbers(node, "base_values", Some("base_values_as_tensor"))?;
    let base = match base.len() {
        0 => vec![T::zero(); targets],
        found if found == targets => base,
        found => {
            let problem = format!("has {found} entries, and there are {targets} targets");
            return Err(Refusal::inconsistent(
                node.attribute_place("base_values"),
                problem,
            ));
        }
    };
    Ok(Regressor {
        ensemble,
        aggregate,
        base,
        transform: Transform::read(node)?,
    })
}

/// Reads `TreeEnsembleClassifier`.
pub(super) fn classifier<T: Numbers>(
    node: &mut Node<'_, '_>,
    labels: usize,
) -> Result<Classifier<T>, Refusal> {
    let mut ensemble = old_ensemble::<T>(node, CLASS, labels)?;
    let base: Vec<T> = numbers(node, "base_values", Some("base_values_as_tensor"))?;
    let transform = Transform::read(node)?;
    let first = ensemble.weights.first().map(|(class, _)| *class);
    let is_one = ensemble.weights.iter().all(|(class, _)| Some(*class) == first);
    // With a base for each the second one's weights count, which onnxruntime forgets.
    if labels != 2 || !is_one || (first == Some(1) && base.len() == 2) {
        let base = match base.len() {
            0 => vec![T::zero(); labels],
            found if found == labels => base,
            found => {
                let problem = format!("has {found} entries, and there are {labels} classes");
                return Err(Refusal::inconsistent(
                    node.attribute_place("base_values"),
                    problem,
                ));
            }
        };
        return Ok(Classifier {
            ensemble,
            base,
            classes: Classes::Each,
            transform,
        });
    }
    ensemble.weights.iter_mut().for_each(|(class, _)| *class = 0);
    ensemble.targets = 1;
    let is_positive = ensemble.weights.iter().all(|(_, weight)| *weight >= T::zero());
    let (base, pair) = match *base {
        // A single base is the first one's.
        [] | [_] if first == Some(1) => (T::zero(), Pair::Second),
        [] if is_positive => (T::zero(), Pair::Probability),
        [] => (T::zero(), Pair::Opposites),
        [base] if is_positive => (base, Pair::Probability),
        [base] => (base, Pair::Opposites),
        [base, _second] => (base, Pair::First),
        _ => {
            let problem = format!("has {} entries, and there are {labels} classes", base.len());
            return Err(Refusal::inconsistent(
                node.attribute_place("base_values"),
                problem,
            ));
        }
    };
    if transform == Transform::Probit && matches!(pair, Pair::Probability | Pair::Opposites) {
        return Err(Refusal::unsupported(
            node.attribute_place("post_transform"),
            "is \"PROBIT\" for two classes of one score",
            "NONE, LOGISTIC, SOFTMAX, SOFTMAX_ZERO",
        ));
    }
    let threshold = T::nearest(if is_positive { 0.5 } else { 0.0 });
    Ok(Classifier {
        ensemble,
        base: vec![base],
        classes: Classes::Two { threshold, pair },
        transform,
    })
}

/// Reads `TreeEnsemble`: splits and leaves are lists of their own, a child is an index and a flag.
pub(super) fn ensemble<T: Numbers>(node: &mut Node<'_, '_>) -> Result<Regressor<T>, Refusal> {
    node.ignore(&["nodes_hitrates"]);
    if node.has("membership_values") {
        let place = node.attribute_place("membership_values");
        return Err(Refusal::unsupported(
            place,
            "is there",
            "splits that compare with one number",
        ));
    }
    let targets = node.int("n_targets", 1)?;
    let targets = index(node, "n_targets", targets)?.max(1);
    Limits::check("targets of a tree ensemble", targets, 100_000)?;
    let thresholds: Vec<T> = numbers(node, "nodes_splits", Some("nodes_splits"))?;
    let total = thresholds.len();
    let features = node.ints("nodes_featureids")?;
    same_length(node, "nodes_featureids", features.len(), total)?;
    let Some((_, Buffer::I32(modes))) = node.tensor("nodes_modes")? else {
        return Err(Refusal::inconsistent(
            node.attribute_place("nodes_modes"),
            "is no tensor of bytes",
        ));
    };
    same_length(node, "nodes_modes", modes.len(), total)?;
    let when_true = ways(node, "nodes_truenodeids", "nodes_trueleafs", total)?;
    let when_false = ways(node, "nodes_falsenodeids", "nodes_falseleafs", total)?;
    let missing = node.ints("nodes_missing_value_tracks_true")?;
    let mut splits = Vec::with_capacity(total);
    for at in 0..total {
        let mode = match modes[at] {
            0 => Mode::AtMost,
            1 => Mode::Less,
            2 => Mode::AtLeast,
            3 => Mode::More,
            4 => Mode::Equal,
            5 => Mode::NotEqual,
            other => {
                let place = node.attribute_place("nodes_modes");
                return Err(Refusal::unsupported(
                    place,
                    format!("has mode {other}"),
                    "modes 0 to 5",
                ));
            }
        };
        splits.push(Split {
            feature: index(node, "nodes_featureids", features[at])?,
            threshold: thresholds[at],
            mode,
            missing_is_true: missing.get(at).is_some_and(|flag| *flag == 1),
            when_true: when_true[at],
            when_false: when_false[at],
        });
    }
    let leaf_targets = node.ints("leaf_targetids")?;
    let leaf_weights: Vec<T> = numbers(node, "leaf_weights", Some("leaf_weights"))?;
    same_length(node, "leaf_targetids", leaf_targets.len(), leaf_weights.len())?;
    count(node, total + leaf_weights.len())?;
    let mut weights = Vec::with_capacity(leaf_weights.len());
    for (target, weight) in leaf_targets.iter().zip(&leaf_weights) {
        match u32::try_from(*target) {
            Ok(target) if (target as usize) < targets => weights.push((target, *weight)),
            _ => {
                let problem = format!("has {target}, and there are {targets}");
                return Err(Refusal::inconsistent(
                    node.attribute_place("leaf_targetids"),
                    problem,
                ));
            }
        }
    }
    let roots = node.ints("tree_roots")?;
    let roots = roots
        .iter()
        .map(|root| index(node, "tree_roots", *root).map(Child::Split));
    let roots = roots.collect::<Result<Vec<_>, _>>()?;
    let aggregate = match node.int("aggregate_function", 1)? {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => {
            let place = node.attribute_place("aggregate_function");
            return Err(Refusal::unsupported(place, format!("is {other}"), "0 to 3"));
        }
    };
    let transform = match node.int("post_transform", 0)? {
        0 => Transform::None,
        1 => Transform::Softmax,
        2 => Transform::Logistic,
        3 => Transform::SoftmaxZero,
        4 => Transform::Probit,
        other => {
            let place = node.attribute_place("post_transform");
            return Err(Refusal::unsupported(place, format!("is {other}"), "0 to 4"));
        }
    };
    let leaves = (0..weights.len()).map(|leaf| leaf..leaf + 1).collect();
    Ok(Regressor {
        ensemble: Ensemble {
            roots,
            splits,
            leaves,
            weights,
            targets,
        },
        aggregate,
        base: vec![T::zero(); targets],
        transform,
    })
}

fn ways(
    node: &mut Node<'_, '_>,
    ids: &'static str,
    flags: &'static str,
    total: usize,
) -> Result<Vec<Child>, Refusal> {
    let targets = node.ints(ids)?;
    let is_leaf = node.ints(flags)?;
    same_length(node, ids, targets.len(), total)?;
    same_length(node, flags, is_leaf.len(), total)?;
    let pairs = targets.iter().zip(&is_leaf);
    pairs
        .map(|(target, flag)| {
            let target = index(node, ids, *target)?;
            match flag {
                0 => Ok(Child::Split(target)),
                1 => Ok(Child::Leaf(target)),
                other => Err(Refusal::inconsistent(
                    node.attribute_place(flags),
                    format!("has {other}, not 0 or 1"),
                )),
            }
        })
        .collect()
}
