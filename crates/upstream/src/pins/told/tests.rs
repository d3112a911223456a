use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use prometheus_client::registry::Registry;
use sluicegate_core::pins::{Diff, PINS, Pins};
use tokio::time::advance;

use super::{Terms, Told};
use crate::{endpoint::tests::endpoint, metrics::UpstreamMetrics};

/// The names of the runbooks.
const NAMES: [&str; 14] = [
    "MODEL_VER",
    "PROMPT_VER",
    "EMBED_MODEL_VER",
    "EMBED_DIM",
    "NORM",
    "metric",
    "RERANK_CONF",
    "TOK_VER",
    "ANALYZER_CONF",
    "CHUNK_SCHEMA_VER",
    "INDEX_HASH",
    "DOC_COUNT",
    "BUILD_ID",
    "GIT_SHA",
];

fn terms(pins: &[(&str, &str)], refuse: bool) -> Terms {
    let pins = Arc::new(Pins::new(pins.iter().copied()));
    Terms { pins, manifest: Some("/index/manifest".into()), refuse }
}

fn told(terms: Terms, former: Option<&Told>) -> Told {
    let metrics = UpstreamMetrics::register(&mut Registry::default()).pins("main");
    let endpoint = former.map_or_else(endpoint, |former| former.endpoint.clone());
    Told::new(endpoint, terms, metrics, former)
}

/// One whose A and B are pinned to 1 and whose contradictions are refused.
fn pinned() -> Told {
    let told = told(terms(&[("A", "1"), ("B", "1")], true), None);
    told.begin();
    told
}

fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(PINS, line.parse().unwrap());
    }
    headers
}

/// The pins that stand against an answer with this header.
fn against(told: &Told, line: &str) -> Vec<String> {
    names(told.hear(&headers(&[line])).unwrap_or_default())
}

fn silent(told: &Told) -> Vec<String> {
    names(told.hear(&HeaderMap::new()).unwrap_or_default())
}

fn names(diff: Vec<Diff>) -> Vec<String> {
    diff.into_iter().map(|diff| diff.pin.into()).collect()
}

fn manifest(told: &Told, pins: &[(&str, &str)]) {
    told.read(Ok(Pins::new(pins.iter().copied())));
}

#[tokio::test]
async fn each_pin_that_alone_is_wrong_is_the_one_difference() {
    let right: Vec<_> = NAMES.iter().map(|name| (*name, "right")).collect();
    for wrong in NAMES {
        let line: Vec<_> =
            NAMES.map(|name| format!("{name}={}", if name == wrong { "wrong" } else { "right" })).into();
        let expected =
            [Diff { pin: wrong.into(), expected: Some("right".into()), got: Some("wrong".into()) }];
        let one = told(terms(&right, true), None);
        assert_eq!(one.hear(&headers(&[&line.join(",")])).unwrap(), expected);
        assert_eq!(one.standing(), expected);
        let lines: Vec<_> = line.iter().map(String::as_str).collect();
        assert_eq!(told(terms(&right, true), None).hear(&headers(&lines)).unwrap(), expected, "in 14 lines");
        let passing = told(terms(&right, false), None);
        assert_eq!(passing.hear(&headers(&[&line.join(",")])), None, "it is passed on");
        assert_eq!(passing.standing(), expected, "and known");
    }
}

#[tokio::test]
async fn what_an_answer_contradicts_stands_until_that_pin_is_told_right() {
    let told = pinned();
    assert!(against(&told, "A=1,B=1").is_empty());
    assert_eq!(against(&told, "A=2,B=1"), ["A"]);
    assert_eq!(silent(&told), ["A"], "silence proves nothing");
    assert_eq!(against(&told, "B=1"), ["A"], "nor does another pin");
    assert_eq!(against(&told, "B=2"), ["B", "A"]);
    assert!(told.endpoint.is_left_out());
    assert_eq!(against(&told, "A=1"), ["B"]);
    assert!(against(&told, "A=1,B=1").is_empty());
    assert!(!told.endpoint.is_left_out());
    assert!(silent(&told).is_empty());
    assert!(against(&told, "C=2").is_empty(), "nobody has pinned it");
}

#[tokio::test]
async fn a_header_of_several_lines_is_never_taken_for_a_good_one() {
    let told = pinned();
    assert!(against(&told, "A=1").is_empty());
    assert_eq!(names(told.hear(&headers(&["A=1", "B=2"])).unwrap()), ["B"]);
    assert!(told.hear(&headers(&["A=1", "B=1"])).is_none());
    assert_eq!(names(told.hear(&headers(&["A=1", "A=2"])).unwrap()), ["X-WFGY"]);
}

