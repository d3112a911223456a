//! The ids, scores and texts of a document, in its order.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use serde_json::Value;

use super::{
    keys,
    path::{Path, Side},
    rules::{At, Rules},
};

/// What an answer has at the places that `answers` names.
#[derive(Debug)]
pub(super) struct Gathered<'a> {
    /// The answer, or each event of it.
    documents: Vec<&'a Value>,
    /// Whether the answer is one document, in which a pointer resolves.
    whole: bool,
    pub(super) ids: Vec<Cow<'a, str>>,
    pub(super) scores: Vec<Score>,
    pub(super) texts: Vec<&'a str>,
}

/// One score, and how far from it another may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score {
    pub(super) value: f64,
    pub(super) tolerance: f64,
}

/// What is gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Id,
    Score,
    Text,
}

/// Where one of them stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Empty where the answer is no document.
    pub(super) pointer: Box<str>,
    pub(super) class: Box<str>,
    /// Whether a text may be shown there.
    pub(super) open: bool,
}

impl<'a> Gathered<'a> {
    /// What one document has.
    pub(super) fn of(rules: &Rules, document: &'a Value) -> Self {
        Self::gather(rules, vec![document], true)
    }

    /// What many have together.
    pub(super) fn of_all(rules: &Rules, documents: impl Iterator<Item = &'a Value>) -> Self {
        Self::gather(rules, documents.collect(), false)
    }

    fn gather(rules: &Rules, documents: Vec<&'a Value>, whole: bool) -> Self {
        let (mut ids, mut scores, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for document in &documents {
            visit(
                rules,
                &rules.root(),
                document,
                &mut Path::default(),
                &mut |what, value, at, _| match what {
                    What::Id => ids.extend(keys::id(value)),
                    What::Score => {
                        let value = value.as_f64().unwrap_or_default();
                        scores.push(Score { value, tolerance: at.tolerance() });
                    }
                    What::Text => texts.extend(value.as_str()),
                },
            );
        }
        Self { documents, whole, ids, scores, texts }
    }

    /// Where those stand that are wanted, by their number among all of their kind.
    pub(super) fn places(&self, rules: &Rules, kind: What, wanted: &HashSet<usize>) -> HashMap<usize, Place> {
        let (mut places, mut count) = (HashMap::new(), 0);
        for document in &self.documents {
            if places.len() == wanted.len() {
                break;
            }
            visit(rules, &rules.root(), document, &mut Path::default(), &mut |what, _, at, path| {
                if what != kind {
                    return;
                }
                if wanted.contains(&count) {
                    let pointer = if self.whole { path.pointer(Side::Primary) } else { "".into() };
                    places.insert(count, Place { pointer, class: path.class(), open: at.is_shown() });
                }
                count += 1;
            });
        }
        places
    }

    /// Where one of them stands.
    pub(super) fn place(&self, rules: &Rules, kind: What, number: usize) -> Option<Place> {
        self.places(rules, kind, &HashSet::from([number])).remove(&number)
    }
}

fn visit<'a>(
    rules: &Rules,
    at: &At<'_>,
    value: &'a Value,
    path: &mut Path<'a>,
    take: &mut dyn FnMut(What, &'a Value, &At<'_>, &Path<'a>),
) {
    if at.is_ignored() {
        return;
    }
    match value {
        Value::String(_) | Value::Number(_) => {
            if at.is_id() {
                take(What::Id, value, at, path);
            }
            if at.is_score() && value.is_number() {
                take(What::Score, value, at, path);
            }
            if at.is_text() && value.is_string() {
                take(What::Text, value, at, path);
            }
        }
        Value::Array(elements) if !at.is_last() => {
            for (index, element) in elements.iter().enumerate() {
                path.element(index, index);
                visit(rules, &rules.element(at, index, index), element, path, take);
                path.up();
            }
        }
        Value::Object(members) if !at.is_last() => {
            for (name, member) in members {
                path.member(name);
                visit(rules, &rules.member(at, name), member, path, take);
                path.up();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::{Gathered, What};
    use crate::compare::{
        input::pattern,
        rules::{Rule, Rules},
    };

    #[test]
    fn what_stands_where_it_should_is_gathered_in_order() {
        let mut rules = Rules::new();
        let all = [
            ("/results/*/id", Rule::Id),
            ("/results/*/score", Rule::Score),
            ("/answer", Rule::Text),
            ("/results/2", Rule::Ignore),
            ("/results/1", Rule::Show),
        ];
        for (pointer, rule) in all {
            rules.add(&pattern(pointer).unwrap(), rule);
        }
        let document = json!({
            "answer": "Yes.",
            "results": [{ "id": "a", "score": 2 }, { "id": 7, "score": "high" }, { "id": "no" }, { "id": null }],
        });
        let gathered = Gathered::of(&rules, &document);
        assert_eq!(gathered.ids, ["a", "7"]);
        assert_eq!(gathered.scores.len(), 1);
        assert_eq!(gathered.texts, ["Yes."]);
        let place = gathered.place(&rules, What::Id, 1).unwrap();
        assert_eq!((&*place.pointer, &*place.class, place.open), ("/results/1/id", "/results/*/id", true));
        assert!(gathered.place(&rules, What::Id, 2).is_none());
        let twice = Gathered::of_all(&rules, [&document, &document].into_iter());
        let places = twice.places(&rules, What::Id, &HashSet::from([1, 2, 9]));
        assert_eq!(places.len(), 2);
        assert_eq!((&*places[&2].pointer, places[&2].open), ("", false));
    }
}
