//! How alike two texts are.
//!
//! Texts are compared as their words, what white space parts. The similarity is twice the words
//! that both have in the same order (the longest common subsequence, by Myers' algorithm) over
//! the words of both: 1 for the same words, 0 for none in common.
//!
//! That search takes the product of both lengths at worst. Texts of which more than
//! [`MOST_WORK`] would be left after their common beginning and end are compared by which words
//! they have, and how often, without their order: an upper bound of the same figure, in one pass.
//! The bound is on the size and not on the clock, so that the same texts always give the same.

use std::{borrow::Cow, collections::HashMap, convert::Infallible};

use similar::{
    Algorithm,
    algorithms::{DiffHook, diff_slices},
};

use super::{
    found::Found,
    gather::{Gathered, What},
    rules::Rules,
    shown,
};
use crate::comparison::{Difference, Kind, Seen};

/// The most that the product of the words of both may be: 2000 words each.
const MOST_WORK: usize = 4_000_000;

/// The text of one side's answer.
#[derive(Debug)]
pub(super) struct Side<'a> {
    text: Option<Cow<'a, str>>,
    pointer: Box<str>,
    open: bool,
}

impl<'a> Side<'a> {
    /// An answer that is a text, or from which one was put together.
    pub(super) fn whole(text: impl Into<Cow<'a, str>>, open: bool) -> Self {
        Self { text: Some(text.into()), pointer: "".into(), open }
    }

    /// An answer without a text.
    pub(super) fn none() -> Self {
        Self { text: None, pointer: "".into(), open: false }
    }

    /// The texts that stand in an answer, one after the other; told where the first one stands.
    pub(super) fn of(rules: &Rules, gathered: &Gathered<'a>, between: &str) -> Self {
        let text = match *gathered.texts {
            [] => return Self::none(),
            [text] => Cow::Borrowed(text),
            ref many => Cow::Owned(many.join(between)),
        };
        let place = gathered.place(rules, What::Text, 0);
        let open = place.as_ref().is_some_and(|place| place.open);
        Self { text: Some(text), pointer: place.map_or_else(|| "".into(), |place| place.pointer), open }
    }

    fn seen(&self) -> Option<Seen> {
        let text = self.text.as_deref()?;
        Some(Seen { pointer: self.pointer.clone(), value: shown::text(text, self.open) })
    }
}

/// Notes how alike the texts are, and tells if they are less alike than they should be. A text
/// that only one side has is always told.
pub(super) fn compare(primary: &Side<'_>, shadow: &Side<'_>, least: f64, found: &mut Found) {
    let alike = match (&primary.text, &shadow.text) {
        (None, None) => return,
        (Some(primary), Some(shadow)) => Some(similarity(primary, shadow)),
        _ => None,
    };
    found.texts = Some(alike.unwrap_or(0.0));
    if alike.is_none_or(|alike| alike < least) {
        found.tell(Difference {
            class: "text".into(),
            kind: Kind::Text,
            primary: primary.seen(),
            shadow: shadow.seen(),
        });
    }
}

/// From 0 to 1; 1 only for the same words in the same order.
fn similarity(a: &str, b: &str) -> f64 {
    let mut a = a.split_whitespace().collect::<Vec<_>>();
    let mut b = b.split_whitespace().collect::<Vec<_>>();
    if a == b {
        return 1.0;
    }
    // The search is not the same in both directions where it takes shortcuts.
    if b < a {
        std::mem::swap(&mut a, &mut b);
    }
    let words = a.len() + b.len();
    let before = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[before..], &b[before..]);
    let after = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - after], &b[..b.len() - after]);
    let between =
        if a.len().saturating_mul(b.len()) <= MOST_WORK { in_order(a, b) } else { in_any_order(a, b) };
    let share = 2.0 * (before + after + between) as f64 / words as f64;
    // Words that only stand elsewhere are not the same text.
    share.min(1.0 - 1.0 / words as f64)
}

