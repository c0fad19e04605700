//! What the two processes say to each other: a message with its length before it, a question and then its answer.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use engine::Type;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

/// The longest message, in bytes: a model of the largest size that is taken, and its frame.
pub const MESSAGE_BYTES_MAX: usize = (256 << 20) + (64 << 10);

/// What is asked of the process.
#[derive(Clone, PartialEq, Message)]
pub struct Question {
    /// What.
    #[prost(oneof = "Ask", tags = "1, 2")]
    pub ask: Option<Ask>,
}

/// See [`Question`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Ask {
    /// To load a model: once, before anything else.
    #[prost(bytes = "vec", tag = "1")]
    Load(Vec<u8>),
    /// To evaluate rows.
    #[prost(message, tag = "2")]
    Run(Run),
}

/// Rows for the model.
#[derive(Clone, PartialEq, Message)]
pub struct Run {
    /// How many; at least one.
    #[prost(uint64, tag = "1")]
    pub rows: u64,
    /// For each input what the rows have there.
    #[prost(message, repeated, tag = "2")]
    pub inputs: Vec<Values>,
}

/// What the process answers.
#[derive(Clone, PartialEq, Message)]
pub struct Answer {
    /// What.
    #[prost(oneof = "Say", tags = "1, 2, 3, 4")]
    pub say: Option<Say>,
}

/// See [`Answer`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Say {
    /// The model is loaded.
    #[prost(message, tag = "1")]
    Loaded(Loaded),
    /// The rows are evaluated.
    #[prost(message, tag = "2")]
    Ran(Ran),
    /// The model, or these rows, are refused: why.
    #[prost(string, tag = "3")]
    Refused(String),
    /// The process cannot evaluate any model: why.
    #[prost(string, tag = "4")]
    NotStarted(String),
}

/// What a model takes and gives.
#[derive(Clone, PartialEq, Message)]
pub struct Loaded {
    /// Its inputs.
    #[prost(message, repeated, tag = "1")]
    pub inputs: Vec<Outlet>,
    /// Its outputs.
    #[prost(message, repeated, tag = "2")]
    pub outputs: Vec<Outlet>,
}

/// One input or output.
#[derive(Clone, PartialEq, Message)]
pub struct Outlet {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The name of its elements' type in the Open Inference Protocol.
    #[prost(string, tag = "2")]
    pub datatype: String,
    /// Its shape but for the rows, which come first.
    #[prost(uint64, repeated, tag = "3")]
    pub lengths: Vec<u64>,
    /// Of an input: whether the model answers a row in which something is missing there.
    #[prost(bool, tag = "4")]
    pub takes_missing: bool,
    /// Of an output that names its columns: by texts, or by numbers.
    #[prost(string, repeated, tag = "5")]
    pub words: Vec<String>,
    /// See `words`.
    #[prost(int64, repeated, tag = "6")]
    pub numbers: Vec<i64>,
}

/// The answers of rows.
#[derive(Clone, PartialEq, Message)]
pub struct Ran {
    /// For each output its elements.
    #[prost(message, repeated, tag = "1")]
    pub outputs: Vec<Values>,
}

/// The elements of a tensor, row-major.
#[derive(Clone, PartialEq, Message)]
pub struct Values {
    /// Numbers and truth values, little-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub numbers: Vec<u8>,
    /// Texts, as places in `known`.
    #[prost(uint32, repeated, tag = "2")]
    pub texts: Vec<u32>,
    /// The different texts.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub known: Vec<Vec<u8>>,
}

/// A number or truth value, as it is sent.
pub trait Element: Copy {
    /// Writes it.
    fn write(self, bytes: &mut Vec<u8>);
    /// Reads all that are there; [`None`] where something is left over.
    fn read(bytes: &[u8]) -> Option<Vec<Self>>;
}

macro_rules! elements {
    ($($number:ty),+) => {
        $(impl Element for $number {
            fn write(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }

            fn read(bytes: &[u8]) -> Option<Vec<Self>> {
                let (whole, rest) = bytes.as_chunks();
                let numbers = whole.iter().map(|bytes| Self::from_le_bytes(*bytes));
                rest.is_empty().then(|| numbers.collect())
            }
        })+
    };
}

elements!(f32, f64, i32, i64);

impl Element for bool {
    fn write(self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self));
    }

    fn read(bytes: &[u8]) -> Option<Vec<Self>> {
        Some(bytes.iter().map(|byte| *byte != 0).collect())
    }
}

