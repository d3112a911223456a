use std::{path::Path, time::Duration};

use http::StatusCode;
use jiff::Timestamp;
use proptest::prelude::*;

use super::{Against, Copied, Failed, Ledger, LedgerSettings, MOST_CLASSES, OTHER, Pair, RequestShown, Side};
use crate::{
    comparison::{Comparison, Difference, IdsCompared, Kind},
    log::LogSettings,
    report::{Finding, Missing, Verdict},
};

mod model;

fn settings(allow: f64, pairs: u64) -> LedgerSettings {
    LedgerSettings { allow, pairs, ..LedgerSettings::default() }
}

fn ledger(allow: f64, pairs: u64) -> Ledger {
    Ledger::new("search", "lab", &settings(allow, pairs), Timestamp::UNIX_EPOCH)
}

fn request(id: &str) -> RequestShown {
    RequestShown {
        method: "GET".into(),
        path: "/search".into(),
        id: id.into(),
        hash: "h".into(),
        shadow_id: "s".into(),
    }
}

fn side(status: StatusCode, millis: u64) -> Side {
    Side { status, took: Duration::from_millis(millis), bytes: 10 }
}

fn differing(classes: &[&str]) -> Comparison {
    let difference =
        |class: &&str| Difference { class: (*class).into(), kind: Kind::Value, primary: None, shadow: None };
    Comparison { differences: classes.iter().map(difference).collect(), ..Comparison::default() }
}

fn note(ledger: &Ledger, against: Against, id: &str, comparison: &Comparison) {
    let good = side(StatusCode::OK, 10);
    ledger.note(
        against,
        &Pair {
            at: Timestamp::UNIX_EPOCH,
            request: &request(id),
            primary: good,
            copy: Ok(good),
            comparison: Some(comparison),
        },
    );
}

/// Notes so many pairs, the given share of which show the classes.
fn many(ledger: &Ledger, against: Against, pairs: usize, every: usize, classes: &[&str]) {
    for n in 0..pairs {
        let classes = if every > 0 && n % every == every - 1 { classes } else { &[] };
        note(ledger, against, &n.to_string(), &differing(classes));
    }
}

/// So many pairs of each kind, in turns; every how many show the classes is by kind.
fn in_turns(ledger: &Ledger, pairs: u64, every: [usize; 2], classes: &[&str]) {
    for n in 0..usize::try_from(pairs).unwrap() {
        for (against, every) in Against::ALL.into_iter().zip(every) {
            let shows = every > 0 && n % every == every - 1;
            note(ledger, against, &n.to_string(), &differing(if shows { classes } else { &[] }));
        }
    }
}

#[test]
fn too_few_pairs_are_no_verdict() {
    let ledger = ledger(0.01, 200);
    assert_eq!(ledger.verdict(), Verdict::InsufficientData);
    many(&ledger, Against::Shadow, 150, 0, &[]);
    let report = ledger.report();
    assert_eq!(report.missing, Some(Missing { shadow: 50, own: 0 }));
    assert_eq!(report.says, "too few pairs yet: 50 more pairs with the shadow are needed");
    many(&ledger, Against::Shadow, 100, 2, &["ids"]);
    let report = ledger.report();
    assert_eq!(report.verdict, Verdict::InsufficientData);
    assert_eq!(report.missing, Some(Missing { shadow: 0, own: 200 }));
    assert!(report.says.contains("`noise`"), "{}", report.says);
}

#[test]
fn where_nothing_differs_no_noise_need_be_known() {
    let ledger = ledger(0.01, 200);
    many(&ledger, Against::Shadow, 300, 0, &[]);
    let report = ledger.report();
    assert_eq!(report.verdict, Verdict::Undecided);
    let missing = report.missing.unwrap();
    assert_eq!(missing.own, 0);
    many(&ledger, Against::Shadow, usize::try_from(missing.shadow).unwrap() + 10, 0, &[]);
    let report = ledger.report();
    assert_eq!((report.verdict, report.missing), (Verdict::Same, None));
    assert!(report.excess.at_most <= 0.01, "{report:?}");
    assert!(report.says.starts_with("at most 0.9"), "{}", report.says);
}

#[test]
fn what_differs_always_is_found_and_named() {
    let ledger = ledger(0.01, 100);
    in_turns(&ledger, 100, [1, 0], &["/results/*/score", "ids"]);
    let report = ledger.report();
    assert_eq!(report.verdict, Verdict::Different);
    assert!(report.classes.iter().all(|class| class.finding == Finding::Different), "{report:?}");
    assert!(report.says.contains("`/results/*/score`, `ids` (1% is allowed)"), "{}", report.says);
}

