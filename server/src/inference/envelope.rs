//! What a request's headers say of its body: its type, whether it is compressed, where its JSON ends.

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName};

use crate::http::coding::Coding;
use crate::http::reply::Failure;

/// The header of the binary tensor extension: how many bytes of JSON come before the tensors, once decompressed.
pub(super) const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Which of the bodies a path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The Open Inference Protocol's.
    Protocol,
    /// `/predict`'s.
    Plain,
    /// That of KServe's first protocol.
    Instances,
    /// MLflow's.
    Invocation,
    /// The Open Inference Protocol's, as a message of gRPC.
    Message,
}

/// How a body is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// All of it is JSON.
    Json,
    /// So many bytes of JSON, then the bytes of tensors.
    Tensors(usize),
    /// The bytes of the one input, and nothing else.
    Raw,
    /// A message of gRPC, from here on.
    Message { at: usize },
}

/// What has to be known of a body to read it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope {
    pub(super) layout: Layout,
    /// How it is compressed.
    pub(super) coding: Option<Coding>,
}

impl Envelope {
    /// Refuses a body that is none of those that a path takes. A request without a content type is taken at its word, and so
    /// is what `curl -d` says where `/predict` is asked: any page can make a browser send either, so refusing one would
    /// protect nobody.
    pub(crate) fn read(form: Form, headers: &HeaderMap) -> Result<Self, Failure> {
        let layout = layout(form, headers)?;
        let coding = Coding::of_body(headers)?;
        let envelope = Self { layout, coding };
        let Some(kind) = headers.get(CONTENT_TYPE) else {
            return Ok(envelope);
        };
        let kind = kind.to_str().unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        let curl = form == Form::Plain && is("application/x-www-form-urlencoded");
        let tensors = layout != Layout::Json && is("application/octet-stream");
        if curl || tensors || is("application/json") {
            return Ok(envelope);
        }
        Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content type is not application/json (curl: -H 'content-type: application/json')".to_owned(),
        ))
    }
}

fn layout(form: Form, headers: &HeaderMap) -> Result<Layout, Failure> {
    let mut given = headers.get_all(JSON_LENGTH).iter();
    let Some(value) = given.next() else {
        return Ok(Layout::Json);
    };
    if form != Form::Protocol {
        return Err(Failure::bad_request(format!(
            "{JSON_LENGTH} is given, but binary tensors are the Open Inference Protocol's: POST /v2/models/MODEL/infer"
        )));
    }
    // A sign is no part of a length.
    let digits = value
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|text| text.parse().ok()) {
        Some(_) if given.next().is_some() => {
            Err(Failure::bad_request(format!("{JSON_LENGTH} is given twice")))
        }
        Some(0) => Ok(Layout::Raw),
        Some(json_bytes) => Ok(Layout::Tensors(json_bytes)),
        None => Err(Failure::bad_request(format!(
            "{JSON_LENGTH} is no number of bytes: how many the JSON takes, before the tensors"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_is_given_twice_is_refused() {
        let mut headers = HeaderMap::new();
        headers.append(JSON_LENGTH, 1.into());
        let envelope = Envelope::read(Form::Protocol, &headers).expect("a length");
        assert_eq!(envelope.layout, Layout::Tensors(1));
        headers.append(JSON_LENGTH, 1.into());
        let failure = Envelope::read(Form::Protocol, &headers).expect_err("two lengths");
        assert!(failure.message.ends_with("is given twice"), "{failure}");
    }
}
