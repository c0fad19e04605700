//! The ConfigMap by which Pods know whose signature versions need: what the MLEnvironment says, which is what the last applied
//! commit said.
//!
//! It is written once the MLEnvironment is stored, and before any MLDeployment is after that: a raise that a policy lets through
//! finds Pods that know that policy, and a policy that lets more through than the one before counts in Git first. Whoever else
//! changes or removes it is corrected, whatever `drift` says.

use std::sync::{Mutex, MutexGuard};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use planner::names::EnvironmentName;
use planner::trust::Trust;
use tokio::sync::Notify;

use super::{MANAGER, lock};
use crate::build::trust::{TRUST, TRUST_KEY, config_map, told};
use crate::watch::{Heard, Selection, follow_selected};

/// What Pods are told, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Told {
    /// Nothing was heard of it yet.
    #[default]
    Unknown,
    /// Nothing: there is no ConfigMap, or it says nothing of that.
    Nothing,
    /// This.
    Says(String),
}

/// What is known of the ConfigMap.
#[derive(Debug, Default)]
struct Known {
    told: Told,
    /// As of when.
    version: u64,
    /// That it cannot be followed was said.
    is_unheard: bool,
    /// The version of the MLEnvironment, and that of the ConfigMap, that were found to agree.
    agreed: Option<(String, u64)>,
}

/// The ConfigMap of one installation.
#[derive(Debug)]
pub(super) struct Trusting {
    api: Api<ConfigMap>,
    known: Mutex<Known>,
    /// Held while it is written: many that need it at once have it written once.
    writing: tokio::sync::Mutex<()>,
}

impl Trusting {
    pub(super) fn new(client: &Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            known: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Follows it for ever; `news` is told of what somebody changed.
    pub(super) async fn follow(&self, news: &Notify) {
        let name = format!("metadata.name={TRUST}");
        let named = Selection {
            labels: None,
            fields: Some(&name),
        };
        follow_selected(self.api.clone(), named, |heard| {
            if self.hear(heard) {
                news.notify_one();
            }
        })
        .await;
    }

    fn hear(&self, heard: Heard<'_, ConfigMap>) -> bool {
        match heard {
            Heard::Listed(maps, version) => {
                let map = maps.into_iter().next();
                self.take(version, map.as_ref().map_or(Told::Nothing, said))
            }
            Heard::Changed(map) => self.take(version(&map), said(&map)),
            Heard::Gone(map) => self.take(version(&map), Told::Nothing),
            Heard::Followed => {
                self.known().is_unheard = false;
                false
            }
            Heard::Failed(error) => {
                if !std::mem::replace(&mut self.known().is_unheard, true) {
                    tracing::warn!(%error, config_map = TRUST, "cannot follow what Pods are told of signatures; it is tried again");
                }
                false
            }
        }
    }

    /// Takes in what it says as of a version; returns whether that is news.
    fn take(&self, version: &str, told: Told) -> bool {
        let mut known = self.known();
        // Versions are numbers, and grow.
        let version = version.parse().unwrap_or(known.version);
        if version < known.version {
            return false;
        }
        known.version = version;
        let is_news = known.told != told;
        known.told = told;
        is_news
    }

    /// Sees to it that Pods are told what an MLEnvironment says, which is of this version.
    pub(super) async fn keep(
        &self,
        environment: &EnvironmentName,
        (version, trust): (&str, Option<&Trust>),
    ) -> Result<(), kube::Error> {
        let _writing = self.writing.lock().await;
        let due = {
            let mut known = self.known();
            let now = known.version;
            if known
                .agreed
                .as_ref()
                .is_some_and(|(of, at)| of == version && *at == now)
            {
                return Ok(());
            }
            let due = due(trust, &known.told);
            if due.is_none() && known.told != Told::Unknown {
                known.agreed = Some((version.to_owned(), now));
            }
            due
        };
        let Some(text) = due else { return Ok(()) };
        let map = config_map(environment, &text);
        let params = PatchParams::apply(MANAGER).force();
        let written = self.api.patch(TRUST, &params, &Patch::Apply(&map)).await?;
        tracing::info!(
            config_map = TRUST,
            verify = trust.map_or("Off", |trust| trust.verify.as_str()),
            "Pods are told whose signature versions need"
        );
        self.take(self::version(&written), said(&written));
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

/// Returns what is to be written, if anything is. Where nobody's signature was ever needed, there is nothing to be told.
fn due(wanted: Option<&Trust>, found: &Told) -> Option<String> {
    let text = told(wanted);
    match found {
        Told::Says(said) => (*said != text).then_some(text),
        Told::Nothing | Told::Unknown => wanted.map(|_trust| text),
    }
}

fn said(map: &ConfigMap) -> Told {
    let said = map.data.as_ref().and_then(|data| data.get(TRUST_KEY));
    said.map_or(Told::Nothing, |said| Told::Says(said.clone()))
}

fn version(map: &ConfigMap) -> &str {
    map.metadata.resource_version.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use planner::commits::Verify;

    use super::*;

    #[test]
    fn pods_are_told_what_counts_and_nothing_where_nothing_ever_did() {
        let trust = |verify, key: &str| Trust {
            verify,
            keys: vec![key.to_owned()],
        };
        let (require, warn) = (trust(Verify::Require, "a"), trust(Verify::Warn, "a"));
        let rotated = trust(Verify::Require, "b");
        let off = r#"{"verify":"Off","keys":[]}"#;
        let says = |trust: &Trust| Told::Says(told(Some(trust)));
        for (wanted, found, expected) in [
            (None, Told::Nothing, None),
            (None, Told::Unknown, None),
            (None, Told::Says(off.to_owned()), None),
            (None, Told::Says("else".to_owned()), Some(off.to_owned())),
            (None, says(&require), Some(off.to_owned())),
            (Some(&require), says(&require), None),
            (Some(&require), Told::Nothing, Some(told(Some(&require)))),
            (Some(&require), Told::Unknown, Some(told(Some(&require)))),
            (
                Some(&require),
                Told::Says(off.to_owned()),
                Some(told(Some(&require))),
            ),
            (Some(&require), says(&warn), Some(told(Some(&require)))),
            (Some(&rotated), says(&require), Some(told(Some(&rotated)))),
        ] {
            assert_eq!(due(wanted, &found), expected, "{wanted:?} {found:?}");
        }
    }
}
