//! All that is different in two documents, place by place.

use serde_json::{Number, Value};

use super::{
    found::Found,
    ids::{Ids, near},
    keys::{self, Matched},
    path::{Path, Side},
    rules::{At, Rules},
    shown,
};
use crate::comparison::{Difference, Kind, Seen};

/// Walks both documents at once.
///
/// What `ids` tell is not told again; nor are scores, where they have been compared by id.
pub(super) fn compare(
    rules: &Rules,
    ids: Option<&Ids<'_>>,
    scores_told: bool,
    (primary, shadow): (&Value, &Value),
    found: &mut Found,
) {
    let mut walk = Walk { rules, ids, scores_told, path: Path::default(), found };
    walk.both(&rules.root(), primary, shadow);
}

struct Walk<'w, 'v> {
    rules: &'w Rules,
    ids: Option<&'w Ids<'w>>,
    scores_told: bool,
    path: Path<'v>,
    found: &'w mut Found,
}

impl<'v> Walk<'_, 'v> {
    /// A place that both have.
    fn both(&mut self, at: &At<'_>, primary: &'v Value, shadow: &'v Value) {
        if at.is_ignored() || self.is_told(at, primary, shadow) {
            return;
        }
        match (primary, shadow) {
            (Value::Null, Value::Null) => {}
            (Value::Bool(ours), Value::Bool(theirs)) if ours == theirs => {}
            (Value::String(ours), Value::String(theirs)) if ours == theirs => {}
            (Value::Number(ours), Value::Number(theirs)) if equal(ours, theirs, at.tolerance()) => {}
            (Value::Array(ours), Value::Array(theirs)) => match at.key() {
                Some(place) => self.by_key(at, place, ours, theirs),
                None => self.by_place(at, ours, theirs),
            },
            (Value::Object(ours), Value::Object(theirs)) => {
                let mut names = ours.keys().chain(theirs.keys()).map(String::as_str).collect::<Vec<_>>();
                names.sort_unstable();
                names.dedup();
                for name in names {
                    self.path.member(name);
                    let below = self.rules.member(at, name);
                    match (ours.get(name), theirs.get(name)) {
                        (Some(ours), Some(theirs)) => self.both(&below, ours, theirs),
                        (Some(ours), None) => self.one(&below, Side::Primary, ours),
                        (None, Some(theirs)) => self.one(&below, Side::Shadow, theirs),
                        (None, None) => {}
                    }
                    self.path.up();
                }
            }
            _ => {
                let same_type = std::mem::discriminant(primary) == std::mem::discriminant(shadow);
                let kind = if same_type { Kind::Value } else { Kind::Type };
                self.tell(at, kind, Some(primary), Some(shadow));
            }
        }
    }

    /// A place that one side has.
    fn one(&mut self, at: &At<'_>, side: Side, value: &Value) {
        let told = at.is_id() && keys::id(value).is_some() || at.is_text() && value.is_string();
        if at.is_ignored() || told {
            return;
        }
        match side {
            Side::Primary => self.tell(at, Kind::Missing, Some(value), None),
            Side::Shadow => self.tell(at, Kind::New, None, Some(value)),
        }
    }

    /// Whether ids, texts or scores say what is to be said here.
    fn is_told(&self, at: &At<'_>, primary: &Value, shadow: &Value) -> bool {
        let is_id = |value| keys::id(value).is_some();
        // An id that is text here and a number there is the same id, but of another type.
        let by_ids = at.is_id()
            && (is_id(primary) != is_id(shadow)
                || is_id(primary) && primary.is_string() == shadow.is_string());
        let by_texts = at.is_text() && (primary.is_string() || shadow.is_string());
        let by_scores = at.is_score() && self.scores_told && primary.is_number() && shadow.is_number();
        by_ids || by_texts || by_scores
    }

    fn by_place(&mut self, at: &At<'_>, primary: &'v [Value], shadow: &'v [Value]) {
        for index in 0..primary.len().max(shadow.len()) {
            self.path.element(index, index);
            let below = self.rules.element(at, index, index);
            match (primary.get(index), shadow.get(index)) {
                (Some(ours), Some(theirs)) => self.both(&below, ours, theirs),
                (Some(ours), None) => self.one(&below, Side::Primary, ours),
                (None, Some(theirs)) => self.one(&below, Side::Shadow, theirs),
                (None, None) => {}
            }
            self.path.up();
        }
    }

    fn by_key(&mut self, at: &At<'_>, place: &[Box<str>], primary: &'v [Value], shadow: &'v [Value]) {
        let matched = Matched::by_key(primary, shadow, place);
        if matched.is_reordered() && !self.is_order_told(at, place) {
            let class = self.path.class_number();
            let (path, sizes) = (&self.path, (primary.len(), shadow.len()));
            let seen = |side, size| {
                Some(Seen { pointer: path.pointer(side), value: crate::Shown::Holds { what: "array", size } })
            };
            self.found.tell_of(class, || Difference {
                class: path.class(),
                kind: Kind::Order,
                primary: seen(Side::Primary, sizes.0),
                shadow: seen(Side::Shadow, sizes.1),
            });
        }
        for &(ours, theirs) in &matched.pairs {
            self.path.element(ours, theirs);
            let below = self.rules.element(at, ours, theirs);
            self.both(&below, &primary[ours], &shadow[theirs]);
            self.path.up();
        }
        let missing = matched.missing.iter().map(|index| (Side::Primary, *index, &primary[*index]));
        let new = matched.new.iter().map(|index| (Side::Shadow, *index, &shadow[*index]));
        for (side, index, element) in missing.chain(new) {
            let below = self.rules.element(at, index, index);
            if !self.is_element_told(&below, place, element) {
                self.path.element(index, index);
                self.one(&below, side, element);
                self.path.up();
            }
        }
    }

    /// Whether the key of the elements is their id, and the ids tell of the order.
    fn is_order_told(&self, at: &At<'_>, place: &[Box<str>]) -> bool {
        let below = self.rules.element(at, 0, 0);
        self.is_id_at(&below, place) && self.ids.is_some_and(Ids::tell_order)
    }

    /// Whether the ids tell that an element is missing or new.
    fn is_element_told(&self, at: &At<'_>, place: &[Box<str>], element: &Value) -> bool {
        let id = keys::at(element, place).and_then(keys::id);
        let told = |id: &str| self.ids.is_some_and(|ids| ids.tell_of(id));
        self.is_id_at(at, place) && id.is_some_and(|id| told(&id))
    }

    /// Whether an id stands at a place in an element.
    fn is_id_at(&self, at: &At<'_>, place: &[Box<str>]) -> bool {
        place.iter().fold(at.clone(), |at, name| self.rules.member(&at, name)).is_id()
    }

    fn tell(&mut self, at: &At<'_>, kind: Kind, primary: Option<&Value>, shadow: Option<&Value>) {
        let class = self.path.class_number();
        let (path, open) = (&self.path, at.is_shown() || at.is_id());
        let seen = |side, value: Option<&Value>| {
            value.map(|value| Seen { pointer: path.pointer(side), value: shown::value(value, open) })
        };
        self.found.tell_of(class, || Difference {
            class: path.class(),
            kind,
            primary: seen(Side::Primary, primary),
            shadow: seen(Side::Shadow, shadow),
        });
    }
}

/// Whether two numbers are the same one, or near enough.
fn equal(a: &Number, b: &Number, tolerance: f64) -> bool {
    match (a.as_i128(), b.as_i128(), a.as_f64(), b.as_f64()) {
        // Whole numbers that floats cannot tell apart.
        (Some(a), Some(b), ..) if tolerance == 0.0 => a == b,
        (_, _, Some(a), Some(b)) => near(a, b, tolerance),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests;
