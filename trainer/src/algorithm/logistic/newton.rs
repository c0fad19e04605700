//! The optimum of a penalised logistic loss: Newton's method, each step solved by preconditioned conjugate gradients.
//!
//! The loss is convex, so that a gradient of length 0 is the optimum. Nothing here is drawn, timed or run in parallel:
//! the same rows give the same weights.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis, Zip, s};

/// The optimum is where no component of the gradient of the mean loss is longer than this.
pub(super) const GRADIENT_MAX: f64 = 1e-10;
/// Without a penalty the step to the optimum must shrink too: rows that can be told apart pull weights to infinity, on
/// a loss that flattens without end. In log-odds.
const STEP_MAX: f64 = 1e-4;
/// Where the step has not shrunk at this gradient, it never will.
const FLAT: f64 = 1e-13;
/// Rows that are looked at together.
const CHUNK: usize = 4_096;
/// Up to this many features the curvature within each class preconditions whole, above it its diagonal.
const DENSE_MAX: usize = 128;
/// The most conjugate gradients of one step.
const INNER_MAX: usize = 500;
/// The most halvings of one step.
const HALVINGS_MAX: u32 = 40;

/// What is minimised: the mean over rows of −ln p(class), plus `l2` / 2 / rows × the sum of the squared weights.
/// Intercepts are free.
///
/// With one column of weights there are two classes, and the column is the log-odds of the second; otherwise there is
/// a column for each class.
#[derive(Debug)]
pub(super) struct Problem<'a> {
    /// Standardised inputs, rows × features.
    pub(super) inputs: ArrayView2<'a, f64>,
    /// Each row's class.
    pub(super) classes: &'a [usize],
    /// The columns of weights: 1, or at least 3.
    pub(super) columns: usize,
    /// The strength of the penalty.
    pub(super) l2: f64,
}

/// Where the loss is least.
#[derive(Debug)]
pub(super) struct Optimum {
    /// (features + 1) × columns; the last row holds the intercepts.
    pub(super) weights: Array2<f64>,
    /// How many steps it took.
    pub(super) iterations: u64,
    /// The longest component of the gradient there.
    pub(super) gradient: f64,
    /// The loss at the start and after each step.
    pub(super) losses: Vec<f64>,
}

/// Why there is no optimum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Failure {
    /// Some rows can be told apart without doubt, and nothing bounds the weights.
    Separable,
    /// The steps ran out, or no shorter loss was found.
    NotConverged { iterations: u64, gradient: f64 },
}

/// A point: weights with the loss, its gradient and the probabilities there.
struct Point {
    weights: Array2<f64>,
    loss: f64,
    gradient: Array2<f64>,
    /// Rows × columns.
    probabilities: Array2<f64>,
}

/// Finds the optimum in at most `iterations` steps.
pub(super) fn minimise(problem: &Problem<'_>, iterations: u64) -> Result<Optimum, Failure> {
    let mut at = problem.point(problem.start());
    let mut losses = vec![at.loss];
    for iteration in 0..=iterations {
        let gradient = longest(&at.gradient);
        let is_flat = gradient <= GRADIENT_MAX;
        let optimum = |at: Point, losses| Optimum {
            weights: at.weights,
            iterations: iteration,
            gradient,
            losses,
        };
        if is_flat && problem.l2 > 0.0 {
            return Ok(optimum(at, losses));
        }
        let step = problem.step(&at);
        if is_flat && problem.largest_change(&step) <= STEP_MAX {
            return Ok(optimum(at, losses));
        }
        if problem.l2 == 0.0 && gradient <= FLAT {
            return Err(Failure::Separable);
        }
        let next = (iteration < iterations).then(|| problem.advance(&at, step));
        match next.flatten() {
            Some(next) => {
                losses.push(next.loss);
                at = next;
            }
            // Rounding hides what is left to gain: the probabilities are 0 and 1 all over.
            None if problem.l2 == 0.0 && at.loss < FLAT => return Err(Failure::Separable),
            None => {
                return Err(Failure::NotConverged {
                    iterations: iteration,
                    gradient,
                });
            }
        }
    }
    unreachable!("the last step returns")
}

