//! What an operator sees and does.

use std::time::Duration;

use crate::{
    IdempotencySettings, KeyError, KeyFilter, KeyId, KeyRecord, KeyState, Resolution,
    testing::{Act, Rig, RigOptions, answer, post, until, when_told},
};

async fn all(rig: &Rig, filter: KeyFilter) -> Vec<KeyRecord> {
    rig.fences.list(&filter, None, 100).await.unwrap().keys
}

async fn only(rig: &Rig) -> (KeyId, KeyRecord) {
    let record = all(rig, KeyFilter::default()).await.remove(0);
    (record.id.parse().unwrap(), record)
}

#[tokio::test(start_paused = true)]
async fn keys_are_listed_by_what_they_are() {
    let rig = Rig::new();
    let (_go, act) = when_told(answer(201, "x"));
    rig.upstream.then(answer(201, "made")).then(Act::Reset).then(act);
    rig.ask(post("order-1", "{}")).await;
    rig.ask(post("order-2", "{}")).await;
    let _running = tokio::spawn(rig.ask(post("job-3", "{}")));
    until(|| rig.upstream.calls() == 3).await;

    let with = |change: fn(&mut KeyFilter)| {
        let mut filter = KeyFilter::default();
        change(&mut filter);
        filter
    };
    let keys = async |change: fn(&mut KeyFilter)| {
        let mut keys: Vec<_> = all(&rig, with(change)).await.into_iter().map(|record| record.key).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(|_| {}).await, ["job-3", "order-1", "order-2"]);
    assert_eq!(keys(|filter| filter.state = Some(KeyState::Unknown)).await, ["order-2"]);
    assert_eq!(keys(|filter| filter.state = Some(KeyState::Running)).await, ["job-3"]);
    assert_eq!(keys(|filter| filter.prefix = Some("order".into())).await, ["order-1", "order-2"]);
    assert_eq!(keys(|filter| filter.tenant = Some("acme".into())).await.len(), 3);
    assert_eq!(keys(|filter| filter.tenant = Some("other".into())).await.len(), 0);
    assert_eq!(keys(|filter| filter.route = Some("ingest".into())).await.len(), 3);
    assert_eq!(keys(|filter| filter.route = Some("rest".into())).await.len(), 0);

    let sealed = all(&rig, with(|filter| filter.state = Some(KeyState::Sealed))).await.remove(0);
    assert_eq!((sealed.status, sealed.body_bytes, sealed.why), (Some(201), Some(4), None));
    assert_eq!(
        (sealed.route.as_str(), sealed.method.as_str(), sealed.request_id.as_str()),
        ("ingest", "POST", "req-1")
    );
    assert_eq!(sealed.created_at.to_string(), "2030-01-05T02:00:00Z");
    let id: KeyId = sealed.id.parse().unwrap();
    assert_eq!(rig.fences.show(id).await.unwrap().unwrap().key, "order-1");
}

#[tokio::test(start_paused = true)]
async fn a_list_comes_in_pages_and_leaves_nothing_out() {
    let rig = Rig::new();
    for at in 0..25 {
        rig.ask(post(&format!("k-{at}"), "{}")).await;
    }
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = rig.fences.list(&KeyFilter::default(), after, 10).await.unwrap();
        seen.extend(page.keys.into_iter().map(|record| record.key));
        pages += 1;
        let Some(next) = page.next else { break };
        after = Some(next.parse().unwrap());
    }
    seen.sort();
    seen.dedup();
    assert_eq!((seen.len(), pages), (25, 3));
}

#[tokio::test(start_paused = true)]
async fn an_operator_settles_a_key_whose_fate_is_unknown() {
    let rig = Rig::new();
    rig.upstream.then(Act::Reset);
    rig.ask(post("k", "{}")).await;
    let (id, record) = only(&rig).await;
    assert_eq!((record.state, record.why.as_deref()), (KeyState::Unknown, Some("upstream_reset")));
    let was = rig.fences.resolve(id, Resolution::Applied { status: 201 }).await.unwrap();
    assert_eq!(was.state, KeyState::Unknown);
    let got = rig.ask(post("k", "{}")).await;
    assert_eq!((got.status, got.is_replay(), got.text()), (201, true, ""));
    assert_eq!(got.headers["sluicegate-replay"], "without-body");
    let settled = rig.fences.resolve(id, Resolution::NotApplied).await.unwrap_err();
    assert_eq!(settled, KeyError::Settled { id, state: KeyState::Sealed });

    let rig = Rig::new();
    rig.upstream.then(Act::Reset);
    rig.ask(post("k", "{}")).await;
    let (id, _) = only(&rig).await;
    assert_eq!(rig.fences.resolve(id, Resolution::Applied { status: 500 }).await, Err(KeyError::Status(500)));
    rig.fences.resolve(id, Resolution::NotApplied).await.unwrap();
    assert_eq!(rig.ask(post("k", "{}")).await.status, 201, "the retry runs");
    assert_eq!(rig.upstream.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_running_key_can_be_settled_only_when_its_holder_is_gone() {
    let rig = Rig::with(RigOptions { lease: Some(Duration::from_secs(9)), ..RigOptions::default() });
    let (_go, act) = when_told(answer(201, "x"));
    rig.upstream.then(act);
    let _first = tokio::spawn(rig.ask(post("k", "{}")));
    until(|| rig.upstream.calls() == 1).await;
    let (id, record) = only(&rig).await;
    assert_eq!(record.state, KeyState::Running);
    assert_eq!(rig.fences.resolve(id, Resolution::NotApplied).await, Err(KeyError::Running(id)));
    rig.store.lapse();
    assert_eq!(rig.fences.show(id).await.unwrap().unwrap().state, KeyState::Unknown);
    rig.fences.resolve(id, Resolution::NotApplied).await.unwrap();
    assert_eq!(rig.fences.resolve(id, Resolution::NotApplied).await, Err(KeyError::NotFound(id)));
    assert_eq!(rig.fences.show(id).await, Ok(None));
}

#[test]
fn an_id_is_read_back_as_it_is_shown() {
    let text = "0123456789abcdef".repeat(4);
    assert_eq!(text.parse::<KeyId>().unwrap().to_string(), text);
    for wrong in ["", "12", &"g".repeat(64), &"é".repeat(32), &"a".repeat(65)] {
        let error = wrong.parse::<KeyId>().unwrap_err();
        assert!(error.to_string().contains("64 hexadecimal digits"), "{error}");
    }
}

#[test]
fn a_plan_says_what_its_route_does() {
    let rig = Rig::under(IdempotencySettings::default());
    assert_eq!(rig.plan().settings().ttl, Duration::from_secs(48 * 3600));
}
