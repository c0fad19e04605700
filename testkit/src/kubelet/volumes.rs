//! Volumes of a Pod as folders, and what is seen of them where.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, KeyToPath, Pod, Volume, VolumeProjection,
};
use rustix::process::getuid;

use super::variables::{Sources, expand};

/// Why a volume cannot be had: what is missing, in words of a Pod's status.
pub(crate) type Missing = String;

/// A file that a volume holds, by its path in it.
type Files = BTreeMap<String, Vec<u8>>;

/// What a node has for volumes beside the sources of values.
#[derive(Debug)]
pub(crate) struct Storage<'a> {
    /// The Pod's own folder.
    pub(crate) folder: &'a Path,
    /// The folder of each claim that is there.
    pub(crate) claims: BTreeMap<String, PathBuf>,
    /// A token of the Pod's ServiceAccount.
    pub(crate) token: Option<String>,
}

/// Makes the folders of all volumes, and returns them by name.
pub(crate) fn prepare(
    pod: &Pod,
    sources: &Sources<'_>,
    storage: &Storage<'_>,
) -> Result<BTreeMap<String, PathBuf>, Missing> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mut folders = BTreeMap::new();
    for volume in volumes {
        let folder = match &volume.persistent_volume_claim {
            Some(claim) => {
                let found = storage.claims.get(&claim.claim_name);
                found
                    .cloned()
                    .ok_or_else(|| format!("persistentvolumeclaim \"{}\" not found", claim.claim_name))?
            }
            None => storage.folder.join("volumes").join(&volume.name),
        };
        let files = files(volume, sources, storage)?;
        write(&folder, &files, mode(volume)).map_err(|error| format!("volume {}: {error}", volume.name))?;
        folders.insert(volume.name.clone(), folder);
    }
    Ok(folders)
}

fn write(folder: &Path, files: &Files, mode: Option<u32>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(&path, bytes)?;
        if let Some(mode) = mode {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

/// Returns who may read the files of a volume. A node's root owns them, and a Pod reads them by its group: where the node is somebody
/// else, its processes are the owner.
fn mode(volume: &Volume) -> Option<u32> {
    let secret = volume.secret.as_ref().and_then(|secret| secret.default_mode);
    let map = volume.config_map.as_ref().and_then(|map| map.default_mode);
    let mode = u32::try_from(secret.or(map)?).ok()?;
    Some(if getuid().is_root() { mode } else { mode & 0o700 })
}

fn files(volume: &Volume, sources: &Sources<'_>, storage: &Storage<'_>) -> Result<Files, Missing> {
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        return picked(sources.secret(name, secret.optional)?, secret.items.as_deref());
    }
    if let Some(map) = &volume.config_map {
        return picked(sources.config_map(&map.name, map.optional)?, map.items.as_deref());
    }
    if let Some(downward) = &volume.downward_api {
        return of_pod(downward.items.as_deref(), sources);
    }
    if let Some(projected) = &volume.projected {
        let mut all = Files::new();
        for source in projected.sources.iter().flatten() {
            all.extend(projection(source, sources, storage)?);
        }
        return Ok(all);
    }
    if volume.empty_dir.is_some() || volume.persistent_volume_claim.is_some() {
        return Ok(Files::new());
    }
    Err(format!(
        "volume {}: a source that the test kit does not know",
        volume.name
    ))
}

fn projection(
    source: &VolumeProjection,
    sources: &Sources<'_>,
    storage: &Storage<'_>,
) -> Result<Files, Missing> {
    if let Some(secret) = &source.secret {
        return picked(
            sources.secret(&secret.name, secret.optional)?,
            secret.items.as_deref(),
        );
    }
    if let Some(map) = &source.config_map {
        return picked(sources.config_map(&map.name, map.optional)?, map.items.as_deref());
    }
    if let Some(downward) = &source.downward_api {
        return of_pod(downward.items.as_deref(), sources);
    }
    let token = source.service_account_token.as_ref().zip(storage.token.as_ref());
    let file = token.map(|(to, token)| (to.path.clone(), token.clone().into_bytes()));
    Ok(file.into_iter().collect())
}

/// Returns the files of all keys, or of those that are picked.
fn picked(data: Files, items: Option<&[KeyToPath]>) -> Result<Files, Missing> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(data);
    };
    let pick = |item: &KeyToPath| {
        let bytes = data.get(&item.key);
        let bytes = bytes.ok_or_else(|| format!("references non-existent key: {}", item.key))?;
        Ok((item.path.clone(), bytes.clone()))
    };
    items.iter().map(pick).collect()
}

fn of_pod(items: Option<&[DownwardAPIVolumeFile]>, sources: &Sources<'_>) -> Result<Files, Missing> {
    let mut files = Files::new();
    for item in items.unwrap_or_default() {
        if let Some(field) = &item.field_ref {
            files.insert(item.path.clone(), sources.field(field)?.into_bytes());
        }
    }
    Ok(files)
}

/// Returns what a container sees of the volumes: the path in it, and the path that stands for it.
pub(crate) fn mounts(
    container: &Container,
    folders: &BTreeMap<String, PathBuf>,
    variables: &BTreeMap<String, String>,
) -> Result<Vec<(String, PathBuf)>, Missing> {
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let folder = folders.get(&mount.name);
        let mut place = folder.ok_or_else(|| format!("no volume {}", mount.name))?.clone();
        let below = match (&mount.sub_path, &mount.sub_path_expr) {
            (Some(path), _) => path.clone(),
            (None, Some(expression)) => expand(expression, variables),
            (None, None) => String::new(),
        };
        if !below.is_empty() {
            place.push(below);
            if !place.exists() {
                fs::create_dir_all(&place).map_err(|error| format!("mount {}: {error}", mount.mount_path))?;
            }
        }
        mounts.push((mount.mount_path.clone(), place));
    }
    Ok(mounts)
}
