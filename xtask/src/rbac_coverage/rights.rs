//! What Roles allow, one verb on one resource each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use serde_json::Value;
use testkit::audit::Call;

const ANY: &str = "*";

/// What an account may do.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The names of its Roles and ClusterRoles.
    pub(super) roles: BTreeSet<String>,
    pub(super) in_namespace: BTreeSet<Right>,
    pub(super) in_cluster: BTreeSet<Right>,
}

impl Account {
    /// Returns all of it.
    pub(super) fn rights(&self) -> impl Iterator<Item = &Right> {
        self.in_namespace.iter().chain(&self.in_cluster)
    }

    /// Says whether it may do what an account of that name in a namespace asked for.
    pub(super) fn allows(&self, namespace: &str, call: &Call) -> bool {
        let in_own = call.namespace == namespace && self.in_namespace.iter().any(|right| right.allows(call));
        in_own || self.in_cluster.iter().any(|right| right.allows(call))
    }
}

/// One thing that may be done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    /// A verb on objects of a kind.
    Resource {
        verb: String,
        group: String,
        /// With its subresource.
        resource: String,
        /// On one object alone.
        name: Option<String>,
    },
    /// A verb on a path that is of no kind.
    Path { verb: String, path: String },
}

impl Right {
    /// Returns the right that a call on a resource needs.
    pub(super) fn of(call: &Call) -> Self {
        Self::Resource {
            verb: call.verb.clone(),
            group: call.group.clone(),
            resource: call.resource.clone(),
            name: Some(call.name.clone()).filter(|name| !name.is_empty()),
        }
    }

    /// Says whether a call stands on it. An apply of what is not there yet stands on `create` too.
    pub(super) fn allows(&self, call: &Call) -> bool {
        match self {
            Self::Resource {
                verb,
                group,
                resource,
                name,
            } => {
                let is_asked = *verb == call.verb || (verb == "create" && call.has_made());
                let is_of = (group, resource) == (&call.group, &call.resource);
                is_asked && is_of && name.as_ref().is_none_or(|name| *name == call.name)
            }
            Self::Path { verb, path } => {
                let asked = call.uri.split('?').next().unwrap_or_default();
                call.resource.is_empty() && *verb == call.verb && path == asked
            }
        }
    }

    pub(super) fn is_wildcard(&self) -> bool {
        match self {
            Self::Resource {
                verb,
                group,
                resource,
                name: _,
            } => verb == ANY || group == ANY || resource.split('/').any(|part| part == ANY),
            Self::Path { verb, path } => verb == ANY || path.ends_with(ANY),
        }
    }
}

impl Display for Right {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource {
                verb,
                group,
                resource,
                name,
            } => {
                write!(formatter, "{verb} {resource}")?;
                if !group.is_empty() {
                    write!(formatter, ".{group}")?;
                }
                name.iter().try_for_each(|name| write!(formatter, " {name}"))
            }
            Self::Path { verb, path } => write!(formatter, "{verb} {path}"),
        }
    }
}

/// Returns what each ServiceAccount may that a binding names, by the account's name.
pub(super) fn accounts(objects: &[Value]) -> BTreeMap<String, Account> {
    let roles: BTreeMap<(&str, &str), BTreeSet<Right>> = objects
        .iter()
        .filter(|object| matches!(text(object, "/kind"), "Role" | "ClusterRole"))
        .map(|role| ((text(role, "/kind"), text(role, "/metadata/name")), of_role(role)))
        .collect();
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for binding in objects {
        let is_of_cluster = match text(binding, "/kind") {
            "RoleBinding" => false,
            "ClusterRoleBinding" => true,
            _ => continue,
        };
        let role = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
        let subjects = entries(binding, "subjects").iter();
        for subject in subjects.filter(|subject| text(subject, "/kind") == "ServiceAccount") {
            let account = accounts.entry(text(subject, "/name").to_owned()).or_default();
            account.roles.insert(role.1.to_owned());
            let rights = if is_of_cluster {
                &mut account.in_cluster
            } else {
                &mut account.in_namespace
            };
            rights.extend(roles.get(&role).into_iter().flatten().cloned());
        }
    }
    accounts
}

fn of_role(role: &Value) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in entries(role, "rules") {
        for verb in texts(rule, "verbs") {
            for path in texts(rule, "nonResourceURLs") {
                rights.insert(Right::Path {
                    verb: verb.clone(),
                    path,
                });
            }
            for group in texts(rule, "apiGroups") {
                for resource in texts(rule, "resources") {
                    let names = texts(rule, "resourceNames");
                    let every = names.is_empty().then_some(None);
                    rights.extend(
                        names
                            .into_iter()
                            .map(Some)
                            .chain(every)
                            .map(|name| Right::Resource {
                                verb: verb.clone(),
                                group: group.clone(),
                                resource: resource.clone(),
                                name,
                            }),
                    );
                }
            }
        }
    }
    rights
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn entries<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn texts(object: &Value, field: &str) -> Vec<String> {
    let texts = entries(object, field).iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}
