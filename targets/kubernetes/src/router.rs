//! What a router of a model goes by: one ConfigMap says what share each track has, and the EndpointSlices of the Services that
//! it names say who is ready.
//!
//! ```text
//! ConfigMap <name>-route ──> told ─┐
//!                                  ├──> Backends
//! EndpointSlices ─────> endpoints ─┘
//! ```
//!
//! What is known stays in force while the API server is away, and while what the ConfigMap says cannot be gone by.

mod endpoints;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::config::Config;
use kube::{Api, Client, Resource as _};
use planner::backends::Backends;
use tokio::sync::watch;

use crate::watch::{Heard as Watched, Selection, follow_selected};
use endpoints::{Endpoints, backends};
pub(crate) use told::KEY;
use told::Told;

/// The label by which a slice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What a router hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Whom to ask from now on.
    Backends(Backends),
    /// What it is told cannot be gone by, and why.
    Refused(String),
}

/// The API server cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("no client of the API server can be made")]
pub struct ClientError(#[source] Box<kube::Error>);

/// Follows a ConfigMap and whom it names, for ever.
///
/// # Errors
///
/// No client can be made of the configuration.
pub async fn follow(
    config: Config,
    namespace: &str,
    config_map: &str,
    hear: impl Fn(Heard),
) -> Result<(), ClientError> {
    let client = Client::try_from(config).map_err(|error| ClientError(Box::new(error)))?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let slices: Api<EndpointSlice> = Api::namespaced(client, namespace);
    let following = Following {
        config_map,
        known: Mutex::default(),
        services: watch::Sender::default(),
        hear,
    };
    let name = format!("metadata.name={config_map}");
    let named = Selection {
        labels: None,
        fields: Some(&name),
    };
    let told = follow_selected(maps, named, |heard| following.hear_map(heard));
    tokio::join!(told, following.follow_slices(slices));
    Ok(())
}

/// What is known so far.
#[derive(Debug, Default)]
struct Known {
    told: Option<Told>,
    /// What each slice says, by its name.
    slices: BTreeMap<String, Endpoints>,
    /// The Services whose slices are known.
    services: BTreeSet<String>,
    said: Option<Backends>,
}

impl Known {
    /// Returns whom to ask, once all is known of whom the ConfigMap names. Before that what was said stays in force: a Service
    /// of which nothing is known yet is not one without endpoints.
    fn backends(&self) -> Option<Backends> {
        let told = self.told.as_ref()?;
        let is_known = told.services().all(|service| self.services.contains(service));
        is_known.then(|| backends(told, &self.slices))
    }

    fn forget(&mut self, slice: &EndpointSlice) {
        self.slices
            .remove(slice.meta().name.as_deref().unwrap_or_default());
    }
}

struct Following<'a, H> {
    config_map: &'a str,
    known: Mutex<Known>,
    /// The Services whose slices are to be followed.
    services: watch::Sender<BTreeSet<String>>,
    hear: H,
}

