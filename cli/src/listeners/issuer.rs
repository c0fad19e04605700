//! The keys of who issues tokens: fetched at the start, twice a day, and when a token shows one that is not known.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use server::{Issued, IssuerKeys};
use web::{Client, Method, Plain, Request, Url};

use crate::failure::{Context as _, Failure};

/// Where an issuer describes itself (OpenID Connect Discovery 1.0).
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// How often keys are fetched anyhow.
const EVERY: Duration = Duration::from_hours(12);
/// How long after a fetch there may be another one: whoever calls may show unknown keys.
const PAUSE: Duration = Duration::from_mins(1);
/// How long after a fetch that failed there is another one.
const RETRY: Duration = Duration::from_secs(15);

/// Where the keys of an issuer come from.
#[derive(Debug)]
pub(crate) struct KeySource {
    pub(crate) issuer: Url,
    pub(crate) client: Client,
    pub(crate) issued: Arc<Issued>,
}

#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl KeySource {
    /// Keeps the keys known for as long as it is polled.
    pub(crate) async fn keep(self, name: &str) {
        loop {
            let pause = match self.fetch(name).await {
                Ok(keys) => {
                    self.issued.know(keys);
                    PAUSE
                }
                Err(error) => {
                    tracing::warn!(
                        issuer = name,
                        error = error.message(),
                        "cannot fetch the issuer's keys"
                    );
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
            if pause == RETRY {
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = self.issued.missed() => {}
            }
        }
    }

    async fn fetch(&self, name: &str) -> Result<IssuerKeys, Failure> {
        let description = self.get(&self.issuer.join(DISCOVERY)?).await?;
        let description: Description =
            serde_json::from_slice(&description).context(|| "it does not describe itself".to_owned())?;
        if description.issuer != name {
            let shown = description.issuer.escape_debug();
            return Err(Failure::new(format!(
                "it calls itself {shown}: give it by that name"
            )));
        }
        let keys = Url::parse(&description.jwks_uri, Plain::Loopback)
            .context(|| "the address of its keys".to_owned())?;
        if keys.origin() != self.issuer.origin() {
            return Err(Failure::new(format!(
                "its keys are elsewhere, at {}",
                keys.origin()
            )));
        }
        let keys = IssuerKeys::parse(&self.get(&keys).await?);
        keys.map_err(|why| Failure::new(format!("its keys: {why}")))
    }

    async fn get(&self, url: &Url) -> Result<Vec<u8>, Failure> {
        let request = Request::new(Method::GET, url.clone());
        Ok(self.client.send(&request).await?.success()?.body.into())
    }
}