#[test]
fn a_class_is_found_behind_one_that_is_always_noise() {
    let ledger = ledger(0.01, 100);
    for n in 0..600 {
        note(&ledger, Against::Own, "x", &differing(&["/took"]));
        let classes: &[&str] = if n % 4 == 0 { &["/took", "ids"] } else { &["/took"] };
        note(&ledger, Against::Shadow, "x", &differing(classes));
    }
    let report = ledger.report();
    assert!(report.excess.at_least < 0.0, "the whole hides it: {report:?}");
    let found: Vec<_> = report.classes.iter().map(|class| (&*class.class, class.finding)).collect();
    assert_eq!(found, [("ids", Finding::Different), ("/took", Finding::Noise)]);
    assert_eq!(report.verdict, Verdict::Different);
    assert_eq!(report.says, "answers differ beyond noise in `ids` (1% is allowed)");
    assert_eq!(ledger.verdict(), report.verdict);
}

#[test]
fn noise_that_hides_all_is_open_and_named() {
    let ledger = ledger(0.01, 100);
    in_turns(&ledger, 500, [2, 2], &["/took"]);
    let report = ledger.report();
    assert_eq!(report.verdict, Verdict::Undecided);
    assert!(report.says.contains("`/took` (50%)"), "{}", report.says);
    let missing = report.missing.unwrap();
    assert!(missing.shadow > 10_000 && missing.own == missing.shadow, "{missing:?}");
}

#[test]
fn a_class_that_may_be_different_keeps_the_rest_from_being_the_same() {
    let ledger = ledger(0.01, 100);
    for n in 0..1200 {
        note(&ledger, Against::Own, "x", &differing(&["/took"]));
        let classes: &[&str] = if n % 60 == 0 { &["/took", "ids"] } else { &["/took"] };
        note(&ledger, Against::Shadow, "x", &differing(classes));
    }
    let report = ledger.report();
    assert!(report.excess.at_most <= 0.01, "the whole hides it: {report:?}");
    assert_eq!(report.verdict, Verdict::Undecided);
}

#[test]
fn less_than_is_allowed_is_the_same_however_sure_it_is() {
    let ledger = ledger(0.1, 100);
    in_turns(&ledger, 5000, [50, 0], &["ids"]);
    let report = ledger.report();
    assert_eq!(report.classes[0].finding, Finding::Different, "{report:?}");
    assert_eq!(report.verdict, Verdict::Same);
    assert!(report.says.ends_with("some do in `ids`"), "{}", report.says);
}

#[test]
fn a_forecast_comes_true() {
    let ledger = ledger(0.01, 100);
    in_turns(&ledger, 200, [20, 0], &["ids"]);
    let missing = ledger.report().missing.unwrap();
    assert_eq!(missing.shadow, missing.own);
    in_turns(&ledger, missing.shadow * 9 / 10, [20, 0], &["ids"]);
    assert_eq!(ledger.verdict(), Verdict::Undecided);
    in_turns(&ledger, missing.shadow * 25 / 100, [20, 0], &["ids"]);
    assert_eq!(ledger.verdict(), Verdict::Different);
}

#[test]
fn a_difference_as_large_as_allowed_is_never_decided() {
    let ledger = ledger(0.25, 100);
    in_turns(&ledger, 400, [4, 0], &["ids"]);
    let report = ledger.report();
    assert_eq!((report.verdict, report.missing), (Verdict::Undecided, None));
    assert!(report.says.contains("more pairs alone would not decide it"), "{}", report.says);
}

#[test]
fn a_copy_without_an_answer_differs() {
    let ledger = ledger(0.01, 1);
    let good = side(StatusCode::OK, 10);
    for failed in Failed::ALL {
        let pair = Pair {
            at: Timestamp::UNIX_EPOCH,
            request: &request("a"),
            primary: good,
            copy: Err(failed),
            comparison: None,
        };
        let noted = ledger.note(Against::Shadow, &pair);
        assert!(noted.differs && *noted.classes[0] == *"answer");
    }
    let report = ledger.report();
    let failed = report.shadow.failed;
    let counts = [failed.timeout, failed.unreachable, failed.reset, failed.breaker, failed.too_large];
    assert_eq!((counts, report.shadow.differing, report.shadow.latency), ([1; 5], 5, None));
    assert_eq!(ledger.pairs()[0].copy, Copied::Failed(Failed::TooLarge));
}

