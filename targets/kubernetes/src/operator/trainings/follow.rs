//! What watches tell of MLTrainingJobs, their Jobs and their Pods: whom to step.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::MLTrainingJobStatus;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DynamicObject;
use planner::names::{ModelName, ObjectName};
use reconciler::objects::resource::read_runs;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Trainings;
use super::children::owner;
use super::cluster::TRAINING;
use crate::operator::run::{Loop, OURS, cannot_follow};
use crate::watch::{Heard, follow as follow_kind};

/// The kinds that are followed, each a bit of what was listed.
const OBJECTS: u8 = 1;
const JOBS: u8 = 2;
const PODS: u8 = 4;

/// Follows them for ever. Nothing is stepped before all were listed once: what is not known to be there may be.
pub(in crate::operator) async fn follow(looping: &Arc<Loop<Trainings>>, steps: &mut JoinSet<()>) {
    let (listed, mut all) = watch::channel(0);
    let is_listed = |kind: u8| listed.send_modify(|kinds| *kinds |= kind);
    let cluster = &looping.steps.cluster;
    let objects = follow_kind(cluster.raw(), None, |heard| {
        let is_list = matches!(heard, Heard::Listed(..));
        looping.touch(hear_object(&looping.steps, heard));
        if is_list {
            is_listed(OBJECTS);
        }
    });
    let jobs = follow_kind(cluster.jobs(), Some(OURS), |heard| {
        let is_list = matches!(heard, Heard::Listed(..));
        looping.touch(hear_job(&looping.steps, heard));
        if is_list {
            is_listed(JOBS);
        }
    });
    let pods = follow_kind(cluster.pods(), Some(TRAINING), |heard| {
        let is_list = matches!(heard, Heard::Listed(..));
        looping.touch(hear_pod(&looping.steps, heard));
        if is_list {
            is_listed(PODS);
        }
    });
    let stepping = async {
        let known = all.wait_for(|kinds| *kinds == OBJECTS | JOBS | PODS).await;
        drop(known);
        looping.step_all(steps).await;
    };
    tokio::join!(objects, jobs, pods, stepping);
}

fn hear_object(trainings: &Trainings, heard: Heard<'_, DynamicObject>) -> BTreeSet<ObjectName> {
    let mut admissions = trainings.shared.admissions();
    let mut hear = |object: &DynamicObject| -> Option<ObjectName> {
        let name = object.metadata.name.as_ref()?.parse().ok()?;
        let model = object.data.pointer("/spec/modelName").and_then(Value::as_str);
        let model: Option<ModelName> = model.and_then(|model| model.parse().ok());
        let status: Option<MLTrainingJobStatus> = object
            .data
            .get("status")
            .and_then(|status| serde_json::from_value(status.clone()).ok());
        let runs = read_runs(&status.unwrap_or_default());
        let said = model.as_ref().map(|model| (model, &runs));
        admissions.heard(&name, object.metadata.generation, said);
        Some(name)
    };
    match heard {
        Heard::Listed(objects, _version) => {
            let listed: BTreeSet<ObjectName> = objects.iter().filter_map(&mut hear).collect();
            // What is gone is stepped, too: it is found to be gone.
            admissions.all().union(&listed).cloned().collect()
        }
        Heard::Changed(object) => hear(&object).into_iter().collect(),
        Heard::Gone(object) => {
            let name = object.metadata.name.as_ref();
            name.and_then(|name| name.parse().ok()).into_iter().collect()
        }
        Heard::Followed => BTreeSet::new(),
        Heard::Failed(error) => {
            cannot_follow("MLTrainingJob", error);
            BTreeSet::new()
        }
    }
}

fn hear_job(trainings: &Trainings, heard: Heard<'_, Job>) -> BTreeSet<ObjectName> {
    let mut children = trainings.shared.children();
    let mut saw = |job: &Job, is_there: bool| {
        let name = job.metadata.name.as_deref()?;
        children.set_job(name, owner(&job.metadata).filter(|_| is_there))
    };
    match heard {
        Heard::Listed(jobs, _version) => {
            let mut touched: BTreeSet<ObjectName> = jobs.iter().filter_map(|job| saw(job, true)).collect();
            let listed = jobs.into_iter().filter_map(|job| job.metadata.name).collect();
            touched.extend(children.keep_jobs(&listed));
            touched
        }
        Heard::Changed(job) => saw(&job, true).into_iter().collect(),
        Heard::Gone(job) => saw(&job, false).into_iter().collect(),
        Heard::Followed => BTreeSet::new(),
        Heard::Failed(error) => {
            cannot_follow("Job", error);
            BTreeSet::new()
        }
    }
}

fn hear_pod(trainings: &Trainings, heard: Heard<'_, Pod>) -> BTreeSet<ObjectName> {
    let mut children = trainings.shared.children();
    let mut saw = |pod: &Pod, is_there: bool| {
        let name = pod.metadata.name.as_deref()?;
        children.set_pod(name, is_there.then_some(pod))
    };
    match heard {
        Heard::Listed(pods, _version) => {
            let mut touched: BTreeSet<ObjectName> = pods.iter().filter_map(|pod| saw(pod, true)).collect();
            let listed = pods.into_iter().filter_map(|pod| pod.metadata.name).collect();
            touched.extend(children.keep_pods(&listed));
            touched
        }
        Heard::Changed(pod) => saw(&pod, true).into_iter().collect(),
        Heard::Gone(pod) => saw(&pod, false).into_iter().collect(),
        Heard::Followed => BTreeSet::new(),
        Heard::Failed(error) => {
            cannot_follow("Pod", error);
            BTreeSet::new()
        }
    }
}
