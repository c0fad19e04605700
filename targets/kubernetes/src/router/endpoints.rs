//! Who can answer for a Service, by its EndpointSlices.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::discovery::v1::{Endpoint as Listed, EndpointConditions, EndpointSlice};
use planner::backends::{Backend, Backends, Endpoint};

use super::SERVICE_NAME;
use super::told::{Served, Told};
use crate::build::serving::{GRPC_PORT_NAME, PORT_NAME};

/// How many endpoints of a track are known to a router.
const ENDPOINTS_MAX: usize = 5_000;

/// What a slice says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoints {
    service: String,
    /// Those that take requests.
    ready: BTreeSet<Endpoint>,
    /// Those that are ending, and answer until they have.
    leaving: BTreeSet<Endpoint>,
}

/// Reads a slice; nothing where it names no Service or has no port of ours. One that has no port of gRPC is of pods that speak
/// none.
pub(super) fn read(slice: &EndpointSlice) -> Option<Endpoints> {
    let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?.clone();
    let port = |name| {
        let mut ports = slice.ports.iter().flatten();
        let port = ports.find(|port| port.name.as_deref() == Some(name))?.port?;
        u16::try_from(port).ok()
    };
    let (http, grpc) = (port(PORT_NAME)?, port(GRPC_PORT_NAME));
    let mut read = Endpoints {
        service,
        ready: BTreeSet::new(),
        leaving: BTreeSet::new(),
    };
    for endpoint in slice.endpoints.iter().flatten() {
        // What stands there besides the first address is the same pod. Names, which it may be, are not looked up.
        let address: Option<IpAddr> = endpoint.addresses.first().and_then(|first| first.parse().ok());
        let of_state = match state(endpoint) {
            State::Ready => &mut read.ready,
            State::Leaving => &mut read.leaving,
            State::Away => continue,
        };
        of_state.extend(address.map(|address| Endpoint {
            http: SocketAddr::new(address, http),
            grpc: grpc.map(|grpc| SocketAddr::new(address, grpc)),
        }));
    }
    Some(read)
}

enum State {
    Ready,
    Leaving,
    Away,
}

/// What is not said is what the API says that it means: ready, and not ending.
fn state(endpoint: &Listed) -> State {
    let EndpointConditions {
        ready,
        serving,
        terminating,
    } = endpoint.conditions.clone().unwrap_or_default();
    let ready = ready.unwrap_or(true);
    match (terminating.unwrap_or(false), ready, serving.unwrap_or(ready)) {
        (false, true, _) => State::Ready,
        (true, _, true) => State::Leaving,
        _ => State::Away,
    }
}

