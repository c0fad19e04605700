//! Wire types ↔ the planner's types.
//!
//! A manifest becomes a spec of the planner here, and what the reconciler decides becomes a custom resource. What the
//! schema cannot check (time zones, paths, hyperparameters) is checked on the way in; each [`Problem`] names its field.

mod dataset;
mod object;
mod pod;
mod policy;
mod status;
#[cfg(test)]
mod tests;
mod training;

use planner::commits::CommitPolicy;
use planner::deployment::{Autoscaling, Canary, DeclaredDeployment, Pin};
use planner::endpoint::Endpoint;
use planner::environment::{self, Drift, Environment, RemovalLimits};
use planner::gates::PromotionOrder;
use planner::names::{EnvironmentName, Malformed, ObjectName};
use planner::trust::ModelPolicy;

use crate::notify::NotifySpec;
use crate::policy::{GatesSpec, PromotionSpec};
use crate::rules;
use crate::{
    AutoscalingSpec, CanarySpec, CommitsSpec, DriftPolicy, MLDeployment, MLDeploymentSpec, MLEnvironment,
    MLEnvironmentSpec, ModelsSpec, RegistrySpec, RemovalSpec, StableSpec, Target,
};

pub use dataset::uri;
pub(crate) use object::REVISION;
pub use object::{
    behind, deployment_object, environment_object, read_deployment_object, read_environment_object,
    read_training_object, training_object,
};
pub use status::{deployment_status, read_training_phase, training_status};
pub use training::{KnowsZone, accepted_training, training};

/// Something wrong with one field of a custom resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Problem {
    /// The field's path, e.g. `spec.dataset.uri`.
    pub field: String,
    /// What is wrong, a lower-case fragment.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl Problem {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// Returns the name of an object of ours.
///
/// # Errors
///
/// The name is absent or no [`ObjectName`].
pub fn object_name(metadata: &kube::core::ObjectMeta) -> Result<ObjectName, Problem> {
    let name = metadata.name.as_deref().unwrap_or_default();
    name.parse()
        .map_err(|malformed: Malformed| Problem::new("metadata.name", malformed.to_string(), ""))
}

/// Returns what an MLEnvironment says.
///
/// # Errors
///
/// Its name is not an environment's, or its registry's path leaves the data directory without being absolute.
pub fn environment(environment: &MLEnvironment) -> Result<Environment, Vec<Problem>> {
    let name: EnvironmentName = environment
        .metadata
        .name
        .as_deref()
        .unwrap_or_default()
        .parse()
        .map_err(|malformed: Malformed| vec![Problem::new("metadata.name", malformed.to_string(), "")])?;
    let MLEnvironmentSpec {
        target,
        namespace,
        commits,
        models,
        drift,
        suspend,
        notify,
        registry,
        removal: RemovalSpec {
            max_count,
            max_percent,
            allow,
        },
        windows,
        gates,
        promotion,
    } = &environment.spec;
    let registry_path = registry.as_ref().and_then(|registry| registry.path.clone());
    if let Some(path) = &registry_path {
        dataset::path(path, &dataset::REGISTRY, "spec.registry").map_err(|problem| vec![problem])?;
    }
    let upstream = registry.as_ref().and_then(|registry| {
        Some(Endpoint {
            url: registry.upstream.clone()?,
            key_file: registry.key_file.clone(),
        })
    });
    Ok(Environment {
        name,
        target: self::target(*target, namespace.as_deref())?,
        commits: commits.as_ref().map(CommitPolicy::from).unwrap_or_default(),
        models: models.as_ref().map(ModelPolicy::from).unwrap_or_default(),
        drift: match drift {
            DriftPolicy::Correct => Drift::Correct,
            DriftPolicy::Warn => Drift::Warn,
            DriftPolicy::Off => Drift::Off,
        },
        suspend: suspend.clone(),
        notify: crate::notify::receivers(notify)?,
        registry_path,
        removal: RemovalLimits {
            max_count: *max_count,
            max_percent: *max_percent,
            allow: allow.clone(),
        },
        windows: policy::windows(windows)?,
        gates: gates
            .as_ref()
            .map(policy::gates)
            .transpose()
            .map_err(|problem| vec![problem])?,
        promotion: promotion
            .as_ref()
            .map(|promotion| policy::promotion(promotion, &environment.metadata))
            .transpose()
            .map_err(|problem| vec![problem])?,
        upstream,
    })
}

