//! HTTP's words for a fault in gRPC's: whoever counts faults finds the same numbers for both.

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use tonic::{Code, Status};
use warp::reply::Response;

use super::frames::{ACCEPTS, CODINGS, GRPC};
use crate::http::reply::Failure;
use crate::runtime::Loaded;

/// The longest reason that is sent: it goes among the headers, of which clients take 8 KiB.
const REASON_BYTES_MAX: usize = 1024;

/// There is no such call.
pub(super) fn no_such_method() -> Failure {
    Failure::new(
        StatusCode::NOT_IMPLEMENTED,
        "no such call: inference.GRPCInferenceService and grpc.health.v1.Health/Check are answered, and reflection tells \
         what they take"
            .to_owned(),
    )
}

/// Returns the code of a status (<https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>).
pub(super) fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::BAD_REQUEST => Code::InvalidArgument,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::REQUEST_TIMEOUT => Code::DeadlineExceeded,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::NOT_IMPLEMENTED => {
            Code::Unimplemented
        }
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        StatusCode::INTERNAL_SERVER_ERROR => Code::Internal,
        _ => Code::Unknown,
    }
}

/// Returns the status that says so.
pub(super) fn status(failure: &Failure) -> Status {
    let reason = &failure.message;
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    Status::new(code(failure.status), &reason[..end])
}

/// Returns the answer that says so, with the headers that say who refused.
pub(super) fn refusal(failure: &Failure, loaded: Option<&Loaded>) -> Response {
    let mut response = Response::default();
    let headers = response.headers_mut();
    if let Some(loaded) = loaded {
        headers.clone_from(&loaded.headers);
    }
    headers.insert(CONTENT_TYPE, GRPC);
    if failure.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        headers.insert(ACCEPTS, CODINGS);
    }
    if let Some(seconds) = failure.retry() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    status(failure)
        .add_header(headers)
        .expect("invariant: a reason is percent-encoded, and there are no details");
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_and_never_inside_of_a_letter() {
        let failure = Failure::bad_request("ä".repeat(REASON_BYTES_MAX));
        let message = status(&failure).message().to_owned();
        assert_eq!(message, "ä".repeat(REASON_BYTES_MAX / 2));
    }
}
