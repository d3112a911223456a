//! Where a walk through two documents stands: a pointer into each, and the class of both.
//!
//! Pointers and classes are made only for what is told. On the way down a walk costs one push
//! per step; classes are numbered step by step, so that a difference that is only counted costs
//! no more than its last step, however deep it stands and however long the names above it are.

use std::{collections::HashMap, fmt::Write as _};

/// The longest pointer that is told, in bytes. A longer one ends at the last whole token before.
pub(super) const LONGEST_POINTER: usize = 512;

/// The most digits of an index, with the slash before it.
const INDEX_LENGTH: usize = 21;

/// Which of the two documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Primary,
    Shadow,
}

#[derive(Clone, Copy, Debug)]
enum Token<'a> {
    Member(&'a str),
    /// The index in the primary's document, and in the shadow's.
    Element(usize, usize),
}

#[derive(Debug)]
struct Step<'a> {
    token: Token<'a>,
    /// The most bytes that the pointer down to here has.
    length: usize,
    /// The number of the class of this place, once it was asked for.
    class: Option<usize>,
}

/// The steps from the root.
#[derive(Debug, Default)]
pub(super) struct Path<'a> {
    steps: Vec<Step<'a>>,
    /// The class above and the name of the step to the class below; the root is 0.
    classes: HashMap<(usize, &'a str), usize>,
}

impl<'a> Path<'a> {
    pub(super) fn member(&mut self, name: &'a str) {
        let escapes = name.bytes().filter(|byte| matches!(byte, b'~' | b'/')).count();
        self.push(Token::Member(name), 1 + name.len() + escapes);
    }

    pub(super) fn element(&mut self, primary: usize, shadow: usize) {
        self.push(Token::Element(primary, shadow), INDEX_LENGTH);
    }

    pub(super) fn up(&mut self) {
        self.steps.pop();
    }

    fn push(&mut self, token: Token<'a>, length: usize) {
        let before = self.steps.last().map_or(0, |step| step.length);
        self.steps.push(Step { token, length: before.saturating_add(length), class: None });
    }

    /// The steps that fit into a pointer. Lengths only grow, so they are the first ones.
    fn told(&self) -> &[Step<'a>] {
        let fit = self.steps.iter().take_while(|step| step.length <= LONGEST_POINTER).count();
        &self.steps[..fit]
    }

    /// The JSON pointer in one side's document.
    pub(super) fn pointer(&self, side: Side) -> Box<str> {
        let mut pointer = String::new();
        for step in self.told() {
            match (step.token, side) {
                (Token::Member(name), _) => push_name(&mut pointer, name),
                (Token::Element(index, _), Side::Primary) | (Token::Element(_, index), Side::Shadow) => {
                    // Writing to a string cannot fail.
                    let _ = write!(pointer, "/{index}");
                }
            }
        }
        pointer.into()
    }

    /// The pointer in which each index is `*`.
    pub(super) fn class(&self) -> Box<str> {
        let mut class = String::new();
        for step in self.told() {
            match step.token {
                Token::Member(name) => push_name(&mut class, name),
                Token::Element(..) => class.push_str("/*"),
            }
        }
        class.into()
    }

    /// A number for the class, the same for the same class.
    pub(super) fn class_number(&mut self) -> usize {
        let told = self.told().len();
        let known = self.steps[..told].iter().rposition(|step| step.class.is_some());
        let mut class = known.and_then(|at| self.steps[at].class).unwrap_or(0);
        for step in &mut self.steps[known.map_or(0, |at| at + 1)..told] {
            let name = match step.token {
                Token::Member(name) => name,
                Token::Element(..) => "*",
            };
            let next = self.classes.len() + 1;
            class = *self.classes.entry((class, name)).or_insert(next);
            step.class = Some(class);
        }
        class
    }
}

fn push_name(pointer: &mut String, name: &str) {
    pointer.push('/');
    for c in name.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            plain => pointer.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_POINTER, Path, Side};

    #[test]
    fn each_side_has_its_own_pointer_and_both_one_class() {
        let mut path = Path::default();
        path.member("a/b~c");
        path.element(3, 14);
        path.member("");
        assert_eq!(&*path.pointer(Side::Primary), "/a~1b~0c/3/");
        assert_eq!(&*path.pointer(Side::Shadow), "/a~1b~0c/14/");
        assert_eq!(&*path.class(), "/a~1b~0c/*/");
        path.up();
        path.up();
        assert_eq!(&*path.class(), "/a~1b~0c");
    }

    #[test]
    fn a_class_has_one_number_wherever_it_is_met() {
        let mut path = Path::default();
        assert_eq!(path.class_number(), 0);
        let mut numbers = Vec::new();
        for index in 0..3 {
            path.element(index, index);
            for name in ["x", "y"] {
                path.member(name);
                numbers.push(path.class_number());
                path.up();
            }
            path.up();
        }
        assert_eq!(numbers, [2, 3, 2, 3, 2, 3]);
    }

    #[test]
    fn what_is_below_a_long_name_is_told_at_the_place_above_it() {
        let long = "n".repeat(LONGEST_POINTER);
        let mut path = Path::default();
        path.member("above");
        let above = path.class_number();
        path.member(&long);
        path.member("x");
        assert_eq!(&*path.pointer(Side::Primary), "/above");
        assert_eq!(&*path.class(), "/above");
        assert_eq!(path.class_number(), above);
    }
}