impl<H: Fn(Heard)> Following<'_, H> {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear_map(&self, heard: Watched<'_, ConfigMap>) {
        let map = match heard {
            Watched::Listed(maps, _) => maps.into_iter().next(),
            Watched::Changed(map) => Some(map),
            Watched::Gone(_) => None,
            Watched::Followed => return,
            Watched::Failed(error) => return cannot_follow("ConfigMap", error),
        };
        let told = match map {
            Some(map) => told::parse(&map),
            None => Err("it is not there".to_owned()),
        };
        match told {
            Ok(told) => self.take(told),
            Err(why) => {
                let why = format!("ConfigMap {}: {why}", self.config_map);
                tracing::warn!(
                    why,
                    "what the router is told cannot be gone by: the last that could stays in force"
                );
                (self.hear)(Heard::Refused(why));
            }
        }
    }

    fn take(&self, told: Told) {
        let mut known = self.known();
        let new: BTreeSet<_> = told.services().map(str::to_owned).collect();
        known.told = Some(told);
        // What was refused before is over, even where all is as it was.
        known.said = None;
        self.say(&mut known);
        drop(known);
        // One that is not named any more may be again: the canary's, when it is ready.
        self.services.send_if_modified(|services| {
            let is_new = !new.is_subset(services);
            services.extend(new);
            is_new
        });
    }

    async fn follow_slices(&self, slices: Api<EndpointSlice>) {
        let mut services = self.services.subscribe();
        loop {
            let wanted = services.borrow_and_update().clone();
            let names: Vec<_> = wanted.iter().map(String::as_str).collect();
            let labels = format!("{SERVICE_NAME} in ({})", names.join(","));
            let selected = Selection {
                labels: Some(&labels),
                fields: None,
            };
            let followed = async {
                if wanted.is_empty() {
                    std::future::pending::<()>().await;
                } else {
                    follow_selected(slices.clone(), selected, |heard| self.hear_slice(heard, &wanted)).await;
                }
            };
            tokio::select! {
                () = followed => {}
                changed = services.changed() => changed.unwrap_or_default(),
            }
        }
    }

    fn hear_slice(&self, heard: Watched<'_, EndpointSlice>, of: &BTreeSet<String>) {
        let mut known = self.known();
        match heard {
            Watched::Listed(slices, _) => {
                known.slices = slices.iter().filter_map(read).collect();
                known.services.clone_from(of);
            }
            Watched::Changed(slice) => {
                known.forget(&slice);
                known.slices.extend(read(&slice));
            }
            Watched::Gone(slice) => known.forget(&slice),
            Watched::Followed => return,
            Watched::Failed(error) => return cannot_follow("EndpointSlice", error),
        }
        self.say(&mut known);
    }

    /// Says whom to ask, where that is news.
    fn say(&self, known: &mut Known) {
        let backends = known.backends();
        if let Some(news) = backends
            && known.said.as_ref() != Some(&news)
        {
            known.said = Some(news.clone());
            (self.hear)(Heard::Backends(news));
        }
    }
}

/// Returns what a slice says, by its name; nothing where it names no Service.
fn read(slice: &EndpointSlice) -> Option<(String, Endpoints)> {
    let name = slice.meta().name.clone()?;
    Some((name, endpoints::read(slice)?))
}

