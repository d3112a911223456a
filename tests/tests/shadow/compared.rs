//! Two real services side by side, whose answers differ in known ways: each is found, in the class
//! that it is of, and nothing else is.

use std::{collections::BTreeMap, net::SocketAddr};

use http::Request;
use serde_json::{Value, json};
use sluicegate_demo_rag::{Document, Options, Running, embedded, start};
use sluicegate_tests::{
    Client, Gateway,
    client::{Body, full},
};

use crate::{
    Rules, classes, come_to, judged,
    origin::{Asked, Origin, Reply, json as reply},
};

/// What is searched for.
pub(crate) const QUERIES: [&str; 10] = [
    "how BM25 ranks documents",
    "what an inverted index holds",
    "write freeze",
    "rare words count for more",
    "positions beside each entry",
    "citations of sources",
    "embedding of passages",
    "cache of answers",
    "rolling out a new index",
    "idempotency keys",
];

/// Where a search says what it found.
const SEARCHED: &str = "access: read, answers: { ids: /hits/*/id, scores: /hits/*/score }";

pub(crate) async fn rag(documents: Option<Vec<Document>>) -> Running {
    start(Options { documents, ..Options::default() }).await.unwrap()
}

pub(crate) fn url(rag: &Running) -> String {
    format!("http://{}", rag.address())
}

/// Asks a service itself what it answers to a copy.
pub(crate) async fn pass(to: SocketAddr, asked: &Asked) -> sluicegate_tests::Answer {
    let mut request = Request::builder().method(&asked.method).uri(&asked.path);
    if !asked.body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    Client::h1(to).await.ask(request.body(full(asked.body.clone())).unwrap()).await
}

/// A shadow that gives a service's answers, changed.
async fn bent(to: &Running, bend: fn(&mut Value)) -> Origin {
    let to = to.address();
    Origin::start(move |asked| async move {
        let mut answer = pass(to, &asked).await.json();
        bend(&mut answer);
        reply(&answer)
    })
    .await
}

pub(crate) fn rules(compare: &str, answers: &str) -> Rules {
    let shadow = format!("percent: 100, noise: 0, compare: {{ {compare} }}");
    Rules { route: answers.to_owned(), ..Rules::of(shadow) }
}

fn searched(query: &str) -> Request<Body> {
    let body = json!({ "query": query, "k": 5 }).to_string();
    let request = Request::post("/v1/retrieve").header("content-type", "application/json");
    request.body(full(body)).unwrap()
}

/// Searches for everything, and waits until all is compared.
async fn search(gateway: &Gateway) {
    let mut client = Client::h1(gateway.address()).await;
    for query in QUERIES {
        let answer = client.ask(searched(query)).await;
        assert_eq!(answer.status, 200);
        assert!(answer.json()["hits"].as_array().is_some_and(|hits| hits.len() >= 2), "{query}");
    }
    settle(gateway).await;
}

pub(crate) async fn settle(gateway: &Gateway) {
    come_to(gateway, &[("answered", QUERIES.len() as u64)]).await;
    judged(gateway, "shadow", QUERIES.len() as u64).await;
}

/// The classes found, each in so many of the pairs.
pub(crate) async fn found(gateway: &Gateway) -> BTreeMap<String, u64> {
    classes(gateway, "shadow").await
}

