//! How trees are numbered in an artifact. onnxruntime 1.21 to 1.24.3 takes a root whose two children have one number for
//! a leaf, whether both numbers count leaves, both splits, or one each.

use proptest::prelude::*;

use super::*;

/// A tree: `None` is a leaf.
#[derive(Debug, Clone)]
struct Shape(Option<Box<[Self; 2]>>);

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let leaf = Just(Shape(None));
    let shape = leaf.prop_recursive(6, 40, 2, |inner| {
        [inner.clone(), inner].prop_map(|sides| Shape(Some(Box::new(sides))))
    });
    proptest::collection::vec(shape, 0..5)
}

/// Numbers splits and leaves as they are met, from the roots down.
fn build(shapes: &[Shape], is_breadth_first: bool) -> Trees {
    let mut trees = Trees {
        width: 1,
        base: 0.0,
        roots: Vec::new(),
        splits: Vec::new(),
        leaves: Vec::new(),
    };
    for shape in shapes {
        let root = place(shape, &mut trees);
        trees.roots.push(root);
        let mut open = vec![(root, shape)];
        while let Some((at, shape)) = if is_breadth_first && !open.is_empty() {
            Some(open.remove(0))
        } else {
            open.pop()
        } {
            if let Shape(Some(sides)) = shape {
                let [below, otherwise] = [&sides[0], &sides[1]].map(|side| {
                    let child = place(side, &mut trees);
                    open.push((child, side));
                    child
                });
                let split = &mut trees.splits[at.index()];
                (split.below, split.otherwise) = (below, otherwise);
            }
        }
    }
    trees
}

fn place(shape: &Shape, trees: &mut Trees) -> Child {
    let Shape(Some(_)) = shape else {
        trees
            .leaves
            .push(f64::from(u16::try_from(trees.leaves.len()).unwrap()));
        return Child::leaf(trees.leaves.len() - 1).unwrap();
    };
    let unset = Child::leaf(0).unwrap();
    trees.splits.push(Split {
        threshold: f64::from(u16::try_from(trees.splits.len()).unwrap()),
        feature: 0,
        below: unset,
        otherwise: unset,
    });
    Child::split(trees.splits.len() - 1).unwrap()
}

/// Returns the numbers of each root's two children as they are written.
fn written(graph: &Graph) -> Vec<(i64, i64)> {
    let mut model = ModelProto::decode(encode(graph).as_slice()).unwrap();
    let mut ints = |name: &str| attribute(&mut model, name).ints.clone();
    let (below, otherwise) = (ints("nodes_truenodeids"), ints("nodes_falsenodeids"));
    let roots = ints("tree_roots").into_iter();
    roots
        .map(|root| usize::try_from(root).unwrap())
        .map(|root| (below[root], otherwise[root]))
        .collect()
}

proptest! {
    #[test]
    fn no_root_has_children_of_one_number(shapes in shapes(), is_breadth_first in any::<bool>()) {
        let trees = build(&shapes, is_breadth_first);
        let rows: Vec<f64> = (0_u8..50).map(|n| f64::from(n) - 0.5).collect();
        let graph = Graph::Trees(trees);
        for (below, otherwise) in written(&graph) {
            prop_assert_ne!(below, otherwise);
        }
        let expected: Vec<f64> = rows.iter().flat_map(|row| meant(&graph, &[*row])).collect();
        prop_assert_eq!(decoded(&graph).predict(&rows).unwrap(), Predictions::Numbers(expected));
    }
}

/// The smallest that was mispredicted: the second tree's root has a leaf for its first child, which was leaf 2 beside
/// split 2.
#[test]
fn a_second_tree_whose_root_has_a_leaf_first() {
    let shape = |sides| Shape(Some(Box::new(sides)));
    let leaf = || Shape(None);
    let stump = || shape([leaf(), leaf()]);
    let trees = build(&[stump(), shape([leaf(), stump()])], false);
    assert_eq!(trees.splits[1].below, Child::leaf(2).unwrap());
    assert_eq!(trees.splits[1].otherwise, Child::split(2).unwrap());
    assert_eq!(written(&Graph::Trees(trees)), [(0, 1), (4, 2)]);
}

/// Whose splits lead in circles is written as it is, and refused when read; ways may come together.
#[test]
fn what_leads_in_circles_is_written_and_refused() {
    let split = |below, otherwise| Split {
        threshold: 0.0,
        feature: 0,
        below,
        otherwise,
    };
    let [leaf, first, second] = [Child::leaf(0), Child::split(0), Child::split(1)].map(Option::unwrap);
    for (roots, splits, expected) in [
        (
            vec![first],
            vec![split(first, leaf)],
            Err("comes back to split 0"),
        ),
        (
            vec![first],
            vec![split(second, leaf), split(leaf, first)],
            Err("comes back to split 0"),
        ),
        (
            vec![first],
            vec![split(second, second), split(leaf, leaf)],
            Ok(1.0),
        ),
        (vec![first, first], vec![split(leaf, leaf)], Ok(2.0)),
    ] {
        let graph = Graph::Trees(Trees {
            width: 1,
            base: 0.0,
            roots,
            splits,
            leaves: vec![1.0],
        });
        let read = Model::read(&encode(&graph), &Limits::default());
        match (read, expected) {
            (Ok(model), Ok(expected)) => {
                let predictions = model.predict(&[0.5]).unwrap();
                assert_eq!(predictions.numbers(), [expected]);
            }
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (read, _) => panic!("{:?}", read.map(|model| model.width())),
        }
    }
}