/// Puts together what is told and who is there. Where all that is left of stable is ending, it still answers; the canary's
/// share has somewhere else to go.
pub(super) fn backends(told: &Told, slices: &BTreeMap<String, Endpoints>) -> Backends {
    let of = |served: &Served, part: fn(&Endpoints) -> &BTreeSet<Endpoint>| {
        let of_service = slices.values().filter(|slice| slice.service == served.service);
        // While a Service gets its port of gRPC, a pod may stand in a slice with it and in one without. A set is in order: the
        // one with it comes last, and stays.
        let found = of_service.flat_map(part).collect::<BTreeSet<_>>().into_iter();
        let found: BTreeMap<_, _> = found.map(|endpoint| (endpoint.http, *endpoint)).collect();
        found.into_values().take(ENDPOINTS_MAX).collect::<BTreeSet<_>>()
    };
    let backend = |served: &Served| Backend {
        version: served.version.clone(),
        endpoints: of(served, |slice| &slice.ready),
    };
    let mut stable = backend(&told.stable);
    if stable.endpoints.is_empty() {
        stable.endpoints = of(&told.stable, |slice| &slice.leaving);
    }
    Backends {
        model: told.model.clone(),
        weight: told.weight,
        stable,
        canary: told.canary.as_ref().map(backend),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A slice of a Service: each endpoint by its address and the conditions that are `ready`, `serving`, `terminating`; `?`
    /// is not said.
    fn slice(service: &str, endpoints: &[(&str, &str)]) -> EndpointSlice {
        let ports = json!([{ "name": "metrics", "port": 9 }, { "name": "http", "port": 80 }]);
        slice_with(service, endpoints, &ports)
    }

    fn slice_with(service: &str, endpoints: &[(&str, &str)], ports: &Value) -> EndpointSlice {
        let said = |mark: Option<char>| match mark {
            Some('1') => json!(true),
            Some('0') => json!(false),
            _ => Value::Null,
        };
        let endpoints: Vec<_> = endpoints
            .iter()
            .map(|(address, marks)| {
                let mut marks = marks.chars();
                json!({
                    "addresses": [address],
                    "conditions": {
                        "ready": said(marks.next()), "serving": said(marks.next()), "terminating": said(marks.next()),
                    },
                })
            })
            .collect();
        let slice = json!({
            "metadata": { "name": "x", "labels": { SERVICE_NAME: service } },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": ports,
        });
        serde_json::from_value(slice).expect("a slice")
    }

    fn check(slices: &[EndpointSlice], stable: &[&str], canary: &[&str]) {
        let told = Told {
            model: "m".parse().expect("a name"),
            weight: planner::names::Weight::ZERO,
            stable: Served {
                service: "s".to_owned(),
                version: "v20261101-010000".parse().expect("a version"),
            },
            canary: Some(Served {
                service: "c".to_owned(),
                version: "v20261101-020000".parse().expect("a version"),
            }),
        };
        let read = slices.iter().filter_map(read);
        let read = read
            .enumerate()
            .map(|(number, slice)| (number.to_string(), slice));
        let backends = backends(&told, &read.collect());
        let shown = |backend: &Backend| -> Vec<_> {
            let endpoint = |endpoint: &Endpoint| match endpoint.grpc {
                Some(grpc) => {
                    assert_eq!(endpoint.http.ip(), grpc.ip());
                    format!("{}+{}", endpoint.http, grpc.port())
                }
                None => endpoint.http.to_string(),
            };
            backend.endpoints.iter().map(endpoint).collect()
        };
        assert_eq!(shown(&backends.stable), stable, "{slices:?}");
        assert_eq!(
            backends.canary.as_ref().map(shown),
            Some(canary.iter().map(ToString::to_string).collect())
        );
    }

    #[test]
    fn only_who_is_ready_gets_requests() {
        let all = [
            ("10.0.0.1", "???"),
            ("10.0.0.2", "110"),
            ("10.0.0.3", "000"),
            ("10.0.0.4", "0?1"),
            ("10.0.0.5", "011"),
            // A Service may publish who is not ready as ready; one that ends is asked nothing more all the same.
            ("10.0.0.6", "111"),
            ("a.example.org", "110"),
            ("fd00::1", "110"),
        ];
        let ready = ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"];
        check(&[slice("s", &all), slice("c", &all)], &ready, &ready);
    }

    #[test]
    fn of_stable_those_that_end_answer_while_there_is_nobody_else() {
        let ending = [("10.0.0.1", "011"), ("10.0.0.2", "001"), ("10.0.0.3", "010")];
        check(&[slice("s", &ending), slice("c", &ending)], &["10.0.0.1:80"], &[]);
    }

    #[test]
    fn slices_of_a_service_are_put_together() {
        check(
            &[
                slice("s", &[("10.0.0.1", "110")]),
                slice("s", &[("10.0.0.1", "110"), ("10.0.0.2", "110")]),
                slice("other", &[("10.0.0.9", "110")]),
            ],
            &["10.0.0.1:80", "10.0.0.2:80"],
            &[],
        );
        let mut nameless = slice("s", &[("10.0.0.1", "110")]);
        nameless
            .ports
            .iter_mut()
            .flatten()
            .for_each(|port| port.name = None);
        check(&[nameless], &[], &[]);
    }

    #[test]
    fn a_port_of_grpc_is_one_more_way_to_the_same_pod() {
        let http = || json!({ "name": "http", "port": 80 });
        let one = [("10.0.0.1", "110"), ("fd00::1", "110")];
        for (ports, expected) in [
            (
                json!([{ "name": "grpc", "port": 81 }, http()]),
                &["10.0.0.1:80+81", "[fd00::1]:80+81"][..],
            ),
            (json!([http()]), &["10.0.0.1:80", "[fd00::1]:80"]),
            // A port of which nothing is known yet is none, and of gRPC alone nobody is asked.
            (
                json!([http(), { "name": "grpc" }]),
                &["10.0.0.1:80", "[fd00::1]:80"],
            ),
            (
                json!([http(), { "name": "grpc", "port": 65_536 }]),
                &["10.0.0.1:80", "[fd00::1]:80"],
            ),
            (json!([{ "name": "grpc", "port": 81 }]), &[]),
        ] {
            check(&[slice_with("s", &one, &ports), slice("c", &[])], expected, &[]);
        }
        // A pod that stands in two slices is one, and what the newer one knows of it counts.
        let with = json!([http(), { "name": "grpc", "port": 81 }]);
        let both = [
            slice_with("s", &[("10.0.0.1", "110")], &with),
            slice("s", &[("10.0.0.1", "110"), ("10.0.0.2", "110")]),
        ];
        check(&both, &["10.0.0.1:80+81", "10.0.0.2:80"], &[]);
        // Those that end answer by gRPC as long as by HTTP.
        let ending = [("10.0.0.1", "011")];
        check(&[slice_with("s", &ending, &with)], &["10.0.0.1:80+81"], &[]);
    }
}
