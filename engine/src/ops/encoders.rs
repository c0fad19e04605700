//! Operators that put one thing in the place of another: labels, categories, columns of zeros and ones.
//!
//! Source: <https://onnx.ai/onnx/operators/onnx_aionnxml_LabelEncoder.html>, and `OneHotEncoder` and `CategoryMapper`
//! beside it.

use std::collections::HashMap;
use std::hash::Hash;

use super::cast;
use crate::build::Fact;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim, Element, Kernel, Missing, Source, Symbol, Type, Values, with_type};

type Done = Result<(), Refusal>;

/// An element that can be looked up: a NaN is one, whatever its bits, and zero has no sign.
trait Key: Element {
    type Key: Hash + Eq + Send + Sync;

    /// What is missing, where a request can say so.
    const MISSING: Option<Self::Key> = None;

    fn key(self) -> Self::Key;
}

macro_rules! keys {
    ($($rust:ty),+) => {
        $(impl Key for $rust {
            type Key = Self;

            fn key(self) -> Self {
                self
            }
        })+
    };
}

keys!(i64, i32, bool, Symbol);

impl Key for f32 {
    type Key = u32;

    const MISSING: Option<u32> = Some(Self::NAN.to_bits());

    fn key(self) -> u32 {
        if self.is_nan() {
            Self::NAN.to_bits()
        } else {
            (self + 0.0).to_bits()
        }
    }
}

impl Key for f64 {
    type Key = u64;

    const MISSING: Option<u64> = Some(Self::NAN.to_bits());

    fn key(self) -> u64 {
        if self.is_nan() {
            Self::NAN.to_bits()
        } else {
            (self + 0.0).to_bits()
        }
    }
}

/// Puts a value in the place of each key.
struct LookUp<K: Key, V> {
    source: Source,
    table: HashMap<K::Key, V>,
    default: V,
}

impl<K: Key, V: Element> Kernel for LookUp<K, V> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        self.replace(values.of::<K>(self.source), V::of_mut(&mut out[0]));
    }

    fn missing(&self) -> Missing {
        match K::MISSING {
            Some(key) if self.table.contains_key(&key) => Missing::Ends,
            _ => Missing::Spreads,
        }
    }

    fn kept(&self) -> usize {
        self.table.capacity() * (size_of::<K::Key>() + size_of::<V>() + 1)
    }
}

impl<K: Key, V: Element> LookUp<K, V> {
    fn replace(&self, entries: &[K], out: &mut [V]) {
        for (out, entry) in out.iter_mut().zip(entries) {
            *out = self.table.get(&entry.key()).copied().unwrap_or(self.default);
        }
    }
}

/// Adds the step for keys, values and a default of whatever types.
fn look_up(node: &mut Node<'_, '_>, input: &Fact, keys: &Buffer, found: &Buffer, default: &Buffer) -> Done {
    if keys.len() != found.len() {
        return Err(node.inconsistent(format!("has {} keys and {} values", keys.len(), found.len())));
    }
    if default.len() != 1 || default.element() != found.element() {
        return Err(node.inconsistent(format!("has a default that is no single {}", found.element())));
    }
    let element = found.element();
    let shape = input.shape.clone();
    with_type!(keys.element(), K => with_type!(element, V => {
        let pairs = K::of(keys).iter().zip(V::of(found));
        // Of a key that is there twice the last counts.
        let kernel = LookUp::<K, V> {
            source: input.source,
            table: pairs.map(|(key, value)| (key.key(), *value)).collect(),
            default: V::of(default)[0],
        };
        // What is chosen from these labels is now chosen from those in their places.
        let classes = input.classes.as_ref().filter(|classes| classes.labels.element() == K::TYPE);
        let classes = classes.map(|classes| {
            let mut labels = Buffer::empty(element);
            labels.resize(classes.labels.len());
            kernel.replace(K::of(&classes.labels), V::of_mut(&mut labels));
            node.build.classes(labels, classes.scores)
        });
        let classes = classes.transpose()?;
        node.emit(kernel, element, shape, &[input])?;
        node.choose(classes);
        Ok(())
    }))
}

const UNUSED: &[u8] = b"_Unused";

