use serde_json::{Value, json};

use crate::{
    Kind,
    compare::{AnswersInput, CompareInput, Found, documents},
    comparison::{Comparison, Shown},
};

fn compared(section: Value, answers: Value, primary: &Value, shadow: &Value) -> Comparison {
    let section: CompareInput = serde_json::from_value(section).unwrap();
    let answers: AnswersInput = serde_json::from_value(answers).unwrap();
    let comparer = section.check(&answers).unwrap();
    let mut found = Found::default();
    documents::compare(&comparer.rules, comparer.similarity, primary, shadow, &mut found);
    found.into_comparison()
}

fn told(section: Value, answers: Value, primary: &Value, shadow: &Value) -> Vec<(String, Kind)> {
    let found = compared(section, answers, primary, shadow).differences;
    found.into_iter().map(|it| (it.class.into(), it.kind)).collect()
}

fn plain(primary: &Value, shadow: &Value) -> Vec<(String, Kind)> {
    told(json!({}), json!({}), primary, shadow)
}

fn one(class: &str, kind: Kind) -> Vec<(String, Kind)> {
    vec![(class.to_owned(), kind)]
}

#[test]
fn each_way_to_differ_has_its_kind_and_place() {
    let a = json!({ "n": 1, "s": "x", "o": { "deep": [1, 2] }, "z": null });
    assert_eq!(plain(&a, &a), []);
    let change = |pointer: &str, value: Value| {
        let mut b = a.clone();
        *b.pointer_mut(pointer).unwrap() = value;
        b
    };
    assert_eq!(plain(&a, &change("/n", json!(2))), one("/n", Kind::Value));
    assert_eq!(plain(&a, &change("/n", json!("1"))), one("/n", Kind::Type));
    assert_eq!(plain(&a, &change("/z", json!({}))), one("/z", Kind::Type));
    assert_eq!(plain(&a, &change("/o/deep/1", json!(3))), one("/o/deep/*", Kind::Value));
    assert_eq!(plain(&a, &change("/o/deep", json!([1]))), one("/o/deep/*", Kind::Missing));
    assert_eq!(plain(&a, &change("/o/deep", json!([1, 2, [3]]))), one("/o/deep/*", Kind::New));
    assert_eq!(plain(&a, &change("/o", json!({}))), one("/o/deep", Kind::Missing));
    assert_eq!(plain(&a, &change("", json!([]))), one("", Kind::Type));
}

#[test]
fn a_member_of_another_name_is_missing_and_new() {
    let found = plain(&json!({ "title": 1 }), &json!({ "name": 1 }));
    assert_eq!(found, [("/name".to_owned(), Kind::New), ("/title".to_owned(), Kind::Missing)]);
}

#[test]
fn numbers_are_compared_as_numbers() {
    assert_eq!(plain(&json!([1, 0, 1e3]), &json!([1.0, -0.0, 1000])), []);
    assert_eq!(plain(&json!(u64::MAX), &json!(u64::MAX - 1)), one("", Kind::Value));
    assert_eq!(plain(&json!(i64::MIN), &json!(i64::MIN + 1)), one("", Kind::Value));
    let section = || json!({ "tolerance": { "/s": 0.01 } });
    let at = |value: Value| json!({ "s": value });
    assert_eq!(told(section(), json!({}), &at(json!([100, -5.0])), &at(json!([99.0, -5.04]))), []);
    assert_eq!(told(section(), json!({}), &at(json!(100)), &at(json!(98.9))), one("/s", Kind::Value));
    assert_eq!(told(section(), json!({}), &at(json!(0.1)), &at(json!("0.1"))), one("/s", Kind::Type));
}

#[test]
fn elements_matched_by_key_are_compared_wherever_they_stand() {
    let a = json!({ "r": [{ "id": 1, "v": "a" }, { "id": 2, "v": "b" }, { "id": 3, "v": "c" }] });
    let b = json!({ "r": [{ "id": 3, "v": "c" }, { "id": 1, "v": "X" }] });
    let found = compared(json!({ "arrays": { "/r": "id" } }), json!({}), &a, &b).differences;
    let classes = found.iter().map(|it| (&*it.class, it.kind)).collect::<Vec<_>>();
    assert_eq!(classes, [("/r", Kind::Order), ("/r/*/v", Kind::Value), ("/r/*", Kind::Missing)]);
    assert_eq!(&*found[1].primary.as_ref().unwrap().pointer, "/r/0/v");
    assert_eq!(&*found[1].shadow.as_ref().unwrap().pointer, "/r/1/v");
    assert_eq!(&*found[2].primary.as_ref().unwrap().pointer, "/r/1");
    assert_eq!(found[2].primary.as_ref().unwrap().value, Shown::Holds { what: "object", size: 2 });
}

