//! Object stores: Amazon S3 and what speaks its API, Google Cloud Storage, Azure Blob Storage.
//!
//! Who asks, and how that is signed, is the business of the crate `object_store`; what is asked goes through our own client, which
//! bounds it and follows no redirect. Nothing is taken from the environment, and no machine's own identity is used: a
//! credential stands in the prefix's file, or there is none.

use std::sync::{Arc, Mutex, PoisonError};

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig};
use planner::training::{Address, Scheme};
use serde::Deserialize;
use web::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use web::{Client, Limits, Method, Plain, Request, StatusCode, Url, WebError};

use crate::{ImportError, Source};

/// Google Cloud Storage.
const GOOGLE: &str = "https://storage.googleapis.com";

/// What a file for S3 may say, as Amazon's own files call it.
const S3_KEYS: [(&str, AmazonS3ConfigKey); 6] = [
    ("aws_access_key_id", AmazonS3ConfigKey::AccessKeyId),
    ("aws_secret_access_key", AmazonS3ConfigKey::SecretAccessKey),
    ("aws_session_token", AmazonS3ConfigKey::Token),
    ("region", AmazonS3ConfigKey::Region),
    ("endpoint_url", AmazonS3ConfigKey::Endpoint),
    (
        "virtual_hosted_style_request",
        AmazonS3ConfigKey::VirtualHostedStyleRequest,
    ),
];
/// What a file for Azure may say.
const AZURE_KEYS: [(&str, AzureConfigKey); 3] = [
    ("account_key", AzureConfigKey::AccessKey),
    ("sas_token", AzureConfigKey::SasKey),
    ("endpoint_url", AzureConfigKey::Endpoint),
];

/// Returns the request for a file of Google's store, signed by the service account of the source, where it has one.
pub(crate) async fn of_google(
    address: &Address,
    source: &Source,
    client: Client,
    limits: Limits,
) -> Result<Request, ImportError> {
    /// What of the account's file is our business: where its client finds the store instead.
    #[derive(Deserialize)]
    struct Account {
        #[serde(default = "public")]
        gcs_base_url: String,
    }
    fn public() -> String {
        GOOGLE.to_owned()
    }
    let unusable =
        || source.unusable("is not the file of a service account, as Google's console hands it out");
    let credential = source.credential()?;
    let account = match &credential {
        None => Account {
            gcs_base_url: public(),
        },
        Some(json) => serde_json::from_str(json).map_err(|_it_holds_a_key| unusable())?,
    };
    let path = address.path().join("/");
    let url = format!("{}/{}/{path}", account.gcs_base_url, address.place());
    let request = Request::new(Method::GET, Url::parse(&url, Plain::Anywhere)?).limits(limits);
    let Some(json) = credential else {
        return Ok(request);
    };
    let connector = Connector {
        client,
        limits,
        asked: Asked::default(),
    };
    let store = GoogleCloudStorageBuilder::new()
        .with_bucket_name(address.place())
        .with_service_account_key(json)
        .with_http_connector(connector)
        .build()
        .map_err(|_it_holds_a_key| unusable())?;
    let token = store.credentials().get_credential().await;
    let token = token.map_err(|_it_holds_a_key| unusable())?;
    if token.bearer.is_empty() {
        return Ok(request);
    }
    request
        .bearer(&token.bearer)
        .map_err(|error| source.unusable(format_args!("cannot be used: {error}")))
}

/// Returns the bytes at an address of Amazon's or Azure's store, or of one that speaks as they do.
pub(crate) async fn fetch(
    address: &Address,
    source: &Source,
    client: Client,
    limits: Limits,
) -> Result<Vec<u8>, ImportError> {
    let asked = Asked::default();
    let connector = Connector {
        client,
        limits,
        asked: asked.clone(),
    };
    let credential = source.credential()?;
    let opened = open(address, credential.as_deref(), connector);
    let (store, path) = opened.map_err(|why| source.unusable(why))?;
    let got = async { store.get(&path).await?.bytes().await };
    match (got.await, asked.taken()) {
        (Ok(bytes), _) => Ok(bytes.into()),
        (Err(_), Some(Came::Fault(fault))) => Err(fault.into()),
        (Err(_), Some(Came::Answer(status))) => Err(ImportError::answered(address, status)),
        // Nothing was asked: what would have been cannot be made of the credential. Its words might hold a part of that.
        (Err(_), None) => Err(source.unusable("cannot be used to sign a request")),
    }
}