/// Reads one side of the table from whichever list is there.
fn side(node: &mut Node<'_, '_>, names: [&'static str; 4]) -> Result<Option<Buffer>, Refusal> {
    if let Some((_, values)) = node.tensor(names[0])? {
        return Ok(Some(values));
    }
    let [_, texts, ints, floats] = names;
    if node.has(texts) {
        let list = node.texts(texts)?;
        return Ok(Some(Buffer::Text(node.symbols(&list)?)));
    }
    if node.has(ints) {
        return node.ints(ints).map(|list| Some(Buffer::I64(list)));
    }
    if node.has(floats) {
        return node.floats(floats).map(|list| Some(Buffer::F32(list)));
    }
    Ok(None)
}

pub(super) fn label_encoder(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    let default_text = node.bytes("default_string")?.unwrap_or(UNUSED);
    let default_text = node.symbol(default_text)?;
    let default_whole = node.int("default_int64", -1)?;
    let default_float = node.float("default_float", -0.0)?;
    if node.has("classes_strings") {
        let texts = node.texts("classes_strings")?;
        let texts = node.symbols(&texts)?;
        let numbers = Buffer::I64((0..).take(texts.len()).collect());
        let texts = Buffer::Text(texts);
        return match input.element {
            Type::Text => look_up(node, &input, &texts, &numbers, &Buffer::I64(vec![default_whole])),
            Type::I64 => look_up(node, &input, &numbers, &texts, &Buffer::Text(vec![default_text])),
            other => Err(node.wrong_type(other, "INT64 or BYTES")),
        };
    }
    let keys = side(
        node,
        ["keys_tensor", "keys_strings", "keys_int64s", "keys_floats"],
    )?;
    let found = side(
        node,
        [
            "values_tensor",
            "values_strings",
            "values_int64s",
            "values_floats",
        ],
    )?;
    let (Some(keys), Some(found)) = (keys, found) else {
        return Err(node.inconsistent("has no keys or no values"));
    };
    if keys.element() != input.element {
        return Err(node.unsupported(
            format!("takes {} and has keys of {}", input.element, keys.element()),
            "one type for both",
        ));
    }
    let default = match node.tensor("default_tensor")? {
        Some((_, default)) => default,
        None => match found.element() {
            Type::Text => Buffer::Text(vec![default_text]),
            Type::I64 => Buffer::I64(vec![default_whole]),
            Type::I32 => Buffer::I32(vec![-1]),
            Type::F32 => Buffer::F32(vec![default_float]),
            Type::F64 => Buffer::F64(vec![f64::from(default_float)]),
            Type::Bool => Buffer::Bool(vec![false]),
        },
    };
    look_up(node, &input, &keys, &found, &default)
}

pub(super) fn category_mapper(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    let numbers = Buffer::I64(node.ints("cats_int64s")?);
    let texts = node.texts("cats_strings")?;
    let texts = Buffer::Text(node.symbols(&texts)?);
    let default_text = node.bytes("default_string")?.unwrap_or(UNUSED);
    let default_text = node.symbol(default_text)?;
    let default_whole = node.int("default_int64", -1)?;
    match input.element {
        Type::Text => look_up(node, &input, &texts, &numbers, &Buffer::I64(vec![default_whole])),
        Type::I64 => look_up(node, &input, &numbers, &texts, &Buffer::Text(vec![default_text])),
        other => Err(node.wrong_type(other, "INT64 or BYTES")),
    }
}

/// A column for each category: 1 in that of the entry, 0 in all others.
struct OneHot<K: Key> {
    source: Source,
    places: HashMap<K::Key, usize>,
    categories: usize,
    /// The node, where it refuses a category that it does not know; else all columns are 0.
    refuses: Option<String>,
}

impl<K: Key> Kernel for OneHot<K> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let entries = values.of::<K>(self.source);
        let columns = f32::of_mut(&mut out[0]).chunks_exact_mut(self.categories);
        for (at, (columns, entry)) in columns.zip(entries).enumerate() {
            columns.fill(0.0);
            match self.places.get(&entry.key()) {
                Some(place) => columns[*place] = 1.0,
                None if self.refuses.is_some() => values.refuse(at * values.rows / entries.len()),
                None => {}
            }
        }
    }

    fn place(&self) -> Option<&str> {
        self.refuses.as_deref()
    }

    fn kept(&self) -> usize {
        self.places.capacity() * (size_of::<(K::Key, usize)>() + 1)
    }
}

pub(super) fn one_hot(node: &mut Node<'_, '_>) -> Done {
    let refuses = (!node.flag("zeros", true)?).then(|| node.place.clone());
    let numbers = node.ints("cats_int64s")?;
    let texts = node.texts("cats_strings")?;
    let texts = node.symbols(&texts)?;
    let input = node.input(0)?;
    let categories = numbers.len().max(texts.len());
    if categories == 0 {
        return Err(node.inconsistent("has no categories"));
    }
    let mut shape = input.shape.clone();
    shape.push(Dim::Fixed(categories));
    if input.element == Type::Text {
        let places = texts.iter().enumerate().map(|(place, text)| (text.key(), place));
        let kernel = OneHot::<Symbol> {
            source: input.source,
            places: places.collect(),
            categories,
            refuses,
        };
        return node.emit(kernel, Type::F32, shape, &[&input]);
    }
    let input = cast::to(node, &input, Type::I64)?;
    let places = numbers.iter().enumerate().map(|(place, number)| (*number, place));
    let kernel = OneHot::<i64> {
        source: input.source,
        places: places.collect(),
        categories,
        refuses,
    };
    node.emit(kernel, Type::F32, shape, &[&input])
}