impl Problem<'_> {
    fn rows(&self) -> f64 {
        self.inputs.nrows() as f64
    }

    fn features(&self) -> usize {
        self.inputs.ncols()
    }

    /// Returns no weights, and the intercepts that give the classes' frequencies.
    fn start(&self) -> Array2<f64> {
        let mut counts = vec![0.0_f64; self.columns.max(2)];
        for class in self.classes {
            counts[*class] += 1.0;
        }
        let mut weights = Array2::zeros((self.features() + 1, self.columns));
        let mut intercepts = weights.row_mut(self.features());
        if self.columns == 1 {
            intercepts[0] = (counts[1] / counts[0]).ln();
        } else {
            let logs = counts.iter().map(|count| (count / self.rows()).ln());
            let mean = logs.clone().sum::<f64>() / counts.len() as f64;
            intercepts
                .iter_mut()
                .zip(logs)
                .for_each(|(to, log)| *to = log - mean);
        }
        weights
    }

    fn chunks(&self) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let rows = self.inputs.nrows();
        (0..rows)
            .step_by(CHUNK)
            .map(move |from| from..(from + CHUNK).min(rows))
    }

    /// Returns `inputs` · `weights` + intercepts of some rows.
    fn scores(&self, rows: &std::ops::Range<usize>, weights: &Array2<f64>) -> Array2<f64> {
        let (matrix, intercepts) = weights.view().split_at(Axis(0), self.features());
        let mut scores = Array2::zeros((rows.len(), self.columns));
        scores.assign(&intercepts.row(0));
        let inputs = self.inputs.slice(s![rows.clone(), ..]);
        general_mat_mul(1.0, &inputs, &matrix, 1.0, &mut scores);
        scores
    }

    /// Adds `inputs`ᵀ · `values` / rows to `sum`, whose last row is that of the intercepts.
    fn add_products(&self, rows: &std::ops::Range<usize>, values: &Array2<f64>, sum: &mut Array2<f64>) {
        let (mut matrix, mut intercepts) = sum.view_mut().split_at(Axis(0), self.features());
        let inputs = self.inputs.slice(s![rows.clone(), ..]);
        general_mat_mul(1.0 / self.rows(), &inputs.t(), values, 1.0, &mut matrix);
        intercepts
            .row_mut(0)
            .scaled_add(1.0 / self.rows(), &values.sum_axis(Axis(0)));
    }

    /// Adds the penalty's share: `l2` / rows × weights.
    fn add_penalty(&self, weights: &Array2<f64>, sum: &mut Array2<f64>) {
        let features = self.features();
        let weights = weights.slice(s![..features, ..]);
        sum.slice_mut(s![..features, ..])
            .scaled_add(self.l2 / self.rows(), &weights);
    }

    /// Looks at the loss where the weights are `weights`.
    fn point(&self, weights: Array2<f64>) -> Point {
        let mut probabilities = Array2::zeros((self.inputs.nrows(), self.columns));
        let mut gradient = Array2::zeros(weights.dim());
        let mut loss = 0.0;
        for rows in self.chunks() {
            let mut values = self.scores(&rows, &weights);
            for (mut row, class) in values.rows_mut().into_iter().zip(&self.classes[rows.clone()]) {
                loss += to_probabilities(row.as_slice_mut().unwrap_or_default(), *class);
            }
            probabilities.slice_mut(s![rows.clone(), ..]).assign(&values);
            for (mut row, class) in values.rows_mut().into_iter().zip(&self.classes[rows.clone()]) {
                match self.columns {
                    1 => row[0] -= if *class == 1 { 1.0 } else { 0.0 },
                    _ => row[*class] -= 1.0,
                }
            }
            self.add_products(&rows, &values, &mut gradient);
        }
        self.add_penalty(&weights, &mut gradient);
        let squares = weights
            .slice(s![..self.features(), ..])
            .fold(0.0, |sum, w| sum + w * w);
        Point {
            loss: (loss + self.l2 / 2.0 * squares) / self.rows(),
            weights,
            gradient,
            probabilities,
        }
    }

    /// Multiplies the curvature at a point with `direction`.
    fn curvature(&self, at: &Point, direction: &Array2<f64>) -> Array2<f64> {
        let mut product = Array2::zeros(direction.dim());
        for rows in self.chunks() {
            let mut values = self.scores(&rows, direction);
            let probabilities = at.probabilities.slice(s![rows.clone(), ..]);
            if self.columns == 1 {
                Zip::from(&mut values)
                    .and(&probabilities)
                    .for_each(|value, p| *value *= p * (1.0 - p));
            } else {
                for (mut row, p) in values.rows_mut().into_iter().zip(probabilities.rows()) {
                    let mean = row.dot(&p);
                    Zip::from(&mut row)
                        .and(&p)
                        .for_each(|value, p| *value = p * (*value - mean));
                }
            }
            self.add_products(&rows, &values, &mut product);
        }
        self.add_penalty(direction, &mut product);
        product
    }

    /// Solves curvature · step = −gradient, the closer the nearer the optimum is.
    fn step(&self, at: &Point) -> Array2<f64> {
        let preconditioner = Preconditioner::of(self, at);
        let wanted = norm(&at.gradient) * norm(&at.gradient).sqrt().clamp(1e-6, 0.1);
        let mut step = Array2::zeros(at.gradient.dim());
        let mut residual = -&at.gradient;
        let mut scaled = preconditioner.apply(&residual);
        let mut direction = scaled.clone();
        let mut product = dot(&residual, &scaled);
        for inner in 0..INNER_MAX {
            if norm(&residual) <= wanted {
                break;
            }
            let curved = self.curvature(at, &direction);
            let bend = dot(&direction, &curved);
            // No curvature, or less than rounding leaves: what is left is a direction without end.
            if bend <= f64::EPSILON * f64::EPSILON * dot(&direction, &direction) || !bend.is_finite() {
                if inner == 0 {
                    step = direction;
                }
                break;
            }
            let length = product / bend;
            step.scaled_add(length, &direction);
            residual.scaled_add(-length, &curved);
            scaled = preconditioner.apply(&residual);
            let next = dot(&residual, &scaled);
            direction *= next / product;
            direction += &scaled;
            product = next;
        }
        step
    }

    /// Goes along `step` until the loss is shorter; `None` where it is nowhere.
    fn advance(&self, at: &Point, step: Array2<f64>) -> Option<Point> {
        let slope = dot(&at.gradient, &step);
        let (step, slope) = if slope < 0.0 {
            (step, slope)
        } else {
            (-&at.gradient, -dot(&at.gradient, &at.gradient))
        };
        let mut length = 1.0;
        for _ in 0..HALVINGS_MAX {
            let mut weights = at.weights.clone();
            weights.scaled_add(length, &step);
            let next = self.point(weights);
            let is_shorter = next.loss <= at.loss + 1e-4 * length * slope;
            // Where rounding hides the loss, the gradient still tells.
            let is_hidden = (next.loss - at.loss).abs() <= 1e-13 * at.loss.abs()
                && longest(&next.gradient) < longest(&at.gradient);
            if next.loss.is_finite() && (is_shorter || is_hidden) {
                return Some(next);
            }
            length /= 2.0;
        }
        None
    }

    /// Returns by how much a step changes a row's log-odds at most.
    fn largest_change(&self, step: &Array2<f64>) -> f64 {
        let changes = self.chunks().map(|rows| {
            let scores = self.scores(&rows, step);
            // What is added to all classes changes nothing.
            let spread = scores.rows().into_iter().map(|row| {
                let least = row.fold(f64::INFINITY, |least, value| least.min(*value));
                let most = row.fold(f64::NEG_INFINITY, |most, value| most.max(*value));
                if row.len() == 1 {
                    row[0].abs()
                } else {
                    most - least
                }
            });
            spread.fold(0.0, f64::max)
        });
        changes.fold(0.0, f64::max)
    }
}

