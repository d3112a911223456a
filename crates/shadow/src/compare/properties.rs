//! What holds for any answers and any settings.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{AnswersInput, CompareInput, Comparer, Pointers};
use crate::{
    Kind,
    comparison::{Answer, Comparison, Difference, Seen},
};

/// Few names, so that documents meet.
fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["id", "a", "b", "text", "score", "", "0", "x/y", "t~e", "*"])
        .prop_map(str::to_owned)
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..4).prop_map(Value::from),
        prop::sample::select(vec![0.5, 1.0, 1.001, -0.0, 1e308, -1e308]).prop_map(Value::from),
        prop::sample::select(vec!["", "a", "a b", "b a", "1"]).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..5).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// A document, and one in which some of it is something else.
fn two() -> impl Strategy<Value = (Value, Value)> {
    let changed = (document(), prop::collection::vec((any::<prop::sample::Index>(), document()), 0..4));
    let changed = changed.prop_map(|(first, changes)| {
        let mut second = first.clone();
        for (at, value) in changes {
            let all = pointers(&second);
            *second.pointer_mut(&all[at.index(all.len())]).unwrap() = value;
        }
        (first, second)
    });
    prop_oneof![3 => changed, 1 => (document(), document())]
}

/// Pointers with wildcards.
fn pointer() -> impl Strategy<Value = String> {
    let step = prop_oneof![
        2 => Just("*".to_owned()),
        3 => name().prop_map(|name| name.replace('~', "~0").replace('/', "~1")),
        1 => Just("1".to_owned()),
    ];
    prop::collection::vec(step, 1..4).prop_map(|steps| steps.iter().flat_map(|step| ["/", step]).collect())
}

fn comparer() -> impl Strategy<Value = Comparer> {
    let list = || prop::collection::vec(pointer(), 0..3);
    let shares = prop::collection::btree_map(pointer(), 0.0..=1.0, 0..3);
    let arrays = prop::collection::btree_map(pointer(), Just("id".to_owned()), 0..3);
    (list(), shares, arrays, list(), list(), list(), list(), 0.0..=1.0f64).prop_map(
        |(ignore, tolerance, arrays, show, ids, scores, texts, similarity)| {
            let input =
                CompareInput { ignore, tolerance, arrays, similarity, show, ..CompareInput::default() };
            let many = Pointers::Many;
            input.check(&AnswersInput { ids: many(ids), scores: many(scores), texts: many(texts) }).unwrap()
        },
    )
}

fn answer(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Answer { status: StatusCode::OK, headers, body: body.into() }
}

fn json_answer(value: &Value) -> Answer {
    answer("application/json", value.to_string())
}

/// All pointers into a document, the root first.
fn pointers(document: &Value) -> Vec<String> {
    let mut all = vec![String::new()];
    let below: Vec<(String, &Value)> = match document {
        Value::Array(elements) => elements.iter().enumerate().map(|(at, it)| (at.to_string(), it)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, it)| (name.replace('~', "~0").replace('/', "~1"), it)).collect()
        }
        _ => Vec::new(),
    };
    for (step, value) in below {
        all.extend(pointers(value).into_iter().map(|pointer| format!("/{step}{pointer}")));
    }
    all
}

/// The comparison with its sides swapped. The order in which differences are found may be that
/// of either side.
fn mirrored(mut it: Comparison) -> Comparison {
    for difference in &mut it.differences {
        std::mem::swap(&mut difference.primary, &mut difference.shadow);
        difference.kind = match difference.kind {
            Kind::Missing => Kind::New,
            Kind::New => Kind::Missing,
            kind => kind,
        };
    }
    if let Some(ids) = &mut it.ids {
        std::mem::swap(&mut ids.missing, &mut ids.new);
    }
    sorted(it)
}

fn sorted(mut it: Comparison) -> Comparison {
    it.differences.sort_by_key(|difference| serde_json::to_string(difference).unwrap());
    it
}

