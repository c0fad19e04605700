//! Our artifacts in onnxruntime, where `AURORA_ONNXRUNTIME_PYTHON` names a Python that has it, or several.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use planner::training::Algorithm;
use registry::artifact::{Child, Graph, Limits, Model, Predictions, Split, Trees, encode};
use registry::metadata::{Cell, Labels};

use crate::world::{World, builtin, published, say, settings, synthetic};

/// Files of cases for the script.
struct Cases<'a> {
    dir: &'a Path,
    files: BTreeMap<&'static str, String>,
    written: usize,
}

impl Cases<'_> {
    /// Writes an artifact, and a line with rows and our predictions of them.
    fn add(&mut self, file: &'static str, artifact: &[u8], rows: &[f64]) {
        let model = Model::read(artifact, &Limits::default()).unwrap();
        self.written += 1;
        let path = self.dir.join(format!("{}.onnx", self.written));
        std::fs::write(&path, artifact).unwrap();
        let predictions = model.predict(rows).unwrap();
        let k = predictions.numbers().len() / (rows.len() / model.width());
        let numbers: Vec<&[f64]> = predictions.numbers().chunks(k).collect();
        let labels = match (&predictions, model.labels()) {
            (Predictions::Classes { index, .. }, Some(Labels::Words(words))) => {
                serde_json::json!(index.iter().map(|at| &words[at.unwrap()]).collect::<Vec<_>>())
            }
            (Predictions::Classes { index, .. }, Some(Labels::Numbers(numbers))) => {
                serde_json::json!(index.iter().map(|at| numbers[at.unwrap()]).collect::<Vec<_>>())
            }
            _ => serde_json::Value::Null,
        };
        let rows: Vec<&[f64]> = rows.chunks(model.width()).collect();
        let case = serde_json::json!({ "model": path, "rows": rows, "numbers": numbers, "labels": labels });
        let lines = self.files.entry(file).or_default();
        lines.push_str(&case.to_string());
        lines.push('\n');
    }

    /// Compares all of them in one Python.
    fn check(&self, python: &OsStr) {
        let paths = self.files.iter().map(|(name, lines)| {
            let path = self.dir.join(format!("{name}.jsonl"));
            std::fs::write(&path, lines).unwrap();
            path
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnxruntime_agrees.py");
        let mut command = Command::new(python);
        let output = command.arg(script).args(paths).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        say(text.trim_end());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(text.lines().count(), self.files.len());
    }
}

/// Rows around the example, further and further away.
fn around(inputs: &[f64]) -> Vec<f64> {
    let factor = |row: u32, at: u32| f64::from((row * 31 + at * 17) % 101) / 50.5;
    (0..1_000)
        .flat_map(|row| {
            let inputs = (0..).zip(inputs);
            inputs.map(move |(at, input)| input * factor(row, at))
        })
        .collect()
}

#[test]
fn every_onnxruntime_predicts_the_same() {
    let Some(pythons) = std::env::var_os("AURORA_ONNXRUNTIME_PYTHON") else {
        say("skipped: AURORA_ONNXRUNTIME_PYTHON names no Pythons with onnx and onnxruntime (one, or a:b:c)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut cases = Cases {
        dir: dir.path(),
        files: BTreeMap::new(),
        written: 0,
    };
    for (name, algorithm, source) in [
        ("linear", Algorithm::LinearRegression, builtin("wine-quality")),
        ("trees", Algorithm::GradientBoosting, synthetic("friedman1")),
        ("words", Algorithm::LogisticRegression, builtin("iris")),
        ("numbers", Algorithm::LogisticRegression, builtin("wine-quality")),
    ] {
        let world = World::new();
        let mut request = world.request(algorithm, source);
        if algorithm == Algorithm::GradientBoosting {
            request.training.hyperparameters = settings(&[("trees", 300.0)]);
        }
        published(&request);
        let entry = world.entry(&request);
        let artifact = world.store.read_artifact(&entry).unwrap();
        let inputs = entry.metadata.example.inputs.iter();
        let inputs: Vec<f64> = inputs
            .map(|cell| match cell {
                Cell::Number(number) => *number,
                other => panic!("{other:?}"),
            })
            .collect();
        let rows = around(&inputs);
        cases.add(name, &artifact, &rows);
    }
    // What no fit of ours brings about by itself: inputs next to a threshold.
    let edges = Graph::Trees(Trees {
        width: 2,
        base: 0.1,
        roots: vec![Child::split(0).unwrap(), Child::leaf(2).unwrap()],
        splits: vec![Split {
            threshold: 0.1,
            feature: 1,
            below: Child::leaf(0).unwrap(),
            otherwise: Child::leaf(1).unwrap(),
        }],
        leaves: vec![1.0, 2.0, 0.3],
    });
    let [below, above] = [0.1_f64.next_down(), 0.1_f64.next_up()];
    let rows = [0.0, 0.1, 0.0, below, 5.0, above, -1.0, -1.0];
    cases.add("edges", &encode(&edges), &rows);
    // As deep as an artifact may be.
    let mut random = Random(7);
    let mut deep = random.ensemble();
    for _ in 0..3 {
        let root = random.chain(&mut deep, 1_024);
        deep.roots.push(root);
    }
    let rows: Vec<f64> = (0..40 * deep.width).map(|_| random.input()).collect();
    cases.add("edges", &encode(&Graph::Trees(deep)), &rows);
    for seed in 0..ENSEMBLES {
        let mut random = Random(seed);
        let trees = random.ensemble();
        let rows = (0..40 * trees.width)
            .map(|_| random.input())
            .collect::<Vec<f64>>();
        cases.add("ensembles", &encode(&Graph::Trees(trees)), &rows);
    }
    for python in std::env::split_paths(&pythons) {
        cases.check(python.as_os_str());
    }
}

/// How many random ensembles are compared.
const ENSEMBLES: u64 = 3_000;

/// Draws small ensembles of odd shapes; the same seed, the same ensemble.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed >> 33) % n as u64).unwrap()
    }

    /// Few values, so that inputs often equal a threshold.
    fn value(&mut self) -> f64 {
        [-1.0, -0.5, 0.0, 0.5, 1.0][self.below(5)]
    }

    fn input(&mut self) -> f64 {
        match self.below(20) {
            0 => f64::NAN,
            1 => 1e300,
            _ => self.value(),
        }
    }

    fn ensemble(&mut self) -> Trees {
        let mut trees = Trees {
            width: 1 + self.below(3),
            base: 0.25,
            roots: Vec::new(),
            splits: Vec::new(),
            leaves: Vec::new(),
        };
        for _ in 0..=self.below(6) {
            let shape = self.below(7);
            let root = match shape {
                0 => self.leaf(&mut trees),
                // Below a root: two leaves; a leaf to the left; to the right; anything.
                1 => self.split(&mut trees, [0, 0]),
                2 => self.split(&mut trees, [0, 1]),
                3 => self.split(&mut trees, [1, 0]),
                4 => {
                    let length = 1 + self.below(60);
                    self.chain(&mut trees, length)
                }
                5 => self.split(&mut trees, [4, 4]),
                _ => self.split(&mut trees, [1, 6]),
            };
            trees.roots.push(root);
        }
        trees
    }

    /// Dyadic, so that the order of a sum does not show.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn leaf(&mut self, trees: &mut Trees) -> Child {
        trees.leaves.push(self.below(4_000) as f64 / 8.0 - 250.0);
        Child::leaf(trees.leaves.len() - 1).unwrap()
    }

    /// Adds a split whose sides go on for at most so many splits.
    fn split(&mut self, trees: &mut Trees, depths: [usize; 2]) -> Child {
        let at = trees.splits.len();
        let leaf = Child::leaf(0).unwrap();
        trees.splits.push(Split {
            threshold: self.value(),
            feature: u32::try_from(self.below(trees.width)).unwrap(),
            below: leaf,
            otherwise: leaf,
        });
        // Either side may be numbered first.
        let is_below_first = self.below(2) == 0;
        let order = if is_below_first { [0, 1] } else { [1, 0] };
        let mut children = [leaf; 2];
        for side in order {
            children[side] = match depths[side] {
                0 => self.leaf(trees),
                depth => {
                    let depths = [self.below(depth), self.below(depth)];
                    self.split(trees, depths)
                }
            };
        }
        [trees.splits[at].below, trees.splits[at].otherwise] = children;
        Child::split(at).unwrap()
    }

    /// Adds splits one below the other, to either side.
    fn chain(&mut self, trees: &mut Trees, length: usize) -> Child {
        let mut child = self.leaf(trees);
        for _ in 0..length {
            let other = self.leaf(trees);
            let [below, otherwise] = if self.below(2) == 0 {
                [child, other]
            } else {
                [other, child]
            };
            trees.splits.push(Split {
                threshold: self.value(),
                feature: u32::try_from(self.below(trees.width)).unwrap(),
                below,
                otherwise,
            });
            child = Child::split(trees.splits.len() - 1).unwrap();
        }
        child
    }
}
