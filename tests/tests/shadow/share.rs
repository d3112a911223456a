//! How many requests are copied, and that a session is copied whole or not at all.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
};

use sluicegate_tests::{Gateway, Raw, raw::RawAnswer, repeat};

use crate::{NO_BREAKER, Rules, at_rest, come_to, origin::Origin, outcomes_of, total};

const SHARES: [(&str, f64); 3] = [("one", 1.0), ("ten", 10.0), ("half", 50.0)];

/// A gateway with three shadows of different shares on one route.
fn three(main: &str, lab: &str, sample_by: &str) -> Gateway {
    let shadows = SHARES.map(|(to, percent)| {
        format!("{{ to: {to}, percent: {percent}, max_in_flight: 10000, timeout: 60s{sample_by} }}")
    });
    let upstreams = SHARES.map(|(to, _)| format!("  {to}: {{ endpoints: [\"{lab}\"], {NO_BREAKER} }}"));
    let shadows = format!("shadow: [{}]", shadows.join(", "));
    let document = Rules::default().with(main, lab, &shadows);
    Gateway::start(&document.replacen("upstreams:", &format!("upstreams:\n{}", upstreams.join("\n")), 1))
}

/// Requests that are sent before their copies are waited for: fewer than wait for the thread that
/// sends them, however slow it is.
const BATCH: usize = 1000;

/// Sends requests with these header lines.
async fn send(gateway: &Gateway, lines: Vec<String>) {
    for lines in lines.chunks(BATCH) {
        send_batch(gateway.address(), lines).await;
        at_rest(gateway).await;
    }
}