/// Turns one row's scores into probabilities and returns −ln p of its class.
fn to_probabilities(scores: &mut [f64], class: usize) -> f64 {
    if let [score] = scores {
        let odds = *score;
        // ln(1 + e^x) without overflow.
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        *score = if odds >= 0.0 {
            1.0 / (1.0 + (-odds).exp())
        } else {
            odds.exp() / (1.0 + odds.exp())
        };
        return softplus(if class == 1 { -odds } else { odds });
    }
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let of_class = scores[class] - most;
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - most).exp();
        sum += *score;
    }
    for score in scores {
        *score /= sum;
    }
    sum.ln() - of_class
}

/// An approximation of the inverse curvature: that within each class, as if the classes were independent.
enum Preconditioner {
    /// The Cholesky factor of each column's block.
    Dense(Vec<Array2<f64>>),
    /// The diagonal.
    Diagonal(Array2<f64>),
}

impl Preconditioner {
    fn of(problem: &Problem<'_>, at: &Point) -> Self {
        let spread = |p: f64| p * (1.0 - p);
        if problem.features() <= DENSE_MAX {
            let blocks = (0..problem.columns).map(|column| {
                let mut block = problem.block(at, column);
                cholesky(&mut block).then_some(block)
            });
            if let Some(blocks) = blocks.collect() {
                return Self::Dense(blocks);
            }
        }
        let mut diagonal = Array2::from_elem(at.weights.dim(), 0.0);
        let features = problem.features();
        for rows in problem.chunks() {
            let inputs = problem.inputs.slice(s![rows.clone(), ..]);
            let squares = inputs.mapv(|value| value * value);
            let weights = at.probabilities.slice(s![rows, ..]).mapv(spread);
            let (mut matrix, mut intercepts) = diagonal.view_mut().split_at(Axis(0), features);
            general_mat_mul(1.0 / problem.rows(), &squares.t(), &weights, 1.0, &mut matrix);
            intercepts
                .row_mut(0)
                .scaled_add(1.0 / problem.rows(), &weights.sum_axis(Axis(0)));
        }
        diagonal
            .slice_mut(s![..features, ..])
            .mapv_inplace(|value| value + problem.l2 / problem.rows());
        diagonal.mapv_inplace(|value| value.max(f64::MIN_POSITIVE.sqrt()));
        Self::Diagonal(diagonal)
    }

