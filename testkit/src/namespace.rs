//! A namespace per test, and clients that act as somebody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1;
use kube::api::PostParams;
use kube::config::Config;
use kube::{Api, Client, Resource as _};

use crate::assets::Assets;
use crate::control_plane::{ControlPlane, ControlPlaneError, client};
use crate::note;

/// Not empty where tests against a real API server must run: a machine without the programs is a failure then.
const REQUIRED: &str = "REQUIRE_KUBERNETES";

/// A namespace of the shared control plane, one test's own. It goes with the control plane.
#[expect(missing_debug_implementations, reason = "a client has none")]
pub struct Namespace {
    name: String,
    client: Client,
    control_plane: Arc<ControlPlane>,
}

/// Returns a new namespace of the control plane that all tests share; where there is none to be had, says so past the test
/// harness and returns none.
///
/// # Panics
///
/// The control plane does not start, or there is none and `REQUIRE_KUBERNETES` is set.
#[expect(clippy::panic, reason = "a test that cannot begin fails")]
pub async fn namespace() -> Option<Namespace> {
    let assets = assets()?;
    let made = async { Namespace::create(ControlPlane::shared(&assets).await?).await };
    match made.await {
        Ok(namespace) => Some(namespace),
        Err(error) => panic!("{}", chain(&error)),
    }
}

/// Returns the programs of a control plane; where there are none, says so past the test harness and returns none.
///
/// # Panics
///
/// There are none and `REQUIRE_KUBERNETES` is set.
pub fn assets() -> Option<Assets> {
    Assets::find()
        .inspect_err(|missing| {
            let is_required = std::env::var_os(REQUIRED).is_some_and(|value| !value.is_empty());
            assert!(!is_required, "{REQUIRED} is set, and {missing}");
            note(&format!("skipped: a test against a real API server: {missing}"));
        })
        .ok()
}

/// Returns an error with what it stands on.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Namespace {
    /// Makes one in a control plane.
    pub async fn create(control_plane: Arc<ControlPlane>) -> Result<Self, ControlPlaneError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let client = control_plane.client().await?;
        let mut object = v1::Namespace::default();
        object.meta_mut().name = Some(name.clone());
        Api::all(client.clone())
            .create(&PostParams::default(), &object)
            .await?;
        Ok(Self {
            name,
            client,
            control_plane,
        })
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a client that may do everything.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns the control plane that it is of. Nothing may be stopped of one that tests share.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// Returns a client that acts as a user of these groups, with the rights that they have.
    pub async fn client_as(&self, user: &str, groups: &[&str]) -> Result<Client, ControlPlaneError> {
        let mut config = self.control_plane.config().await?;
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
        client(config)
    }

    /// Returns a client with a token of a ServiceAccount, as a Pod has one; makes the account if it is not there.
    pub async fn client_of_account(&self, namespace: &str, name: &str) -> Result<Client, ControlPlaneError> {
        client(self.config_of_account(namespace, name).await?)
    }

    /// Returns what such a client is made of.
    pub async fn config_of_account(&self, namespace: &str, name: &str) -> Result<Config, ControlPlaneError> {
        let mut config = self.control_plane.config_of_nobody().await?;
        namespace.clone_into(&mut config.default_namespace);
        config.auth_info.token = self.token_of(namespace, name).await?.map(Into::into);
        Ok(config)
    }

    /// Returns a token of a ServiceAccount, which is made if it is not there.
    pub(crate) async fn token_of(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<String>, ControlPlaneError> {
        let accounts: Api<v1::ServiceAccount> = Api::namespaced(self.client(), namespace);
        let mut account = v1::ServiceAccount::default();
        account.meta_mut().name = Some(name.to_owned());
        match accounts.create(&PostParams::default(), &account).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            other => drop(other?),
        }
        let request = TokenRequest {
            spec: Some(TokenRequestSpec::default()),
            ..TokenRequest::default()
        };
        let made = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await?;
        Ok(made.status.and_then(|status| status.token))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(folder) = self.control_plane.keep_logs()
        {
            note(&format!(
                "{}: the logs of the control plane are kept in {}",
                self.name,
                folder.display()
            ));
        }
    }
}
