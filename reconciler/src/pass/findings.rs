//! What a pass says of the registry, of the branch, and of what it could not do.

use std::path::Path;

use planner::environment::Environment;
use planner::finding::{Disposition, Finding, Reason};
use planner::object::ObjectId;

use crate::source::SourceError;

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
        hint: "what was applied stays; it is read again all the time".to_owned(),
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
