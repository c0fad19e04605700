//! What a pass says of the registry, of the branch, and of what it could not do.

use std::collections::BTreeSet;
use std::path::Path;

use planner::environment::Environment;
use planner::finding::{Disposition, Finding, Location, Reason, Subject};
use planner::object::{Kind, ObjectId};

use super::Reconciler;
use crate::source::SourceError;

impl Reconciler {
    /// Returns what is wrong with no single manifest.
    pub(super) fn general(&self) -> BTreeSet<Finding> {
        let mut general = self.of_commit.clone();
        general.extend(self.beside.iter().cloned());
        general.extend(self.unseen.iter().cloned());
        general.extend(self.unfetched.iter().cloned());
        general.extend(self.admission.findings().cloned());
        general.extend(self.undone.values().flatten().map(|finding| Finding {
            location: self.declared_at(&finding.subject),
            ..finding.clone()
        }));
        general.extend(self.unreadable());
        general
    }

    /// Returns where the branch's newest commit declares something.
    fn declared_at(&self, subject: &Subject) -> Option<Location> {
        let id = subject.object()?;
        let desired = self.resolver.resolution().desired.as_ref()?;
        let deployment = || Some(desired.deployments.get(&id.name)?.location.clone());
        let training = || Some(desired.trainings.get(&id.name)?.location.clone());
        match id.kind {
            Kind::Environment => None,
            Kind::Deployment => deployment(),
            Kind::Training => training(),
        }
    }

    /// Returns what is told of objects that make no sense. One that a manifest declares is made anew from it.
    fn unreadable(&self) -> impl Iterator<Item = Finding> {
        let desired = self.resolver.resolution().desired.as_ref();
        let is_declared = move |id: &ObjectId| {
            desired.is_none_or(|desired| match id.kind {
                Kind::Environment => desired.environment.name.as_str() == id.name.as_str(),
                Kind::Deployment => desired.deployments.contains_key(&id.name),
                Kind::Training => desired.trainings.contains_key(&id.name),
            })
        };
        let unreadable = self.target.unreadable().into_iter();
        let unreadable = unreadable.filter(move |(id, _)| !is_declared(id));
        unreadable.map(|(id, why)| Finding {
            location: None,
            reason: Reason::UnreadableObject,
            message: format!("carries this environment's label, makes no sense ({why}), and no manifest says what it should be"),
            hint: format!("kubectl delete {} {}, or take the label away; nothing is done with it", id.kind.as_str().to_lowercase(), id.name),
            subject: id.into(),
        })
    }
}

/// Says that the environment names another registry than the one in use, if it does.
pub(crate) fn moved_registry(environment: &Environment, declared: &Path, used: &Path) -> Option<Finding> {
    (declared != used).then(|| Finding {
        location: None,
        reason: Reason::StorageUnavailable,
        subject: ObjectId::environment(&environment.name).into(),
        message: format!(
            "spec.registry.path now names {}, and {} is in use",
            declared.display(),
            used.display()
        ),
        hint: "stop aurora, move what is in use there, and start it again; until then the registry in use goes on"
            .to_owned(),
    })
}

/// Says that the branch cannot be read.
pub(super) fn unavailable(error: &SourceError) -> Finding {
    Finding {
        location: None,
        reason: Reason::SourceUnavailable,
        subject: planner::finding::Subject::default(),
        message: error.to_string(),
        hint: match error {
            SourceError::Fetch { fault, .. } => match fault.disposition() {
                Disposition::Invalid => "what serves stays; mend it, then it goes on by itself",
                Disposition::Waiting => "what serves stays; it goes on by itself once that is there",
                Disposition::Transient => "what serves stays; it is fetched again by itself: see whether the repository's host and the network are up",
            },
            _ => "what was applied stays; it is read again all the time",
        }
        .to_owned(),
    }
}

/// Says of something that could not be read or done what happens next.
pub(super) fn undone(subject: &str, reason: Reason, disposition: Disposition, message: &str) -> Finding {
    Finding {
        location: None,
        reason,
        subject: subject.to_owned().into(),
        message: message.to_owned(),
        hint: match disposition {
            Disposition::Transient => "what serves stays; it is tried again",
            Disposition::Waiting => "what serves stays; it goes on by itself once that is there",
            Disposition::Invalid => "what serves stays; mend it, then it goes on by itself",
        }
        .to_owned(),
    }
}