#[test]
fn without_a_comparison_the_statuses_are_compared() {
    let ledger = ledger(0.01, 1);
    for status in [StatusCode::OK, StatusCode::BAD_GATEWAY] {
        let pair = Pair {
            at: Timestamp::UNIX_EPOCH,
            request: &request("a"),
            primary: side(StatusCode::OK, 10),
            copy: Ok(side(status, 20)),
            comparison: None,
        };
        ledger.note(Against::Shadow, &pair);
    }
    let report = ledger.report();
    assert_eq!((report.shadow.pairs, report.shadow.differing), (2, 1));
    assert_eq!((&*report.classes[0].class, report.shadow.latency.unwrap().copy_slower), ("status", 1.0));
}

#[test]
fn ids_and_texts_are_told_of_each_kind() {
    let ledger = ledger(0.01, 1);
    let ids = |overlap: f64, new: &[&str], order_changed| IdsCompared {
        k: 10,
        overlap,
        rank_distance: 1.0 - overlap,
        missing: Vec::new(),
        new: new.iter().map(|id| (*id).into()).collect(),
        order_changed,
    };
    let mut comparison = differing(&["ids"]);
    comparison.ids = Some(ids(0.9, &["d"], false));
    comparison.texts = Some(0.5);
    comparison.differences[0].kind = Kind::Text;
    note(&ledger, Against::Shadow, "a", &comparison);
    comparison = Comparison { ids: Some(ids(1.0, &[], true)), texts: Some(1.0), ..Comparison::default() };
    note(&ledger, Against::Shadow, "b", &comparison);
    let report = ledger.report();
    let (ids, texts) = (report.shadow.ids.unwrap(), report.shadow.texts.unwrap());
    assert_eq!((ids.pairs, ids.other_ids, ids.other_order), (2, 1, 1));
    assert!((ids.overlap.mean - 0.95).abs() < 1e-12 && (ids.rank_distance.mean - 0.05).abs() < 1e-12);
    assert!((ids.mean_length - 10.0).abs() < 1e-12);
    assert_eq!((ids.overlap.tenths[9], ids.overlap.tenths[10]), (1, 1));
    assert_eq!((texts.pairs, texts.differing), (2, 1));
    assert!((texts.similarity.mean - 0.75).abs() < 1e-12);
    assert_eq!((report.own.ids, report.own.texts), (None, None));
}

#[test]
fn known_noise_leaves_the_ring_first() {
    let ledger = ledger(0.01, 1);
    ledger.set(&LedgerSettings { keep: 3, ..settings(0.01, 1) });
    note(&ledger, Against::Own, "noise", &differing(&["/took"]));
    note(&ledger, Against::Shadow, "one", &differing(&["ids"]));
    for n in 0..10 {
        note(&ledger, Against::Shadow, &format!("noise-{n}"), &differing(&["/took"]));
    }
    note(&ledger, Against::Shadow, "two", &differing(&["/took", "status"]));
    let ids = || ledger.pairs().iter().map(|pair| pair.request.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(), ["two", "noise-9", "one"]);
    for id in ["three", "four"] {
        note(&ledger, Against::Shadow, id, &differing(&["ids"]));
    }
    assert_eq!(ids(), ["four", "three", "two"]);
    ledger.set(&LedgerSettings { keep: 1, ..settings(0.01, 1) });
    assert_eq!(ids(), ["four"]);
    ledger.set(&LedgerSettings { keep: 0, ..settings(0.01, 1) });
    note(&ledger, Against::Shadow, "five", &differing(&["ids"]));
    assert_eq!(ids(), Vec::<String>::new());
}

#[test]
fn settings_change_and_the_numbers_stay_until_a_reset() {
    let ledger = ledger(0.01, 1000);
    many(&ledger, Against::Shadow, 800, 0, &[]);
    assert_eq!(ledger.verdict(), Verdict::InsufficientData);
    ledger.set(&settings(0.02, 100));
    assert_eq!(ledger.verdict(), Verdict::Same);
    let now = Timestamp::from_second(1000).unwrap();
    ledger.reset(now);
    let report = ledger.report();
    assert_eq!((report.shadow.pairs, report.since, report.verdict), (0, now, Verdict::InsufficientData));
    assert!(report.classes.is_empty() && ledger.pairs().is_empty());
}

#[test]
fn the_report_has_a_stable_form() {
    let ledger = ledger(0.01, 1);
    many(&ledger, Against::Shadow, 4, 2, &["ids"]);
    let json = serde_json::to_value(ledger.report()).unwrap();
    let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = vec![
        "route", "to", "since", "verdict", "says", "missing", "allow", "pairs", "excess", "shadow", "own",
        "classes", "log",
    ];
    expected.sort_unstable();
    assert_eq!(
        {
            let mut keys = keys;
            keys.sort_unstable();
            keys
        },
        expected
    );
    assert_eq!(json["verdict"], "insufficient_data");
    assert_eq!(json["shadow"]["share"], 0.5);
    assert_eq!(json["own"]["share"], serde_json::Value::Null);
    assert_eq!(json["classes"][0]["finding"], "unknown");
    assert!((json["shadow"]["latency"]["primary"]["p50"].as_f64().unwrap() - 0.01).abs() < 1e-4);
    assert_eq!(json["shadow"]["failed"]["timeout"], 0);
}