#[tokio::test]
async fn a_header_that_was_good_is_not_read_again() {
    let told = pinned();
    assert!(against(&told, "A=1").is_empty());
    let good = told.good.load_full().unwrap();
    assert!(against(&told, "A=1").is_empty() && silent(&told).is_empty());
    assert!(Arc::ptr_eq(&good, &told.good.load_full().unwrap()));
    assert!(against(&told, "A=1,B=1").is_empty());
    assert_eq!(told.good.load_full().unwrap().as_bytes(), b"A=1,B=1");
    assert_eq!(against(&told, "A=1,B=2"), ["B"]);
    assert_eq!(told.good.load_full().unwrap().as_bytes(), b"A=1,B=1");
}

#[tokio::test]
async fn a_manifest_puts_right_what_answers_told_and_not_the_other_way_round() {
    let told = pinned();
    assert_eq!(against(&told, "A=2,B=2"), ["A", "B"]);
    manifest(&told, &[("A", "1")]);
    assert_eq!(names(told.standing()), ["B"], "it does not tell B");
    manifest(&told, &[("A", "2"), ("B", "1")]);
    assert_eq!(names(told.standing()), ["A"]);
    assert!(against(&told, "A=1").is_empty(), "this answer was made right");
    assert_eq!(silent(&told), ["A"], "this one may not have been");
    assert!(told.endpoint.is_left_out());
    told.read(Err("status 500".into()));
    assert_eq!(names(told.standing()), ["A"], "what cannot be read changes nothing");
    manifest(&told, &[("B", "1")]);
    assert!(told.standing().is_empty(), "a manifest counts as a whole");
    assert!(!told.endpoint.is_left_out());
}

#[tokio::test]
async fn a_header_that_cannot_be_read_stands_until_one_can() {
    let told = pinned();
    let diff = told.hear(&headers(&["A=\"1\""])).unwrap();
    let expected =
        Diff { pin: "X-WFGY".into(), expected: Some("A=1,B=1".into()), got: Some("A=\"1\"".into()) };
    assert_eq!(diff, [expected]);
    assert_eq!(silent(&told), ["X-WFGY"]);
    manifest(&told, &[("A", "1"), ("B", "1")]);
    assert_eq!(names(told.standing()), ["X-WFGY"]);
    assert!(against(&told, "A=1").is_empty() && told.standing().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_probe_per_second_and_none_while_the_manifest_contradicts() {
    let told = pinned();
    assert_eq!(against(&told, "A=2"), ["A"]);
    assert!(!told.takes_probe(), "it has just been asked");
    advance(Duration::from_millis(999)).await;
    assert!(!told.takes_probe());
    advance(Duration::from_millis(1)).await;
    assert!(told.takes_probe() && !told.takes_probe());
    manifest(&told, &[("A", "2")]);
    advance(Duration::from_secs(5)).await;
    assert!(!told.takes_probe(), "the manifest will tell");
}

#[tokio::test]
async fn under_new_terms_the_manifest_is_judged_anew_and_answers_tell_for_themselves() {
    let old = pinned();
    manifest(&old, &[("A", "2"), ("C", "3")]);
    assert_eq!(against(&old, "B=2"), ["A", "B"]);
    let same = told(terms(&[("A", "1"), ("B", "1")], false), Some(&old));
    assert_eq!(names(same.standing()), ["A", "B"], "only what follows is another");
    old.retire();
    same.begin();
    assert!(!same.endpoint.is_left_out());
    let refusing = told(terms(&[("A", "1"), ("B", "1")], true), Some(&same));
    same.retire();
    refusing.begin();
    assert!(refusing.endpoint.is_left_out());
    let moved = told(terms(&[("A", "2"), ("B", "1")], true), Some(&refusing));
    assert!(moved.standing().is_empty());
    let wrong = told(terms(&[("A", "2"), ("C", "4")], true), Some(&refusing));
    assert_eq!(names(wrong.standing()), ["C"]);
    assert_eq!(silent(&wrong), ["C"], "it stands from the first answer on");
    let elsewhere = Terms { manifest: Some("/other".into()), ..wrong.terms.clone() };
    assert!(told(elsewhere, Some(&wrong)).standing().is_empty());
}

#[tokio::test]
async fn one_that_is_replaced_shows_nothing_any_more() {
    let old = pinned();
    assert_eq!(against(&old, "A=2"), ["A"]);
    assert_eq!((old.endpoint.state(), old.endpoint.is_available()), ("mismatch", false));
    old.retire();
    assert_eq!((old.endpoint.state(), old.endpoint.is_available()), ("healthy", true));
    assert_eq!(against(&old, "B=2"), ["B", "A"], "a late answer is still judged");
    assert_eq!(old.endpoint.state(), "healthy");
}
