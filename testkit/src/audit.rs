//! Who asked an API server for what, from its audit log.

use serde::Deserialize;

/// What an API server notes: each request's metadata, but for those of its own parts.
pub(crate) const POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived", "ResponseStarted"],
  "rules": [
    { "level": "None", "userGroups": ["system:serviceaccounts:kube-system"] },
    { "level": "None", "users": ["system:apiserver"] },
    { "level": "Metadata" }
  ]
}
"#;

/// One request that was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// Who asked; of a client that acts as somebody, that somebody.
    pub user: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; of no resource: the method.
    pub verb: String,
    /// Empty for the core group.
    pub group: String,
    /// With its subresource, e.g. `pods/status`; empty where it is of no resource.
    pub resource: String,
    /// Empty where it is of none.
    pub namespace: String,
    /// Empty where it is of all, or of a new one that is given a name.
    pub name: String,
    /// The path, with its query.
    pub uri: String,
    /// How it was answered.
    pub code: u16,
    /// The server's rules, of RBAC, did not allow it.
    pub is_forbidden: bool,
    /// A quota left no room for it, whoever asks.
    pub is_over_quota: bool,
    /// The Role or ClusterRole by which they did; empty where it was none.
    pub role: String,
}

impl Call {
    /// Returns the namespace and name of the ServiceAccount that asked, if one did.
    pub fn account(&self) -> Option<(&str, &str)> {
        self.user.strip_prefix("system:serviceaccount:")?.split_once(':')
    }

    /// Says whether it made what it is about, whatever it is called: a patch may.
    pub fn has_made(&self) -> bool {
        self.code == 201 && matches!(self.verb.as_str(), "create" | "patch")
    }

    /// Says whether it changes something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch" | "head" | "options")
    }
}

/// Reads a log: one event a line, the last of which may be half written.
pub fn calls(log: &str) -> Vec<Call> {
    let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let events = whole.filter_map(|line| serde_json::from_str::<Event>(line).ok());
    events.map(Call::from).collect()
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Event {
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    user_agent: String,
    object_ref: ObjectRef,
    response_status: Status,
    annotations: Annotations,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    api_group: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "authorization.k8s.io/decision")]
    decision: String,
    #[serde(rename = "authorization.k8s.io/reason")]
    reason: String,
}

impl From<Event> for Call {
    fn from(event: Event) -> Self {
        let ObjectRef {
            resource,
            subresource,
            namespace,
            name,
            api_group,
        } = event.object_ref;
        let resource = if subresource.is_empty() {
            resource
        } else {
            format!("{resource}/{subresource}")
        };
        Self {
            user: event.impersonated_user.unwrap_or(event.user).username,
            user_agent: event.user_agent,
            verb: event.verb,
            group: api_group,
            resource,
            namespace,
            name,
            uri: event.request_uri,
            code: event.response_status.code,
            is_forbidden: event.annotations.decision == "forbid",
            is_over_quota: event.response_status.message.contains("exceeded quota: "),
            role: role(&event.annotations.reason).to_owned(),
        }
    }
}

/// Takes a role's name out of `RBAC: allowed by RoleBinding "b/n" of Role "r" to ServiceAccount "a/n"`.
fn role(reason: &str) -> &str {
    let after = [" of Role \"", " of ClusterRole \""]
        .iter()
        .find_map(|before| reason.split_once(before));
    after
        .and_then(|(_, after)| after.split_once('"'))
        .map(|(role, _)| role)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = concat!(
        r#"{"kind":"Event","verb":"patch","requestURI":"/apis/apps/v1/namespaces/n/deployments/d/status?x=1","#,
        r#""user":{"username":"system:serviceaccount:n:robot","groups":["a"]},"userAgent":"aurora/1","#,
        r#""objectRef":{"resource":"deployments","namespace":"n","name":"d","apiGroup":"apps","apiVersion":"v1","subresource":"status"},"#,
        r#""responseStatus":{"metadata":{},"code":403},"annotations":{"authorization.k8s.io/decision":"forbid"}}"#,
        "\n",
        r#"{"verb":"get","requestURI":"/version","user":{"username":"admin"},"impersonatedUser":{"username":"jane"},"responseStatus":{"code":200},"#,
        r#""annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"RBAC: allowed by ClusterRoleBinding "#,
        r#"\"all\" of ClusterRole \"reads\" to Group \"people\""}}"#,
        "\n",
        r#"{"verb":"get","requestURI":"/vers"#,
    );

    #[test]
    fn events_are_calls_and_half_a_line_is_none() {
        let told = calls(LOG);
        assert_eq!(told.len(), 2, "{told:?}");
        let first = &told[0];
        assert_eq!(first.account(), Some(("n", "robot")));
        assert_eq!((first.resource.as_str(), first.code), ("deployments/status", 403));
        assert!(first.is_forbidden && first.is_write());
        assert_eq!((told[1].user.as_str(), told[1].account()), ("jane", None));
        assert!(!told[1].is_forbidden && !told[1].is_write());
        assert_eq!((first.role.as_str(), told[1].role.as_str()), ("", "reads"));
    }
}