#[test]
fn ids_match_their_own_array_and_tell_what_is_missing() {
    let answers = || json!({ "ids": "/r/*/m/id" });
    let list = |ids: &[Value]| json!({ "r": ids.iter().map(|id| json!({ "m": { "id": id, "x": 0 } })).collect::<Vec<_>>() });
    let a = list(&[json!(1), json!(2), json!(3)]);
    assert_eq!(told(json!({}), answers(), &a, &list(&[json!(1), json!(3)])), one("ids", Kind::Missing));
    assert_eq!(
        told(json!({}), answers(), &a, &list(&[json!(3), json!(2), json!(1)])),
        one("order", Kind::Order)
    );
    let replaced = list(&[json!(1), json!(9), json!(3)]);
    assert_eq!(told(json!({}), answers(), &a, &replaced), one("ids", Kind::Value));
    // The same id in another type, and one twice.
    let typed = list(&[json!(1), json!("2"), json!(3)]);
    assert_eq!(told(json!({}), answers(), &a, &typed), one("/r/*/m/id", Kind::Type));
    let twice = list(&[json!(1), json!(2), json!(3), json!(3)]);
    assert_eq!(told(json!({}), answers(), &a, &twice), one("/r/*", Kind::New));
}

#[test]
fn an_order_that_the_ids_do_not_show_is_told() {
    let answers = || json!({ "ids": "/*/id" });
    let list =
        |values: [(u8, u8); 3]| values.iter().map(|(id, v)| json!({ "id": id, "v": v })).collect::<Value>();
    let found = told(json!({}), answers(), &list([(1, 0), (2, 0), (1, 5)]), &list([(1, 0), (1, 5), (2, 0)]));
    assert_eq!(found, one("", Kind::Order));
}

#[test]
fn what_arrays_say_counts_before_what_ids_say() {
    let section = || json!({ "arrays": { "/r": "key" } });
    let a = json!({ "r": [{ "key": 1, "id": "a" }, { "key": 2, "id": "b" }] });
    let b = json!({ "r": [{ "key": 1, "id": "b" }, { "key": 2, "id": "a" }] });
    assert_eq!(told(section(), json!({ "ids": "/r/*/id" }), &a, &b), one("order", Kind::Order));
}

#[test]
fn texts_are_told_as_texts_and_once() {
    let answers = || json!({ "texts": ["/answer", "/m/*/content"] });
    let a = json!({ "answer": "one two three four", "m": [{ "content": "x" }, { "content": null }] });
    let mut b = a.clone();
    b["answer"] = json!("one two 3 four");
    assert_eq!(told(json!({}), answers(), &a, &b), one("text", Kind::Text));
    assert_eq!(told(json!({ "similarity": 0.8 }), answers(), &a, &b), []);
    b["answer"] = Value::Null;
    b["m"][0]["content"] = Value::Null;
    let gone = compared(json!({ "similarity": 0 }), answers(), &a, &b);
    assert_eq!((gone.differences.len(), gone.texts), (1, Some(0.0)));
    b.as_object_mut().unwrap().remove("answer");
    b["m"][0]["content"] = json!("x");
    assert_eq!(told(json!({}), answers(), &a, &b), one("text", Kind::Text));
    b["m"][1]["content"] = json!([1]);
    assert_eq!(told(json!({ "ignore": ["/answer"] }), answers(), &a, &b), one("/m/*/content", Kind::Type));
}

#[test]
fn parallel_arrays_compare_scores_by_id() {
    let answers = || json!({ "ids": "/ids/*/*", "scores": "/distances/*/*" });
    let a = json!({ "ids": [["a", "b"]], "distances": [[0.1, 0.2]] });
    let swapped = json!({ "ids": [["b", "a"]], "distances": [[0.2, 0.1]] });
    assert_eq!(told(json!({}), answers(), &a, &swapped), one("order", Kind::Order));
    let off = json!({ "ids": [["a", "b"]], "distances": [[0.1, 0.3]] });
    let found = compared(json!({}), answers(), &a, &off).differences;
    assert_eq!((&*found[0].class, found.len()), ("/distances/*/*", 1));
    assert_eq!(&*found[0].primary.as_ref().unwrap().pointer, "/distances/0/1");
    let short = json!({ "ids": [["a", "b"]], "distances": [[0.1]] });
    assert_eq!(told(json!({}), answers(), &a, &short), one("/distances/*/*", Kind::Missing));
}

#[test]
fn what_is_ignored_is_ignored_on_both_sides() {
    let section = || json!({ "ignore": ["/took", "/r/*/debug", "/r/0"] });
    let a = json!({ "took": 1, "r": [{ "v": 1 }, { "v": 1, "debug": 1 }] });
    let b = json!({ "took": "2", "r": [[], { "v": 1 }, { "v": 2 }] });
    assert_eq!(told(section(), json!({}), &a, &b), one("/r/*", Kind::New));
}

#[test]
fn a_text_is_shown_only_where_it_may_be() {
    let a = json!({ "title": "Open", "body": "secret one", "n": 1 });
    let b = json!({ "title": "Shut", "body": "secret two", "n": 2 });
    let found = compared(json!({ "show": ["/title"] }), json!({}), &a, &b);
    let told = serde_json::to_string(&found).unwrap();
    assert!(told.contains("Open") && told.contains("Shut") && !told.contains("secret"), "{told}");
    assert_eq!(found.differences[1].primary.as_ref().unwrap().value, Shown::Value(json!(1)));
}

#[test]
fn a_long_array_is_counted_and_leaves_room() {
    let a = json!({ "long": vec![1; 5000], "z": 1 });
    let b = json!({ "long": vec![2; 5000], "z": 2 });
    let found = compared(json!({}), json!({}), &a, &b);
    assert_eq!((found.differences.len(), found.more), (11, 4990));
    assert_eq!(&*found.differences[10].class, "/z");
}
