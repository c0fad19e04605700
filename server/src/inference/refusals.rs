//! What is refused whoever evaluates requests.

use hyper::StatusCode;

use crate::http::reply::Failure;

/// Models change by commit.
pub(crate) fn by_commit() -> Failure {
    Failure::new(
        StatusCode::FORBIDDEN,
        "models change by commit: what the environment's manifests declare is loaded, nothing else"
            .to_owned(),
    )
}

/// The path is none of the listener's.
pub(crate) fn no_such_path() -> Failure {
    Failure::not_found(
        "no such path: the Open Inference Protocol is under /v2, a plain form at POST /predict/MODEL, KServe's first \
         protocol under /v1, MLflow's at POST /invocations"
            .to_owned(),
    )
}