impl Values {
    /// Returns numbers or truth values as they are sent.
    pub fn of<T: Element>(elements: &[T]) -> Self {
        let mut numbers = Vec::with_capacity(size_of_val(elements));
        for element in elements {
            element.write(&mut numbers);
        }
        Self {
            numbers,
            ..Self::default()
        }
    }

    /// Returns texts as they are sent, each once.
    pub fn of_texts<'t>(elements: impl Iterator<Item = &'t [u8]>) -> Self {
        let mut places: HashMap<&[u8], u32> = HashMap::new();
        let mut known = Vec::new();
        let texts = elements.map(|text| {
            *places.entry(text).or_insert_with(|| {
                known.push(text.to_vec());
                u32::try_from(known.len() - 1).unwrap_or(u32::MAX)
            })
        });
        let texts = texts.collect();
        Self {
            numbers: Vec::new(),
            texts,
            known,
        }
    }

    /// Returns numbers or truth values that came.
    ///
    /// # Errors
    ///
    /// The last one is not whole.
    pub fn elements<T: Element>(&self) -> Result<Vec<T>, String> {
        let torn = || {
            format!(
                "{} bytes, of which {} are an element",
                self.numbers.len(),
                size_of::<T>()
            )
        };
        T::read(&self.numbers).ok_or_else(torn)
    }

    /// Returns texts that came, as `read` makes each different one.
    ///
    /// # Errors
    ///
    /// `read` refuses one, or one is not there.
    pub fn texts<T: Clone>(&self, read: impl FnMut(&[u8]) -> Result<T, String>) -> Result<Vec<T>, String> {
        let known = self.known.iter().map(Vec::as_slice).map(read);
        let known = known.collect::<Result<Vec<T>, _>>()?;
        let texts = self.texts.iter().map(|place| {
            let text = known.get(usize::try_from(*place).unwrap_or(usize::MAX));
            text.cloned().ok_or_else(|| "a text that is not there".to_owned())
        });
        texts.collect()
    }
}

/// Returns the type that a name stands for, of those that are evaluated.
pub fn type_named(name: &str) -> Option<Type> {
    let types = [Type::F32, Type::F64, Type::I64, Type::I32, Type::Bool, Type::Text];
    types.into_iter().find(|element| element.protocol_name() == name)
}

/// Writes a message with its length before it.
///
/// # Errors
///
/// The other end does not take it.
pub fn send(out: &mut impl Write, message: &impl Message) -> io::Result<()> {
    let length = message.encoded_len();
    let mut bytes = announced(length)?.to_vec();
    bytes.reserve(length);
    message
        .encode(&mut bytes)
        .expect("invariant: a vector takes what it is given");
    out.write_all(&bytes)
}

/// Writes the question that brings a model, of which no copy is made: a large one would be there twice.
///
/// # Errors
///
/// As [`send`].
pub fn send_model(out: &mut impl Write, model: &[u8]) -> io::Result<()> {
    const LOAD: u32 = 1;
    let mut head = Vec::new();
    encode_key(LOAD, WireType::LengthDelimited, &mut head);
    encode_varint(model.len() as u64, &mut head);
    out.write_all(&announced(head.len() + model.len())?)?;
    out.write_all(&head)?;
    out.write_all(model)
}

/// Returns how a message of a length is announced.
fn announced(length: usize) -> io::Result<[u8; 4]> {
    let announced = u32::try_from(length).ok();
    let announced = announced.filter(|_| length <= MESSAGE_BYTES_MAX);
    let announced = announced.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a message of {length} bytes, of at most {MESSAGE_BYTES_MAX}"),
        )
    })?;
    Ok(announced.to_le_bytes())
}

/// Reads the next message; [`None`] where the other end has ended before one.
///
/// # Errors
///
/// The other end ends within it, or says something else.
pub fn receive<M: Message + Default>(from: &mut impl Read) -> io::Result<Option<M>> {
    let mut head = [0; 4];
    let mut taken = 0;
    while taken < head.len() {
        match from.read(&mut head[taken..]) {
            Ok(0) if taken == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => taken += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let invalid = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
    let length = usize::try_from(u32::from_le_bytes(head)).unwrap_or(usize::MAX);
    if length > MESSAGE_BYTES_MAX {
        return Err(invalid(format!(
            "a message of {length} bytes, of at most {MESSAGE_BYTES_MAX}"
        )));
    }
    // As it comes: what is announced is not believed.
    let mut bytes = Vec::new();
    from.by_ref().take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    M::decode(&bytes[..])
        .map(Some)
        .map_err(|error| invalid(format!("no message: {error}")))
}