/// As [`found`] has it.
pub(crate) fn all(classes: &[&str]) -> BTreeMap<String, u64> {
    classes.iter().map(|class| ((*class).to_owned(), QUERIES.len() as u64)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_with_one_index_do_not_differ() {
    let (main, lab) = (rag(None).await, rag(None).await);
    let gateway = rules("", SEARCHED).start(&url(&main), &url(&lab));
    search(&gateway).await;
    assert_eq!(found(&gateway).await, all(&[]));
    assert_eq!(lab.audit().counts().count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_missing_is_missed() {
    let (main, lab) = (rag(None).await, rag(None).await);
    let delete = Request::delete("/v1/documents/bm25-basics").body(full("")).unwrap();
    assert!(Client::h1(lab.address()).await.ask(delete).await.status < 300);
    // How many of the answers had it.
    let mut had = 0;
    for query in QUERIES {
        let answer = Client::h1(main.address()).await.ask(searched(query)).await;
        let hits = answer.json()["hits"].as_array().unwrap().clone();
        had += u64::from(hits.iter().any(|hit| hit["id"] == "bm25-basics"));
    }
    assert!((1..10).contains(&had), "{had}");
    let gateway = rules("ignore: [/index_hash], tolerance: { /hits/*/score: 0.2 }", SEARCHED)
        .start(&url(&main), &url(&lab));
    search(&gateway).await;
    let found = found(&gateway).await;
    println!("one document of {} missing: {found:?}", embedded().unwrap().len());
    assert_eq!(found.get("ids"), Some(&had), "{found:?}");
    // Nothing is told that the ids tell, but for the order of near-equals.
    assert!(found.keys().all(|class| ["ids", "order"].contains(&class.as_str())), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_index_is_told_where_it_is_not_ignored() {
    let mut documents = embedded().unwrap();
    documents.push(Document { id: "new".into(), title: "Zebras".into(), text: "Zebras graze.".into() });
    let (main, lab) = (rag(None).await, rag(Some(documents)).await);
    let gateway = rules("tolerance: { /hits/*/score: 0.2 }", SEARCHED).start(&url(&main), &url(&lab));
    search(&gateway).await;
    let found = found(&gateway).await;
    assert_eq!(found.get("/index_hash"), Some(&(QUERIES.len() as u64)), "{found:?}");
    assert_eq!(found.get("ids"), None, "{found:?}");
}

/// What a shadow that differs like this is found to differ in.
async fn told(bend: fn(&mut Value), compare: &str) -> BTreeMap<String, u64> {
    let main = rag(None).await;
    let lab = bent(&main, bend).await;
    let gateway = rules(compare, SEARCHED).start(&url(&main), &lab.url());
    search(&gateway).await;
    found(&gateway).await
}

fn hits(answer: &mut Value) -> &mut Vec<Value> {
    answer["hits"].as_array_mut().expect("hits")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_swapped() {
    assert_eq!(told(|answer| hits(answer).swap(0, 1), "").await, all(&["order"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_that_jitter_up_to_the_tolerance_and_beyond_it() {
    let jitter = |answer: &mut Value| {
        for hit in hits(answer) {
            hit["score"] = json!(hit["score"].as_f64().unwrap() * 1.05);
        }
    };
    assert_eq!(told(jitter, "").await, all(&["/hits/*/score"]));
    assert_eq!(told(jitter, "tolerance: { /hits/*/score: 0.04 }").await, all(&["/hits/*/score"]));
    assert_eq!(told(jitter, "tolerance: { /hits/*/score: 0.06 }").await, all(&[]));
    assert_eq!(told(jitter, "ignore: [/hits/*/score]").await, all(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_reworded() {
    let reword = |answer: &mut Value| {
        let text = hits(answer)[0]["text"].as_str().unwrap().replacen(' ', " really ", 1);
        hits(answer)[0]["text"] = json!(text);
    };
    assert_eq!(told(reword, "").await, all(&["/hits/*/text"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_gone_new_or_of_another_type() {
    assert_eq!(
        told(|answer| drop(answer.as_object_mut().unwrap().remove("query")), "").await,
        all(&["/query"])
    );
    assert_eq!(told(|answer| answer["took_ms"] = json!(3), "").await, all(&["/took_ms"]));
    assert_eq!(told(|answer| hits(answer)[1]["title"] = json!(3), "").await, all(&["/hits/*/title"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_where_the_primary_has_an_answer() {
    let (main, lab) = (rag(None).await, rag(None).await);
    lab.switches().update(|switches| switches.fail_rate = 1.0).unwrap();
    let gateway = rules("", SEARCHED).start(&url(&main), &url(&lab));
    search(&gateway).await;
    assert_eq!(found(&gateway).await, all(&["status"]));
}

/// Content in gzip's format, in blocks that are stored as they are (RFC 1951 section 3.2.4).
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let blocks = content.chunks(1000).count();
    for (at, block) in content.chunks(1000).enumerate() {
        let length = u16::try_from(block.len()).unwrap();
        packed.push(u8::from(at + 1 == blocks));
        packed.extend(length.to_le_bytes());
        packed.extend((!length).to_le_bytes());
        packed.extend(block);
    }
    let sum = content.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    });
    packed.extend((!sum).to_le_bytes());
    packed.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
    packed
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_answer_is_compared_by_what_it_says() {
    for (reword, wanted) in [(false, all(&[])), (true, all(&["/query"]))] {
        let main = rag(None).await;
        let to = main.address();
        let lab = Origin::start(move |asked| async move {
            let mut answer = pass(to, &asked).await.json();
            if reword {
                answer["query"] = json!("another one");
            }
            let response = Reply::new(gzip(answer.to_string().as_bytes()).into());
            let (mut head, body) = response.into_parts();
            for (name, value) in [("content-type", "application/json"), ("content-encoding", "gzip")] {
                head.headers.insert(name, value.parse().unwrap());
            }
            Reply::from_parts(head, body)
        })
        .await;
        let gateway = rules("", SEARCHED).start(&url(&main), &lab.url());
        search(&gateway).await;
        assert_eq!(found(&gateway).await, wanted);
    }
}