fn cannot_follow(kind: &str, error: &kube::Error) {
    tracing::warn!(
        kind,
        error = error as &dyn std::error::Error,
        "failed to follow, trying again: what is known stays in force"
    );
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;

    /// What comes from the API server.
    enum Comes<'a> {
        /// The ConfigMap, with a weight and whether it names a canary.
        Map(u64, bool),
        /// Its `route.json` is this text.
        Text(&'a str),
        MapGone,
        /// All slices of these Services: each is one Service's, and has one endpoint.
        Listed(&'a [&'a str], &'a [(&'a str, &'a str)]),
        /// A slice was made or changed.
        Slice(&'a str, &'a str),
        SliceGone(&'a str, &'a str),
    }
    use Comes::{Listed, Map, MapGone, Slice, SliceGone, Text};

    fn map(text: &str) -> ConfigMap {
        let map = json!({ "metadata": { "name": "m-route" }, "data": { KEY: text } });
        serde_json::from_value(map).expect("a ConfigMap")
    }

    fn route(weight: u64, has_canary: bool) -> String {
        let track = |service| json!({ "service": service, "version": "v20261101-010000" });
        json!({
            "model": "m", "weight": weight, "stable": track("s"), "canary": has_canary.then(|| track("c")),
        })
        .to_string()
    }

    fn slice(service: &str, address: &str) -> EndpointSlice {
        let slice = json!({
            "metadata": { "name": format!("{service}-{address}"), "labels": { SERVICE_NAME: service } },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": [address] }],
            "ports": [{ "name": "http", "port": 80 }],
        });
        serde_json::from_value(slice).expect("a slice")
    }

    fn shown(heard: Heard) -> String {
        match heard {
            Heard::Refused(why) => why,
            Heard::Backends(backends) => {
                let endpoints = |backend: &planner::backends::Backend| {
                    let endpoints = backend.endpoints.iter();
                    let shown: Vec<_> = endpoints.map(|endpoint| endpoint.http.to_string()).collect();
                    shown.join(",")
                };
                let canary = backends.canary.as_ref().map_or("none".to_owned(), endpoints);
                format!("{} {} | {canary}", backends.weight, endpoints(&backends.stable))
            }
        }
    }

    /// Checks what is said after each of these; a dash for nothing.
    fn check(course: &[(Comes<'_>, &str)]) {
        let said = RefCell::new(Vec::new());
        let following = Following {
            config_map: "m-route",
            known: Mutex::default(),
            services: watch::Sender::default(),
            hear: |heard| said.borrow_mut().push(shown(heard)),
        };
        let hear = |heard, of: &BTreeSet<String>| following.hear_slice(heard, of);
        let nobody = BTreeSet::new();
        for (step, (comes, expected)) in course.iter().enumerate() {
            match comes {
                Map(weight, has_canary) => {
                    following.hear_map(Watched::Changed(map(&route(*weight, *has_canary))));
                }
                Text(text) => following.hear_map(Watched::Changed(map(text))),
                MapGone => following.hear_map(Watched::Gone(map("{}"))),
                Listed(services, slices) => {
                    let slices = slices.iter().map(|(service, address)| slice(service, address));
                    let of = services.iter().map(ToString::to_string).collect();
                    hear(Watched::Listed(slices.collect(), "1"), &of);
                }
                Slice(service, address) => hear(Watched::Changed(slice(service, address)), &nobody),
                SliceGone(service, address) => hear(Watched::Gone(slice(service, address)), &nobody),
            }
            let said = std::mem::take(&mut *said.borrow_mut()).join("; ");
            let said = if said.is_empty() { "-" } else { &said };
            assert_eq!(said, *expected, "step {step}");
        }
    }

    #[test]
    fn nothing_is_said_before_all_is_known_of_whom_the_map_names() {
        check(&[
            (Map(0, false), "-"),
            (Listed(&["s"], &[("s", "10.0.0.1")]), "0% 10.0.0.1:80 | none"),
            (Slice("s", "10.0.0.2"), "0% 10.0.0.1:80,10.0.0.2:80 | none"),
            (Slice("s", "10.0.0.2"), "-"),
            (SliceGone("s", "10.0.0.1"), "0% 10.0.0.2:80 | none"),
            // Of the canary's Service nothing is known yet: it is not one without endpoints.
            (Map(10, true), "-"),
            (
                Listed(&["c", "s"], &[("s", "10.0.0.2"), ("c", "10.0.0.9")]),
                "10% 10.0.0.2:80 | 10.0.0.9:80",
            ),
            (SliceGone("c", "10.0.0.9"), "10% 10.0.0.2:80 | "),
            (Map(0, false), "0% 10.0.0.2:80 | none"),
            (Map(5, true), "5% 10.0.0.2:80 | "),
        ]);
    }

    #[test]
    fn what_cannot_be_gone_by_is_said_and_what_is_read_after_it_too() {
        check(&[
            (MapGone, "ConfigMap m-route: it is not there"),
            (
                Text("{}"),
                "ConfigMap m-route: route.json: missing field `model` at line 1 column 2",
            ),
            (Map(0, false), "-"),
            (Listed(&["s"], &[("s", "10.0.0.1")]), "0% 10.0.0.1:80 | none"),
            (Text("[]"), "ConfigMap m-route: route.json: no JSON object"),
            // Endpoints go on, by what was read last.
            (Slice("s", "10.0.0.2"), "0% 10.0.0.1:80,10.0.0.2:80 | none"),
            (Map(0, false), "0% 10.0.0.1:80,10.0.0.2:80 | none"),
            (MapGone, "ConfigMap m-route: it is not there"),
        ]);
    }
}
