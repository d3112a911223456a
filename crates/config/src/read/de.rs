//! The deserializer of one value.

use serde::de::{Deserializer, Visitor};

use super::{
    Findings, Way,
    access::{Entries, Items, OneOf},
    error::{Error, unknown_key},
    slots,
};
use crate::yaml::{Kind, Node, Scalar, Value};

/// A value of the tree, to be read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'t, 'p> {
    pub(super) node: &'t Node,
    pub(super) path: Option<&'p Way<'p>>,
    pub(super) found: &'p Findings<'t>,
}

impl<'t> Reader<'t, '_> {
    fn done<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| error.on(self.node, self.path, &[]))
    }

    fn scalar<T>(
        self,
        wanted: impl std::fmt::Display,
        read: impl FnOnce(&'t Scalar) -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        let read = match &self.node.value {
            Value::Scalar(scalar) => read(scalar),
            _ => None,
        };
        self.done(read.unwrap_or_else(|| Err(Error::wanted(wanted))))
    }

    fn text<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
        self.scalar("text", |scalar| {
            (scalar.kind != Kind::Null).then(|| visitor.visit_borrowed_str(&scalar.text))
        })
    }

    fn number<V: Visitor<'t>, N: TryFrom<i128> + std::fmt::Display>(
        self,
        (least, most): (N, N),
        visit: impl FnOnce(N) -> Result<V::Value, Error>,
    ) -> Result<V::Value, Error> {
        let wanted = format!("a whole number from {least} to {most}");
        self.scalar(wanted, |scalar| match scalar.kind {
            Kind::Int(value) => N::try_from(value).ok().map(visit),
            _ => None,
        })
    }

    fn entries<V: Visitor<'t>>(self, known: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Map(entries) => {
                let access = Entries::new(entries, known, self);
                visitor.visit_map(access).map_err(|error| error.on(self.node, self.path, known))
            }
            _ if known.is_empty() => self.done(Err(Error::wanted("a mapping"))),
            _ => {
                let keys = format!("a mapping with the keys {}", known.join(", "));
                self.done(Err(Error::wanted(keys)))
            }
        }
    }

    /// Reports the keys that a structure does not have; they are passed over.
    fn unknown_keys(self, known: &[&str]) {
        let Value::Map(entries) = &self.node.value else { return };
        for (slot, entry) in entries.iter().enumerate() {
            if !known.contains(&entry.key.as_str()) && !self.found.is_full() {
                let way = Way { outer: self.path, slot };
                self.found.add(&slots(Some(&way)), true, unknown_key(&entry.key, known));
            }
        }
    }
}

macro_rules! numbers {
    ($($method:ident, $visit:ident, $type:ty;)*) => {$(
        fn $method<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
            self.number::<V, $type>((<$type>::MIN, <$type>::MAX), |value| visitor.$visit(value))
        }
    )*};
}

impl<'t> Deserializer<'t> for Reader<'t, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.node.value {
            // Of what came from the environment only a reader that wants a number may make one.
            Value::Scalar(scalar) if scalar.written.is_some() => visitor.visit_borrowed_str(&scalar.text),
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Null => visitor.visit_unit(),
                Kind::Bool(value) => visitor.visit_bool(value),
                Kind::Int(value) => match (u64::try_from(value), i64::try_from(value)) {
                    (Ok(value), _) => visitor.visit_u64(value),
                    (_, Ok(value)) => visitor.visit_i64(value),
                    _ => visitor.visit_i128(value),
                },
                Kind::Float(value) => visitor.visit_f64(value),
                Kind::Text => visitor.visit_borrowed_str(&scalar.text),
            },
            Value::List(items) => visitor.visit_seq(Items::new(items, self)),
            Value::Map(entries) => visitor.visit_map(Entries::new(entries, &[], self)),
            Value::Faulty => Err(Error::follows()),
        };
        self.done(result)
    }

    numbers! {
        deserialize_i8, visit_i8, i8;
        deserialize_i16, visit_i16, i16;
        deserialize_i32, visit_i32, i32;
        deserialize_i64, visit_i64, i64;
        deserialize_i128, visit_i128, i128;
        deserialize_u8, visit_u8, u8;
        deserialize_u16, visit_u16, u16;
        deserialize_u32, visit_u32, u32;
        deserialize_u64, visit_u64, u64;
    }

    fn deserialize_bool<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
        self.scalar("true or false", |scalar| match scalar.kind {
            Kind::Bool(value) => Some(visitor.visit_bool(value)),
            _ => None,
        })
    }

    fn deserialize_f64<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
        self.scalar("a number", |scalar| match scalar.kind {
            Kind::Float(value) => Some(visitor.visit_f64(value)),
            Kind::Int(value) => Some(visitor.visit_f64(value as f64)),
            _ => None,
        })
    }

    fn deserialize_f32<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(visitor)
    }

    fn deserialize_char<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(visitor)
    }

    fn deserialize_identifier<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(visitor)
    }

    fn deserialize_option<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Scalar(scalar) if scalar.kind == Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'t>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.done(visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::List(items) => self.done(visitor.visit_seq(Items::new(items, self))),
            _ => self.done(Err(Error::wanted("a list"))),
        }
    }

    fn deserialize_tuple<V: Visitor<'t>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
        self.entries(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'t>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.unknown_keys(known);
        self.entries(known, visitor)
    }

    fn deserialize_enum<V: Visitor<'t>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.done(OneOf::new(self, variants).and_then(|choice| visitor.visit_enum(choice)))
    }

    fn deserialize_ignored_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { <V: Visitor<'t>> u128 bytes byte_buf unit unit_struct tuple_struct }
}
