//! A container's variables: its own, those of Secrets and ConfigMaps, and what it is told of its Pod.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvFromSource, EnvVarSource, ObjectFieldSelector, Pod, Secret,
};

/// What values are taken from.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) node: &'a str,
    /// On this machine.
    pub(crate) address: Ipv4Addr,
    /// Of the namespace, by name.
    pub(crate) config_maps: BTreeMap<String, ConfigMap>,
    pub(crate) secrets: BTreeMap<String, Secret>,
}

/// Returns the variables of a container in their order, or what is missing.
pub(crate) fn variables(
    container: &Container,
    sources: &Sources<'_>,
) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    for from in container.env_from.iter().flatten() {
        variables.extend(all_of(from, sources)?);
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            Some(from) => match value_of(container, from, sources)? {
                Some(value) => value,
                None => continue,
            },
            None => expand(variable.value.as_deref().unwrap_or_default(), &variables),
        };
        variables.insert(variable.name.clone(), value);
    }
    Ok(variables)
}

fn all_of(from: &EnvFromSource, sources: &Sources<'_>) -> Result<BTreeMap<String, String>, String> {
    let data = if let Some(map) = &from.config_map_ref {
        sources.config_map(&map.name, map.optional)?
    } else if let Some(secret) = &from.secret_ref {
        sources.secret(&secret.name, secret.optional)?
    } else {
        BTreeMap::new()
    };
    let prefix = from.prefix.as_deref().unwrap_or_default();
    let texts = data
        .into_iter()
        .map(|(key, bytes)| (format!("{prefix}{key}"), text(&bytes)));
    Ok(texts.collect())
}

fn value_of(
    container: &Container,
    from: &EnvVarSource,
    sources: &Sources<'_>,
) -> Result<Option<String>, String> {
    if let Some(field) = &from.field_ref {
        return sources.field(field).map(Some);
    }
    if let Some(resource) = &from.resource_field_ref {
        return Ok(Some(resource_of(container, &resource.resource)));
    }
    let (data, key, optional) = if let Some(map) = &from.config_map_key_ref {
        (
            sources.config_map(&map.name, map.optional)?,
            &map.key,
            map.optional,
        )
    } else if let Some(secret) = &from.secret_key_ref {
        (
            sources.secret(&secret.name, secret.optional)?,
            &secret.key,
            secret.optional,
        )
    } else {
        return Err("a variable's source that the test kit does not know".to_owned());
    };
    match data.get(key) {
        Some(bytes) => Ok(Some(text(bytes))),
        None if optional == Some(true) => Ok(None),
        None => Err(format!("couldn't find key {key}")),
    }
}

/// `limits.cpu`, `requests.memory`, …, as the container has it; empty where it has none.
fn resource_of(container: &Container, name: &str) -> String {
    let found = || {
        let resources = container.resources.as_ref()?;
        let (list, resource) = name.split_once('.')?;
        let list = match list {
            "limits" => resources.limits.as_ref(),
            _ => resources.requests.as_ref(),
        };
        Some(list?.get(resource)?.0.clone())
    };
    found().unwrap_or_default()
}

impl Sources<'_> {
    /// Returns the data of a ConfigMap; of none, if it may be missing.
    pub(crate) fn config_map(
        &self,
        name: &str,
        optional: Option<bool>,
    ) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let Some(map) = self.config_maps.get(name) else {
            return missing("configmap", name, optional);
        };
        let texts = map.data.iter().flatten();
        let texts = texts.map(|(key, text)| (key.clone(), text.clone().into_bytes()));
        let bytes = map.binary_data.iter().flatten();
        let bytes = bytes.map(|(key, bytes)| (key.clone(), bytes.0.clone()));
        Ok(texts.chain(bytes).collect())
    }

    /// Returns the data of a Secret; of none, if it may be missing.
    pub(crate) fn secret(
        &self,
        name: &str,
        optional: Option<bool>,
    ) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let Some(secret) = self.secrets.get(name) else {
            return missing("secret", name, optional);
        };
        let data = secret.data.iter().flatten();
        Ok(data.map(|(key, bytes)| (key.clone(), bytes.0.clone())).collect())
    }

    /// Returns a field of the Pod. Its address is the one on this machine.
    pub(crate) fn field(&self, field: &ObjectFieldSelector) -> Result<String, String> {
        let metadata = &self.pod.metadata;
        let spec = self.pod.spec.as_ref();
        let own = |text: Option<&String>| text.cloned().unwrap_or_default();
        let entry = |map: Option<&BTreeMap<String, String>>, path: &str, prefix: &str| {
            let key = path
                .strip_prefix(prefix)?
                .strip_prefix("['")?
                .strip_suffix("']")?;
            Some(own(map.and_then(|map| map.get(key))))
        };
        let path = field.field_path.as_str();
        Ok(match path {
            "metadata.name" => own(metadata.name.as_ref()),
            "metadata.namespace" => own(metadata.namespace.as_ref()),
            "metadata.uid" => own(metadata.uid.as_ref()),
            "metadata.labels" => lines(metadata.labels.as_ref()),
            "metadata.annotations" => lines(metadata.annotations.as_ref()),
            "spec.nodeName" => self.node.to_owned(),
            "spec.serviceAccountName" => own(spec.and_then(|spec| spec.service_account_name.as_ref())),
            "status.podIP" | "status.podIPs" => self.address.to_string(),
            "status.hostIP" | "status.hostIPs" => Ipv4Addr::LOCALHOST.to_string(),
            _ => entry(metadata.labels.as_ref(), path, "metadata.labels")
                .or_else(|| entry(metadata.annotations.as_ref(), path, "metadata.annotations"))
                .ok_or_else(|| format!("the test kit knows no field {path}"))?,
        })
    }
}

