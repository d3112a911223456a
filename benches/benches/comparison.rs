//! What comparing two answers costs, on an answer of a RAG service: a text of 150 words and 20
//! results with their texts. It is paid on the shadows' side, per copy that is compared. With `-- --test` each
//! runs once, which proves that it can.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sluicegate_shadow::{Answer, AnswersInput, CompareInput};

fn words(count: usize, word: impl Fn(usize) -> String) -> String {
    (0..count).map(word).collect::<Vec<_>>().join(" ")
}

fn document() -> Value {
    let result = |at: usize| {
        json!({
            "id": format!("doc-{at}"),
            "score": 1.0 / (at as f64 + 1.0),
            "title": format!("Title {at}"),
            "text": words(60, |word| format!("word{}", word * 7 % 31 + at)),
        })
    };
    json!({
        "took_ms": 3,
        "answer": words(150, |word| format!("token{word}")),
        "results": (0..20).map(result).collect::<Vec<_>>(),
    })
}

/// The same with another document, another order, another score and another word.
fn changed(document: &Value) -> Value {
    let mut other = document.clone();
    other["took_ms"] = json!(5);
    other["answer"] =
        json!(words(150, |word| format!("{}{word}", if word == 7 { "other" } else { "token" })));
    if let Some(results) = other["results"].as_array_mut() {
        results.swap(3, 7);
    }
    other["results"][5]["id"] = json!("doc-99");
    other["results"][6]["score"] = json!(0.5);
    other
}

fn answer(body: String) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Answer { status: StatusCode::OK, headers, body: Bytes::from(body) }
}

fn comparison(criterion: &mut Criterion) {
    let section: CompareInput = serde_json::from_value(json!({
        "ignore": ["/took_ms"],
        "tolerance": { "/results/*/score": 0.01 },
    }))
    .unwrap();
    let answers: AnswersInput = serde_json::from_value(json!({
        "ids": "/results/*/id",
        "scores": "/results/*/score",
        "texts": "/answer",
    }))
    .unwrap();
    let comparer = section.check(&answers).unwrap();
    let document = document();
    let ours = answer(document.to_string());
    let mut group = criterion.benchmark_group("comparison");
    group.throughput(Throughput::Bytes(ours.body.len() as u64));
    for (name, theirs, differs) in [
        ("the same bytes", answer(document.to_string()), false),
        ("the same in other bytes", answer(format!(" {document}")), false),
        ("different", answer(changed(&document).to_string()), true),
    ] {
        assert_eq!(!comparer.compare(&ours, &theirs).differences.is_empty(), differs, "{name}");
        group.bench_function(name, |bench| bench.iter(|| black_box(comparer.compare(&ours, &theirs))));
    }
    group.finish();
}

criterion_group!(benches, comparison);
criterion_main!(benches);
