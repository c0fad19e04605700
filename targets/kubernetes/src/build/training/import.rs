//! What a run needs that imports from elsewhere: the places that its addresses lie below, and nobody else's credential.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, PodSpec, SecretVolumeSource, Volume, VolumeMount,
};
use planner::training::{Address, Import, ImportSource as Source, SignatureSource};

use super::super::{ImportSource, Installation};

/// The label of Pods that ask other machines: a NetworkPolicy lets them.
pub(crate) const FETCHES: &str = "aurora.io/fetches";
/// The key of a Secret.
const CREDENTIAL: &str = "credential";
/// The key of the ConfigMap with authorities.
const AUTHORITIES: &str = "ca.crt";
/// Where both are mounted.
const FOLDER: &str = "/imports";

/// Returns the addresses that a run asks.
fn addresses(import: &Import) -> impl Iterator<Item = &Address> {
    let model = match &import.source {
        Source::Elsewhere(address) => Some(address),
        Source::Committed(_) => None,
    };
    let signature = match &import.signature {
        Some(SignatureSource::Elsewhere(address)) => Some(address),
        Some(SignatureSource::Committed(_)) | None => None,
    };
    model.into_iter().chain(signature)
}

/// Returns the sources that a run may ask: of those that cover an address the longest, as the importer takes them, and all that
/// need no credential, where a server may lead it.
fn asked<'a>(import: &Import, installation: &'a Installation) -> impl Iterator<Item = &'a ImportSource> {
    let own: Vec<&ImportSource> = addresses(import)
        .filter_map(|address| {
            let covering = installation.import_sources.iter();
            let covering = covering.filter(|source| source.prefix.covers(address));
            covering.max_by_key(|source| source.prefix.path().len())
        })
        .collect();
    let sources = installation.import_sources.iter();
    sources.filter(move |source| source.secret.is_none() || own.contains(source))
}

/// Adds to a Pod what its container needs to import.
pub(super) fn add(spec: &mut PodSpec, import: &Import, installation: &Installation) {
    if !import.is_from_elsewhere() {
        return;
    }
    let Some(container) = spec.containers.first_mut() else {
        return;
    };
    let volumes = spec.volumes.get_or_insert_default();
    for (number, source) in asked(import, installation).enumerate() {
        let mut flag = format!("--import-source={}", source.prefix);
        if let Some(secret) = &source.secret {
            let name = format!("import-{number}");
            let folder = format!("{FOLDER}/{number}");
            flag = format!("{flag}={folder}/{CREDENTIAL}");
            volumes.push(Volume {
                name: name.clone(),
                secret: Some(SecretVolumeSource {
                    secret_name: Some(secret.clone()),
                    default_mode: Some(0o440),
                    ..SecretVolumeSource::default()
                }),
                ..Volume::default()
            });
            mount(container, name, folder);
        }
        container.args.get_or_insert_default().push(flag);
    }
    if let Some(authorities) = &installation.import_ca {
        let (name, folder) = ("import-ca".to_owned(), format!("{FOLDER}/ca"));
        volumes.push(Volume {
            name: name.clone(),
            config_map: Some(ConfigMapVolumeSource {
                name: authorities.clone(),
                default_mode: Some(0o440),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        });
        let flag = format!("--import-ca-file={folder}/{AUTHORITIES}");
        container.args.get_or_insert_default().push(flag);
        mount(container, name, folder);
    }
}

fn mount(container: &mut Container, name: String, mount_path: String) {
    container.volume_mounts.get_or_insert_default().push(VolumeMount {
        name,
        mount_path,
        read_only: Some(true),
        ..VolumeMount::default()
    });
}
