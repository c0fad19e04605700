//! What routes say, by the precedence of the Gateway API: values in, values out.

use std::cmp::Reverse;

use http::HeaderMap;
use serde::Deserialize;

/// A route's `spec`; what the test kit does not know is left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RouteSpec {
    pub(super) hostnames: Vec<String>,
    pub(super) rules: Vec<RouteRule>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RouteRule {
    matches: Vec<RouteMatch>,
    backend_refs: Vec<Backend>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct RouteMatch {
    path: Option<PathMatch>,
    headers: Vec<HeaderMatch>,
    method: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct PathMatch {
    #[serde(rename = "type", default = "prefix")]
    kind: String,
    #[serde(default = "root")]
    value: String,
}

#[derive(Debug, Clone, Deserialize)]
struct HeaderMatch {
    name: String,
    value: String,
}

/// A Service that a rule sends a share to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Backend {
    pub(super) name: String,
    pub(super) port: Option<u16>,
    #[serde(default = "one")]
    pub(super) weight: u64,
}

/// A GRPCRoute's `spec`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct CallRouteSpec {
    hostnames: Vec<String>,
    rules: Vec<CallRule>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CallRule {
    matches: Vec<CallMatch>,
    backend_refs: Vec<Backend>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct CallMatch {
    method: Option<CallMethod>,
    headers: Vec<HeaderMatch>,
}

#[derive(Debug, Clone, Deserialize)]
struct CallMethod {
    service: String,
    method: Option<String>,
}

impl CallRouteSpec {
    /// Returns the same in terms of paths, which calls have by service and method.
    pub(super) fn routes(self) -> RouteSpec {
        let matched = |CallMatch { method, headers }| RouteMatch {
            path: method.map(|CallMethod { service, method }| match method {
                Some(method) => PathMatch {
                    kind: "Exact".to_owned(),
                    value: format!("/{service}/{method}"),
                },
                None => PathMatch {
                    kind: prefix(),
                    value: format!("/{service}"),
                },
            }),
            headers,
            method: None,
        };
        let rules = self.rules.into_iter().map(|rule| RouteRule {
            matches: rule.matches.into_iter().map(matched).collect(),
            backend_refs: rule.backend_refs,
        });
        RouteSpec {
            rules: rules.collect(),
            hostnames: self.hostnames,
        }
    }
}

fn prefix() -> String {
    "PathPrefix".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

fn one() -> u64 {
    1
}

/// One match of one rule.
#[derive(Debug, Clone)]
struct Entry {
    hostname: Option<String>,
    is_exact: bool,
    path: String,
    method: Option<String>,
    headers: Vec<HeaderMatch>,
    backends: Vec<Backend>,
}

/// All routes, the first that matches first.
#[derive(Debug, Clone, Default)]
pub(super) struct Table(Vec<Entry>);

impl Table {
    /// Orders what routes say; routes come the oldest first, those of one age by name.
    pub(super) fn new<'a>(routes: impl IntoIterator<Item = &'a RouteSpec>) -> Self {
        let mut entries: Vec<_> = routes.into_iter().flat_map(entries).collect();
        // Stable: what else is equal stays in the order of routes and rules.
        entries.sort_by_key(|entry| {
            let host = entry.hostname.as_deref();
            Reverse((
                host.is_some_and(|host| !host.starts_with("*.")),
                host.map_or(0, str::len),
                entry.is_exact,
                entry.path.len(),
                entry.method.is_some(),
                entry.headers.len(),
            ))
        });
        Self(entries)
    }

    /// Returns the backends of the rule that a request falls to; none where there is no rule.
    pub(super) fn find(
        &self,
        method: &str,
        host: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<&[Backend]> {
        let found = self
            .0
            .iter()
            .find(|entry| entry.matches(method, host, path, headers));
        found.map(|entry| entry.backends.as_slice())
    }
}

fn entries(route: &RouteSpec) -> Vec<Entry> {
    let hostnames: Vec<_> = match route.hostnames.as_slice() {
        [] => vec![None],
        names => names.iter().cloned().map(Some).collect(),
    };
    let mut entries = Vec::new();
    for hostname in &hostnames {
        for rule in &route.rules {
            let any = [RouteMatch::default()];
            let matches = if rule.matches.is_empty() {
                any.as_slice()
            } else {
                &rule.matches
            };
            entries.extend(matches.iter().map(|matched| Entry {
                hostname: hostname.clone(),
                is_exact: matched.path.as_ref().is_some_and(|path| path.kind == "Exact"),
                path: matched.path.as_ref().map_or_else(root, |path| path.value.clone()),
                method: matched.method.clone(),
                headers: matched.headers.clone(),
                backends: rule.backend_refs.clone(),
            }));
        }
    }
    entries
}

impl Entry {
    fn matches(&self, method: &str, host: &str, path: &str, headers: &HeaderMap) -> bool {
        let host_matches = self
            .hostname
            .as_deref()
            .is_none_or(|own| match own.strip_prefix('*') {
                Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
                None => own == host,
            });
        let path_matches = if self.is_exact {
            path == self.path
        } else {
            is_below(path, &self.path)
        };
        let has = |header: &HeaderMatch| {
            let found = headers.get(&header.name).and_then(|value| value.to_str().ok());
            found == Some(header.value.as_str())
        };
        host_matches
            && path_matches
            && self.method.as_deref().is_none_or(|own| own == method)
            && self.headers.iter().all(has)
    }
}

/// Says whether a path begins with all elements of another.
fn is_below(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the backend that the n-th request of a rule goes to: shares are even over any stretch of requests. None where no
/// backend has a weight.
pub(super) fn share(backends: &[Backend], n: u64) -> Option<&Backend> {
    let total: u64 = backends.iter().map(|backend| backend.weight).sum();
    // The golden ratio's multiples are spread evenly over the unit interval.
    let fraction = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let place = u64::try_from((u128::from(fraction) * u128::from(total)) >> 64).unwrap_or_default();
    let mut end = 0;
    backends.iter().find(|backend| {
        end += backend.weight;
        place < end
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn route(hostnames: &[&str], rules: &[(Value, &str)]) -> RouteSpec {
        let rules: Vec<_> = rules
            .iter()
            .map(|(matched, backend)| json!({ "matches": [matched], "backendRefs": [{ "name": backend, "port": 80 }] }))
            .collect();
        serde_json::from_value(json!({ "hostnames": hostnames, "rules": rules })).unwrap()
    }

    fn path(kind: &str, value: &str) -> Value {
        json!({ "path": { "type": kind, "value": value } })
    }

    fn check(routes: &[RouteSpec], request: &str, expected: Option<&str>) {
        let mut words = request.split(' ');
        let (host, path, track) = (words.next().unwrap(), words.next().unwrap(), words.next());
        let mut headers = HeaderMap::new();
        if let Some(track) = track {
            headers.insert("aurora-track", track.parse().unwrap());
        }
        let table = Table::new(routes);
        let found = table
            .find("GET", host, path, &headers)
            .map(|backends| backends[0].name.as_str());
        assert_eq!(found, expected, "{request}");
    }

    #[test]
    fn the_most_specific_rule_is_taken() {
        let mut with_header = path("PathPrefix", "/v2/models/a");
        with_header["headers"] = json!([{ "type": "Exact", "name": "aurora-track", "value": "canary" }]);
        let mut with_method = path("PathPrefix", "/v2/models/a");
        with_method["method"] = "POST".into();
        let routes = [
            route(
                &[],
                &[(json!({}), "all"), (path("PathPrefix", "/v2/models/a"), "a")],
            ),
            route(
                &[],
                &[
                    (with_header, "canary"),
                    (with_method, "post"),
                    (path("Exact", "/predict/a"), "exact"),
                ],
            ),
            route(
                &[],
                &[(
                    path("PathPrefix", "/v2/models/a/"),
                    "never: the older one is the same",
                )],
            ),
        ];
        for (request, expected) in [
            ("h /", "all"),
            ("h /v2/models/a", "a"),
            ("h /v2/models/ab", "all"),
            ("h /v2/models/a canary", "canary"),
            ("h /v2/models/a stable", "a"),
            ("h /predict/a", "exact"),
            ("h /predict/a/b", "all"),
        ] {
            check(&routes[..2], request, Some(expected));
        }
        check(&routes[1..2], "h /v2/models/a", None);
    }

    #[test]
    fn a_call_is_matched_by_its_service_its_method_and_its_metadata() {
        let rule =
            |matched: Value, backend| json!({ "matches": [matched], "backendRefs": [{ "name": backend }] });
        let track = json!({ "headers": [{ "name": "aurora-track", "value": "canary" }] });
        let spec = json!({ "hostnames": ["h"], "rules": [
            rule(json!({}), "any"),
            rule(track, "canary"),
            rule(json!({ "method": { "service": "a.S" } }), "service"),
            rule(json!({ "method": { "service": "a.S", "method": "M" } }), "method"),
        ] });
        let spec: CallRouteSpec = serde_json::from_value(spec).unwrap();
        let routes = [spec.routes()];
        for (request, expected) in [
            ("h /b.S/M", Some("any")),
            ("h /b.S/M canary", Some("canary")),
            ("h /a.S/N canary", Some("service")),
            ("h /a.S/M", Some("method")),
            ("i /a.S/M", None),
        ] {
            check(&routes, request, expected);
        }
    }

    #[test]
    fn hostnames_count_before_paths() {
        let routes = [
            route(&[], &[(path("Exact", "/x"), "any")]),
            route(&["*.example.org"], &[(json!({}), "wildcard")]),
            route(&["a.example.org"], &[(json!({}), "named")]),
        ];
        check(&routes, "a.example.org /x", Some("named"));
        check(&routes, "b.example.org /x", Some("wildcard"));
        check(&routes, "example.org /x", Some("any"));
        check(&routes, "example.org /", None);
    }

    #[test]
    fn of_two_equal_rules_the_older_route_has_it() {
        let equal = |backend| route(&[], &[(path("PathPrefix", "/a"), backend)]);
        check(&[equal("older"), equal("newer")], "h /a", Some("older"));
        check(&[equal("newer"), equal("older")], "h /a", Some("newer"));
    }

    #[test]
    fn shares_are_even_over_any_stretch() {
        let backend = |name: &str, weight| Backend {
            name: name.to_owned(),
            port: None,
            weight,
        };
        for weight in [0, 1, 10, 50, 99, 100] {
            let backends = [backend("stable", 100 - weight), backend("canary", weight)];
            for start in [0, 12_345] {
                let count = (start..start + 1_000)
                    .filter(|n| share(&backends, *n).unwrap().name == "canary")
                    .count();
                assert!(
                    count.abs_diff(usize::try_from(weight).unwrap() * 10) <= 2,
                    "{weight}: {count}"
                );
            }
        }
        assert_eq!(share(&[backend("a", 0), backend("b", 0)], 7), None);
        assert_eq!(share(&[], 7), None);
    }

    #[test]
    fn a_weight_that_is_left_out_is_one() {
        let spec: RouteSpec =
            serde_json::from_value(json!({ "rules": [{ "backendRefs": [{ "name": "a" }] }] })).unwrap();
        assert_eq!(spec.rules[0].backend_refs[0].weight, 1);
    }
}
