//! YAML (and JSON, which is YAML too) as a tree that knows where each value stands.
//!
//! The text is parsed once by `granit-parser`. Out of its events grows a tree whose nodes
//! carry their line and column; the typed document is read from the tree ([`crate::read`])
//! and every later check finds its places in it ([`Node::locate`]).
//!
//! Values may refer to the environment ([`reference`]); what was referred to is text inside of one
//! value by the time the tree stands.
//!
//! Bounds: a document has at most [`MAX_BYTES`] bytes, unfolds to at most [`MAX_NODES`]
//! values and is at most [`MAX_DEPTH`] deep. Aliases share their node, so a bomb of aliases
//! costs its own length and is refused by its unfolded size.

mod build;
mod reference;
mod scalar;

use std::{fmt::Write, sync::Arc};

pub(crate) use self::{
    build::build,
    scalar::{Kind, Scalar, shortened},
};

/// The largest document, in bytes.
pub(crate) const MAX_BYTES: usize = 4 << 20;
/// The most values a document unfolds to, aliases written out.
pub(crate) const MAX_NODES: u64 = 200_000;
/// The deepest nesting of lists and mappings.
pub(crate) const MAX_DEPTH: u32 = 64;

/// A place in the text, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pos {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and where it begins.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) pos: Pos,
    pub(crate) value: Value,
    /// Values in here, this one included, aliases written out.
    size: u64,
    /// Levels in here, this one included.
    height: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Arc<Node>>),
    Map(Vec<Entry>),
    /// A value already reported as wrong, which the reader passes over.
    Faulty,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_pos: Pos,
    pub(crate) value: Arc<Node>,
}

/// A fault in the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) pos: Pos,
    pub(crate) path: String,
    pub(crate) message: String,
}

/// Where a path leads: its value, and the key that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) key: Pos,
    pub(crate) value: Pos,
}

impl Node {
    fn new(pos: Pos, value: Value) -> Self {
        let (mut size, mut height) = (1u64, 0);
        let mut count = |node: &Self| {
            size = size.saturating_add(node.size);
            height = height.max(node.height);
        };
        match &value {
            Value::List(items) => items.iter().for_each(|item| count(item)),
            Value::Map(entries) => entries.iter().for_each(|entry| count(&entry.value)),
            Value::Scalar(_) | Value::Faulty => {}
        }
        Self { pos, value, size, height: height + 1 }
    }

    /// What it is, in words: `the number 5`, `a list`, `nothing`.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) => scalar.describe(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Faulty => "a faulty value".to_owned(),
        }
    }

    /// Where `path` stands, or the deepest part of it that is in the text: a value that was
    /// left to its default is reported where it would have been.
    pub(crate) fn locate(&self, path: &str) -> Mark {
        let mut mark = Mark { key: self.pos, value: self.pos };
        let (mut node, mut rest) = (self, path);
        while !rest.is_empty() {
            let step = match &node.value {
                Value::Map(entries) => entry_of(entries, rest),
                Value::List(items) => item_of(items, rest),
                Value::Scalar(_) | Value::Faulty => None,
            };
            let Some((key, child, left)) = step else { break };
            mark = Mark { key, value: child.pos };
            (node, rest) = (child, left.strip_prefix('.').unwrap_or(left));
        }
        mark
    }
}

/// Adds a key to a path: `routes` and `name` are `routes.name`.
pub(crate) fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() && !key.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

/// Adds a place in a list to a path: `routes` and 1 are `routes[1]`.
pub(crate) fn push_index(path: &mut String, index: usize) {
    // Writing to a string cannot fail.
    let _ = write!(path, "[{index}]");
}

/// The entry whose key `path` begins with. A key may have dots in it, so the longest wins.
fn entry_of<'n, 'p>(entries: &'n [Entry], path: &'p str) -> Option<(Pos, &'n Node, &'p str)> {
    let after = |entry: &Entry| {
        let left = path.strip_prefix(entry.key.as_str())?;
        (left.is_empty() || left.starts_with(['.', '['])).then_some(left)
    };
    let found = entries.iter().filter_map(|entry| after(entry).map(|left| (entry, left)));
    let (entry, left) = found.max_by_key(|(entry, _)| entry.key.len())?;
    Some((entry.key_pos, &entry.value, left))
}

fn item_of<'n, 'p>(items: &'n [Arc<Node>], path: &'p str) -> Option<(Pos, &'n Node, &'p str)> {
    let (index, left) = path.strip_prefix('[')?.split_once(']')?;
    let item = items.get(index.parse::<usize>().ok()?)?;
    Some((item.pos, item, left))
}

/// One step on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// The path that these steps make: `routes[1].name`.
pub(crate) fn path_of(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) => push_key(&mut path, key),
            Step::Index(index) => push_index(&mut path, *index),
        }
    }
    path
}

/// Shows every scalar of a tree, with the steps to it.
pub(crate) fn each_scalar(root: &Node, show: &mut dyn FnMut(&[Step], &Scalar)) {
    fn go(node: &Node, steps: &mut Vec<Step>, show: &mut dyn FnMut(&[Step], &Scalar)) {
        match &node.value {
            Value::Scalar(scalar) => show(steps, scalar),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    steps.push(Step::Index(index));
                    go(item, steps, show);
                    steps.pop();
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    steps.push(Step::Key(entry.key.clone()));
                    go(&entry.value, steps, show);
                    steps.pop();
                }
            }
            Value::Faulty => {}
        }
    }
    go(root, &mut Vec::new(), show);
}

#[cfg(test)]
pub(crate) use self::build::build_with;
#[cfg(test)]
mod tests;
