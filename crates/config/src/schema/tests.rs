//! The schema, the reference file and the code say the same.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc};

use serde_json::Value as Json;

use super::schema;
use crate::{
    Document, Source, parse,
    read::read,
    yaml::{Node, Value, build, push_index, push_key},
};

const REFERENCE: &str = include_str!("../../../../config/reference.yaml");

fn config(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config").join(file)
}

/// `SLUICEGATE_BLESS=1 cargo test -p sluicegate-config` writes it anew.
#[test]
fn the_schema_that_is_checked_in_is_the_codes_own() {
    let text = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    let file = config("schema.json");
    if std::env::var_os("SLUICEGATE_BLESS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    assert!(
        fs::read_to_string(&file).unwrap_or_default() == text,
        "config/schema.json is old; run with SLUICEGATE_BLESS=1"
    );
}

#[test]
fn the_reference_has_the_shape_of_a_document_in_every_form_it_shows() {
    for (form, tree) in forms() {
        if let Err(faults) = read::<Document>(&tree) {
            panic!("{form}: {faults:?}");
        }
    }
}

#[test]
fn the_reference_is_taken_as_it_stands() {
    if let Err(rejected) = parse(REFERENCE, &Source::sent(".".as_ref())) {
        panic!("{:#?}", rejected.problems);
    }
}

#[test]
fn every_property_of_the_schema_is_in_the_reference_with_its_default() {
    let schema = schema();
    let mut walk = Walk { schema: &schema, seen: BTreeSet::new(), wrong: Vec::new() };
    for (_, tree) in forms() {
        let value: Json = read(&tree).unwrap();
        walk.value("", &schema, &value, "");
    }
    let mut all = BTreeSet::new();
    properties(&schema, "", &mut all);
    let missing: Vec<_> = all.difference(&walk.seen).collect();
    assert!(missing.is_empty(), "not in the reference: {missing:#?}");
    assert!(walk.wrong.is_empty(), "not the code's default: {:#?}", walk.wrong);
    // A schema that lost its properties would make the above hold for nothing.
    assert!(all.len() > 120, "{}", all.len());
}

/// The reference as it stands, and once for each `# or: VALUE`, with that in the place of
/// the value of the last key above that is indented alike.
fn forms() -> Vec<(String, Arc<Node>)> {
    let tree = build(REFERENCE).unwrap();
    let mut places = Vec::new();
    keys(&tree, &mut String::new(), &mut places);
    let mut forms = vec![("as it stands".to_owned(), tree.clone())];
    for (line, text) in (1..).zip(REFERENCE.lines()) {
        let Some(form) = text.trim_start().strip_prefix("# or: ") else { continue };
        let column = text.len() - text.trim_start().len() + 1;
        let above = places.iter().filter(|(at, at_column, _)| *at < line && *at_column == column);
        let (.., path) = above.max_by_key(|(at, ..)| *at).expect("a key stands above");
        let mut changed = tree.clone();
        *at_path(&mut changed, path) = build(form).unwrap();
        forms.push((format!("line {line}: {path}"), changed));
    }
    assert!(forms.len() > 8, "the forms are found");
    forms
}

/// Line, column and path of every key.
fn keys(node: &Node, path: &mut String, places: &mut Vec<(usize, usize, String)>) {
    let before = path.len();
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                push_key(path, &entry.key);
                places.push((entry.key_pos.line, entry.key_pos.column, path.clone()));
                keys(&entry.value, path, places);
                path.truncate(before);
            }
        }
        Value::List(items) => {
            for (at, item) in items.iter().enumerate() {
                push_index(path, at);
                keys(item, path, places);
                path.truncate(before);
            }
        }
        _ => {}
    }
}

fn at_path<'n>(node: &'n mut Arc<Node>, path: &str) -> &'n mut Arc<Node> {
    let Some(step) = path.split(['.', '[']).find(|step| !step.is_empty()) else { return node };
    let rest = &path[path.find(step).unwrap() + step.len()..];
    match &mut Arc::make_mut(node).value {
        Value::Map(entries) => {
            at_path(&mut entries.iter_mut().find(|entry| entry.key == step).unwrap().value, rest)
        }
        Value::List(items) => at_path(&mut items[step.trim_end_matches(']').parse::<usize>().unwrap()], rest),
        _ => panic!("no such path"),
    }
}

/// The JSON pointers of all properties.
fn properties(schema: &Json, pointer: &str, all: &mut BTreeSet<String>) {
    match schema {
        Json::Object(members) => {
            for (key, member) in members {
                if key == "default" {
                    continue;
                }
                let pointer = format!("{pointer}/{key}");
                if key == "properties" {
                    all.extend(member.as_object().unwrap().keys().map(|name| format!("{pointer}/{name}")));
                }
                properties(member, &pointer, all);
            }
        }
        Json::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                properties(item, &format!("{pointer}/{at}"), all);
            }
        }
        _ => {}
    }
}

struct Walk<'s> {
    schema: &'s Json,
    seen: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Walk<'_> {
    /// Follows a value along its schema, notes the properties met, and compares each with
    /// its default where it is met first.
    fn value(&mut self, pointer: &str, schema: &Json, value: &Json, path: &str) {
        if let Some(reference) = schema.get("$ref") {
            let pointer = reference.as_str().unwrap().trim_start_matches('#').to_owned();
            let target = self.schema.pointer(&pointer).unwrap().clone();
            self.value(&pointer, &target, value, path);
        }
        for kind in ["anyOf", "oneOf", "allOf"] {
            let alternatives = schema.get(kind).and_then(Json::as_array).cloned().unwrap_or_default();
            for (at, alternative) in alternatives.iter().enumerate() {
                self.value(&format!("{pointer}/{kind}/{at}"), alternative, value, path);
            }
        }
        for (key, inner) in value.as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            if let Some(property) = schema.get("properties").and_then(|all| all.get(key)) {
                let pointer = format!("{pointer}/properties/{key}");
                if self.seen.insert(pointer.clone()) {
                    self.compare(property, inner, &path);
                }
                self.value(&pointer, property, inner, &path);
            } else if let Some(any) = schema.get("additionalProperties").filter(|any| any.is_object()) {
                self.value(&format!("{pointer}/additionalProperties"), any, inner, &path);
            }
        }
        for inner in value.as_array().into_iter().flatten() {
            if let Some(items) = schema.get("items") {
                self.value(&format!("{pointer}/items"), items, inner, path);
            }
        }
    }

    fn compare(&mut self, property: &Json, shown: &Json, path: &str) {
        let Some(default) =
            property.get("default").filter(|default| !default.is_null() && !default.is_object())
        else {
            return;
        };
        let same = match (default.as_f64(), shown.as_f64()) {
            (Some(default), Some(shown)) => (default - shown).abs() < f64::EPSILON,
            _ => default == shown || span_of(default).is_some_and(|span| span_of(shown) == Some(span)),
        };
        if !same {
            self.wrong.push(format!("{path}: shown {shown}, default {default}"));
        }
    }
}

/// `60s` and `1m` are the same time.
fn span_of(value: &Json) -> Option<sluicegate_core::units::Span> {
    value.as_str()?.parse().ok()
}