/// How many words both have in the same order.
fn in_order(a: &[&str], b: &[&str]) -> usize {
    let mut equal = Equal(0);
    match diff_slices(Algorithm::Myers, &mut equal, a, b) {
        Ok(()) => equal.0,
        Err(never) => match never {},
    }
}

/// Counts what a diff finds equal.
struct Equal(usize);

impl DiffHook for Equal {
    type Error = Infallible;

    fn equal(&mut self, _: usize, _: usize, length: usize) -> Result<(), Infallible> {
        self.0 += length;
        Ok(())
    }
}

/// How many words both have, wherever they stand.
fn in_any_order(a: &[&str], b: &[&str]) -> usize {
    let mut counts = HashMap::<&str, usize>::new();
    for word in a {
        *counts.entry(word).or_default() += 1;
    }
    let shared = b.iter().filter(|word| match counts.get_mut(**word) {
        Some(left @ 1..) => {
            *left -= 1;
            true
        }
        _ => false,
    });
    shared.count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{in_any_order, in_order, similarity};

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn words_in_the_same_order_count() {
        assert!(close(similarity("the cat sat", "the cat sat"), 1.0));
        assert!(close(similarity("the cat sat", " the\n cat  sat "), 1.0));
        assert!(close(similarity("the cat sat", "the dog sat"), 4.0 / 6.0));
        assert!(close(similarity("a b c d", "b c"), 4.0 / 6.0));
        assert!(close(similarity("a b", "c d"), 0.0));
        assert!(close(similarity("", ""), 1.0));
        assert!(close(similarity("", "a"), 0.0));
    }

    #[test]
    fn long_texts_are_compared_by_their_words() {
        let words = |range: std::ops::Range<usize>| range.map(|n| format!("w{n}")).collect::<Vec<_>>();
        let mut moved = words(0..5000);
        moved.rotate_left(1);
        let turned = similarity(&words(0..5000).join(" "), &moved.join(" "));
        assert!(turned > 0.999 && turned < 1.0, "{turned}");
        let half = similarity(&words(0..4000).join(" "), &words(2000..6000).join(" "));
        assert!(close(half, 0.5), "{half}");
    }

    #[test]
    fn a_small_change_in_a_long_text_is_a_small_change() {
        let mut words = vec!["word"; 100_000];
        let before = words.join(" ");
        words[50_000] = "other";
        assert!(close(similarity(&before, &words.join(" ")), 1.0 - 1.0 / 100_000.0));
    }

    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec("[abc]{1,2}", 0..30).prop_map(|words| words.join(" "))
    }

    /// The textbook's table.
    fn longest_common(a: &[&str], b: &[&str]) -> usize {
        let mut row = vec![0; b.len() + 1];
        for left in a {
            let mut corner = 0;
            for (at, right) in b.iter().enumerate() {
                let above = row[at + 1];
                row[at + 1] = if left == right { corner + 1 } else { above.max(row[at]) };
                corner = above;
            }
        }
        row[b.len()]
    }

    proptest! {
        #[test]
        fn it_is_a_share_that_does_not_depend_on_the_side(a in text(), b in text()) {
            let there = similarity(&a, &b);
            prop_assert!((0.0..=1.0).contains(&there));
            prop_assert!(close(there, similarity(&b, &a)));
            let same = a.split_whitespace().eq(b.split_whitespace());
            prop_assert_eq!(close(there, 1.0), same);
        }

        #[test]
        fn what_is_in_order_is_the_longest_common_subsequence(a in text(), b in text()) {
            let (a, b) = (a.split_whitespace().collect::<Vec<_>>(), b.split_whitespace().collect::<Vec<_>>());
            let longest = longest_common(&a, &b);
            prop_assert_eq!(in_order(&a, &b), longest);
            prop_assert!(in_any_order(&a, &b) >= longest);
        }
    }
}
