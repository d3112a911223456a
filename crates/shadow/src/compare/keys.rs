//! What elements and ids are told apart by.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
};

use serde_json::{Number, Value};

/// An id as text; numbers in one form, so that `7`, `7.0` and `"7"` are the same thing. None for
/// what is neither text nor number.
pub(super) fn id(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(canonical(number))),
        _ => None,
    }
}

fn canonical(number: &Number) -> String {
    match number.as_f64() {
        // Up to here each whole number has a float of its own.
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 => {
            // Zero has one form as well.
            format!("{:.0}", float + 0.0)
        }
        _ => number.to_string(),
    }
}

/// What stands at a place in an element.
pub(super) fn at<'a>(element: &'a Value, place: &[Box<str>]) -> Option<&'a Value> {
    place.iter().try_fold(element, |value, name| value.get(&**name))
}

/// How the elements of two arrays are matched.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Matched {
    /// Their indices in both, in the order of the primary's.
    pub(super) pairs: Vec<(usize, usize)>,
    /// Those that only the primary has.
    pub(super) missing: Vec<usize>,
    /// Those that only the shadow has.
    pub(super) new: Vec<usize>,
}

impl Matched {
    /// Matches by key: the n-th of a key with the n-th of the same one, and those without a key
    /// among themselves.
    pub(super) fn by_key(primary: &[Value], shadow: &[Value], place: &[Box<str>]) -> Self {
        let key = |element| at(element, place).and_then(id);
        let mut waiting = HashMap::<_, VecDeque<usize>>::new();
        for (index, element) in shadow.iter().enumerate() {
            waiting.entry(key(element)).or_default().push_back(index);
        }
        let mut matched = Self::default();
        for (index, element) in primary.iter().enumerate() {
            match waiting.get_mut(&key(element)).and_then(VecDeque::pop_front) {
                Some(other) => matched.pairs.push((index, other)),
                None => matched.missing.push(index),
            }
        }
        matched.new = waiting.into_values().flatten().collect();
        matched.new.sort_unstable();
        matched
    }

    /// Whether those that both have stand in another order.
    pub(super) fn is_reordered(&self) -> bool {
        !self.pairs.is_sorted_by_key(|(_, shadow)| *shadow)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Matched, at, id};

    fn elements(value: Value) -> Vec<Value> {
        match value {
            Value::Array(elements) => elements,
            _ => panic!("no array"),
        }
    }

    fn matched(primary: Value, shadow: Value) -> Matched {
        Matched::by_key(&elements(primary), &elements(shadow), &["id".into()])
    }

    #[test]
    fn one_id_has_one_form() {
        for same in [json!(7), json!(7.0), json!("7")] {
            assert_eq!(id(&same).unwrap(), "7");
        }
        assert_eq!(id(&json!(u64::MAX)).unwrap(), u64::MAX.to_string());
        assert_eq!(id(&json!(-0.5)).unwrap(), "-0.5");
        assert!(id(&json!(null)).is_none());
        assert!(id(&json!([1])).is_none());
    }

    #[test]
    fn a_key_may_stand_deeper() {
        let place = ["a".into(), "b".into()];
        assert_eq!(at(&json!({ "a": { "b": 1 } }), &place), Some(&json!(1)));
        assert_eq!(at(&json!({ "a": [1] }), &place), None);
        assert_eq!(at(&json!(1), &place), None);
    }

    #[test]
    fn elements_are_matched_wherever_they_stand() {
        let it = matched(json!([{"id": 1}, {"id": 2}, {"id": 3}]), json!([{"id": 3}, {"id": 4}, {"id": 1}]));
        assert_eq!(it, Matched { pairs: vec![(0, 2), (2, 0)], missing: vec![1], new: vec![1] });
        assert!(it.is_reordered());
    }

    #[test]
    fn elements_of_one_key_are_matched_one_by_one() {
        let it = matched(json!([{"id": 1}, {"id": 1}, {}, 5]), json!([{"id": 1}, null]));
        assert_eq!(it, Matched { pairs: vec![(0, 0), (2, 1)], missing: vec![1, 3], new: vec![] });
        assert!(!it.is_reordered());
    }
}
