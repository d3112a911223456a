//! The comparison on answers in the shapes that search engines and model services give them
//! (`data/README.md`), changed in known ways. Each change is found under its class, and nothing
//! else is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sluicegate_shadow::{Answer, AnswersInput, CompareInput, Comparer, Comparison, Kind};

/// One answer of a search, and what an operator would write for it.
struct Search {
    file: &'static str,
    /// Where the list of results stands.
    results: &'static str,
    /// Where in a result its id and its score stand.
    id: &'static str,
    score: &'static str,
    /// What is different each time: pointers, and what else stands there.
    noise: &'static [(&'static str, &'static str)],
}

const SEARCHES: [Search; 6] = [
    Search {
        file: "elasticsearch-search.json",
        results: "/hits/hits",
        id: "/_id",
        score: "/_score",
        noise: &[("/took", "9")],
    },
    Search {
        file: "opensearch-knn.json",
        results: "/hits/hits",
        id: "/_id",
        score: "/_score",
        noise: &[("/took", "95"), ("/_shards/total", "2"), ("/_shards/successful", "2")],
    },
    Search {
        file: "qdrant-search.json",
        results: "/result",
        id: "/id",
        score: "/score",
        noise: &[("/time", "0.0023")],
    },
    Search { file: "milvus-search.json", results: "/data", id: "/id", score: "/distance", noise: &[] },
    Search {
        file: "weaviate-get.json",
        results: "/data/Get/JeopardyQuestion",
        id: "/answer",
        score: "/_additional/distance",
        noise: &[],
    },
    Search {
        file: "cohere-rerank.json",
        results: "/results",
        id: "/index",
        score: "/relevance_score",
        noise: &[("/id", "\"f3e1\""), ("/meta/billed_units/search_units", "2")],
    },
];

/// The largest score of the hits, which some engines also say once for all.
const MAX_SCORE: &str = "/hits/max_score";

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    std::fs::read_to_string(path).unwrap()
}

fn read(file: &str) -> Value {
    serde_json::from_str(&text(file)).unwrap()
}

fn comparer(section: Value, answers: Value) -> Comparer {
    let section: CompareInput = serde_json::from_value(section).unwrap();
    section.check(&serde_json::from_value::<AnswersInput>(answers).unwrap()).unwrap()
}

fn answer(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Answer { status: StatusCode::OK, headers, body: body.into() }
}

fn json_answer(value: &Value) -> Answer {
    answer("application/json", value.to_string())
}

fn stream(body: impl Into<Bytes>) -> Answer {
    answer("text/event-stream", body)
}

fn told(found: &Comparison) -> Vec<(&str, Kind)> {
    assert_eq!(found.more, 0);
    found.differences.iter().map(|it| (&*it.class, it.kind)).collect()
}

impl Search {
    fn comparer(&self) -> Comparer {
        let ignore = self.noise.iter().map(|(pointer, _)| *pointer).chain([MAX_SCORE]).collect::<Vec<_>>();
        let score = format!("{}/*{}", self.results, self.score);
        comparer(
            json!({ "ignore": ignore, "tolerance": { score.clone(): 0.001 } }),
            json!({ "ids": format!("{}/*{}", self.results, self.id), "scores": score }),
        )
    }

    fn class(&self, place: &str) -> String {
        format!("{}/*{place}", self.results)
    }

    /// Compares the answer with a changed one.
    fn changed(&self, change: impl FnOnce(&mut Vec<Value>)) -> Comparison {
        let document = read(self.file);
        let mut other = document.clone();
        change(other.pointer_mut(self.results).unwrap().as_array_mut().unwrap());
        assert_ne!(document, other, "{}", self.file);
        self.comparer().compare(&json_answer(&document), &json_answer(&other))
    }
}

/// Another id of the same type.
fn other_id(id: &Value) -> Value {
    if id.is_string() { json!("other") } else { json!(4711) }
}

#[test]
fn the_same_answer_has_nothing_to_tell_and_full_marks() {
    for search in SEARCHES {
        let document = read(search.file);
        let found = search.comparer().compare(&json_answer(&document), &json_answer(&document));
        assert_eq!(told(&found), [], "{}", search.file);
        let ids = found.ids.unwrap();
        assert_eq!(ids.k, document.pointer(search.results).unwrap().as_array().unwrap().len());
        assert!((ids.overlap - 1.0).abs() < 1e-9 && ids.rank_distance.abs() < 1e-9);
    }
}

#[test]
fn what_is_different_each_time_is_not_told_where_it_is_ignored_and_is_where_not() {
    for search in SEARCHES {
        let document = read(search.file);
        let mut other = document.clone();
        for (pointer, value) in search.noise {
            *other.pointer_mut(pointer).unwrap() = serde_json::from_str(value).unwrap();
        }
        let found = search.comparer().compare(&json_answer(&document), &json_answer(&other));
        assert_eq!(told(&found), [], "{}", search.file);
        let bare = comparer(json!({}), json!({}));
        let found = bare.compare(&json_answer(&document), &json_answer(&other));
        let mut pointers = told(&found).iter().map(|(class, _)| (*class).to_owned()).collect::<Vec<_>>();
        let mut expected = search.noise.iter().map(|(pointer, _)| (*pointer).to_owned()).collect::<Vec<_>>();
        pointers.sort();
        expected.sort();
        assert_eq!(pointers, expected, "{}", search.file);
    }
}

