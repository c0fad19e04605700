//! When a certificate is valid: the one thing of X.509 that is read here, for words. What is trusted, OpenSSL decides.
//!
//! ```text
//! Certificate { TBSCertificate { [0] version, serial, algorithm, issuer, Validity { notBefore, notAfter }, … }, … }
//! ```

use chrono::{DateTime, NaiveDateTime, Utc};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Reads from when until when a certificate in DER is valid; nothing where it is not what it should be.
pub(super) fn validity(der: &[u8]) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = skip(rest)?;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        rest = skip(rest)?;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (from, rest) = time(validity)?;
    let (until, _) = time(rest)?;
    Some((from, until))
}

fn time(der: &[u8]) -> Option<(DateTime<Utc>, &[u8])> {
    let tag = *der.first()?;
    let (content, rest) = element(der, tag)?;
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let text = match tag {
        // Two digits of the year, from 1950 on.
        UTC_TIME => {
            let century = if text.get(..2)? < "50" { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%S").ok()?;
    Some((time.and_utc(), rest))
}

fn skip(der: &[u8]) -> Option<&[u8]> {
    element(der, *der.first()?).map(|(_, rest)| rest)
}

/// Splits the first element, which must be of a kind, from what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (head, rest) = der.split_at_checked(2)?;
    if head[0] != tag {
        return None;
    }
    let (length, rest) = match usize::from(head[1]) {
        short @ ..0x80 => (short, rest),
        long => {
            let (digits, rest) = rest
                .split_at_checked(long & 0x7f)
                .filter(|(digits, _)| (1..=4).contains(&digits.len()))?;
            (
                digits
                    .iter()
                    .fold(0, |length, digit| length << 8 | usize::from(*digit)),
                rest,
            )
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut der = vec![tag];
        match u8::try_from(content.len()) {
            Ok(length @ ..0x80) => der.push(length),
            Ok(length) => der.extend([0x81, length]),
            Err(_longer) => {
                der.extend([&[0x82][..], &u16::try_from(content.len()).unwrap().to_be_bytes()].concat());
            }
        }
        der.extend(content);
        der
    }

    fn certificate(version: bool, from: (u8, &str), until: (u8, &str)) -> Vec<u8> {
        let times = [with(from.0, from.1.as_bytes()), with(until.0, until.1.as_bytes())].concat();
        let mut fields = if version {
            with(VERSION, &with(2, &[2]))
        } else {
            Vec::new()
        };
        fields.extend(with(2, &[1; 20]));
        fields.extend(with(SEQUENCE, &[]));
        fields.extend(with(SEQUENCE, &[7; 300]));
        fields.extend(with(SEQUENCE, &times));
        fields.extend(with(SEQUENCE, &[9; 150]));
        with(SEQUENCE, &with(SEQUENCE, &fields))
    }

    #[test]
    fn both_forms_of_time_are_read_and_nothing_else_is_believed() {
        let read = |der: &[u8]| validity(der).map(|(from, until)| format!("{from:?} {until:?}"));
        let (utc, generalized) = ((UTC_TIME, "991231235959Z"), (GENERALIZED_TIME, "20500101000000Z"));
        let expected = Some("1999-12-31T23:59:59Z 2050-01-01T00:00:00Z".to_owned());
        for version in [true, false] {
            let der = certificate(version, utc, generalized);
            assert_eq!(read(&der), expected);
            for length in 0..der.len() {
                // Cut anywhere: no word, and no panic.
                drop(read(&der[..length]));
            }
        }
        assert_eq!(read(&certificate(true, (4, "991231235959Z"), generalized)), None);
        assert_eq!(
            read(&certificate(true, (UTC_TIME, "991331235959Z"), generalized)),
            None
        );
        assert_eq!(read(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(read(&[SEQUENCE, 0x80]), None);
    }
}
