//! Answers' bodies as they are passed on: cut off where watches are closed, with endpoints' addresses as they are here.

use std::error::Error;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use tokio::sync::watch;

/// What went wrong with a body: its connection ends.
type Broken = Box<dyn Error + Send + Sync>;
pub(super) type Answered = UnsyncBoxBody<Bytes, Broken>;

/// How the addresses of an EndpointSlice begin as Pods have them in the API, and here.
const ADDRESSES: (&str, &str) = (r#""addresses":["10."#, r#""addresses":["127."#);

/// Returns a body that is whole.
pub(super) fn text(text: String) -> Answered {
    Full::new(Bytes::from(text))
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Returns a body that ends when `closed` says so.
pub(super) fn answered(body: Body, is_of_endpoints: bool, closed: Option<watch::Receiver<u64>>) -> Answered {
    let mut stream = body.into_data_stream().map_err(Broken::from).boxed();
    if is_of_endpoints {
        stream = lines(stream).map_ok(here).boxed();
    }
    if let Some(mut closed) = closed {
        let is_closed = async move { closed.changed().await.unwrap_or_default() };
        stream = stream.take_until(Box::pin(is_closed)).boxed();
    }
    StreamBody::new(stream.map_ok(Frame::data)).boxed_unsync()
}

type Stream = stream::BoxStream<'static, Result<Bytes, Broken>>;

/// Returns the same bytes in whole lines; the last may have no end.
fn lines(stream: Stream) -> impl futures_util::Stream<Item = Result<Bytes, Broken>> + Send + 'static {
    stream::unfold(
        (stream, Vec::new(), false),
        |(mut stream, mut kept, is_over)| async move {
            if is_over {
                return None;
            }
            loop {
                if let Some(end) = kept.iter().rposition(|byte| *byte == b'\n') {
                    let rest = kept.split_off(end + 1);
                    return Some((Ok(Bytes::from(kept)), (stream, rest, false)));
                }
                match stream.next().await {
                    Some(Ok(bytes)) => kept.extend_from_slice(&bytes),
                    Some(Err(error)) => return Some((Err(error), (stream, Vec::new(), true))),
                    None => return Some((Ok(Bytes::from(kept)), (stream, Vec::new(), true))),
                }
            }
        },
    )
}

fn here(line: Bytes) -> Bytes {
    match std::str::from_utf8(&line) {
        Ok(text) => Bytes::from(text.replace(ADDRESSES.0, ADDRESSES.1)),
        Err(_) => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_those_of_this_machine_wherever_a_chunk_ends() {
        let whole = concat!(
            r#"{"endpoints":[{"addresses":["10.1.2.3"]},{"addresses":["10.4.5.6"]}]}"#,
            "\n",
            r#"{"addresses":["11.0.0.1"],"x":"10.0.0.1"}"#
        );
        let expected = concat!(
            r#"{"endpoints":[{"addresses":["127.1.2.3"]},{"addresses":["127.4.5.6"]}]}"#,
            "\n",
            r#"{"addresses":["11.0.0.1"],"x":"10.0.0.1"}"#
        );
        for size in [1, 7, 1000] {
            let chunks: Vec<_> = whole
                .as_bytes()
                .chunks(size)
                .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
                .collect();
            let told = lines(stream::iter(chunks).boxed())
                .map_ok(here)
                .try_collect::<Vec<_>>()
                .await
                .unwrap();
            assert_eq!(
                String::from_utf8(told.concat()).unwrap(),
                expected,
                "chunks of {size}"
            );
        }
    }
}