#[test]
fn a_document_that_was_removed_is_missing() {
    for search in SEARCHES {
        let found = search.changed(|results| {
            results.remove(0);
        });
        assert_eq!(told(&found), [("ids", Kind::Missing)], "{}", search.file);
        let ids = found.ids.unwrap();
        assert_eq!((ids.missing.len(), ids.new.len(), ids.order_changed), (1, 0, false));
        assert!((ids.overlap - (ids.k - 1) as f64 / ids.k as f64).abs() < 1e-9);
        let seen = found.differences[0].primary.as_ref().unwrap();
        assert_eq!(*seen.pointer, *format!("{}/0{}", search.results, search.id));
    }
}

#[test]
fn a_document_that_was_replaced_is_missing_and_new() {
    for search in SEARCHES {
        let found = search.changed(|results| {
            let id = results[0].pointer_mut(search.id).unwrap();
            *id = other_id(id);
        });
        assert_eq!(told(&found), [("ids", Kind::Value)], "{}", search.file);
        let ids = found.ids.unwrap();
        assert_eq!((ids.missing.len(), ids.new.len()), (1, 1));
    }
}

#[test]
fn another_order_is_an_order_and_nothing_else() {
    for search in SEARCHES.into_iter().skip(1) {
        let found = search.changed(|results| results.swap(0, 1));
        assert_eq!(told(&found), [("order", Kind::Order)], "{}", search.file);
        let ids = found.ids.unwrap();
        assert!(ids.order_changed && ids.rank_distance > 0.0 && (ids.overlap - 1.0).abs() < 1e-9);
    }
}

#[test]
fn scores_differ_beyond_their_tolerance_and_not_within() {
    for search in SEARCHES {
        let scaled = |by: f64| {
            search.changed(|results| {
                for result in results {
                    let score = result.pointer_mut(search.score).unwrap();
                    *score = json!(score.as_f64().unwrap() * by);
                }
            })
        };
        assert_eq!(told(&scaled(1.0005)), [], "{}", search.file);
        let found = scaled(1.01);
        let class = search.class(search.score);
        let count = read(search.file).pointer(search.results).unwrap().as_array().unwrap().len();
        assert_eq!(told(&found), vec![(class.as_str(), Kind::Value); count], "{}", search.file);
    }
}

#[test]
fn a_field_that_was_renamed_is_missing_and_new() {
    for search in SEARCHES {
        let found = search.changed(|results| {
            let result = results[0].as_object_mut().unwrap();
            let name = search.score.trim_start_matches('/').split('/').next().unwrap();
            let value = result.remove(name).unwrap();
            result.insert("renamed".to_owned(), value);
        });
        let name = search.score.split('/').nth(1).unwrap();
        let (new, missing) = (search.class("/renamed"), search.class(&format!("/{name}")));
        let mut found = told(&found);
        found.sort_unstable_by_key(|(_, kind)| *kind == Kind::New);
        assert_eq!(found, [(&*missing, Kind::Missing), (&*new, Kind::New)], "{}", search.file);
    }
}

#[test]
fn a_field_of_another_type_is_of_another_type() {
    for search in SEARCHES {
        let found = search.changed(|results| {
            let score = results[0].pointer_mut(search.score).unwrap();
            *score = json!(score.to_string());
        });
        assert_eq!(told(&found), [(&*search.class(search.score), Kind::Type)], "{}", search.file);
        let found = search.changed(|results| {
            let id = results[0].pointer_mut(search.id).unwrap();
            *id = match id.as_str().map(str::parse::<u64>) {
                Some(Ok(number)) => json!(number),
                Some(Err(_)) => json!([1]),
                None => json!(id.to_string()),
            };
        });
        // What cannot be an id is one id fewer.
        let missing = search.file.starts_with("weaviate");
        let class = search.class(search.id);
        let expected = if missing { ("ids", Kind::Missing) } else { (&*class, Kind::Type) };
        assert_eq!(told(&found)[0], expected, "{}", search.file);
        assert_eq!(told(&found).len(), if missing { 2 } else { 1 }, "{:?}", found.differences);
    }
}

#[test]
fn another_status_is_a_status() {
    for search in SEARCHES {
        let ours = json_answer(&read(search.file));
        for status in [StatusCode::PARTIAL_CONTENT, StatusCode::BAD_GATEWAY] {
            let theirs = Answer { status, ..ours.clone() };
            assert_eq!(told(&search.comparer().compare(&ours, &theirs)), [("status", Kind::Status)]);
        }
    }
}