/// Sends them over a few connections that are kept.
async fn send_batch(address: SocketAddr, lines: &[String]) {
    let mut clients = Vec::new();
    for lines in lines.chunks(lines.len().div_ceil(8)).map(<[_]>::to_vec) {
        clients.push(tokio::spawn(async move {
            let mut raw = Raw::connect(address).await;
            for lines in lines {
                let request = format!("GET /x HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
                assert_eq!(raw.ask(request).await.status, 200);
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
}

/// Waits until all have come to an end; how many copies each shadow got.
async fn copied(gateway: &Gateway, count: u64) -> BTreeMap<&'static str, u64> {
    let mut found = BTreeMap::new();
    for (to, _) in SHARES {
        let done = async || total(&outcomes_of(gateway, to).await) == count;
        sluicegate_tests::comes_true("all copies have come to an end", done).await;
        let outcomes = outcomes_of(gateway, to).await;
        let answered = outcomes.get("answered").copied().unwrap_or(0);
        assert_eq!(answered + outcomes["sampled_out"], count, "{to}: {outcomes:?}");
        found.insert(to, answered);
    }
    at_rest(gateway).await;
    found
}

/// How far `got` of `count` is from the share, in percent of the share and in standard deviations
/// of as many draws by lot.
fn off(got: u64, count: u64, percent: f64) -> (f64, f64) {
    let share = percent / 100.0;
    let (wanted, got) = (count as f64 * share, got as f64);
    ((got / wanted - 1.0) * 100.0, (got - wanted) / (wanted * (1.0 - share)).sqrt())
}

/// Asks under these lines, and holds the shares against what chance allows.
async fn shares(what: &str, sample_by: &str, lines: Vec<String>) {
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let gateway = three(&main.url(), &lab.url(), sample_by);
    let count = lines.len() as u64;
    send(&gateway, lines).await;
    let found = copied(&gateway, count).await;
    for (to, percent) in SHARES {
        let (relative, deviations) = off(found[to], count, percent);
        println!(
            "{what}: {percent:>4} % of {count}: {} copied, {relative:+.2} %, {deviations:+.2} sd",
            found[to]
        );
        // One of 15,000 runs is beyond this by chance.
        assert!(deviations.abs() < 4.0, "{what}: {percent} % of {count}: {} copied", found[to]);
    }
    assert_eq!(lab.count() as u64, found.values().sum::<u64>());
}

#[tokio::test(flavor = "multi_thread")]
async fn by_lot_the_share_is_as_it_was_set() {
    let count = repeat(5_000, 100_000);
    shares("by lot", "", vec![String::new(); count]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_key_the_share_is_as_it_was_set() {
    let count = repeat(5_000, 100_000);
    let lines = (0..count).map(|number| format!("X-User-Id: user-{number}\r\n")).collect();
    shares("by key", ", sample_by: { header: x-user-id }", lines).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_copied_whole_or_not_at_all() {
    const SESSIONS: usize = 100;
    let turns = repeat(10, 100);
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let rules =
        Rules::of("percent: 30, max_in_flight: 10000, timeout: 60s, sample_by: { header: x-user-id }");
    let gateway = rules.start(&main.url(), &lab.url());
    let lines = |from: usize| {
        let sessions = (0..SESSIONS * turns).map(move |turn| (turn * 7 + from) % SESSIONS);
        sessions.map(|session| format!("X-User-Id: session-{session}\r\n")).collect::<Vec<_>>()
    };
    send(&gateway, lines(0)).await;
    let of = || {
        let mut sessions = HashMap::<String, usize>::new();
        for copy in lab.seen() {
            *sessions.entry(copy.get("x-user-id").to_owned()).or_default() += 1;
        }
        sessions
    };
    crate::ended(&gateway, (SESSIONS * turns) as u64).await;
    let first = of();
    assert!((10..60).contains(&first.len()), "{} of {SESSIONS} sessions", first.len());
    assert!(first.values().all(|count| *count == turns), "{first:?}");
    // The same ones after a reload and at a higher share, and some more.
    crate::reload(&gateway, &rules.document(&main.url(), &lab.url()).replace("percent: 30", "percent: 60"))
        .await;
    send(&gateway, lines(3)).await;
    crate::ended(&gateway, (2 * SESSIONS * turns) as u64).await;
    let both = of();
    assert!(both.len() > first.len());
    for (session, count) in &both {
        let wanted = if first.contains_key(session) { 2 * turns } else { turns };
        assert_eq!(*count, wanted, "{session}");
    }
}

async fn ask(gateway: &Gateway, lines: &str) -> RawAnswer {
    let request = format!("GET /x HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
    let answer = Raw::connect(gateway.address()).await.ask(request).await;
    assert_eq!(answer.status, 200);
    answer
}

/// The cookie that an answer sets.
fn set(answer: &RawAnswer) -> Option<(String, String)> {
    let cookies = answer.fields.all("set-cookie");
    assert!(cookies.len() < 2, "{cookies:?}");
    let (pair, attributes) = cookies.first()?.split_once("; ").unwrap();
    Some((pair.to_owned(), attributes.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_set_once_and_keeps_sessions_whole() {
    const SESSIONS: u64 = 40;
    const TURNS: u64 = 5;
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    // A busy machine leaves no copy out.
    let rules = Rules::of("percent: 50, max_in_flight: 10000, timeout: 60s, sample_by: { cookie: sample }");
    let gateway = rules.start(&main.url(), &lab.url());
    let mut pairs = HashSet::new();
    for session in 0..SESSIONS {
        let line = format!("X-User-Id: session-{session}\r\n");
        let (pair, attributes) = set(&ask(&gateway, &line).await).expect("a cookie with the first answer");
        assert!(pair.starts_with("sample=") && attributes.contains("HttpOnly"), "{pair}; {attributes}");
        for _ in 1..TURNS {
            let again = ask(&gateway, &format!("{line}Cookie: a=b; {pair}\r\n")).await;
            assert_eq!(set(&again), None, "it is there already");
        }
        assert!(pairs.insert(pair), "everybody gets one of their own");
    }
    crate::ended(&gateway, SESSIONS * TURNS).await;
    let mut sessions = HashMap::<String, u64>::new();
    for copy in lab.seen() {
        assert_eq!(copy.get("cookie"), "", "a copy has no cookie");
        *sessions.entry(copy.get("x-user-id").to_owned()).or_default() += 1;
    }
    assert!((5..35).contains(&sessions.len()), "{} of {SESSIONS} sessions", sessions.len());
    assert!(sessions.values().all(|count| *count == TURNS), "the first request as well: {sessions:?}");
    // One that is not the gateway's own is no key.
    assert!(set(&ask(&gateway, "Cookie: sample=me\r\n").await).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_all_or_nothing_nobody_gets_a_cookie() {
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    for percent in [0, 100] {
        let rules = Rules::of(format!("percent: {percent}, sample_by: {{ cookie: sample }}"));
        let gateway = rules.start(&main.url(), &lab.url());
        assert_eq!(set(&ask(&gateway, "").await), None);
        come_to(&gateway, &[(if percent == 0 { "sampled_out" } else { "answered" }, 1)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_of_its_own_a_shadow_goes_by_that_of_the_rollout() {
    const SESSIONS: usize = 60;
    const TURNS: usize = 5;
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let rules = Rules::of("percent: 50, max_in_flight: 10000, timeout: 60s");
    let document = rules
        .document(&main.url(), &lab.url())
        .replace("path: \"/{*rest}\" }, upstream: main", "path: \"/{*rest}\" }, upstream: { rollout: r }");
    let rollout = "rollouts: { r: { active: main, candidate: next, sticky: { header: x-user-id } } }";
    let next = format!("upstreams:\n  next: {{ endpoints: [\"{}\"] }}", main.url());
    let gateway = Gateway::start(&format!("{}{rollout}\n", document.replacen("upstreams:", &next, 1)));
    let lines = (0..SESSIONS * TURNS).map(|turn| format!("X-User-Id: session-{}\r\n", turn % SESSIONS));
    send(&gateway, lines.collect()).await;
    crate::ended(&gateway, (SESSIONS * TURNS) as u64).await;
    let mut sessions = HashMap::<String, usize>::new();
    for copy in lab.seen() {
        *sessions.entry(copy.get("x-user-id").to_owned()).or_default() += 1;
    }
    assert!((10..50).contains(&sessions.len()), "{} of {SESSIONS} sessions", sessions.len());
    assert!(sessions.values().all(|count| *count == TURNS), "{sessions:?}");
}