fn target(target: Target, namespace: Option<&str>) -> Result<environment::Target, Vec<Problem>> {
    match (target, namespace) {
        (Target::Standalone, _) => Ok(environment::Target::Standalone),
        (Target::Kubernetes, Some(namespace)) => Ok(environment::Target::Kubernetes {
            namespace: namespace.to_owned(),
        }),
        (Target::Kubernetes, None) => Err(vec![rules::NAMESPACE_OF_CLUSTER.problem("spec")]),
    }
}

/// Returns an environment in its wire form.
pub(crate) fn environment_spec(environment: &Environment) -> MLEnvironmentSpec {
    let Environment {
        name: _,
        target,
        commits,
        models,
        drift,
        suspend,
        notify,
        registry_path,
        removal: RemovalLimits {
            max_count,
            max_percent,
            allow,
        },
        windows,
        gates,
        promotion,
        upstream,
    } = environment;
    let (target, namespace) = match target {
        environment::Target::Standalone => (Target::Standalone, None),
        environment::Target::Kubernetes { namespace } => (Target::Kubernetes, Some(namespace.clone())),
    };
    MLEnvironmentSpec {
        target,
        namespace,
        commits: (*commits != CommitPolicy::default()).then(|| CommitsSpec::from(commits)),
        models: (*models != ModelPolicy::default()).then(|| ModelsSpec::from(models)),
        drift: match drift {
            Drift::Correct => DriftPolicy::Correct,
            Drift::Warn => DriftPolicy::Warn,
            Drift::Off => DriftPolicy::Off,
        },
        suspend: suspend.clone(),
        notify: notify.iter().map(NotifySpec::from).collect(),
        registry: (registry_path.is_some() || upstream.is_some()).then(|| RegistrySpec {
            path: registry_path.clone(),
            upstream: upstream.as_ref().map(|upstream| upstream.url.clone()),
            key_file: upstream.as_ref().and_then(|upstream| upstream.key_file.clone()),
        }),
        removal: RemovalSpec {
            max_count: *max_count,
            max_percent: *max_percent,
            allow: allow.clone(),
        },
        windows: windows.iter().map(policy::window_spec).collect(),
        gates: gates.as_ref().map(GatesSpec::from),
        promotion: promotion
            .as_ref()
            .map(|PromotionOrder { from, soak, status }| PromotionSpec {
                from: from.clone(),
                soak: *soak,
                status: status.as_ref().map(|status| status.url.clone()),
                key_file: status.as_ref().and_then(|status| status.key_file.clone()),
            }),
    }
}

/// Returns what an MLDeployment says. The rules over two fields are those of the schema; they are not repeated here.
pub fn deployment(deployment: &MLDeployment) -> DeclaredDeployment {
    let MLDeploymentSpec {
        model_name,
        stable: StableSpec {
            version,
            digest,
            replicas,
        },
        canary,
        autoscaling,
        pod,
        route,
        engine,
        suspend,
        rejected,
        allow_breaking,
    } = &deployment.spec;
    DeclaredDeployment {
        model: model_name.clone(),
        stable: Pin {
            version: version.clone(),
            digest: *digest,
        },
        replicas: *replicas,
        canary: canary.as_ref().map(
            |CanarySpec {
                 version,
                 digest,
                 weight,
                 replicas,
             }| Canary {
                pin: Pin {
                    version: version.clone(),
                    digest: *digest,
                },
                weight: *weight,
                replicas: *replicas,
            },
        ),
        autoscaling: autoscaling.as_ref().map(self::autoscaling),
        pod: pod::pod(pod.as_ref()),
        route: pod::route(route.as_ref()),
        engine: *engine,
        suspend: suspend.clone(),
        rejected: rejected.clone(),
        allow_breaking: allow_breaking.clone(),
    }
}

/// Returns by what the number of replicas follows the load.
pub(crate) fn autoscaling(spec: &AutoscalingSpec) -> Autoscaling {
    let AutoscalingSpec {
        min_replicas,
        max_replicas,
        target_cpu_percent,
    } = *spec;
    Autoscaling {
        min_replicas,
        max_replicas,
        target_cpu_percent,
    }
}

/// Returns the same in its wire form.
pub(crate) fn autoscaling_spec(autoscaling: Autoscaling) -> AutoscalingSpec {
    let Autoscaling {
        min_replicas,
        max_replicas,
        target_cpu_percent,
    } = autoscaling;
    AutoscalingSpec {
        min_replicas,
        max_replicas,
        target_cpu_percent,
    }
}
