//! The object that keeps a model served while its own turns to another one.
//!
//! Where objects exchange their models, each takes over from one that has not left yet, and whoever goes first would
//! leave its model without an object. A copy of that object holds the model until then. To every later plan it is an
//! object that no manifest declares: what takes its model over removes it, also after a process that died in between.

use sha2::Digest as _;

use crate::names::{ModelName, NAME_LENGTH_MAX, ObjectName};

const PREFIX: &str = "stand-in-";
/// What is left free for a number.
const SUFFIX_LENGTH_MAX: usize = 6;

/// Returns the names that a model's stand-in may have, the first of which that is free it gets.
pub(crate) fn names(model: &ModelName) -> impl Iterator<Item = ObjectName> {
    let model = model.as_str();
    let stem = if PREFIX.len() + model.len() + SUFFIX_LENGTH_MAX <= NAME_LENGTH_MAX {
        format!("{PREFIX}{model}")
    } else {
        let hash = sha2::Sha256::digest(model.as_bytes());
        format!("{PREFIX}{}", &hex::encode(hash)[..12])
    };
    (1_u32..).map_while(move |n| {
        let name = if n == 1 {
            stem.clone()
        } else {
            format!("{stem}-{n}")
        };
        name.parse().ok()
    })
}

/// Says whether an object of this name may be a stand-in: it goes as soon as it has come, and what it holds by then has to
/// be seen to.
pub fn is_stand_in(name: &ObjectName) -> bool {
    name.as_str().starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_of_their_model_alone() {
        let first = |model: &str| names(&model.parse().unwrap()).next().unwrap().to_string();
        assert_eq!(first("wine"), "stand-in-wine");
        assert!(is_stand_in(&first("wine").parse().unwrap()));
        assert!(!is_stand_in(&"wine".parse().unwrap()));
        let (a, b) = (format!("{}a", "m".repeat(39)), format!("{}b", "m".repeat(39)));
        assert_ne!(first(&a), first(&b));
        let later: Vec<String> = names(&a.parse().unwrap())
            .take(2)
            .map(|name| name.to_string())
            .collect();
        assert_eq!(later[1], format!("{}-2", later[0]));
    }
}