#[test]
fn a_text_in_a_hit_is_found_and_not_shown() {
    let search = &SEARCHES[0];
    let found = search.changed(|hits| hits[0]["_source"]["message"] = json!("switch after the drain"));
    assert_eq!(told(&found), [("/hits/hits/*/_source/message", Kind::Value)]);
    assert!(!serde_json::to_string(&found).unwrap().contains("switch after"));
}

#[test]
fn parallel_lists_are_matched_by_their_ids() {
    let document = read("chroma-query.json");
    let it = comparer(
        json!({ "ignore": ["/documents", "/metadatas"], "tolerance": { "/distances": 0.001 } }),
        json!({ "ids": "/ids/*/*", "scores": "/distances/*/*" }),
    );
    let compare = |other: &Value| it.compare(&json_answer(&document), &json_answer(other));
    let mut swapped = document.clone();
    for list in ["ids", "distances", "documents"] {
        swapped[list][0].as_array_mut().unwrap().swap(0, 1);
    }
    assert_eq!(told(&compare(&swapped)), [("order", Kind::Order)]);
    let mut off = document.clone();
    off["distances"][0][1] = json!(1.2431);
    assert_eq!(told(&compare(&off)), []);
    off["distances"][0][1] = json!(1.3);
    assert_eq!(told(&compare(&off)), [("/distances/*/*", Kind::Value)]);
    off["distances"] = document["distances"].clone();
    off["ids"][0][1] = json!("id3");
    assert_eq!(told(&compare(&off)), [("ids", Kind::Value)]);
}

#[test]
fn a_completion_that_was_reworded_is_another_text() {
    let document = read("openai-chat.json");
    let section =
        |similarity: f64| json!({ "ignore": ["/id", "/created", "/usage"], "similarity": similarity });
    let texts = || json!({ "texts": "/choices/*/message/content" });
    let mut other = document.clone();
    other["id"] = json!("chatcmpl-9c");
    other["created"] = json!(1_790_000_009);
    other["usage"]["total_tokens"] = json!(21);
    let compare = |similarity: f64, other: &Value| {
        comparer(section(similarity), texts()).compare(&json_answer(&document), &json_answer(other))
    };
    assert_eq!(told(&compare(1.0, &other)), []);
    // 8 words, of which 7 stay.
    other["choices"][0]["message"]["content"] = json!("Hello there, how can I assist you today?");
    let found = compare(1.0, &other);
    assert_eq!(told(&found), [("text", Kind::Text)]);
    assert!((found.texts.unwrap() - 0.875).abs() < 1e-9);
    assert_eq!(&*found.differences[0].primary.as_ref().unwrap().pointer, "/choices/0/message/content");
    assert!(!serde_json::to_string(&found).unwrap().contains("Hello"));
    assert_eq!(told(&compare(0.8, &other)), []);
    other["choices"][0]["finish_reason"] = json!("length");
    assert_eq!(told(&compare(0.8, &other)), [("/choices/*/finish_reason", Kind::Value)]);
}

#[test]
fn streams_are_compared_by_their_text_however_they_are_cut() {
    let it = comparer(json!({}), json!({}));
    let chat = text("openai-chat.events");
    let messages = text("anthropic-messages.events");
    // Another id and time in every chunk, the text in two pieces, and comments between.
    let hello = chat.split("\n\n").nth(1).unwrap();
    let pieces =
        [hello.replace("Hello", "Hel"), ": alive".to_owned(), hello.replace("Hello", "lo")].join("\n\n");
    let cut = chat
        .replace(hello, &pieces)
        .replace("chatcmpl-7a", "chatcmpl-8b")
        .replace("1790000000", "1790000999");
    let block = messages.split("\n\n").nth(3).unwrap();
    let one = messages.replace(block, ": none").replace("\"!\"", "\"Hello!\"").replace("msg_7a", "msg_8b");
    for (ours, theirs) in [(&chat, &cut), (&messages, &one), (&messages, &messages.replace('\n', "\r\n"))] {
        assert_ne!(ours, theirs);
        let found = it.compare(&stream(ours.clone()), &stream(theirs.clone()));
        assert_eq!((told(&found), found.texts), (vec![], Some(1.0)));
    }
}

#[test]
fn a_stream_that_says_something_else_is_another_text() {
    let it = comparer(json!({}), json!({}));
    for file in ["openai-chat.events", "anthropic-messages.events"] {
        let ours = text(file);
        let found = it.compare(&stream(ours.clone()), &stream(ours.replace("\"Hello\"", "\"Goodbye\"")));
        assert_eq!(told(&found), [("text", Kind::Text)], "{file}");
        // It broke off before its first word.
        let at = ours.find("Hello").unwrap();
        let found = it.compare(&stream(ours.clone()), &stream(ours[..at].to_owned()));
        assert_eq!(told(&found), [("text", Kind::Text)], "{file}");
        let found = it.compare(&stream(ours.clone()), &json_answer(&read("openai-chat.json")));
        let format = [("header/content-type", Kind::Header), ("format", Kind::Format)];
        assert_eq!(told(&found), format, "{file}");
    }
}