    fn apply(&self, vector: &Array2<f64>) -> Array2<f64> {
        match self {
            Self::Diagonal(diagonal) => vector / diagonal,
            Self::Dense(factors) => {
                let mut solved = vector.clone();
                for (mut column, factor) in solved.columns_mut().into_iter().zip(factors) {
                    let mut values = column.to_owned();
                    solve(factor, &mut values);
                    column.assign(&values);
                }
                solved
            }
        }
    }
}

impl Problem<'_> {
    /// Returns the curvature within one column, (features + 1)², with a grain that keeps it invertible.
    fn block(&self, at: &Point, column: usize) -> Array2<f64> {
        let (n, features) = (self.rows(), self.features());
        let mut block = Array2::zeros((features + 1, features + 1));
        for rows in self.chunks() {
            let inputs = self.inputs.slice(s![rows.clone(), ..]);
            let weights: Array1<f64> = at
                .probabilities
                .slice(s![rows, column])
                .mapv(|p| p * (1.0 - p) / n);
            let weighted = &inputs * &weights.view().insert_axis(Axis(1));
            let mut inner = block.slice_mut(s![..features, ..features]);
            general_mat_mul(1.0, &inputs.t(), &weighted, 1.0, &mut inner);
            let mut last = block.slice_mut(s![features, ..features]);
            last += &weighted.sum_axis(Axis(0));
            block[[features, features]] += weights.sum();
        }
        for at in 0..features {
            block[[at, at]] += self.l2 / n;
        }
        let grain = 1e-12 * block.diag().sum() / (features + 1) as f64 + f64::MIN_POSITIVE;
        block.diag_mut().mapv_inplace(|value| value + grain);
        block
    }
}

/// Factors a symmetric matrix, of which the lower half is read, in place; false where it is not positive definite.
fn cholesky(matrix: &mut Array2<f64>) -> bool {
    for at in 0..matrix.nrows() {
        for below in at..matrix.nrows() {
            let (row, other) = (matrix.slice(s![below, ..at]), matrix.slice(s![at, ..at]));
            let left = matrix[[below, at]] - row.dot(&other);
            if below > at {
                matrix[[below, at]] = left / matrix[[at, at]];
            } else if left.is_normal() && left > 0.0 {
                matrix[[at, at]] = left.sqrt();
            } else {
                return false;
            }
        }
    }
    true
}

/// Solves by a factor of [`cholesky`], in place.
fn solve(factor: &Array2<f64>, values: &mut Array1<f64>) {
    let n = values.len();
    for at in 0..n {
        let left = values[at] - factor.slice(s![at, ..at]).dot(&values.slice(s![..at]));
        values[at] = left / factor[[at, at]];
    }
    for at in (0..n).rev() {
        let left = values[at] - factor.slice(s![at + 1.., at]).dot(&values.slice(s![at + 1..]));
        values[at] = left / factor[[at, at]];
    }
}

fn dot(one: &Array2<f64>, other: &Array2<f64>) -> f64 {
    Zip::from(one)
        .and(other)
        .fold(0.0, |sum, one, other| sum + one * other)
}

fn norm(matrix: &Array2<f64>) -> f64 {
    dot(matrix, matrix).sqrt()
}

fn longest(matrix: &Array2<f64>) -> f64 {
    // A NaN must not hide behind the others, as it would behind `max`.
    matrix.fold(0.0, |most: f64, value| {
        if most.is_nan() || value.is_nan() {
            f64::NAN
        } else {
            most.max(value.abs())
        }
    })
}
