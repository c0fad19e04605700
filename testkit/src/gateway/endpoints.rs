//! Where Services answer, by their EndpointSlices.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::kubelet::on_machine;
use crate::mirror::Objects;

/// The label by which a slice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Endpoints that are ready, by Service and port; a Service that is there has an entry for each of its ports.
pub(super) type Endpoints = BTreeMap<(String, u16), Vec<SocketAddr>>;

pub(super) fn endpoints(services: &Objects<Service>, slices: &Objects<EndpointSlice>) -> Endpoints {
    let mut endpoints = Endpoints::new();
    for service in services.values() {
        let name = service.metadata.name.clone().unwrap_or_default();
        let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        for port in ports {
            let of_port = slices.values().filter(|slice| is_of(slice, &name));
            let found = of_port.flat_map(|slice| ready(slice, port.name.as_deref().unwrap_or_default()));
            let mut found: Vec<_> = found.collect();
            // One that moves from slice to slice is in both for a moment.
            found.sort_unstable();
            found.dedup();
            endpoints.insert(
                (name.clone(), u16::try_from(port.port).unwrap_or_default()),
                found,
            );
        }
    }
    endpoints
}

fn is_of(slice: &EndpointSlice, service: &str) -> bool {
    let labels = slice.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(SERVICE_NAME))
        .is_some_and(|name| name == service)
}

/// Returns the endpoints of a slice that are ready: one that is being ended is not.
fn ready<'a>(slice: &'a EndpointSlice, port: &'a str) -> impl Iterator<Item = SocketAddr> + 'a {
    let mut ports = slice.ports.iter().flatten();
    let number = ports
        .find(|found| found.name.as_deref().unwrap_or_default() == port)
        .and_then(|found| found.port);
    let number = number.and_then(|number| u16::try_from(number).ok());
    let is_ready = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
        endpoint
            .conditions
            .as_ref()
            .and_then(|conditions| conditions.ready)
            .unwrap_or(true)
    };
    slice
        .endpoints
        .iter()
        .flatten()
        .filter(is_ready)
        .filter_map(move |endpoint| {
            let address: Ipv4Addr = endpoint.addresses.first()?.parse().ok()?;
            Some(SocketAddr::from((on_machine(address), number?)))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ready_endpoints_of_a_services_ports_are_told() {
        let service = json!({
            "metadata": { "name": "s" },
            "spec": { "ports": [{ "name": "http", "port": 80 }, { "name": "other", "port": 81 }] },
        });
        let endpoint = |address, ready: Option<bool>| json!({ "addresses": [address], "conditions": { "ready": ready } });
        let slice = |service| {
            json!({
                "metadata": { "name": "x", "labels": { SERVICE_NAME: service } },
                "addressType": "IPv4",
                "endpoints": [endpoint("10.0.0.2", None), endpoint("10.0.0.1", Some(true)), endpoint("10.0.0.3", Some(false))],
                "ports": [{ "name": "http", "port": 8080 }],
            })
        };
        let services = Objects::from([("n/s".to_owned(), serde_json::from_value(service).unwrap())]);
        let slices = [
            ("n/a", slice("s")),
            ("n/b", slice("s")),
            ("n/c", slice("another")),
        ];
        let slices = slices.map(|(key, slice)| (key.to_owned(), serde_json::from_value(slice).unwrap()));
        let told = endpoints(&services, &Objects::from(slices));
        let told: Vec<_> = told
            .into_iter()
            .map(|((service, port), at)| format!("{service}:{port} {at:?}"))
            .collect();
        assert_eq!(told, ["s:80 [127.0.0.1:8080, 127.0.0.2:8080]", "s:81 []"]);
    }
}
