//! A track of a model: a Deployment whose pods serve one digest for their life, and the Service in front of them.
//!
//! One image serves every version, and another those of a model that ONNX Runtime may evaluate: a promotion changes the digest in
//! the template, never the image.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EmptyDirVolumeSource, HTTPGetAction, KeyToPath, Lifecycle, LifecycleHandler,
    PodSpec, PodTemplateSpec, Probe, SecretVolumeSource, Service, ServicePort, ServiceSpec, SleepAction,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use planner::deployment::{ResolvedDeployment, ResolvedPin};
use planner::names::{Revision, Track};
use planner::pod::Pod;

use super::intent::sealed;
use super::labels::{
    Component, DIGEST, Map, REVISION, VERSION, labels, map, metadata, of_track, selector, selects_track,
};
use super::{Installation, Owner, pod, trust};

/// The port of processes and Services.
pub const PORT: i32 = 8080;
/// The name of the port.
pub(crate) const PORT_NAME: &str = "http";
/// The port of calls by gRPC, of processes and Services that take them.
pub(super) const GRPC_PORT: i32 = 8081;
/// The name of that port.
pub(crate) const GRPC_PORT_NAME: &str = "grpc";
/// What is spoken there: HTTP/2 from the first byte on, without TLS ([KEP-3726](https://kep.k8s.io/3726)).
const H2C: &str = "kubernetes.io/h2c";
/// What a pod waits for before it ends: the route and the nodes take a moment to send nothing more.
const SLEEP_SECONDS: i64 = 5;
/// How long a pod may take to end: the sleep, the drain, and some seconds besides.
pub(super) const GRACE_SECONDS: i64 = 30;
/// How long a pod may take until it answers, in attempts of [`STARTUP_PERIOD_SECONDS`]: ten minutes.
const STARTUP_ATTEMPTS: i32 = 300;
const STARTUP_PERIOD_SECONDS: i32 = 2;
/// After how long a rollout that gets no further is told to be stuck: longer than a start may take.
const PROGRESS_SECONDS: i32 = 900;
/// The most that the cache of artifacts takes.
const CACHE: &str = "4Gi";

/// A model that is served.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// Where it is served.
    pub installation: &'a Installation,
    /// Its MLDeployment.
    pub owner: &'a Owner,
    /// What that says.
    pub spec: &'a ResolvedDeployment,
}

impl Model<'_> {
    /// Returns the name of what a track is made of.
    pub fn track_name(&self, track: Track) -> String {
        format!("{}-{track}", self.owner.name)
    }

    /// Returns the name of what carries requests to the tracks.
    pub fn route_name(&self) -> String {
        format!("{}-route", self.owner.name)
    }

    /// Says whether its processes take calls by gRPC.
    pub(super) fn takes_grpc(&self) -> bool {
        let route = self.spec.route.as_ref();
        route.is_some_and(|route| route.grpc.is_some())
    }

    /// Returns the flag that opens a port for gRPC, where there is to be one.
    pub(super) fn grpc_flag(&self) -> Option<(&'static str, String)> {
        self.takes_grpc().then(|| ("grpc", format!(":{GRPC_PORT}")))
    }

    /// Returns the ports of its processes.
    pub(super) fn container_ports(&self) -> Vec<ContainerPort> {
        let port = |name: &str, number| ContainerPort {
            name: Some(name.to_owned()),
            container_port: number,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        };
        let grpc = self.takes_grpc().then(|| port(GRPC_PORT_NAME, GRPC_PORT));
        [port(PORT_NAME, PORT)].into_iter().chain(grpc).collect()
    }

    /// Returns the ports of what stands in front of its processes.
    fn service_ports(&self) -> Vec<ServicePort> {
        let port = |name: &str, number| ServicePort {
            name: Some(name.to_owned()),
            port: number,
            protocol: Some("TCP".to_owned()),
            target_port: Some(IntOrString::String(name.to_owned())),
            ..ServicePort::default()
        };
        let grpc = self.takes_grpc().then(|| ServicePort {
            app_protocol: Some(H2C.to_owned()),
            ..port(GRPC_PORT_NAME, GRPC_PORT)
        });
        [port(PORT_NAME, PORT)].into_iter().chain(grpc).collect()
    }

    pub(super) fn labels(&self, component: Component) -> Map {
        labels(self.installation, self.owner, &self.spec.model, component)
    }

    pub(super) fn metadata(&self, name: String, labels: Map) -> ObjectMeta {
        metadata(self.installation, self.owner, name, labels)
    }
}

/// What a track is to serve.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// The version and its digest.
    pub pin: &'a ResolvedPin,
    /// The commit that last changed it.
    pub revision: &'a Revision,
    /// How many replicas there are to be; absent where an autoscaler says.
    pub replicas: Option<u32>,
}

/// Returns the Deployment of a track.
pub fn deployment(model: &Model<'_>, track: Track, content: &Content<'_>) -> Deployment {
    let labels = of_track(model.labels(Component::Serving), track);
    let given = pod::given(model.spec.pod.as_deref());
    sealed(Deployment {
        metadata: model.metadata(model.track_name(track), labels.clone()),
        spec: Some(DeploymentSpec {
            replicas: content.replicas.map(count),
            selector: selector(selects_track(model.owner, track)),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::String("25%".to_owned())),
                }),
            }),
            min_ready_seconds: Some(0),
            progress_deadline_seconds: Some(PROGRESS_SECONDS),
            revision_history_limit: Some(2),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod::labels(&given, labels)),
                    annotations: Some(annotations(content)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(model, track, content, &given)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    })
}