fn missing<T: Default>(kind: &str, name: &str, optional: Option<bool>) -> Result<T, String> {
    if optional == Some(true) {
        return Ok(T::default());
    }
    Err(format!("{kind} \"{name}\" not found"))
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten();
    let lines: Vec<_> = lines.map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Puts variables in the place of `$(NAME)`; what is not known stays, `$$` is a dollar sign.
pub(crate) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let known = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        let known = known.and_then(|(name, after)| Some((variables.get(name)?, after)));
        if let Some((value, after)) = known {
            expanded.push_str(value);
            rest = after;
        } else {
            expanded.push('$');
            rest = after.strip_prefix('$').unwrap_or(after);
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn known_names_are_expanded() {
        let variables = BTreeMap::from([
            ("A".to_owned(), "1".to_owned()),
            ("B".to_owned(), "$(A)".to_owned()),
        ]);
        for (text, expected) in [
            ("", ""),
            ("a$(A)b$(A)", "a1b1"),
            ("$(B)", "$(A)"),
            ("$(C) $A $(A", "$(C) $A $(A"),
            ("$$(A) $$$(A)", "$(A) $1"),
            ("5$", "5$"),
        ] {
            assert_eq!(expand(text, &variables), expected, "{text}");
        }
    }

    fn check(container: serde_json::Value, expected: Result<&str, &str>) {
        let pod = json!({
            "metadata": { "name": "p", "namespace": "n", "uid": "u", "labels": { "track": "canary" } },
            "spec": { "containers": [], "serviceAccountName": "robot" },
        });
        let pod = serde_json::from_value(pod).unwrap();
        let map = json!({ "data": { "a": "1", "b": "2" } });
        let secret = json!({ "data": { "key": "cw==" } });
        let sources = Sources {
            pod: &pod,
            node: "machine",
            address: Ipv4Addr::new(127, 1, 2, 3),
            config_maps: BTreeMap::from([("m".to_owned(), serde_json::from_value(map).unwrap())]),
            secrets: BTreeMap::from([("s".to_owned(), serde_json::from_value(secret).unwrap())]),
        };
        let mut whole = container;
        whole["name"] = "c".into();
        let container: Container = serde_json::from_value(whole).unwrap();
        let told = variables(&container, &sources).map(|variables| {
            let lines: Vec<_> = variables
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            lines.join(" ")
        });
        assert_eq!(told.as_deref().map_err(String::as_str), expected, "{container:?}");
    }

    #[test]
    fn variables_are_of_maps_secrets_and_the_pod() {
        check(
            json!({ "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "$(A)2" }] }),
            Ok("A=1 B=12"),
        );
        check(
            json!({ "envFrom": [{ "prefix": "M_", "configMapRef": { "name": "m" } }, { "secretRef": { "name": "s" } }] }),
            Ok("M_a=1 M_b=2 key=s"),
        );
        let from = |from| json!({ "env": [{ "name": "A", "valueFrom": from }] });
        check(
            from(json!({ "secretKeyRef": { "name": "s", "key": "key" } })),
            Ok("A=s"),
        );
        check(
            from(json!({ "configMapKeyRef": { "name": "m", "key": "b" } })),
            Ok("A=2"),
        );
        for (path, value) in [
            ("metadata.name", "p"),
            ("metadata.namespace", "n"),
            ("metadata.uid", "u"),
            ("metadata.labels['track']", "canary"),
            ("metadata.labels['other']", ""),
            ("spec.nodeName", "machine"),
            ("spec.serviceAccountName", "robot"),
            ("status.podIP", "127.1.2.3"),
        ] {
            let field = json!({ "fieldRef": { "fieldPath": path } });
            check(from(field), Ok(&format!("A={value}")));
        }
    }

    #[test]
    fn what_is_missing_is_named_unless_it_may_be() {
        let key = |name, key, optional| {
            let reference = json!({ "name": name, "key": key, "optional": optional });
            json!({ "env": [{ "name": "A", "valueFrom": { "secretKeyRef": reference } }] })
        };
        check(key("t", "key", false), Err("secret \"t\" not found"));
        check(key("s", "other", false), Err("couldn't find key other"));
        check(key("t", "key", true), Ok(""));
        check(key("s", "other", true), Ok(""));
    }
}
