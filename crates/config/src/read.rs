//! From the tree to typed values, with everything that does not fit.
//!
//! A serde deserializer over the tree. Serde gives up at the first error, and an operator
//! wants to see all of them; so the value that was reported is marked as faulty, and the
//! document is read again without it, until nothing new is found or [`MOST`] problems are.
//! An error that only follows from a marked value (a list that became too short, a key that
//! is "missing" because its value was faulty) is not told.
//!
//! Where text is wanted, a plain `5` or `true` counts as the text it was written as: a hash
//! such as `12e4` or a tenant named `42` need no quotes.

mod access;
mod de;
mod error;

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use serde::de::DeserializeOwned;

use self::de::Reader;
use crate::yaml::{Fault, Node, Pos, Value, push_index, push_key};

/// After so many problems the operator has enough to do.
const MOST: usize = 25;

/// Reads a value from a tree.
pub(crate) fn read<T: DeserializeOwned>(root: &Arc<Node>) -> Result<T, Vec<Fault>> {
    let mut told = Told::new();
    let mut tree = root.clone();
    loop {
        let found = Findings { root: &tree, told: RefCell::new(told) };
        let result = T::deserialize(Reader { node: &tree, path: None, found: &found });
        let error = match result {
            Ok(value) if found.told.borrow().is_empty() => return Ok(value),
            Ok(_) => None,
            Err(error) => Some(error.told()),
        };
        if let Some((Some(message), slots, on_key)) = &error {
            found.add(slots, *on_key, message.clone());
        }
        told = found.told.into_inner();
        match error {
            Some((_, slots, _)) if !slots.is_empty() && told.len() < MOST => mark_faulty(&mut tree, &slots),
            _ => break,
        }
    }
    let fault = |((pos, path), message)| Fault { pos, path, message };
    Err(told.into_iter().take(MOST).map(fault).collect())
}

/// One message for each place, in the order of the text.
type Told = BTreeMap<(Pos, String), String>;

/// What was found so far in the tree of `root`.
struct Findings<'t> {
    root: &'t Node,
    told: RefCell<Told>,
}

impl Findings<'_> {
    fn is_full(&self) -> bool {
        self.told.borrow().len() >= MOST
    }

    fn add(&self, slots: &[usize], on_key: bool, message: String) {
        self.told.borrow_mut().entry(at(self.root, slots, on_key)).or_insert(message);
    }
}

/// A way into the tree: which child of which, from the innermost outwards.
#[derive(Clone, Copy)]
struct Way<'p> {
    outer: Option<&'p Way<'p>>,
    slot: usize,
}

fn slots(mut way: Option<&Way<'_>>) -> Vec<usize> {
    let mut slots = Vec::new();
    while let Some(&Way { outer, slot }) = way {
        slots.push(slot);
        way = outer;
    }
    slots.reverse();
    slots
}

/// The position and the path that `slots` lead to.
fn at(root: &Node, slots: &[usize], on_key: bool) -> (Pos, String) {
    let (mut node, mut pos, mut path) = (root, root.pos, String::new());
    for &slot in slots {
        match &node.value {
            Value::Map(entries) if slot < entries.len() => {
                let entry = &entries[slot];
                push_key(&mut path, &entry.key);
                pos = if on_key { entry.key_pos } else { entry.value.pos };
                node = &entry.value;
            }
            Value::List(items) if slot < items.len() => {
                push_index(&mut path, slot);
                pos = items[slot].pos;
                node = &items[slot];
            }
            _ => break,
        }
    }
    (pos, path)
}

fn mark_faulty(root: &mut Arc<Node>, slots: &[usize]) {
    let mut node = root;
    for &slot in slots {
        let child = match &mut Arc::make_mut(node).value {
            Value::Map(entries) => entries.get_mut(slot).map(|entry| &mut entry.value),
            Value::List(items) => items.get_mut(slot),
            Value::Scalar(_) | Value::Faulty => None,
        };
        let Some(child) = child else { return };
        node = child;
    }
    Arc::make_mut(node).value = Value::Faulty;
}
