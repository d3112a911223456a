//! What came from the environment, and is not to be shown.
//!
//! Secrets come in as `${NAME}`. Wherever the configuration is shown again (the document in the
//! admin API, a problem in a log) the reference stands in place of what it stood for. Which values
//! these are is known by their places in the document; and since a message may quote a value, or a
//! part of one, from elsewhere, what came from a variable is replaced in all texts as well, unless
//! it is shorter than [`LEAST`] characters and so no secret.

use serde_json::Value;
use sluicegate_core::secret_file::REDACTED;

use crate::yaml::{self, Node, Step, shortened};

/// Shorter values are numbers and switches, and stand in many texts by chance.
const LEAST: usize = 4;

/// The values of one document that came from the environment.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    places: Vec<Place>,
    /// What came from variables and is long enough to be a secret, by its references: longer ones
    /// first, since one may be the beginning of another.
    parts: Vec<(String, String)>,
}

/// Where a value stands that came from variables.
#[derive(Clone)]
struct Place {
    steps: Vec<Step>,
    path: String,
    /// The whole value, and as it is written.
    value: String,
    written: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.places.iter().map(|place| (&place.path, &place.written))).finish()
    }
}

impl Secrets {
    /// All that a document has.
    pub(crate) fn of(root: &Node) -> Self {
        let (mut places, mut parts) = (Vec::new(), Vec::new());
        yaml::each_scalar(root, &mut |steps, scalar| {
            let Some(written) = &scalar.written else { return };
            places.push(Place {
                steps: steps.to_vec(),
                path: yaml::path_of(steps),
                value: scalar.text.clone(),
                written: written.text.clone(),
            });
            parts.extend(written.values.iter().filter(|(_, value)| value.chars().count() >= LEAST).cloned());
        });
        parts.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        parts.dedup();
        Self { places, parts }
    }

    /// A text about what stands at `path`, without what is not to be shown.
    pub(crate) fn hide(&self, path: &str, text: String) -> String {
        let mut text = text;
        for place in &self.places {
            if path == place.path && !place.value.is_empty() {
                text = replaced(&text, &place.value, &place.written);
            } else if let Some(short) = cut_off(&place.value) {
                // A message of another place may end in the middle of what is not to be shown.
                text = text.replace(&short, &place.written);
            }
        }
        for (reference, value) in &self.parts {
            text = replaced(&text, value, reference);
        }
        text
    }

    /// The document as it may be shown.
    pub(crate) fn hide_in(&self, document: &mut Value) {
        if self.places.is_empty() {
            return;
        }
        for place in &self.places {
            if let Some(value) = at(document, &place.steps)
                && !value.is_object()
                && !value.is_array()
                && value.as_str() != Some(REDACTED)
            {
                *value = Value::String(place.written.clone());
            }
        }
        self.sweep(document);
    }

    fn sweep(&self, value: &mut Value) {
        match value {
            Value::String(text) if !self.places.iter().any(|place| *text == place.written) => {
                for (reference, value) in &self.parts {
                    if text.contains(value.as_str()) {
                        *text = text.replace(value.as_str(), reference);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.sweep(item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.sweep(member)),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// In each form in which messages show values.
fn replaced(text: &str, value: &str, by: &str) -> String {
    let text = text.replace(value, by);
    let escaped: String = value.escape_debug().collect();
    let text = if escaped == value { text } else { text.replace(&escaped, by) };
    match cut_off(value) {
        Some(short) => text.replace(&short, by),
        None => text,
    }
}

/// A long value as messages show it.
fn cut_off(value: &str) -> Option<String> {
    let short = shortened(value);
    short.ends_with('…').then_some(short).filter(|short| *short != value)
}

fn at<'v>(document: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    steps.iter().try_fold(document, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(index),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Secrets;
    use crate::yaml::build_with;

    fn secrets(text: &str) -> Secrets {
        let lookup = |name: &str| {
            Ok(match name {
                "PW" => Some("hunter2".to_owned()),
                "LONG" => Some("x".repeat(100)),
                "LONGER" => Some("hunter2-and-more".to_owned()),
                "LINES" => Some("a\nbcd".to_owned()),
                "N" => Some("7".to_owned()),
                _ => None,
            })
        };
        Secrets::of(&build_with(text, &lookup).unwrap())
    }

    #[test]
    fn a_document_shows_its_references() {
        let text = "a: [x, { b: 'redis://:${PW}@h' }]\nn: ${N}\nc: &c ${PW}\nd: *c\ne: ${NONE:-defaulted}\n";
        let mut shown = json!({
            "a": ["x", { "b": "redis://:hunter2@h" }], "n": 7, "c": "hunter2", "d": "hunter2",
            "e": "defaulted", "elsewhere": "of hunter2", "seven": 7, "hidden": "[redacted]",
        });
        secrets(text).hide_in(&mut shown);
        let expected = json!({
            "a": ["x", { "b": "redis://:${PW}@h" }], "n": "${N}", "c": "${PW}", "d": "${PW}",
            "e": "${NONE:-defaulted}", "elsewhere": "of ${PW}", "seven": 7, "hidden": "[redacted]",
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_message_shows_no_value() {
        let secrets = secrets("a: ${PW}\nb: ${LONG}\nc: ${LINES}\nn: ${N}\nd: ${LONGER}\n");
        assert_eq!(secrets.hide("x", "`hunter2` is no name".into()), "`${PW}` is no name");
        assert_eq!(secrets.hide("x", "hunter2-and-more".into()), "${LONGER}", "one begins with another");
        let short = crate::yaml::shortened(&"x".repeat(100));
        assert_eq!(secrets.hide("b", format!("`{short}` is no name")), "`${LONG}` is no name");
        assert_eq!(secrets.hide("c", "`a\\nbcd` is no name".into()), "`${LINES}` is no name");
        assert_eq!(secrets.hide("n", "7 is too many".into()), "${N} is too many");
        assert_eq!(secrets.hide("x", "7 is too many".into()), "7 is too many", "no secret, and elsewhere");
        assert!(!format!("{secrets:?}").contains("hunter2"));
        // A message of another place that ends in the middle of a secret.
        let long = format!("{}${{PW}}", "/".repeat(60));
        let cut = crate::yaml::shortened(&long.replace("${PW}", "hunter2"));
        assert!(cut.ends_with("hunt…"), "{cut}");
        let told = self::secrets(&format!("a: \"{long}\"\n")).hide("x", format!("`{cut}` is there as well"));
        assert_eq!(told, format!("`{long}` is there as well"));
    }
}
