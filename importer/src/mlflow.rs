//! A version of MLflow's registry, by the server's REST API.
//!
//! ```text
//! model-versions/get-download-uri ──> mlflow-artifacts:/FOLDER ──> FOLDER/MLmodel ──> flavors.onnx.data ──> the file
//! ```
//!
//! Artifacts come through the server: it has the credential of where they lie. What does not is refused by where it lies.

use planner::training::{Address, FileName, Scheme};
use serde::Deserialize;
use web::Url;

use crate::source::is_plain;
use crate::{Asker, ImportError, Importer, Source, read, server};

/// The most that the server says of a version, in bytes.
const WORDS_BYTES_MAX: u64 = 1 << 20;
/// What artifacts that come through the server are named by.
const PROXIED: &str = "mlflow-artifacts:";

/// What the server says of a version's artifacts.
#[derive(Debug, Deserialize)]
struct Place {
    artifact_uri: String,
}

/// `MLmodel`: what a model was logged as.
#[derive(Debug, Deserialize)]
struct Logged {
    flavors: Flavors,
}

#[derive(Debug, Deserialize)]
struct Flavors {
    onnx: Option<Flavor>,
}

/// The ONNX flavour.
#[derive(Debug, Deserialize)]
struct Flavor {
    /// The file, relative to the model's folder.
    data: String,
}

/// Returns the ONNX file of a version, or another one of its folder.
pub(crate) async fn fetch(
    importer: &Importer,
    address: &Address,
    beside: Option<&FileName>,
    source: &Source,
) -> Result<Vec<u8>, ImportError> {
    let unfit = |why: String| ImportError::Unfit {
        address: address.clone(),
        why,
    };
    let asking = Asking {
        importer,
        address,
        asker: Asker::Source(source),
        server: server(address, address.scheme() == Scheme::MlflowPlain)?,
    };
    let [name, version] = address.path() else {
        unreachable!("invariant: it names a model and a version");
    };
    let name = name.replace('+', "%2B");
    let said = asking
        .get(
            &format!("api/2.0/mlflow/model-versions/get-download-uri?name={name}&version={version}"),
            WORDS_BYTES_MAX,
        )
        .await?;
    let place: Place = serde_json::from_slice(&said)
        .map_err(|_theirs| unfit("the server does not say where its artifacts lie".to_owned()))?;
    let folder = proxied(&place.artifact_uri, address.place()).map_err(unfit)?;
    let below = |file: &str| format!("api/2.0/mlflow-artifacts/artifacts/{folder}/{file}");
    let said = asking.get(&below("MLmodel"), WORDS_BYTES_MAX).await?;
    let text = String::from_utf8_lossy(&said);
    let logged: Logged = serde_yaml::from_str(&text)
        .map_err(|_theirs| unfit("its MLmodel does not say as what it was logged".to_owned()))?;
    let flavor = logged.flavors.onnx.ok_or_else(|| {
        unfit("it has no ONNX flavour: log the model with mlflow.onnx.log_model".to_owned())
    })?;
    if !is_below(&flavor.data) {
        return Err(unfit("its MLmodel names a file that is not below it".to_owned()));
    }
    let file = match beside {
        None => flavor.data,
        Some(name) => match flavor.data.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.to_string(),
        },
    };
    asking.get(&below(&file), importer.limits.bytes_max).await
}

/// Returns the folder of artifacts that come through the server.
fn proxied<'u>(uri: &'u str, place: &str) -> Result<&'u str, String> {
    let elsewhere = |place: &str| {
        format!(
            "its artifacts lie at {place}, and not at the server: start that with --serve-artifacts, or import the file from there"
        )
    };
    let Some(rest) = uri.strip_prefix(PROXIED) else {
        let scheme = uri.split(':').next().unwrap_or_default();
        let is_known = !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+');
        return Err(elsewhere(if is_known { scheme } else { "an unknown place" }));
    };
    let folder = match rest.strip_prefix("//") {
        None => rest.trim_start_matches('/'),
        Some(named) => match named.split_once('/') {
            Some((host, folder)) if host.is_empty() || host.eq_ignore_ascii_case(place) => folder,
            _ => return Err(elsewhere("another server")),
        },
    };
    let folder = folder.trim_end_matches('/');
    if is_below(folder) {
        Ok(folder)
    } else {
        Err("the server names no folder of artifacts".to_owned())
    }
}

/// Says whether a path stays below where it begins, and is one as it stands.
fn is_below(path: &str) -> bool {
    let is_part = |part: &str| {
        is_plain(part)
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._~+,=@".contains(c))
    };
    path.split('/').all(is_part)
}

/// A server that is asked for several things.
struct Asking<'a> {
    importer: &'a Importer,
    address: &'a Address,
    asker: Asker<'a>,
    server: Url,
}

impl Asking<'_> {
    async fn get(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, ImportError> {
        let url = self.server.join(path)?;
        let mut answer = self.importer.ask(&url, &self.asker, bytes_max).await?;
        read(self.address, &mut answer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_come_through_the_server_or_not_at_all() {
        for (uri, expected) in [
            (
                "mlflow-artifacts:/1/models/m-1/artifacts",
                Ok("1/models/m-1/artifacts"),
            ),
            ("mlflow-artifacts:/1/a/", Ok("1/a")),
            ("mlflow-artifacts://h:5000/1/a", Ok("1/a")),
            ("mlflow-artifacts:///1/a", Ok("1/a")),
            ("mlflow-artifacts://evil/1/a", Err("lie at another server")),
            ("mlflow-artifacts:/../a", Err("no folder")),
            ("mlflow-artifacts:/a/%2e%2e/b", Err("no folder")),
            ("mlflow-artifacts:/", Err("no folder")),
            (
                "s3://bucket/a?key=s3cret",
                Err("lie at s3, and not at the server"),
            ),
            ("/srv/mlruns/1", Err("lie at an unknown place")),
        ] {
            match (proxied(uri, "h:5000"), expected) {
                (Ok(folder), Ok(expected)) => assert_eq!(folder, expected, "{uri}"),
                (Err(why), Err(words)) => {
                    assert!(why.contains(words), "{uri}: {why}");
                    assert!(!why.contains("s3cret"), "{why}");
                }
                (other, _) => panic!("{uri}: {other:?}"),
            }
        }
    }
}
