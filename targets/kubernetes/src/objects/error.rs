//! What an API server answered → what happens next, and what a person reads.

use std::error::Error as _;

use kube::core::Status;
use planner::finding::{Disposition, Reason};
use reconciler::objects::TargetError;

use crate::leadership::NotLeading;

/// How much of a server's words is told, in characters.
const WORDS_CHARS_MAX: usize = 400;

/// Sorts a failure by what happens next.
pub(super) fn target_error(error: &kube::Error) -> TargetError {
    match error {
        kube::Error::Api(status) => refusal(status),
        kube::Error::Service(cause) if cause.downcast_ref::<NotLeading>().is_some() => {
            unavailable(&NotLeading.to_string())
        }
        other => unavailable(&format!("cannot reach the API server: {}", chain(other))),
    }
}

/// Says whether the API server gave no answer at all, so that the next request would get none either.
pub(super) fn is_silence(error: &kube::Error) -> bool {
    !matches!(error, kube::Error::Api(_))
}

/// Returns what may succeed when it is tried again.
pub(super) fn unavailable(words: &str) -> TargetError {
    TargetError::new(Disposition::Transient, Reason::ClusterUnavailable, words)
}

/// Says whether an apply was refused because another manager owns a field of it.
pub(super) fn is_field_conflict(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .into_iter()
        .any(|cause| cause.reason == "FieldManagerConflict")
}

fn refusal(status: &Status) -> TargetError {
    let words: String = status.message.chars().take(WORDS_CHARS_MAX).collect();
    let refused = |message: String| TargetError::new(Disposition::Invalid, Reason::ClusterRefused, message);
    match status.code {
        400 | 422 => refused(format!("the API server refuses it: {words}")),
        401 => refused(format!(
            "the API server does not know who asks: {words}; a Pod needs the token of its ServiceAccount"
        )),
        403 => refused(format!("the API server forbids it: {words}")),
        404 => refused(format!(
            "the API server does not serve it: {words}; install the CustomResourceDefinitions (`aurora crds`), and make the namespace"
        )),
        409 => unavailable(&format!("somebody else wrote at the same time: {words}")),
        429 => unavailable(&format!("the API server has too much to do: {words}")),
        code => unavailable(&format!("the API server fails ({code}): {words}")),
    }
}

/// Returns an error with what it stands on.
fn chain(error: &kube::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status {
            code,
            message: message.to_owned(),
            ..Status::default()
        }))
    }

    #[test]
    fn what_happens_next_stands_on_what_the_server_says() {
        use Disposition::{Invalid, Transient};
        use Reason::{ClusterRefused, ClusterUnavailable};
        let forbidden =
            r#"mldeployments.aurora.io "a" is forbidden: User "u" cannot patch resource "mldeployments""#;
        for (code, message, disposition, reason, told) in [
            (400, "no", Invalid, ClusterRefused, "no"),
            (401, "Unauthorized", Invalid, ClusterRefused, "ServiceAccount"),
            (403, forbidden, Invalid, ClusterRefused, "cannot patch resource"),
            (404, "not found", Invalid, ClusterRefused, "aurora crds"),
            (409, "modified", Transient, ClusterUnavailable, "modified"),
            (
                422,
                "spec.weight: 101",
                Invalid,
                ClusterRefused,
                "spec.weight: 101",
            ),
            (429, "slow down", Transient, ClusterUnavailable, "too much"),
            (500, "boom", Transient, ClusterUnavailable, "boom"),
            (503, "etcd is away", Transient, ClusterUnavailable, "etcd is away"),
        ] {
            let error = target_error(&api(code, message));
            assert_eq!(
                (error.disposition(), error.reason()),
                (disposition, reason),
                "{code}"
            );
            assert!(error.to_string().contains(told), "{code}: {error}");
            assert!(!is_silence(&api(code, message)));
        }
    }

    #[test]
    fn a_fenced_write_is_tried_again_by_whoever_leads() {
        let error = kube::Error::Service(Box::new(NotLeading));
        assert_eq!(target_error(&error).disposition(), Disposition::Transient);
        assert!(target_error(&error).to_string().contains("does not lead"));
        assert!(is_silence(&error));
    }
}