fn sides(it: &Difference) -> (Option<&Seen>, Option<&Seen>) {
    (it.primary.as_ref(), it.shadow.as_ref())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn an_answer_does_not_differ_from_itself(it in comparer(), document in document()) {
        let there = it.compare(&json_answer(&document), &json_answer(&document));
        prop_assert!(there.differences.is_empty() && there.more == 0);
        // Written differently it is still the same.
        let spaced = answer("application/json", serde_json::to_string_pretty(&document).unwrap());
        let there = it.compare(&json_answer(&document), &spaced);
        prop_assert!(there.differences.is_empty() && there.more == 0, "{there:?}");
    }

    #[test]
    fn to_swap_the_sides_is_to_swap_what_is_told(it in comparer(), (a, b) in two()) {
        let (a, b) = (json_answer(&a), json_answer(&b));
        let (there, back) = (it.compare(&a, &b), it.compare(&b, &a));
        prop_assume!(there.more == 0);
        prop_assert_eq!(sorted(there), mirrored(back));
    }

    #[test]
    fn every_pointer_resolves_in_its_document(it in comparer(), (a, b) in two()) {
        let found = it.compare(&json_answer(&a), &json_answer(&b));
        for (ours, theirs) in found.differences.iter().map(sides) {
            prop_assert!(ours.is_some() || theirs.is_some());
            prop_assert!(ours.is_none_or(|seen| a.pointer(&seen.pointer).is_some()), "{found:?}");
            prop_assert!(theirs.is_none_or(|seen| b.pointer(&seen.pointer).is_some()), "{found:?}");
        }
    }

    #[test]
    fn without_settings_whatever_is_not_the_same_is_told((a, b) in two()) {
        let it = CompareInput::default().check(&AnswersInput::default()).unwrap();
        let found = it.compare(&json_answer(&a), &json_answer(&b));
        prop_assert_eq!(found.differences.is_empty(), same(&a, &b), "{:?}", found);
    }

    #[test]
    fn what_is_ignored_is_never_told(at in any::<prop::sample::Index>(), (a, b) in two()) {
        // So that there is always a place below the root.
        let (a, b) = (json!([a]), json!([b]));
        let all = pointers(&a);
        let ignored = &all[1 + at.index(all.len() - 1)];
        let input = CompareInput { ignore: vec![ignored.clone()], ..CompareInput::default() };
        let found = input.check(&AnswersInput::default()).unwrap().compare(&json_answer(&a), &json_answer(&b));
        // A member named `*` is any member to a pointer, which only ignores more.
        for (ours, theirs) in found.differences.iter().map(sides) {
            for seen in [ours, theirs].into_iter().flatten() {
                let below = seen.pointer.strip_prefix(ignored.as_str());
                prop_assert!(below.is_none_or(|rest| !rest.is_empty() && !rest.starts_with('/')), "{found:?}");
            }
        }
    }

    #[test]
    fn an_array_matched_by_key_in_another_order_tells_the_order_and_nothing_else(
        (elements, shuffled) in prop::collection::vec((0u8..6, document()), 0..8).prop_flat_map(|elements| {
            // Those of one key are told apart by their order alone, so each key is there once.
            let mut elements = elements;
            elements.sort_by_key(|(id, _)| *id);
            elements.dedup_by_key(|(id, _)| *id);
            let elements = elements.into_iter().map(|(id, v)| json!({ "id": id, "v": v })).collect::<Vec<_>>();
            (Just(elements.clone()), Just(elements).prop_shuffle())
        }),
        by_ids in any::<bool>(),
    ) {
        let (mut input, mut answers) = (CompareInput::default(), AnswersInput::default());
        if by_ids {
            answers.ids = Pointers::One("/r/*/id".to_owned());
        } else {
            input.arrays.insert("/r".to_owned(), "id".to_owned());
        }
        let it = input.check(&answers).unwrap();
        let found = it.compare(&json_answer(&json!({ "r": elements })), &json_answer(&json!({ "r": shuffled })));
        let moved = elements != shuffled;
        let told = found.differences.iter().map(|it| (&*it.class, it.kind)).collect::<Vec<_>>();
        let class = if by_ids { "order" } else { "/r" };
        prop_assert_eq!(told, if moved { vec![(class, Kind::Order)] } else { vec![] });
    }

    #[test]
    fn no_bytes_make_it_panic(
        it in comparer(),
        form in prop::sample::select(vec!["application/json", "text/event-stream", "application/x-ndjson", "text/plain"]),
        coding in prop::sample::select(vec!["identity", "gzip", "deflate", "br", "zstd", "none"]),
        a in prop::collection::vec(any::<u8>(), 0..120),
        b in "([{}\\[\\]\":,0-9a-z\n \\\\]|data: |event: x\n|\n\n|\\{\"id\":1\\}){0,40}",
    ) {
        let mut a = answer(form, a);
        a.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        let b = answer(form, b);
        let _ = it.compare(&a, &b);
        let _ = it.compare(&b, &b.clone());
        let _ = it.compare(&b, &a);
    }
}

/// The same value, where numbers are compared as numbers.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b
                || a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64()
                || a.is_f64() && a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}
