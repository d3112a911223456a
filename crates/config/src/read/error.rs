//! The reader's own error: what, and at which value.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::{Way, slots};
use crate::{
    suggest::{hint, nearest},
    yaml::{Entry, Node, Value, shortened},
};

/// Why a value cannot be read.
#[derive(Debug)]
pub(super) struct Error {
    kind: Kind,
    at: Option<At>,
}

#[derive(Debug)]
struct At {
    slots: Vec<usize>,
    on_key: bool,
}

#[derive(Debug)]
enum Kind {
    Told(String),
    /// Something else stands where this is wanted; what does is known one level up.
    Wanted(String),
    Missing(&'static str),
    /// It only follows from what was told before.
    Follows,
}

impl Error {
    pub(super) fn wanted(what: impl fmt::Display) -> Self {
        Self { kind: Kind::Wanted(what.to_string()), at: None }
    }

    pub(super) fn follows() -> Self {
        Self { kind: Kind::Follows, at: None }
    }

    /// Completes an error that left the value `node`, unless it is complete.
    pub(super) fn on(mut self, node: &Node, way: Option<&Way<'_>>, fields: &[&'static str]) -> Self {
        if self.at.is_some() {
            return self;
        }
        self.at = Some(At { slots: slots(way), on_key: false });
        self.kind = match self.kind {
            Kind::Missing(field) if follows(node, field, fields) => Kind::Follows,
            Kind::Missing(field) => Kind::Told(format!("the key `{field}` is missing here")),
            Kind::Wanted(what) => Kind::Told(format!("expected {what}, found {}", node.describe())),
            kind => kind,
        };
        self
    }

    /// Completes an error about the key of the entry that `way` leads to.
    pub(super) fn on_key(mut self, way: &Way<'_>) -> Self {
        self.at.get_or_insert_with(|| At { slots: slots(Some(way)), on_key: true });
        self
    }

    /// The message, unless it only follows from another; where; and whether the key is meant.
    pub(super) fn told(self) -> (Option<String>, Vec<usize>, bool) {
        let message = match self.kind {
            Kind::Told(message) => Some(message),
            Kind::Wanted(what) => Some(format!("expected {what}")),
            Kind::Missing(field) => Some(format!("the key `{field}` is missing here")),
            Kind::Follows => None,
        };
        let At { slots, on_key } = self.at.unwrap_or(At { slots: Vec::new(), on_key: false });
        (message, slots, on_key)
    }
}

/// Whether `field` is only missing because its value was faulty or its name misspelt.
fn follows(node: &Node, field: &str, fields: &[&'static str]) -> bool {
    let Value::Map(entries) = &node.value else { return false };
    // A mapping that is read without its fields being known has had its unknown keys told one by one.
    let told = |entry: &Entry| fields.is_empty() && matches!(entry.value.value, Value::Faulty);
    let misspelt = |key: &str| !fields.contains(&key) && nearest(key, fields.iter().copied()) == Some(field);
    entries.iter().any(|entry| entry.key == field || told(entry) || misspelt(&entry.key))
}

pub(super) fn unknown_key(key: &str, known: &[&str]) -> String {
    format!("unknown key `{}`; {}", shortened(key), hint(key, known, "keys"))
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Told(text) | Kind::Wanted(text) => f.write_str(text),
            Kind::Missing(field) => f.write_str(field),
            Kind::Follows => Ok(()),
        }
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { kind: Kind::Told(message.to_string()), at: None }
    }

    fn invalid_type(_: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::wanted(wanted)
    }

    fn invalid_value(_: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::wanted(wanted)
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        let hint = hint(variant, known, "choices");
        Self::custom(format_args!("unknown choice `{}`; {hint}", shortened(variant)))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::custom(unknown_key(key, known))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { kind: Kind::Missing(field), at: None }
    }
}
