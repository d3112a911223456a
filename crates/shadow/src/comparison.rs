//! What comes out of comparing two answers.
//!
//! The words of this module are shared by those who compare and those who count: a
//! [`Comparison`] is made from two [`Answer`]s, and goes into the books, the kept pairs and the
//! JSON Lines. It holds no value of an answer that was not allowed to be shown.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

/// One side's answer, as it was received.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body as it came, encoded or not.
    pub body: Bytes,
}

/// The most differences of one pair that are told; further ones are counted.
pub const MOST_TOLD: usize = 100;

/// How two answers to the same request differ.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// The differences, in the order of the document; at most [`MOST_TOLD`].
    pub differences: Vec<Difference>,
    /// How many further ones there are.
    pub more: usize,
    /// The ids that were retrieved, where either answer has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<IdsCompared>,
    /// How alike the texts are, from 0 to 1, where either answer has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub texts: Option<f64>,
}

/// One thing in which they differ.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Difference {
    /// What kind of place it is in: `status`, `header/NAME`, `format`, `body`, `ids`, `order`,
    /// `text`, or a JSON pointer in which each index of an array is `*`.
    pub class: Box<str>,
    /// What is different there.
    pub kind: Kind,
    /// The primary's side of it; none where only the shadow has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<Seen>,
    /// The shadow's side of it; none where only the primary has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Seen>,
}

/// What is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "DifferenceKind")]
pub enum Kind {
    /// The status.
    Status,
    /// A header field.
    Header,
    /// One is JSON and the other is not, or one could not be read.
    Format,
    /// The shadow does not have it.
    Missing,
    /// Only the shadow has it.
    New,
    /// It is of another type.
    Type,
    /// It has another value.
    Value,
    /// The same things in another order.
    Order,
    /// The texts are less alike than they should be.
    Text,
    /// Bodies that are no JSON have other bytes.
    Body,
}

/// One side of a difference.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Seen {
    /// Where it is in that side's JSON; empty for what is in no JSON.
    pub pointer: Box<str>,
    /// What is there.
    pub value: Shown,
}

/// A value as it may be shown.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// The value itself: a number, a truth value, null, a status, or what may be shown.
    Value(serde_json::Value),
    /// A text that may not be shown.
    Redacted {
        /// Its length in characters.
        characters: usize,
        /// The same for the same text, within one process.
        mark: Box<str>,
    },
    /// An array or an object.
    Holds {
        /// `array` or `object`.
        what: &'static str,
        /// How many elements or members it has.
        size: usize,
    },
}

/// The retrieved ids of both sides.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct IdsCompared {
    /// The length of the longer list.
    pub k: usize,
    /// The share of the first `k` that both have, from 0 to 1.
    pub overlap: f64,
    /// How far the ranks are apart, from 0 (the same order) to 1 (nothing in common).
    pub rank_distance: f64,
    /// What only the primary has; at most [`MOST_TOLD`].
    pub missing: Vec<Box<str>>,
    /// What only the shadow has; at most [`MOST_TOLD`].
    pub new: Vec<Box<str>>,
    /// The same ids stand in another order.
    pub order_changed: bool,
}
