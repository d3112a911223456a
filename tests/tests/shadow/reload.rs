//! Shadows that come, go and change while the gateway is under load.

use sluicegate_tests::{Gateway, comes_true, load::Load, reaches};

use crate::{Outcomes, Rules, at_rest, origin::Origin, outcomes, reload, total};

/// Waits until the load has been answered so many times more.
async fn goes_on(load: &Load) {
    let goal = load.reads() + load.writes() + 100;
    reaches("the load goes on", goal, async || load.reads() + load.writes()).await;
}

/// Nothing that was counted is less than it was.
fn assert_kept(before: &Outcomes, now: &Outcomes) {
    for (outcome, count) in before {
        assert!(now.get(outcome) >= Some(count), "{outcome}: {count} before, {now:?} now");
    }
}

async fn series(gateway: &Gateway) -> usize {
    let mut count = 0;
    for name in [
        "sluicegate_shadow_requests_total",
        "sluicegate_shadow_pairs_total",
        "sluicegate_shadow_unpaired_total",
        "sluicegate_shadow_in_flight",
        "sluicegate_shadow_verdict",
        "sluicegate_shadow_differences",
    ] {
        count += gateway.metric(name).await.len();
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn shadows_come_change_and_go_without_a_request_that_fails() {
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let rules = |percent: u8| Rules::of(format!("percent: {percent}, noise: 10, compare: {{}}"));
    let with = |percent| rules(percent).document(&main.url(), &lab.url());
    let without = rules(0).without(&main.url(), &lab.url());
    let gateway = Gateway::start(&without);
    assert_eq!(series(&gateway).await, 0);
    let load = Load::start(gateway.address(), 4, "/x");
    goes_on(&load).await;
    assert_eq!((lab.count(), series(&gateway).await), (0, 0));

    for round in 0..3 {
        reload(&gateway, &with(100)).await;
        let copied = lab.count();
        goes_on(&load).await;
        reaches("copies", copied + 50, async || lab.count()).await;
        let mut before = Outcomes::new();
        let answered = async || {
            before = outcomes(&gateway).await;
            before.get("answered") >= Some(&10)
        };
        comes_true("copies are answered", answered).await;
        assert!(!before.contains_key("sampled_out"), "{round}: {before:?}");

        reload(&gateway, &with(50)).await;
        goes_on(&load).await;
        let now = outcomes(&gateway).await;
        assert_kept(&before, &now);
        assert!(now["sampled_out"] > 0 && total(&now) > total(&before), "{round}: {now:?}");

        reload(&gateway, &without).await;
        comes_true("its series are gone", async || series(&gateway).await == 0).await;
        assert!(gateway.admin_get("/status").await["shadows"].as_array().unwrap().is_empty());
        // What was on its way has come to its end, and nothing comes after it.
        at_rest(&gateway).await;
        let copied = lab.count();
        goes_on(&load).await;
        assert!(lab.count() <= copied + 4, "{} copies after the shadow was gone", lab.count() - copied);
        assert_eq!(series(&gateway).await, 0);
    }
    let account = load.stop().await;
    assert!(account.failed().is_empty(), "{:?}", account.failed().first());
    assert_eq!((account.closed, account.announced), (0, 0));
    println!("{} requests over 9 reloads, {} copies", account.samples.len(), lab.count());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_came_back_counts_from_nothing() {
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let rules = Rules::default();
    let gateway = rules.start(&main.url(), &lab.url());
    for _ in 0..2 {
        let mut client = sluicegate_tests::Client::h1(gateway.address()).await;
        for _ in 0..5 {
            assert_eq!(client.ask(sluicegate_tests::client::get("/x")).await.status, 200);
        }
        crate::come_to(&gateway, &[("answered", 5)]).await;
        reload(&gateway, &rules.without(&main.url(), &lab.url())).await;
        reload(&gateway, &rules.document(&main.url(), &lab.url())).await;
        assert_eq!(outcomes(&gateway).await, Outcomes::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_kept_over_a_change_and_forgotten_with_the_shadow() {
    let other = |_| async { crate::origin::Reply::new("another answer".into()) };
    let (main, lab) = (Origin::plain().await, Origin::start(other).await);
    let rules = Rules::of("percent: 100, noise: 0, compare: {}");
    let document = rules.document(&main.url(), &lab.url());
    let gateway = Gateway::start(&document);
    let mut client = sluicegate_tests::Client::h1(gateway.address()).await;
    for _ in 0..5 {
        assert_eq!(client.ask(sluicegate_tests::client::get("/x")).await.status, 200);
    }
    assert_eq!(crate::judged(&gateway, "shadow", 5).await, 5);
    let found = [("body".to_owned(), 5)].into();
    assert_eq!(crate::classes(&gateway, "shadow").await, found);
    for other in ["percent: 50", "percent: 100, max_rps: 5, timeout: 1s"] {
        reload(&gateway, &document.replace("percent: 100", other)).await;
        assert_eq!(crate::classes(&gateway, "shadow").await, found);
        assert_eq!(crate::judged(&gateway, "shadow", 5).await, 5);
    }
    reload(&gateway, &rules.without(&main.url(), &lab.url())).await;
    reload(&gateway, &document).await;
    assert!(crate::classes(&gateway, "shadow").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_refused_changes_no_shadow() {
    let (main, lab) = (Origin::plain().await, Origin::plain().await);
    let rules = Rules::default();
    let gateway = rules.start(&main.url(), &lab.url());
    let document = rules.document(&main.url(), &lab.url());
    for wrong in ["percent: 101", "percent: 100, max_in_flight: 0", "percent: 100, set: { host: a }"] {
        let answer = gateway.put_config("", &document.replace("percent: 100", wrong)).await;
        assert!((400..500).contains(&answer.status), "{wrong}: {}", answer.json());
    }
    let other = document.replace("to: lab", "to: nowhere");
    assert!((400..500).contains(&gateway.put_config("", &other).await.status));
    let mut client = sluicegate_tests::Client::h1(gateway.address()).await;
    assert_eq!(client.ask(sluicegate_tests::client::get("/x")).await.status, 200);
    crate::come_to(&gateway, &[("answered", 1)]).await;
}
