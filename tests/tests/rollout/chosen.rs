//! Reads and writes, the forced arm, the cookie.

use std::collections::HashSet;

use sluicegate_tests::{Gateway, Which, raw::RawAnswer};

use crate::{Rules, UNJUDGED, ask, done, reload, users, weigh, whose};

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_split_and_writes_go_to_the_active_arm_unless_the_route_splits_them() {
    let (arms, gateway) = Rules::default().start().await;
    let (mut reads, mut writes, mut split) = (0, 0, 0);
    weigh(&gateway, 50).await;
    for user in users(60) {
        let lines = format!("X-User-Id: {user}\r\n");
        let read = whose(&ask(&gateway, "GET", "/x", &lines).await);
        let write = whose(&ask(&gateway, "POST", "/x", &lines).await);
        let split_read = whose(&ask(&gateway, "GET", "/split/x", &lines).await);
        let split_write = whose(&ask(&gateway, "POST", "/split/x", &lines).await);
        assert_eq!(write, Which::Stable, "{user}");
        assert_eq!((split_read, split_write), (read, read), "{user}: one arm for all that is split");
        reads += usize::from(read == Which::Next);
        writes += usize::from(write == Which::Next);
        split += usize::from(split_write == Which::Next);
    }
    println!(
        "on the candidate at 50: {reads} of 60 reads, {writes} of 60 writes, {split} of 60 split writes"
    );
    assert!((10..=50).contains(&reads), "{reads}");
    weigh(&gateway, 100).await;
    for (method, path, expected) in [
        ("GET", "/x", Which::Next),
        ("POST", "/x", Which::Stable),
        ("GET", "/split/x", Which::Next),
        ("POST", "/split/x", Which::Next),
        ("DELETE", "/x", Which::Stable),
    ] {
        let before = arms.count(expected);
        ask(&gateway, method, path, "X-User-Id: u\r\n").await;
        assert_eq!(arms.count(expected), before + 1, "{method} {path}");
    }
    weigh(&gateway, 0).await;
    for path in ["/x", "/split/x"] {
        for method in ["GET", "POST"] {
            let answer = ask(&gateway, method, path, "X-User-Id: u\r\n").await;
            assert_eq!(whose(&answer), Which::Stable, "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arm_can_be_forced_only_where_the_route_says_so() {
    let (arms, gateway) = Rules::default().start().await;
    let force = |arm: &str| format!("X-User-Id: u\r\nX-Sluicegate-Arm: {arm}\r\n");
    for (weight, by_weight) in [(0, Which::Stable), (100, Which::Next)] {
        weigh(&gateway, weight).await;
        for (arm, forced) in [("active", Which::Stable), ("candidate", Which::Next)] {
            for method in ["GET", "POST"] {
                let answer = ask(&gateway, method, "/split/x", &force(arm)).await;
                assert_eq!(whose(&answer), forced, "{method} at {weight}, forced {arm}");
            }
            let answer = ask(&gateway, "GET", "/x", &force(arm)).await;
            assert_eq!(whose(&answer), by_weight, "at {weight}, {arm} is not to be forced here");
            assert_eq!(whose(&ask(&gateway, "POST", "/x", &force(arm)).await), Which::Stable);
        }
    }
    let before = arms.hits().len();
    let wrong = ["next", "", "active, candidate", "active\r\nX-Sluicegate-Arm: candidate"];
    for arm in wrong {
        let answer = ask(&gateway, "GET", "/split/x", &force(arm)).await;
        assert_eq!(answer.status, 400, "{arm:?}: {answer:?} {}", answer.text());
        assert!(answer.text().to_lowercase().contains("x-sluicegate-arm"), "{arm:?}: {}", answer.text());
        // Where it cannot be forced nobody looks at it.
        whose(&ask(&gateway, "GET", "/x", &force(arm)).await);
    }
    let hits = arms.hits();
    assert_eq!(hits.len(), before + wrong.len(), "what is refused is not sent");
    assert!(hits.iter().all(|hit| !hit.forced), "the header is the gateway's own");
}

/// The value of the cookie that an answer sets, and its attributes.
fn cookie(answer: &RawAnswer) -> Option<(String, Vec<String>)> {
    let line = answer.fields.get("set-cookie")?;
    let mut parts = line.split("; ").map(str::to_owned);
    let value = parts.next()?.strip_prefix("arm=")?.to_owned();
    Some((value, parts.collect()))
}

async fn with_cookie(gateway: &Gateway, value: &str) -> RawAnswer {
    ask(gateway, "GET", "/x", &format!("Cookie: theme=dark; arm={value}\r\n")).await
}

fn by_cookie(extra: &'static str) -> Rules {
    Rules { rollout: format!("sticky: {{ cookie: arm }}, {UNJUDGED}"), extra, ..Rules::embedded() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_set_once_and_keeps_its_browser_on_its_arm() {
    let (arms, mut gateway) = by_cookie("").start().await;
    let answer = ask(&gateway, "GET", "/x", "").await;
    assert_eq!((whose(&answer), cookie(&answer)), (Which::Stable, None), "at weight 0 nobody needs one");
    weigh(&gateway, 50).await;
    let mut browsers = Vec::new();
    for _ in 0..40 {
        let answer = ask(&gateway, "GET", "/x", "").await;
        let (value, attributes) = cookie(&answer).expect("a cookie");
        let mut attributes: Vec<_> = attributes.iter().map(String::as_str).collect();
        attributes.sort_unstable();
        assert_eq!(attributes, ["HttpOnly", "Max-Age=604800", "Path=/", "SameSite=Lax"]);
        browsers.push((value, whose(&answer)));
    }
    let distinct: HashSet<_> = browsers.iter().map(|(value, _)| value).collect();
    assert_eq!(distinct.len(), 40, "each browser has its own");
    let on_next = browsers.iter().filter(|(_, which)| *which == Which::Next).count();
    assert!((4..=36).contains(&on_next), "{on_next} of 40");

    for round in ["as it is", "after a reload", "after a kill"] {
        match round {
            "after a reload" => {
                let other = by_cookie("limits: { deadline: 9s }").document(&arms);
                reload(&gateway, &other).await;
            }

            "after a kill" => gateway = gateway.kill_and_restart(),
            _ => {}
        }
        for (value, which) in &browsers {
            let answer = with_cookie(&gateway, value).await;
            assert_eq!((whose(&answer), cookie(&answer)), (*which, None), "{round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_was_not_signed_here_does_not_count() {
    let (_arms, gateway) = by_cookie("").start().await;
    weigh(&gateway, 50).await;
    let (good, _) = cookie(&ask(&gateway, "GET", "/x", "").await).expect("a cookie");
    assert_eq!(cookie(&with_cookie(&gateway, &good).await), None, "it is good");
    let mut forged = vec![String::new(), "candidate".to_owned(), "A".repeat(good.len()), good.repeat(2)];
    // Any one character changed, which is the key, the epoch or the signature.
    for at in 0..good.len() {
        let changed = if good.as_bytes()[at] == b'B' { "C" } else { "B" };
        forged.push(format!("{}{changed}{}", &good[..at], &good[at + 1..]));
    }
    for value in &forged {
        let answer = with_cookie(&gateway, value).await;
        let (fresh, _) = cookie(&answer).unwrap_or_else(|| panic!("{value} was taken for good"));
        assert_ne!(&fresh, value);
        // And what is set in its place is good.
        let again = with_cookie(&gateway, &fresh).await;
        assert_eq!((whose(&again), cookie(&again)), (whose(&answer), None));
    }
    // One of an installation that has another secret.
    let (_others, other) = by_cookie("").start().await;
    weigh(&other, 50).await;
    let (foreign, _) = cookie(&ask(&other, "GET", "/x", "").await).expect("a cookie");
    assert!(cookie(&with_cookie(&gateway, &foreign).await).is_some(), "another installation's was taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_each_run_browsers_are_dealt_anew() {
    let (_arms, gateway) = by_cookie("").start().await;
    weigh(&gateway, 50).await;
    let (old, _) = cookie(&ask(&gateway, "GET", "/x", "").await).expect("a cookie");
    done(&gateway, "start").await;
    let answer = with_cookie(&gateway, &old).await;
    let (new, _) = cookie(&answer).expect("another cookie");
    assert_ne!(new, old);
    let again = with_cookie(&gateway, &new).await;
    assert_eq!((whose(&again), cookie(&again)), (whose(&answer), None));
    // A step further it is the same run.
    done(&gateway, "advance").await;
    assert_eq!(cookie(&with_cookie(&gateway, &new).await), None);
}