#[test]
fn differing_pairs_are_lines_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = |name: &str| LogSettings { path: folder.path().join(name), max_size: 1 << 20, files: 2 };
    let with = |log| LedgerSettings { log, ..settings(0.01, 1) };
    let ledger = Ledger::new("search", "lab", &with(Some(log("a"))), Timestamp::UNIX_EPOCH);
    note(&ledger, Against::Shadow, "one", &differing(&["ids"]));
    note(&ledger, Against::Shadow, "same", &differing(&[]));
    ledger.set(&with(Some(log("b"))));
    note(&ledger, Against::Own, "two", &differing(&["ids"]));
    ledger.reopen_log();
    note(&ledger, Against::Own, "three", &differing(&["ids"]));
    drop(ledger);
    let lines = |name: &str| -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (first, second) = (lines("a"), lines("b"));
    assert_eq!((first.len(), second.len()), (1, 2));
    assert_eq!(first[0]["route"], "search");
    assert_eq!(first[0]["at"], "1970-01-01T00:00:00Z");
    assert_eq!(first[0]["request"]["id"], "one");
    assert_eq!(first[0]["copy"]["answered"]["status"], 200);
    assert_eq!(first[0]["classes"], serde_json::json!(["ids"]));
    assert_eq!(first[0]["comparison"]["differences"][0]["class"], "ids");
    assert_eq!((&second[0]["against"], &second[1]["request"]["id"]), (&"own".into(), &"three".into()));

    let ledger = Ledger::new("search", "lab", &with(None), Timestamp::UNIX_EPOCH);
    assert_eq!(ledger.report().log, None);
    ledger.set(&with(Some(log("c"))));
    note(&ledger, Against::Shadow, "one", &differing(&["ids"]));
    assert_eq!(ledger.report().log.unwrap().path, folder.path().join("c"));
    ledger.set(&with(None));
    assert_eq!(ledger.report().log, None);
    let path: &Path = &folder.path().join("c");
    let begun = std::time::Instant::now();
    while !std::fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n')) {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
}

/// Pairs of few and of very many classes.
fn pairs() -> impl Strategy<Value = Vec<model::Noted>> {
    let class = prop_oneof![0..6_usize, 0..300_usize];
    let copy = prop_oneof![
        8 => proptest::collection::vec(class, 0..5).prop_map(model::Copy::Compared),
        1 => any::<bool>().prop_map(model::Copy::Status),
        1 => (0..Failed::ALL.len()).prop_map(|at| model::Copy::Failed(Failed::ALL[at])),
    ];
    let one = (any::<bool>(), copy).prop_map(|(own, copy)| model::Noted {
        against: if own { Against::Own } else { Against::Shadow },
        copy,
    });
    proptest::collection::vec(one, 0..600)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn the_books_are_those_of_a_naive_model(pairs in pairs(), keep in 0..30_usize) {
        let ledger = ledger(0.01, 10);
        ledger.set(&LedgerSettings { keep, ..settings(0.01, 10) });
        for pair in &pairs {
            model::note(&ledger, pair);
        }
        let report = ledger.report();
        for (against, kind) in [(Against::Shadow, &report.shadow), (Against::Own, &report.own)] {
            let expected = model::counts(&pairs, against);
            prop_assert_eq!((kind.pairs, kind.differing), expected);
            prop_assert_eq!(kind.latency.map_or(0, |latency| latency.pairs), model::answered(&pairs, against));
        }
        let mut found: Vec<_> = report.classes.iter()
            .map(|class| (class.class.to_string(), [class.shadow.differing, class.own.differing]))
            .collect();
        found.sort();
        prop_assert_eq!(&found, &model::classes(&pairs));
        prop_assert!(found.len() <= MOST_CLASSES + 1);
        prop_assert!(found.len() <= MOST_CLASSES || found.iter().any(|(name, _)| name == OTHER));
        let differing = pairs.iter().filter(|pair| pair.differs()).count();
        prop_assert_eq!(ledger.pairs().len(), keep.min(differing));
        prop_assert_eq!(report.verdict, ledger.verdict());
        prop_assert_eq!(report.verdict, model::verdict(&pairs, 0.01, 10));
    }
}
