//! A call's one message in its frame: a byte that says whether it is compressed, four of its length, and itself
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use warp::reply::Response;

use crate::http::aside::Aside;
use crate::http::body::Body;
use crate::http::budget::{Counted, Held};
use crate::http::coding::Coding;
use crate::http::http2::Trailers;
use crate::http::reply::Failure;

/// What stands before a message.
pub(crate) const HEAD_BYTES: usize = 5;
/// The largest message that asks for no predictions.
const QUESTION_BYTES_MAX: usize = 64 << 10;

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(super) const ACCEPTS: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// The codings that messages may come in.
pub(super) const CODINGS: HeaderValue = HeaderValue::from_static("identity,deflate,gzip");
pub(super) const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Refuses what is no call.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Failure> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let rest = kind.and_then(|kind| kind.strip_prefix("application/grpc"));
    match rest {
        Some("" | "+proto") => Ok(()),
        Some(rest) if rest.starts_with(';') || rest.starts_with("+proto;") => Ok(()),
        _ => Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content type is not application/grpc: this listener speaks gRPC".to_owned(),
        )),
    }
}

/// Takes a body's one message out of its frame; it begins where that is said.
pub(crate) async fn open(aside: &Aside, headers: &HeaderMap, body: Body) -> Result<(Body, usize), Failure> {
    match framing(headers, &body)? {
        None => Ok((body, HEAD_BYTES)),
        Some(coding) => Ok((Box::pin(aside.inflate(coding, body, HEAD_BYTES)).await?, 0)),
    }
}

/// Reads a body's one message, which asks for no predictions.
pub(crate) async fn read<M: Message + Default>(
    aside: &Aside,
    headers: &HeaderMap,
    body: Body,
) -> Result<M, Failure> {
    let (body, at) = open(aside, headers, body).await?;
    question(body.get(at..).unwrap_or_default())
}

/// Reads a message that asks for no predictions.
pub(crate) fn question<M: Message + Default>(message: &[u8]) -> Result<M, Failure> {
    if message.len() > QUESTION_BYTES_MAX {
        return Err(Failure::too_large(QUESTION_BYTES_MAX));
    }
    M::decode(message).map_err(|error| Failure::bad_request(format!("failed to read the message: {error}")))
}

/// Returns how the one message of a body is compressed, if it is; it begins behind [`HEAD_BYTES`].
pub(crate) fn framing(headers: &HeaderMap, body: &[u8]) -> Result<Option<Coding>, Failure> {
    let Some((&[flag, a, b, c, d], message)) = body.split_first_chunk::<HEAD_BYTES>() else {
        return Err(Failure::bad_request("the call has no message".to_owned()));
    };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if message.len() != length {
        let got = message.len();
        return Err(Failure::bad_request(format!(
            "the message is announced with {length} bytes, {got} came: a call has one message"
        )));
    }
    match flag {
        0 => Ok(None),
        1 => coding(headers).map(Some),
        _ => Err(Failure::bad_request(
            "the call's first byte is neither 0 nor 1".to_owned(),
        )),
    }
}

/// Returns how a message is compressed that says it is.
fn coding(headers: &HeaderMap) -> Result<Coding, Failure> {
    let name = headers.get(ENCODING).and_then(|name| name.to_str().ok());
    let name = name.unwrap_or("identity");
    Coding::named(name).ok_or_else(|| {
        Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("{ENCODING}: the message is compressed by no coding that is known here: gzip, deflate"),
        )
    })
}

/// Writes a message into its frame.
pub(super) fn framed(length: usize, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + length);
    bytes.push(0);
    let announced = u32::try_from(length).expect("invariant: an answer is bounded in bytes");
    bytes.extend(announced.to_be_bytes());
    write(&mut bytes);
    debug_assert_eq!(bytes.len(), HEAD_BYTES + length);
    bytes
}

/// Answers with a message.
pub(crate) fn said(message: &impl Message) -> Response {
    let bytes = framed(message.encoded_len(), |bytes| {
        message.encode(bytes).expect("invariant: memory takes all bytes");
    });
    answer(bytes, &HeaderMap::new(), None)
}

/// Answers with a message in its frame, and all went well.
pub(super) fn answer(framed: Vec<u8>, headers: &HeaderMap, held: Option<Held>) -> Response {
    let mut response = Response::new(framed.into());
    response.headers_mut().clone_from(headers);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    response.extensions_mut().insert(Trailers(trailers));
    if let Some(held) = held {
        response.extensions_mut().insert(Counted::from(held));
    }
    response
}
