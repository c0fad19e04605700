//! Changes to a protobuf message as a tree (<https://protobuf.dev/programming-guides/encoding/>): it stays a message, so that what
//! reads it comes further than to its lengths.

use crate::mutate::{BYTES_MAX, Random};

/// A field of a message, and what it holds.
#[derive(Debug, Clone, PartialEq)]
struct Field {
    number: u64,
    value: Value,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Whole(u64),
    Eight([u8; 8]),
    Four([u8; 4]),
    /// A text, packed numbers, or what is no message.
    Bytes(Vec<u8>),
    Nested(Vec<Field>),
}

/// How deep messages are looked into.
const DEPTH_MAX: usize = 12;
/// The largest number of a field that we look for: others are chance.
const NUMBER_MAX: u64 = 64;
/// How often a field may come again.
const AGAIN_MAX: usize = 64;

const WHOLE: [u64; 12] = [
    0,
    1,
    2,
    3,
    7,
    127,
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX,
];
const FLOATS: [f64; 8] = [
    0.0,
    -0.0,
    1.0,
    -1e30,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MIN_POSITIVE,
];

/// Changes a message of the corpus at a few places; what is no message is returned as it is.
pub(crate) fn mutate(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let input = &corpus[random.below(corpus.len())];
    let other = &corpus[random.below(corpus.len())];
    let (Some(mut message), Some(other)) = (read(input, 0), read(other, 0)) else {
        return input.clone();
    };
    for _ in 0..=random.below(4) {
        change(&mut message, &other, &mut random);
    }
    let bytes = written(&message);
    if bytes.len() > BYTES_MAX {
        input.clone()
    } else {
        bytes
    }
}

