//! Until when a certificate is valid: the one thing of it that is shown, and that rustls keeps to itself.

use planner::Timestamp;

// Tags of DER.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns the certificate's `notAfter` (RFC 5280, 4.1.2.5); nothing of what is no certificate.
pub(super) fn of(certificate: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (mut rest, _) = expect(SEQUENCE, certificate)?;
    if let (VERSION, _, after) = element(rest)? {
        rest = after;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (validity, _) = expect(SEQUENCE, rest)?;
    let (_, _, not_after) = element(validity)?;
    let (tag, text, _) = element(not_after)?;
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let century = match tag {
        UTC_TIME if text < "50" => "20",
        UTC_TIME => "19",
        GENERALIZED_TIME => "",
        _ => return None,
    };
    let text = format!("{century}{text}");
    if text.len() != "YYYYMMDDHHMMSSZ".len() {
        return None;
    }
    let [year, month, day, hour, minute, second] =
        [0..4, 4..6, 6..8, 8..10, 10..12, 12..15].map(|part| &text[part]);
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}")
        .parse()
        .ok()
}

fn expect(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// Splits off one element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, der) = der.split_first()?;
    let (&first, mut der) = der.split_first()?;
    let length = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x84 => {
            let (digits, rest) = der.split_at_checked(usize::from(first - 0x80))?;
            der = rest;
            digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit))
        }
        _ => return None,
    };
    let (content, rest) = der.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wraps content in an element.
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("short tests");
        let mut element = if length < 0x80 {
            vec![tag, length]
        } else {
            vec![tag, 0x81, length]
        };
        element.extend_from_slice(content);
        element
    }

    fn certificate(version: bool, tag: u8, not_after: &str) -> Vec<u8> {
        let times = [der(UTC_TIME, b"200101000000Z"), der(tag, not_after.as_bytes())].concat();
        let mut fields = Vec::new();
        if version {
            fields.extend(der(VERSION, &der(2, &[2])));
        }
        fields.extend(der(2, &[1; 20]));
        fields.extend(der(SEQUENCE, &[]));
        fields.extend(der(SEQUENCE, &[0; 90]));
        fields.extend(der(SEQUENCE, &times));
        der(SEQUENCE, &der(SEQUENCE, &fields))
    }

    #[test]
    fn a_certificate_says_until_when_it_is_valid() {
        for (version, tag, text, expected) in [
            (true, UTC_TIME, "301231235959Z", Some("2030-12-31T23:59:59Z")),
            (false, UTC_TIME, "491231235959Z", Some("2049-12-31T23:59:59Z")),
            (true, UTC_TIME, "500101000000Z", Some("1950-01-01T00:00:00Z")),
            (
                true,
                GENERALIZED_TIME,
                "20500101000000Z",
                Some("2050-01-01T00:00:00Z"),
            ),
            (
                true,
                GENERALIZED_TIME,
                "99991231235959Z",
                Some("9999-12-31T23:59:59Z"),
            ),
            (true, GENERALIZED_TIME, "500101000000Z", None),
            (true, UTC_TIME, "3012312359Z", None),
            (true, UTC_TIME, "301331235959Z", None),
            (true, 4, "301231235959Z", None),
        ] {
            let found = of(&certificate(version, tag, text));
            let expected = expected.map(|text| text.parse().expect("a time"));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_is_cut_off_or_no_certificate_says_nothing() {
        let whole = certificate(true, UTC_TIME, "301231235959Z");
        for length in 0..whole.len() {
            assert_eq!(of(&whole[..length]), None, "{length}");
        }
        let long = [SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff];
        for bytes in [&b"-----BEGIN"[..], &[SEQUENCE, 0x80], &[SEQUENCE, 0x85], &long] {
            assert_eq!(of(bytes), None, "{bytes:?}");
        }
    }
}