/// Returns a number of replicas as a cluster counts them.
pub(super) fn count(replicas: u32) -> i32 {
    i32::try_from(replicas).unwrap_or(i32::MAX)
}

fn annotations(content: &Content<'_>) -> Map {
    map([
        (DIGEST, &content.pin.digest.to_string()),
        (VERSION, &content.pin.version.to_string()),
        (REVISION, content.revision.as_str()),
        ("prometheus.io/scrape", "true"),
        ("prometheus.io/port", &PORT.to_string()),
        ("prometheus.io/path", "/metrics"),
    ])
}

fn pod_spec(model: &Model<'_>, track: Track, content: &Content<'_>, given: &Pod) -> PodSpec {
    PodSpec {
        containers: vec![container(model, track, content, given)],
        volumes: Some(vec![
            Volume {
                name: "cache".to_owned(),
                empty_dir: Some(EmptyDirVolumeSource {
                    size_limit: Some(Quantity(CACHE.to_owned())),
                    medium: None,
                }),
                ..Volume::default()
            },
            Volume {
                name: "keys".to_owned(),
                secret: Some(SecretVolumeSource {
                    secret_name: Some(model.installation.keys_secret.clone()),
                    items: Some(vec![KeyToPath {
                        key: "inference".to_owned(),
                        path: "inference".to_owned(),
                        mode: None,
                    }]),
                    default_mode: Some(0o440),
                    optional: None,
                }),
                ..Volume::default()
            },
            trust::volume(),
        ]),
        topology_spread_constraints: Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(selector(selects_track(model.owner, track))),
            ..TopologySpreadConstraint::default()
        }]),
        ..pod::bare(given, GRACE_SECONDS)
    }
}

fn container(model: &Model<'_>, track: Track, content: &Content<'_>, given: &Pod) -> Container {
    let flags = [
        ("model", model.spec.model.to_string()),
        ("version", content.pin.version.to_string()),
        ("digest", content.pin.digest.to_string()),
        ("track", track.to_string()),
        ("revision", content.revision.to_string()),
        ("control-plane", model.installation.control_plane.clone()),
        ("key-file", "/keys/inference".to_owned()),
        ("cache", "/cache".to_owned()),
        trust::flag(),
        ("inference", format!(":{PORT}")),
    ];
    let flags = flags.into_iter().chain(model.grpc_flag());
    let flags = flags.map(|(flag, value)| format!("--{flag}={value}"));
    let args = ["serve".to_owned()].into_iter().chain(flags);
    Container {
        name: "aurora".to_owned(),
        image: Some(model.installation.image_of(model.spec.engine).to_owned()),
        // Whom the route lets in is the route's and the NetworkPolicies' to say.
        args: Some(args.chain(["--insecure-inference".to_owned()]).collect()),
        env: pod::env(given, [("AURORA_OUTPUT", "json".to_owned())]),
        ports: Some(model.container_ports()),
        resources: Some(pod::resources(given)),
        security_context: Some(pod::confined()),
        startup_probe: Some(Probe {
            period_seconds: Some(STARTUP_PERIOD_SECONDS),
            failure_threshold: Some(STARTUP_ATTEMPTS),
            timeout_seconds: Some(2),
            ..probe("/v2/health/ready")
        }),
        readiness_probe: Some(readiness()),
        liveness_probe: Some(liveness()),
        lifecycle: Some(leaving()),
        volume_mounts: Some(vec![
            VolumeMount {
                name: "cache".to_owned(),
                mount_path: "/cache".to_owned(),
                ..VolumeMount::default()
            },
            VolumeMount {
                name: "keys".to_owned(),
                mount_path: "/keys".to_owned(),
                read_only: Some(true),
                ..VolumeMount::default()
            },
            trust::mount(),
        ]),
        ..Container::default()
    }
}

/// Asks whether requests can be answered.
pub(super) fn readiness() -> Probe {
    Probe {
        period_seconds: Some(1),
        failure_threshold: Some(2),
        timeout_seconds: Some(1),
        ..probe("/v2/health/ready")
    }
}

/// Asks whether the process answers, whether it has a model or not: a restart brings none nearer.
pub(super) fn liveness() -> Probe {
    Probe {
        period_seconds: Some(10),
        failure_threshold: Some(6),
        timeout_seconds: Some(5),
        ..probe("/health")
    }
}

/// Waits before the process is told to end: requests come until all know that it goes.
pub(super) fn leaving() -> Lifecycle {
    Lifecycle {
        pre_stop: Some(LifecycleHandler {
            sleep: Some(SleepAction {
                seconds: SLEEP_SECONDS,
            }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(PORT_NAME.to_owned()),
            scheme: Some("HTTP".to_owned()),
            ..HTTPGetAction::default()
        }),
        success_threshold: Some(1),
        ..Probe::default()
    }
}

/// Returns the Service of a track.
pub fn service(model: &Model<'_>, track: Track) -> Service {
    let labels = of_track(model.labels(Component::Serving), track);
    in_front(
        model,
        model.track_name(track),
        labels,
        selects_track(model.owner, track),
    )
}

/// Returns a Service in front of pods.
pub(super) fn in_front(
    model: &Model<'_>,
    name: String,
    labels: Map,
    selects: BTreeMap<String, String>,
) -> Service {
    sealed(Service {
        metadata: model.metadata(name, labels),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(selects),
            ports: Some(model.service_ports()),
            session_affinity: Some("None".to_owned()),
            internal_traffic_policy: Some("Cluster".to_owned()),
            ..ServiceSpec::default()
        }),
        status: None,
    })
}
