//! What is inside a list, a mapping or a choice.

use std::sync::Arc;

use serde::de::{
    self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
    value::{BorrowedStrDeserializer, StrDeserializer},
};

use super::{Way, de::Reader, error::Error};
use crate::yaml::{Entry, Kind, Node, Value, shortened};

/// The items of a list; those already reported are left out.
pub(super) struct Items<'t, 'p> {
    nodes: &'t [Arc<Node>],
    next: usize,
    of: Reader<'t, 'p>,
}

impl<'t, 'p> Items<'t, 'p> {
    pub(super) fn new(nodes: &'t [Arc<Node>], of: Reader<'t, 'p>) -> Self {
        Self { nodes, next: 0, of }
    }
}

impl<'t> SeqAccess<'t> for Items<'t, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'t>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        while let Some(node) = self.nodes.get(self.next) {
            let way = Way { outer: self.of.path, slot: self.next };
            self.next += 1;
            if !matches!(node.value, Value::Faulty) {
                let reader = Reader { node, path: Some(&way), found: self.of.found };
                return seed.deserialize(reader).map(Some).map_err(|error| error.on(node, Some(&way), &[]));
            }
        }
        Ok(None)
    }
}

/// The entries of a mapping; those already reported, and keys a structure does not know,
/// are left out.
pub(super) struct Entries<'t, 'p> {
    pairs: &'t [Entry],
    known: &'static [&'static str],
    next: usize,
    of: Reader<'t, 'p>,
}

impl<'t, 'p> Entries<'t, 'p> {
    /// With no `known` keys every key is let through.
    pub(super) fn new(pairs: &'t [Entry], known: &'static [&'static str], of: Reader<'t, 'p>) -> Self {
        Self { pairs, known, next: 0, of }
    }
}

impl<'t> MapAccess<'t> for Entries<'t, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'t>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        while let Some(entry) = self.pairs.get(self.next) {
            let passed = matches!(entry.value.value, Value::Faulty)
                || (!self.known.is_empty() && !self.known.contains(&entry.key.as_str()));
            if !passed {
                let way = Way { outer: self.of.path, slot: self.next };
                let key = BorrowedStrDeserializer::new(&entry.key);
                return seed.deserialize(key).map(Some).map_err(|error: Error| error.on_key(&way));
            }
            self.next += 1;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'t>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some(entry) = self.pairs.get(self.next) else { return Err(Error::follows()) };
        let way = Way { outer: self.of.path, slot: self.next };
        self.next += 1;
        let reader = Reader { node: &entry.value, path: Some(&way), found: self.of.found };
        seed.deserialize(reader).map_err(|error| error.on(&entry.value, Some(&way), &[]))
    }
}

/// A choice: a word, or a mapping of one key.
pub(super) enum OneOf<'t, 'p> {
    Word(&'t str),
    Keyed(&'t Entry, usize, Reader<'t, 'p>),
}

impl<'t, 'p> OneOf<'t, 'p> {
    pub(super) fn new(of: Reader<'t, 'p>, variants: &[&str]) -> Result<Self, Error> {
        match &of.node.value {
            Value::Scalar(scalar) if scalar.kind != Kind::Null => Ok(Self::Word(&scalar.text)),
            Value::Map(entries) => match entries.as_slice() {
                [entry] if matches!(entry.value.value, Value::Faulty) => Err(Error::follows()),
                [entry] => Ok(Self::Keyed(entry, 0, of)),
                _ => {
                    let keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
                    let found = if keys.is_empty() { "none".to_owned() } else { shortened(&keys.join(", ")) };
                    Err(de::Error::custom(format_args!(
                        "expected exactly one of {}, found {found}",
                        variants.join(", ")
                    )))
                }
            },
            Value::Faulty => Err(Error::follows()),
            _ => Err(Error::wanted(format_args!("one of {}", variants.join(", ")))),
        }
    }
}

impl<'t, 'p> EnumAccess<'t> for OneOf<'t, 'p> {
    type Error = Error;
    type Variant = Content<'t, 'p>;

    fn variant_seed<V: DeserializeSeed<'t>>(self, seed: V) -> Result<(V::Value, Self::Variant), Error> {
        match self {
            Self::Word(word) => {
                let variant = seed.deserialize(StrDeserializer::new(word))?;
                Ok((variant, Content::None(word)))
            }
            Self::Keyed(entry, slot, of) => {
                let way = Way { outer: of.path, slot };
                let key = seed.deserialize(StrDeserializer::new(&entry.key));
                Ok((key.map_err(|error: Error| error.on_key(&way))?, Content::Value(entry, slot, of)))
            }
        }
    }
}

/// What follows the word of a choice.
pub(super) enum Content<'t, 'p> {
    None(&'t str),
    Value(&'t Entry, usize, Reader<'t, 'p>),
}

impl<'t> Content<'t, '_> {
    fn read<T>(self, read: impl FnOnce(Reader<'t, '_>) -> Result<T, Error>) -> Result<T, Error> {
        match self {
            Self::None(word) => Err(Error::wanted(format_args!("`{word}:` and its value"))),
            Self::Value(entry, slot, of) => {
                let way = Way { outer: of.path, slot };
                let reader = Reader { node: &entry.value, path: Some(&way), found: of.found };
                read(reader).map_err(|error| error.on(&entry.value, Some(&way), &[]))
            }
        }
    }
}

impl<'t> VariantAccess<'t> for Content<'t, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self {
            Self::None(_) => Ok(()),
            Self::Value(entry, ..) => {
                Err(Error::wanted(format_args!("the word `{}` without a value", entry.key)))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'t>>(self, seed: T) -> Result<T::Value, Error> {
        self.read(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'t>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.read(|reader| serde::Deserializer::deserialize_seq(reader, visitor))
    }

    fn struct_variant<V: Visitor<'t>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.read(|reader| serde::Deserializer::deserialize_struct(reader, "", known, visitor))
    }
}
