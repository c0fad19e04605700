//! Bodies that come compressed and answers that go so, in the two codings that clients of the protocol offer: gzip, and
//! deflate in zlib's format, as HTTP means it.

use std::io::{self, Read, Write};

use bytes::buf::Reader;
use bytes::{Buf as _, Bytes};
use flate2::Compression;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use hyper::StatusCode;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};

use super::reply::Failure;

/// Answers below it are a few packets: a client would wait longer for the coding than for the bytes.
pub(crate) const COMPRESSED_BYTES_MIN: usize = 4 << 10;

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    /// Returns how the body of a request is compressed; 415 for codings that are not known.
    pub(crate) fn of_body(headers: &HeaderMap) -> Result<Option<Self>, Failure> {
        let mut coding = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            for word in value.to_str().unwrap_or("?").split(',').map(str::trim) {
                if word.is_empty() || word.eq_ignore_ascii_case("identity") {
                    continue;
                }
                let known = Self::named(word).ok_or_else(|| unknown(word))?;
                if coding.replace(known).is_some() {
                    return Err(unknown("several, one in the other"));
                }
            }
        }
        Ok(coding)
    }

    /// Returns how the answer may be compressed, by what the client prefers; nothing where it did not say.
    pub(crate) fn of_answer(headers: &HeaderMap) -> Option<Self> {
        let mut best: Option<(Self, f32)> = None;
        let mut plain = 0.0_f32;
        for value in headers.get_all(ACCEPT_ENCODING) {
            for word in value.to_str().unwrap_or_default().split(',') {
                let mut parts = word.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default();
                let weight =
                    parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
                let weight = weight.map_or(1.0, |text| text.parse().unwrap_or(0.0));
                if name.eq_ignore_ascii_case("identity") {
                    plain = weight;
                }
                let is_better = |best: Option<(Self, f32)>| best.is_none_or(|(_, most)| weight > most);
                if let Some(coding) = Self::named(name)
                    && weight > 0.0
                    && is_better(best)
                {
                    best = Some((coding, weight));
                }
            }
        }
        best.filter(|(_, weight)| *weight >= plain)
            .map(|(coding, _)| coding)
    }

    /// Returns the coding of this name.
    pub(crate) fn named(word: &str) -> Option<Self> {
        if word.eq_ignore_ascii_case("gzip") || word.eq_ignore_ascii_case("x-gzip") {
            Some(Self::Gzip)
        } else if word.eq_ignore_ascii_case("deflate") {
            Some(Self::Deflate)
        } else {
            None
        }
    }

    /// Returns its name as a header's value.
    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        })
    }

    /// Compresses an answer; `None` where it is small or gets no smaller. What it makes is never larger than `bytes`.
    pub(crate) fn compress(self, bytes: &[u8]) -> Option<Vec<u8>> {
        if bytes.len() < COMPRESSED_BYTES_MIN {
            return None;
        }
        let within = Within {
            bytes: Vec::new(),
            max: bytes.len(),
        };
        let written = match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(within, Compression::fast());
                encoder.write_all(bytes).and_then(|()| encoder.finish())
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(within, Compression::fast());
                encoder.write_all(bytes).and_then(|()| encoder.finish())
            }
        };
        let mut compressed = written.ok()?.bytes;
        compressed.shrink_to_fit();
        Some(compressed)
    }
}

fn unknown(got: &str) -> Failure {
    let got: String = got.chars().take(40).collect();
    Failure::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("content-encoding: got {got}, expected gzip or deflate, or none"),
    )
}

/// Refuses to grow beyond what it may have.
struct Within {
    bytes: Vec<u8>,
    max: usize,
}

impl Write for Within {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + part.len() >= self.max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A body that is being decompressed, as far as there is room for it.
#[derive(Debug)]
pub(crate) struct Inflating {
    decoder: Decoder,
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Decoder {
    Gzip(MultiGzDecoder<Reader<Bytes>>),
    Deflate(ZlibDecoder<Reader<Bytes>>),
}

/// How far a body is decompressed.
#[derive(Debug)]
pub(crate) enum Inflated {
    /// There may be more of it.
    Part(Inflating),
    Whole(Vec<u8>),
}

impl Inflating {
    pub(crate) fn new(coding: Coding, compressed: Bytes) -> Self {
        let compressed = compressed.reader();
        Self {
            decoder: match coding {
                Coding::Gzip => Decoder::Gzip(MultiGzDecoder::new(compressed)),
                Coding::Deflate => Decoder::Deflate(ZlibDecoder::new(compressed)),
            },
            bytes: Vec::new(),
        }
    }

