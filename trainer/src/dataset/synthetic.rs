//! `synthetic:NAME`: rows drawn from the job's seed, with a known rule to learn. U is uniform on [0, 1), N standard normal.
//!
//! | name | rows | columns | target |
//! |---|---|---|---|
//! | `linear` | 1,000 | `x1`…`x4` ~ U | `y` = 3 + 2·x1 − x2 + 0.5·x3 + 0.1·N |
//! | `friedman1` | 2,000 | `x1`…`x10` ~ U | `y` = 10·sin(π·x1·x2) + 20·(x3 − 0.5)² + 10·x4 + 5·x5 + N |
//! | `blobs` | 600 | `x1`, `x2` ~ N around the class's centre | `class`: `a` (−2, 0), `b` (2, 0) or `c` (0, 3) in turn |

use std::f64::consts::{PI, TAU};

use rand::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::builder::Cell;
use super::{ReadError, Sink};

/// The names, for the message that a name is none of them.
const NAMES: [&str; 3] = ["linear", "friedman1", "blobs"];
const BLOBS: [(&str, [f64; 2]); 3] = [("a", [-2.0, 0.0]), ("b", [2.0, 0.0]), ("c", [0.0, 3.0])];

pub(super) fn read<S: Sink>(
    name: &str,
    uri: &str,
    seed: u64,
    open: impl Fn(Vec<String>, Option<&str>) -> Result<S, ReadError>,
) -> Result<S::Made, ReadError> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut sink;
    match name {
        "linear" => {
            sink = open(names(4, "y"), Some("y"))?;
            for line in 1..=1_000 {
                let x: [f64; 4] = random.r#gen();
                let y = 3.0 + 2.0 * x[0] - x[1] + 0.5 * x[2] + 0.1 * normal(&mut random);
                sink.push(line, &row(&x, Cell::Number(y)))?;
            }
        }
        "friedman1" => {
            sink = open(names(10, "y"), Some("y"))?;
            for line in 1..=2_000 {
                let x: [f64; 10] = random.r#gen();
                let curved = 10.0 * (PI * x[0] * x[1]).sin() + 20.0 * (x[2] - 0.5).powi(2);
                let y = curved + 10.0 * x[3] + 5.0 * x[4] + normal(&mut random);
                sink.push(line, &row(&x, Cell::Number(y)))?;
            }
        }
        "blobs" => {
            sink = open(names(2, "class"), Some("class"))?;
            for (line, (class, centre)) in (1..=600).zip(BLOBS.iter().cycle()) {
                let x = centre.map(|c| c + normal(&mut random));
                sink.push(line, &row(&x, Cell::Text(class)))?;
            }
        }
        _ => {
            return Err(ReadError::Dataset {
                uri: uri.to_owned(),
                problem: format!(
                    "there is no such synthetic dataset; there are {}",
                    NAMES.join(", ")
                ),
            });
        }
    }
    Ok(sink.finish(None))
}

fn names(inputs: usize, target: &str) -> Vec<String> {
    let inputs = (1..=inputs).map(|n| format!("x{n}"));
    inputs.chain([target.to_owned()]).collect()
}

fn row<'a>(inputs: &[f64], target: Cell<'a>) -> Vec<Cell<'a>> {
    let inputs = inputs.iter().map(|x| Cell::Number(*x));
    inputs.chain([target]).collect()
}

/// Draws from the standard normal distribution, by Box and Muller.
fn normal(random: &mut Xoshiro256PlusPlus) -> f64 {
    let radius = (-2.0 * (1.0 - random.r#gen::<f64>()).ln()).sqrt();
    radius * (TAU * random.r#gen::<f64>()).cos()
}
