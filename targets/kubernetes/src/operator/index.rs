//! Which objects are about which model, as watches tell: pure. It says whom to look at, and decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use planner::names::{ModelName, ObjectName};

#[derive(Debug, Default)]
pub(super) struct Index {
    model_of: BTreeMap<ObjectName, ModelName>,
    objects: BTreeMap<ModelName, BTreeSet<ObjectName>>,
}

impl Index {
    /// Takes in what an object is about; `None`: it is gone. Returns all objects of the model that it was about and of
    /// the one that it is about, itself included: each is to be looked at.
    pub(super) fn set(&mut self, name: &ObjectName, model: Option<&ModelName>) -> BTreeSet<ObjectName> {
        let before = match model {
            Some(model) => self.model_of.insert(name.clone(), model.clone()),
            None => self.model_of.remove(name),
        };
        let mut touched = BTreeSet::from([name.clone()]);
        if let Some(before) = before.as_ref() {
            touched.extend(self.of(before));
            if let Some(objects) = self.objects.get_mut(before) {
                objects.remove(name);
                if objects.is_empty() {
                    self.objects.remove(before);
                }
            }
        }
        if let Some(model) = model {
            self.objects
                .entry(model.clone())
                .or_default()
                .insert(name.clone());
            touched.extend(self.of(model));
        }
        touched
    }

    /// Returns the objects that are about a model.
    pub(super) fn of(&self, model: &ModelName) -> Vec<ObjectName> {
        self.objects.get(model).into_iter().flatten().cloned().collect()
    }

    /// Returns all objects.
    pub(super) fn all(&self) -> Vec<ObjectName> {
        self.model_of.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_about_the_same_model_is_touched() {
        let mut index = Index::default();
        let name = |name: &str| -> ObjectName { name.parse().unwrap() };
        let model = |model: &str| -> ModelName { model.parse().unwrap() };
        let mut set = |object: &str, of: Option<&str>| -> Vec<String> {
            let touched = index.set(&name(object), of.map(model).as_ref());
            touched.into_iter().map(|name| name.to_string()).collect()
        };
        assert_eq!(set("a", Some("m")), ["a"]);
        assert_eq!(set("b", Some("n")), ["b"]);
        assert_eq!(set("c", Some("m")), ["a", "c"]);
        assert_eq!(set("a", Some("n")), ["a", "b", "c"]);
        assert_eq!(set("c", None), ["c"]);
        assert_eq!(set("b", None), ["a", "b"]);
        assert_eq!(index.of(&model("n")), [name("a")]);
        assert_eq!(index.all(), [name("a")]);
    }
}