fn read(mut bytes: &[u8], depth: usize) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let (number, kind) = (key >> 3, key & 7);
        if number == 0 || number > NUMBER_MAX {
            return None;
        }
        let value = match kind {
            0 => Value::Whole(varint(&mut bytes)?),
            1 => Value::Eight(chunk(&mut bytes)?),
            5 => Value::Four(chunk(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (own, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                let is_text = own.iter().all(|byte| (b' '..=b'~').contains(byte));
                let nested = if is_text || depth == DEPTH_MAX {
                    None
                } else {
                    read(own, depth + 1)
                };
                nested.map_or_else(|| Value::Bytes(own.to_vec()), Value::Nested)
            }
            _ => return None,
        };
        fields.push(Field { number, value });
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(7 * place)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn chunk<const WIDTH: usize>(bytes: &mut &[u8]) -> Option<[u8; WIDTH]> {
    let (own, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*own)
}

fn written(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Field { number, value } in fields {
        let key = number << 3;
        match value {
            Value::Whole(whole) => {
                put(&mut bytes, key);
                put(&mut bytes, *whole);
            }
            Value::Eight(own) => {
                put(&mut bytes, key | 1);
                bytes.extend(own);
            }
            Value::Four(own) => {
                put(&mut bytes, key | 5);
                bytes.extend(own);
            }
            Value::Bytes(own) => {
                put(&mut bytes, key | 2);
                put(&mut bytes, own.len() as u64);
                bytes.extend(own);
            }
            Value::Nested(own) => {
                let own = written(own);
                put(&mut bytes, key | 2);
                put(&mut bytes, own.len() as u64);
                bytes.extend(own);
            }
        }
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// Returns how many messages there are, this one among them.
fn messages(fields: &[Field]) -> usize {
    let nested = fields.iter().filter_map(|field| match &field.value {
        Value::Nested(own) => Some(messages(own)),
        _ => None,
    });
    1 + nested.sum::<usize>()
}

/// Goes to the `nth` message, counted from the outermost.
fn message(fields: &mut Vec<Field>, mut nth: usize) -> &mut Vec<Field> {
    if nth == 0 {
        return fields;
    }
    nth -= 1;
    let mut place = 0;
    for (at, field) in fields.iter().enumerate() {
        if let Value::Nested(own) = &field.value {
            let count = messages(own);
            if nth < count {
                place = at;
                break;
            }
            nth -= count;
        }
    }
    match &mut fields[place].value {
        Value::Nested(own) => message(own, nth),
        _ => unreachable!("invariant: there are so many messages"),
    }
}

fn change(outermost: &mut Vec<Field>, other: &[Field], random: &mut Random) {
    let texts = texts(outermost, other);
    let nth = random.below(messages(outermost));
    let graft = {
        let mut other = other.to_vec();
        let nth = random.below(messages(&other));
        let from = message(&mut other, nth);
        (!from.is_empty()).then(|| from[random.below(from.len())].clone())
    };
    let fields = message(outermost, nth);
    let at = random.below(fields.len().max(1));
    match random.below(8) {
        0 if !fields.is_empty() => drop(fields.remove(at)),
        1 if !fields.is_empty() => {
            let again = fields[at].clone();
            let times = 1 + random.below(AGAIN_MAX).min(random.below(AGAIN_MAX));
            fields.splice(at..at, std::iter::repeat_n(again, times));
        }
        2 if fields.len() > 1 => {
            let with = random.below(fields.len());
            fields.swap(at, with);
        }
        3 => {
            if let Some(mut graft) = graft {
                // Where it fits, if there is such a place.
                if let Some(field) = fields.get(at)
                    && random.below(2) == 0
                {
                    graft.number = field.number;
                }
                let end = (at + random.below(2)).min(fields.len());
                fields.splice(at.min(end)..end, [graft]);
            }
        }
        _ => {
            if let Some(field) = fields.get_mut(at) {
                change_value(&mut field.value, &texts, random);
            }
        }
    }
}

/// Returns all texts of both messages: names of operators, attributes and values.
fn texts(one: &[Field], other: &[Field]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut open: Vec<&Field> = one.iter().chain(other).collect();
    while let Some(field) = open.pop() {
        match &field.value {
            Value::Nested(own) => open.extend(own),
            Value::Bytes(own) if !own.is_empty() && own.len() <= 64 => found.push(own.clone()),
            _ => {}
        }
    }
    found
}

fn change_value(value: &mut Value, texts: &[Vec<u8>], random: &mut Random) {
    match value {
        Value::Whole(whole) => {
            *whole = match random.below(4) {
                0 => whole.wrapping_add(1),
                1 => whole.wrapping_sub(1),
                _ => WHOLE[random.below(WHOLE.len())],
            }
        }
        Value::Eight(own) => *own = FLOATS[random.below(FLOATS.len())].to_le_bytes(),
        #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
        Value::Four(own) => *own = (FLOATS[random.below(FLOATS.len())] as f32).to_le_bytes(),
        Value::Bytes(own) => match random.below(4) {
            0 if !texts.is_empty() => own.clone_from(&texts[random.below(texts.len())]),
            1 => own.truncate(random.below(own.len() + 1)),
            2 => {
                let part = own[..random.below(own.len() + 1).min(64)].to_vec();
                own.extend(part);
            }
            _ => {
                let at = random.below(own.len().max(1));
                if let Some(byte) = own.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        },
        Value::Nested(own) => own.reverse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;

    #[test]
    fn what_is_not_changed_is_written_as_it_was() {
        for input in Target::Model.corpus() {
            let message = read(&input, 0).expect("an ONNX file is a message");
            assert!(messages(&message) > 10);
            assert_eq!(written(&message), input);
        }
    }

    /// A change of bytes alone rarely gets past the lengths; these do, and not all of them are refused.
    #[test]
    fn what_is_changed_is_still_a_message_and_some_are_models() {
        let corpus = Target::Model.corpus();
        let limits = engine::Limits::default();
        let mut taken = 0;
        for seed in 0..300 {
            let input = mutate(&corpus, seed);
            assert!(read(&input, 0).is_some(), "seed {seed}");
            taken += usize::from(engine::Program::read(&input, &limits).is_ok());
        }
        assert!((30..270).contains(&taken), "{taken} of 300 are models");
    }
}
