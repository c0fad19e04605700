//! Whether a Pod has room on a node: its requests beside those that are there, and the labels that it asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

/// Amounts by resource, e.g. `cpu` in cores and `memory` in bytes.
type Amounts = BTreeMap<String, f64>;

/// How much more than there is may be asked for: amounts are added up and taken away again as fractions.
const ROUNDING: f64 = 1e-6;

/// What Pods on a node ask for.
#[derive(Debug, Default)]
pub(crate) struct Load {
    of: BTreeMap<String, Amounts>,
    all: Amounts,
}

impl Load {
    /// Adds a Pod, in place of what was there under its key.
    pub(crate) fn put(&mut self, key: &str, pod: &Pod) {
        self.remove(key);
        let asked = pod.spec.as_ref().map(requests).unwrap_or_default();
        for (resource, amount) in &asked {
            *self.all.entry(resource.clone()).or_default() += amount;
        }
        self.of.insert(key.to_owned(), asked);
    }

    /// Takes a Pod away, if it is there.
    pub(crate) fn remove(&mut self, key: &str) {
        for (resource, amount) in self.of.remove(key).into_iter().flatten() {
            *self.all.entry(resource).or_default() -= amount;
        }
    }
}

/// Says why a Pod does not fit beside others, if it does not.
pub(crate) fn obstacle(
    pod: &Pod,
    others: &Load,
    capacity: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let mut wanted = spec.node_selector.iter().flatten();
    if !wanted.all(|(label, value)| labels.get(label) == Some(value)) {
        return Some(
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.".to_owned(),
        );
    }
    let too_much = requests(spec).into_iter().find(|(resource, amount)| {
        let there = capacity.get(resource).and_then(|quantity| parse(quantity));
        let taken = others.all.get(resource).copied().unwrap_or_default();
        there.is_some_and(|there| taken + amount > there + ROUNDING)
    });
    too_much.map(|(resource, _)| {
        let what = if resource == "pods" {
            "Too many pods".to_owned()
        } else {
            format!("Insufficient {resource}")
        };
        format!("0/1 nodes are available: 1 {what}.")
    })
}

/// Returns what a Pod asks for: itself, and what its containers do.
fn requests(spec: &PodSpec) -> Amounts {
    let mut amounts = Amounts::from([("pods".to_owned(), 1.0)]);
    for container in &spec.containers {
        let requests = container
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.as_ref());
        for (resource, quantity) in requests.into_iter().flatten() {
            *amounts.entry(resource.clone()).or_default() += parse(&quantity.0).unwrap_or_default();
        }
    }
    amounts
}

/// Returns a quantity as a number, e.g. `250m` as 0.25.
fn parse(quantity: &str) -> Option<f64> {
    let end = quantity.find(|character: char| !character.is_ascii_digit() && character != '.');
    let (number, suffix) = quantity.split_at(end.unwrap_or(quantity.len()));
    let factor = match suffix {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(cpu: &str, selector: &[(&str, &str)]) -> Pod {
        let selector: BTreeMap<_, _> = selector.iter().copied().collect();
        let container = json!({ "name": "a", "resources": { "requests": { "cpu": cpu } } });
        let pod = json!({ "spec": { "containers": [container], "nodeSelector": selector } });
        serde_json::from_value(pod).unwrap()
    }

    fn check(pod: &Pod, others: &[Pod], expected: Option<&str>) {
        let of = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
            entries
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        let mut load = Load::default();
        for (key, other) in ["a", "b", "c"].into_iter().zip(others) {
            load.put(key, other);
        }
        let told = obstacle(
            pod,
            &load,
            &of(&[("cpu", "1"), ("pods", "3")]),
            &of(&[("disk", "fast")]),
        );
        assert_eq!(told.is_some(), expected.is_some(), "{told:?}");
        assert!(told.unwrap_or_default().contains(expected.unwrap_or_default()));
    }

    #[test]
    fn requests_are_added_up() {
        check(&pod("1", &[]), &[], None);
        check(&pod("500m", &[]), &[pod("0.5", &[])], None);
        check(&pod("501m", &[]), &[pod("0.5", &[])], Some("Insufficient cpu"));
        let three = [pod("0", &[]), pod("0", &[]), pod("0", &[])];
        check(&pod("0", &[]), &three[..2], None);
        check(&pod("0", &[]), &three, Some("Too many pods"));
    }

    #[test]
    fn what_is_gone_takes_no_room() {
        let capacity = BTreeMap::from([("cpu".to_owned(), "1".to_owned())]);
        let mut load = Load::default();
        for _ in 0..1_000 {
            load.put("a", &pod("100m", &[]));
            load.put("b", &pod("0.2", &[]));
            load.remove("a");
        }
        let has_room =
            |load: &Load, cpu| obstacle(&pod(cpu, &[]), load, &capacity, &BTreeMap::new()).is_none();
        assert!(has_room(&load, "0.8") && !has_room(&load, "0.801"));
        load.remove("b");
        load.remove("b");
        assert!(has_room(&load, "1") && !has_room(&load, "1.001"));
    }

    #[test]
    fn labels_have_to_be_there() {
        check(&pod("0", &[("disk", "fast")]), &[], None);
        check(&pod("0", &[("disk", "slow")]), &[], Some("didn't match"));
    }

    #[test]
    fn quantities_are_numbers() {
        for (quantity, number) in [
            ("2", Some(2.0)),
            ("250m", Some(0.25)),
            ("1.5Gi", Some(1_610_612_736.0)),
            ("1x", None),
        ] {
            assert_eq!(parse(quantity), number, "{quantity}");
        }
    }
}
