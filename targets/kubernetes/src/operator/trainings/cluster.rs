//! What is asked of the cluster about training jobs, and written to it.

use std::collections::BTreeMap;

use crds::{MLTrainingJob, MLTrainingJobStatus};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::core::ObjectMeta;
use kube::{Api, Client};
use reconciler::objects::resource::known_format;
use serde_json::Value;

use super::children::JOB_OF_POD;
use crate::build::training;
use crate::operator::MANAGER;
use crate::operator::cluster::StepError;
use crate::operator::status;
use crate::trainings::SeenJob;

/// What the Pods of training runs are found by, beside whose they are.
pub(super) const TRAINING: &str =
    "app.kubernetes.io/managed-by=aurora-operator,app.kubernetes.io/component=training";

/// A namespace of a cluster.
pub(super) struct Cluster {
    pub(super) client: Client,
    namespace: String,
}

impl Cluster {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
        }
    }

    /// The objects as they are stored: one that makes no sense does not keep the others from being followed.
    pub(super) fn raw(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<MLTrainingJob>(&());
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    fn objects(&self) -> Api<MLTrainingJob> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Returns an object, as long as it is there. One whose memory a later program wrote is left alone.
    pub(super) async fn object(&self, name: &str) -> Result<Option<MLTrainingJob>, StepError> {
        let Some(found) = self.raw().get_opt(name).await? else {
            return Ok(None);
        };
        let document = serde_json::to_value(found).map_err(kube::Error::SerdeError)?;
        known_format(document.get("status").unwrap_or(&Value::Null))?;
        let object = serde_json::from_value(document).map_err(kube::Error::SerdeError)?;
        Ok(Some(object))
    }

    /// Returns those of an object's Jobs that are there, by name, without their Pods.
    pub(super) async fn own_jobs(
        &self,
        object: &MLTrainingJob,
        names: impl IntoIterator<Item = String>,
    ) -> Result<BTreeMap<String, SeenJob>, StepError> {
        let mut jobs = BTreeMap::new();
        for name in names {
            let found = self.jobs().get_opt(&name).await?;
            if let Some(job) = found.filter(|job| is_of(&job.metadata, object)) {
                let pods = Vec::new();
                jobs.insert(name, SeenJob { job, pods });
            }
        }
        Ok(jobs)
    }

    /// Returns a Job's Pods: those that a watch has told of, or all where it has not told of any.
    pub(super) async fn pods_of(
        &self,
        job: &str,
        known: impl IntoIterator<Item = String>,
    ) -> Result<Vec<Pod>, StepError> {
        let mut pods = Vec::new();
        for name in known {
            pods.extend(self.pods().get_opt(&name).await?);
        }
        if pods.is_empty() {
            let of_job = ListParams::default().labels(&format!("{JOB_OF_POD}={job}"));
            pods = self.pods().list(&of_job).await?.items;
        }
        Ok(pods)
    }

    /// Writes an object's status, unless it says so already or somebody else has written the object.
    pub(super) async fn report(
        &self,
        object: &MLTrainingJob,
        after: &MLTrainingJobStatus,
    ) -> Result<bool, StepError> {
        let statuses = (object.status.as_ref(), after);
        status::report(&self.objects(), &object.metadata, statuses).await
    }

    /// Makes a Job. One of the object that is there already is the one, or the next step says what becomes of it.
    pub(super) async fn make(&self, object: &MLTrainingJob, job: &Job) -> Result<(), StepError> {
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let name = job.metadata.name.clone().unwrap_or_default();
        let child = format!("Job {name}");
        match self.jobs().create(&params, job).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            // A quota, or somebody who admits: what they say is for a person.
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
                let message = status.message.clone();
                return Err(StepError::Refused { child, message });
            }
            made => return made.map(drop).map_err(StepError::from),
        }
        match self.jobs().get_opt(&name).await? {
            Some(found) if is_of(&found.metadata, object) => Ok(()),
            Some(found) if is_of_name(&found.metadata, object) => Err(StepError::Leaving { child }),
            Some(_) => Err(StepError::Foreign { child }),
            None => Err(StepError::Conflict),
        }
    }

    /// Deletes a Job, with its Pods.
    pub(super) async fn delete(&self, job: &Job) -> Result<(), StepError> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: job.metadata.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        let name = job.metadata.name.as_deref().unwrap_or_default();
        match self.jobs().delete(name, &params).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            deleted => deleted.map(drop).map_err(StepError::from),
        }
    }

    /// Lets a Job go after a while.
    pub(super) async fn expire(&self, job: &str) -> Result<(), StepError> {
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(training::expiring());
        match self.jobs().patch(job, &params, &patch).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            patched => patched.map(drop).map_err(StepError::from),
        }
    }
}

fn is_of(child: &ObjectMeta, object: &MLTrainingJob) -> bool {
    let mut owners = child.owner_references.iter().flatten();
    owners.any(|owner| Some(&owner.uid) == object.metadata.uid.as_ref())
}

/// Says whether a child is of an object of the same name, be it this one or one before.
fn is_of_name(child: &ObjectMeta, object: &MLTrainingJob) -> bool {
    let mut owners = child.owner_references.iter().flatten();
    owners.any(|owner| owner.kind == "MLTrainingJob" && Some(&owner.name) == object.metadata.name.as_ref())
}
