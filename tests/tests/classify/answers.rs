//! A preset says where ids stand in answers, so that a shadow compares them as ids.

use serde_json::json;
use sluicegate_tests::{Gateway, LIMIT, Raw, Upstream, upstream::response};
use tokio::time::{Instant, sleep};

use super::post;

const QUERY: &str = "/api/v2/tenants/t/databases/d/collections/c/query";

/// An upstream that answers a query with these ids.
async fn answering(ids: &[&str]) -> Upstream {
    let upstream = Upstream::start().await;
    let answer = json!({ "ids": [ids], "distances": [[0.5, 0.5]], "documents": [["x", "x"]] });
    let lines = "Content-Type: application/json\r\n";
    upstream.answer(QUERY, response("200 OK", lines, &answer.to_string()));
    upstream
}

/// The classes in which one answer differed.
async fn classes(route: &str) -> Vec<String> {
    let (main, lab) = (answering(&["a", "b"]).await, answering(&["b", "a"]).await);
    let gateway = Gateway::start(&format!(
        "listen: [{{ address: \"127.0.0.1:0\" }}]\n\
         admin: {{ address: \"127.0.0.1:0\" }}\n\
         store: {{ memory: {{}} }}\n\
         upstreams:\n  main: {{ endpoints: [\"{}\"], preset: chroma }}\n  lab: {{ endpoints: [\"{}\"] }}\n\
         routes:\n  - {{ name: all, match: {{ path: \"/{{*rest}}\" }}, upstream: main{route}, shadow: {{ to: lab, percent: 100, noise: 0, compare: {{}} }} }}\n",
        main.url(),
        lab.url()
    ));
    let mut raw = Raw::connect(gateway.address()).await;
    let answer = post(&mut raw, QUERY, "Content-Type: application/json\r\n", "{}").await;
    assert_eq!(answer.status, 200);
    let end = Instant::now() + LIMIT;
    while lab.seen().is_empty()
        || gateway.counts("sluicegate_shadow_pairs_total").await.iter().all(|it| it.1 == 0)
    {
        assert!(Instant::now() < end, "nothing was compared");
        sleep(std::time::Duration::from_millis(5)).await;
    }
    let found =
        gateway.counts("sluicegate_shadow_differences").await.into_iter().filter(|(_, count)| *count > 0);
    let class = |labels: &str| {
        let rest = labels.split("class=\"").nth(1).expect("a class");
        rest.split('"').next().unwrap().to_owned()
    };
    found.map(|(labels, _)| class(&labels)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_compared_as_the_preset_has_them() {
    assert_eq!(classes("").await, ["order"], "the same ids in another order");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_route_says_of_its_answers_holds() {
    let told = classes(", answers: { texts: /documents/*/* }").await;
    assert!(!told.contains(&"order".to_owned()) && !told.is_empty(), "{told:?}");
}