/// Returns the store of an address, and the path there; or what is wrong with the credential, of which nothing is repeated.
fn open(
    address: &Address,
    credential: Option<&str>,
    connector: Connector,
) -> Result<(Box<dyn ObjectStore>, Path), String> {
    // What is tried again, whoever asked decides.
    let retries = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    // Where HTTP may be spoken, whoever wrote the file said.
    let options = ClientOptions::new().with_allow_http(true);
    let unbuilt = |_: object_store::Error| "does not say all that is needed, or says it wrongly".to_owned();
    let (store, key): (Box<dyn ObjectStore>, &[String]) = match address.scheme() {
        Scheme::S3 => {
            let mut builder = AmazonS3Builder::new()
                .with_bucket_name(address.place())
                .with_client_options(options)
                .with_retry(retries)
                .with_http_connector(connector);
            let settings = settings(credential, &S3_KEYS)?;
            let is_named = |key: &AmazonS3ConfigKey| *key == AmazonS3ConfigKey::AccessKeyId;
            let is_anonymous = !settings.iter().any(|(key, _)| is_named(key));
            for (key, value) in settings {
                builder = builder.with_config(key, value);
            }
            builder = builder.with_skip_signature(is_anonymous);
            (Box::new(builder.build().map_err(unbuilt)?), address.path())
        }
        Scheme::Az => {
            let (container, key) = address.path().split_first().ok_or("names no container")?;
            let mut builder = MicrosoftAzureBuilder::new()
                .with_account(address.place())
                .with_container_name(container)
                .with_client_options(options)
                .with_retry(retries)
                .with_http_connector(connector);
            let settings = settings(credential, &AZURE_KEYS)?;
            let is_named =
                |key: &AzureConfigKey| matches!(key, AzureConfigKey::AccessKey | AzureConfigKey::SasKey);
            let is_anonymous = !settings.iter().any(|(key, _)| is_named(key));
            for (key, value) in settings {
                builder = builder.with_config(key, value);
            }
            builder = builder.with_skip_signature(is_anonymous);
            (Box::new(builder.build().map_err(unbuilt)?), key)
        }
        Scheme::Https
        | Scheme::Http
        | Scheme::Hf
        | Scheme::Gs
        | Scheme::Mlflow
        | Scheme::MlflowPlain
        | Scheme::Oci
        | Scheme::OciPlain => {
            unreachable!("invariant: these are asked by requests of our own")
        }
    };
    let path = Path::parse(key.join("/")).map_err(|error| error.to_string())?;
    Ok((store, path))
}

/// Reads lines of `name = value`, a section's name before them left out. Where none names a key, nobody is asked to be anybody.
fn settings<'t, K: Copy>(text: Option<&'t str>, known: &[(&str, K)]) -> Result<Vec<(K, &'t str)>, String> {
    let mut found = Vec::new();
    for (at, line) in text.unwrap_or_default().lines().map(str::trim).enumerate() {
        let is_section = line.starts_with('[') && line.ends_with(']') && found.is_empty();
        if line.is_empty() || line.starts_with('#') || is_section {
            continue;
        }
        let names = || {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            names.join(", ")
        };
        let number = at + 1;
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| format!("has no `name = value` in line {number}; names: {}", names()))?;
        let (name, value) = (name.trim(), value.trim());
        let (_, key) = known
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| format!("says something unknown in line {number}; known: {}", names()))?;
        found.push((*key, value));
    }
    Ok(found)
}

/// What came of the last request.
#[derive(Debug)]
enum Came {
    Answer(StatusCode),
    Fault(WebError),
}

/// Keeps what came, past the store's client, which has words of its own for it.
#[derive(Debug, Clone, Default)]
struct Asked(Arc<Mutex<Option<Came>>>);

impl Asked {
    fn came(&self, what: Came) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }

    fn taken(&self) -> Option<Came> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What a store's client asks through.
#[derive(Debug, Clone)]
struct Connector {
    client: Client,
    limits: Limits,
    asked: Asked,
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        match self.ask(request).await {
            Ok(response) => {
                self.asked.came(Came::Answer(response.status()));
                Ok(response)
            }
            Err(error) => {
                self.asked.came(Came::Fault(error));
                Err(HttpError::new(HttpErrorKind::Unknown, Told))
            }
        }
    }
}

/// Stands for a fault that is kept elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("nothing came")]
struct Told;

impl Connector {
    /// Asks once: a redirect is an answer too, which the store's client takes for a fault.
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, WebError> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string(), Plain::Anywhere)?;
        let mut asked = Request::new(parts.method, url).limits(self.limits);
        for (name, value) in &parts.headers {
            if ![HOST, USER_AGENT, CONTENT_LENGTH].contains(name) {
                let mut value = value.clone();
                // Whatever it is, it is nobody else's to read.
                value.set_sensitive(true);
                asked.headers.insert(name, value);
            }
        }
        asked.body = body.as_bytes().cloned().unwrap_or_default();
        let mut answer = self.client.open_once(&asked).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        let mut response = HttpResponse::new(HttpResponseBody::from(bytes));
        *response.status_mut() = answer.status;
        *response.headers_mut() = std::mem::take(&mut answer.headers);
        Ok(response)
    }
}
