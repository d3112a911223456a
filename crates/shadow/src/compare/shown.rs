//! What of a value may be told.
//!
//! A text that may not be shown is told by its length and a mark: a hash under a key that is
//! drawn once for the process and never leaves it, so that two equal texts can be told to be
//! equal, and nobody can try texts against the mark afterwards.

use std::{
    hash::{BuildHasher, RandomState},
    sync::OnceLock,
};

use serde_json::Value;

use crate::Shown;

/// The most characters of a text that are shown; the rest is `…`.
pub(super) const MOST_SHOWN: usize = 256;

/// A value of an answer; its text only where it stands open.
pub(super) fn value(value: &Value, open: bool) -> Shown {
    match value {
        Value::String(it) => text(it, open),
        Value::Array(elements) => Shown::Holds { what: "array", size: elements.len() },
        Value::Object(members) => Shown::Holds { what: "object", size: members.len() },
        plain => Shown::Value(plain.clone()),
    }
}

/// A text of an answer.
pub(super) fn text(text: &str, open: bool) -> Shown {
    if open {
        Shown::Value(cut(text).into())
    } else {
        Shown::Redacted { characters: text.chars().count(), mark: mark(text) }
    }
}

/// Words of our own, which come from no answer.
pub(super) fn own(words: &str) -> Shown {
    Shown::Value(words.into())
}

/// At most [`MOST_SHOWN`] characters of a text.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn mark(text: &str) -> Box<str> {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    let hash = KEY.get_or_init(RandomState::new).hash_one(text);
    // 48 bits: enough to tell the texts of a few thousand pairs apart.
    format!("{:012x}", hash >> 16).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{MOST_SHOWN, cut, mark, text, value};
    use crate::Shown;

    #[test]
    fn a_text_is_told_only_where_it_stands_open() {
        assert_eq!(value(&json!("höhe"), true), Shown::Value(json!("höhe")));
        let Shown::Redacted { characters, mark } = value(&json!("höhe"), false) else { panic!() };
        assert_eq!(characters, 4);
        assert_eq!(mark.len(), 12);
        assert!(!serde_json::to_string(&text("secret words", false)).unwrap().contains("secret"));
    }

    #[test]
    fn marks_tell_equal_texts_and_no_others() {
        assert_eq!(mark("a"), mark("a"));
        assert_ne!(mark("a"), mark("b"));
        assert_ne!(mark(""), mark("\0"));
    }

    #[test]
    fn what_is_no_text_is_told_by_its_value_or_size() {
        assert_eq!(value(&json!(1.5), false), Shown::Value(json!(1.5)));
        assert_eq!(value(&json!(null), false), Shown::Value(json!(null)));
        assert_eq!(value(&json!(["secret"]), true), Shown::Holds { what: "array", size: 1 });
        assert_eq!(value(&json!({ "a": 1, "b": 2 }), true), Shown::Holds { what: "object", size: 2 });
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "ü".repeat(MOST_SHOWN + 1);
        assert_eq!(cut(&long), format!("{}…", "ü".repeat(MOST_SHOWN)));
        assert_eq!(cut(&long[2..]), long[2..]);
    }
}
