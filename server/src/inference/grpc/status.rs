//! HTTP's words for a fault in gRPC's: whoever counts faults finds the same numbers for both.

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use tonic::{Code, Status};
use warp::reply::Response;

use super::frames::{ACCEPTS, CODINGS, GRPC, STATUS};
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
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::NOT_IMPLEMENTED => {
            Code::Unimplemented
        }
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        StatusCode::INTERNAL_SERVER_ERROR => Code::Internal,
        _ => Code::Unknown,
    }
}

/// Returns the status that HTTP has for an answer with these headers and trailers, as far as its code tells; nothing where it has
/// no code, and so is no answer of a call.
pub(crate) fn counted(headers: &HeaderMap, trailers: &HeaderMap) -> Option<StatusCode> {
    let code = trailers.get(STATUS).or_else(|| headers.get(STATUS))?;
    Some(match Code::from_bytes(code.as_bytes()) {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
        // What is too large stays so.
        Code::ResourceExhausted if headers.contains_key(RETRY_AFTER) => StatusCode::TOO_MANY_REQUESTS,
        Code::ResourceExhausted => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    })
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
    use hyper::header::HeaderValue;

    use super::*;

    /// Whoever passes an answer on counts it as whoever gave it.
    #[test]
    fn what_a_refusal_counts_as_is_known_by_its_code() {
        for (status, expected) in [
            (400, 400),
            (401, 401),
            (403, 403),
            (404, 404),
            (408, 408),
            (413, 413),
            (429, 429),
            (500, 500),
            (501, 501),
            (503, 503),
            // What has no code of its own.
            (405, 501),
            (415, 501),
            (502, 503),
            (504, 408),
            (418, 500),
        ] {
            let failure = Failure::new(StatusCode::from_u16(status).expect("a status"), String::new());
            let response = refusal(&failure, None);
            let counted = counted(response.headers(), &HeaderMap::new());
            assert_eq!(counted.map(|status| status.as_u16()), Some(expected), "{status}");
        }
        let trailers = |code: &'static str| HeaderMap::from_iter([(STATUS, HeaderValue::from_static(code))]);
        let none = HeaderMap::new();
        assert_eq!(counted(&none, &trailers("0")), Some(StatusCode::OK));
        assert_eq!(counted(&trailers("5"), &trailers("0")), Some(StatusCode::OK));
        assert_eq!(
            counted(&none, &trailers("99")),
            Some(StatusCode::INTERNAL_SERVER_ERROR)
        );
        assert_eq!(counted(&none, &none), None);
    }

    #[test]
    fn a_reason_is_cut_and_never_inside_of_a_letter() {
        let failure = Failure::bad_request("ä".repeat(REASON_BYTES_MAX));
        let message = status(&failure).message().to_owned();
        assert_eq!(message, "ä".repeat(REASON_BYTES_MAX / 2));
    }
}