    /// Goes on until there are `bytes` of it.
    pub(crate) fn up_to(mut self, bytes: usize) -> Result<Inflated, Failure> {
        let more = bytes - self.bytes.len();
        self.bytes.reserve_exact(more);
        let limit = u64::try_from(more).unwrap_or(u64::MAX);
        let read = match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder.take(limit).read_to_end(&mut self.bytes),
            Decoder::Deflate(decoder) => decoder.take(limit).read_to_end(&mut self.bytes),
        };
        let read = read.map_err(|error| {
            Failure::bad_request(format!("the body is not what its content-encoding says: {error}"))
        })?;
        if read == more {
            return Ok(Inflated::Part(self));
        }
        // gzip takes what follows for another member of it.
        if let Decoder::Deflate(decoder) = &self.decoder
            && decoder.get_ref().get_ref().has_remaining()
        {
            return Err(Failure::bad_request(
                "the body goes on after the end of what is compressed".to_owned(),
            ));
        }
        // What counts is what is there, not what there was room for.
        self.bytes.shrink_to_fit();
        Ok(Inflated::Whole(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    fn with(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn what_a_client_prefers_is_what_it_gets() {
        use Coding::{Deflate, Gzip};
        for (values, expected) in [
            (&[][..], None),
            (&["gzip, deflate"], Some(Gzip)),
            (&["gzip, deflate, br, zstd"], Some(Gzip)),
            (&["deflate"], Some(Deflate)),
            (&["gzip;q=0.5, deflate;q=0.8"], Some(Deflate)),
            (&["gzip;q=0, deflate;q=0"], None),
            (&["gzip;Q=0"], None),
            (&["identity, gzip;q=0.5"], None),
            (&["identity;q=0.5", "x-gzip"], Some(Gzip)),
            (&["br", ""], None),
            (&["gzip;q=much"], None),
            (&["*"], None),
        ] {
            assert_eq!(
                Coding::of_answer(&with(&ACCEPT_ENCODING, values)),
                expected,
                "{values:?}"
            );
        }
    }

    #[test]
    fn a_body_has_one_coding_or_none() {
        for (values, expected) in [
            (&[][..], Ok(None)),
            (&["identity"], Ok(None)),
            (&["GZIP"], Ok(Some(Coding::Gzip))),
            (&["deflate, identity"], Ok(Some(Coding::Deflate))),
            (&["br"], Err("got br")),
            (&["gzip, gzip"], Err("got several")),
            (&["gzip", "deflate"], Err("got several")),
        ] {
            match (Coding::of_body(&with(&CONTENT_ENCODING, values)), expected) {
                (Ok(coding), Ok(expected)) => assert_eq!(coding, expected, "{values:?}"),
                (Err(failure), Err(part)) => {
                    assert_eq!(failure.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
                    assert!(failure.message.contains(part), "{failure}");
                }
                (coding, _) => panic!("{values:?}: {coding:?}"),
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_no_whole_body() {
        for coding in [Coding::Gzip, Coding::Deflate] {
            let compressed = coding.compress(&[b'7'; 8 << 10]).expect("smaller");
            for left in 0..compressed.len() {
                let cut = compressed[..left].to_vec();
                let inflated = Inflating::new(coding, cut.into()).up_to(16 << 10);
                let failure = inflated.expect_err(&format!("{left} bytes of {coding:?}"));
                assert_eq!(failure.status, StatusCode::BAD_REQUEST, "{failure}");
            }
        }
    }

    #[test]
    fn what_gets_no_smaller_stays_as_it_is() {
        let even = vec![b'7'; 64 << 10];
        // xorshift: no two bytes hang together.
        let mut state = 1_u64;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        };
        let uneven: Vec<u8> = (0..64 << 10).map(|_| noise()).collect();
        for coding in [Coding::Gzip, Coding::Deflate] {
            assert_eq!(coding.compress(&even[..100]), None);
            assert_eq!(coding.compress(&uneven), None);
            let compressed = coding.compress(&even).expect("smaller");
            assert!(compressed.len() < 1024, "{}", compressed.len());
            let mut inflating = Inflating::new(coding, compressed.into());
            // In parts, the last of them empty.
            for bytes in [100, 32 << 10, 64 << 10] {
                match inflating.up_to(bytes).expect("whole so far") {
                    Inflated::Part(part) => inflating = part,
                    Inflated::Whole(_) => panic!("it goes on"),
                }
            }
            match inflating.up_to((64 << 10) + 1).expect("whole") {
                Inflated::Whole(bytes) => assert_eq!(bytes, even),
                Inflated::Part(_) => panic!("it is over"),
            }
        }
    }
}
