//! Servers that lack the last writes that another one had acknowledged.

use std::time::{Duration, Instant};

use sluicegate_store::{Append, EntryState, Expect, Holder, Store, Swapped};
use sluicegate_test_servers::{Brand, Redis, Settings};

use crate::{
    engines::{append, begin, change, claim, entry, get, held, key, put, swap, to, values},
    proxy::Proxy,
    support::{LEASE, open, opened, until, wait_down, wait_up},
};

/// A primary with a replica that has followed so far and follows no longer.
async fn pair(brand: Brand, before: impl AsyncFnOnce(&Store)) -> (Redis, Redis, Proxy, Store) {
    let primary = Settings::durable(brand).start().await.unwrap();
    let follows = format!("127.0.0.1 {}", primary.port());
    let replica = Settings::durable(brand).with("replicaof", &follows).start().await.unwrap();
    let proxy = Proxy::to(primary.port()).await;
    let store = open(&proxy.url()).await;
    wait_up(&store).await;
    before(&store).await;
    primary.command(&["SET", "last", "1"]).unwrap();
    until("replicated", || async {
        (replica.command(&["GET", "last"]).unwrap() == "$1\r\n1\r\n").then_some(())
    })
    .await;
    replica.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    (primary, replica, proxy, store)
}

#[tokio::test]
async fn what_a_gateway_wrote_lately_is_written_again() {
    for brand in Brand::ALL {
        let (running, begun, taken, lost) =
            (held("running"), held("begun"), held("taken back"), held("lost"));
        let (_primary, replica, proxy, store) = pair(brand, async |store: &Store| {
            begin(store, 1, &begun).await;
            begin(store, 2, &taken).await;
        })
        .await;
        // All of this the replica does not see.
        let (sealed, settled) = (put("sealed"), put("settled"));
        assert_eq!(swap(&store, 1, Expect::Tag(begun.tag), Some(&sealed)).await, Swapped::Done);
        assert_eq!(swap(&store, 2, Expect::Tag(taken.tag), None).await, Swapped::Done);
        begin(&store, 3, &running).await;
        begin(&store, 4, &lost).await;
        assert_eq!(swap(&store, 4, Expect::Tag(lost.tag), Some(&settled)).await, Swapped::Done);
        assert_eq!(
            replica.command(&["EVAL", "return redis.call('ZCARD', 'sluicegate:default:rx')", "0"]).unwrap(),
            ":2\r\n"
        );
        proxy.switch(replica.port());
        let found = until("back", || async { store.get(key(1)).await.ok() }).await.unwrap();
        assert_eq!((found.tag, &*found.value), (sealed.tag, &b"sealed"[..]));
        assert_eq!(get(&store, 2).await, None);
        let found = get(&store, 3).await.unwrap();
        assert_eq!((found.tag, found.holder), (running.tag, Holder::Alive));
        assert_eq!(get(&store, 4).await.unwrap().tag, settled.tag);
        assert_eq!(store.usage().await.unwrap().0, 3);
        // Nobody is missing: new keys are begun, and running ones settle as ever.
        begin(&store, 5, &put("new")).await;
        assert_eq!(swap(&store, 3, Expect::Tag(running.tag), Some(&put("sealed"))).await, Swapped::Done);
    }
}

#[tokio::test]
async fn newer_work_of_others_is_left_alone() {
    let first = held("first");
    let (_primary, replica, proxy, store) =
        pair(Brand::Redis, async |store: &Store| begin(store, 1, &first).await).await;
    assert_eq!(swap(&store, 1, Expect::Tag(first.tag), Some(&put("sealed"))).await, Swapped::Done);
    // Meanwhile, on the server that will take over, somebody else.
    let other = open(&replica.url()).await;
    let newer = put("newer");
    assert_eq!(swap(&other, 1, Expect::Tag(first.tag), Some(&newer)).await, Swapped::Done);
    proxy.switch(replica.port());
    let found = until("back", || async { store.get(key(1)).await.ok() }).await.unwrap();
    assert_eq!(found.tag, newer.tag);
}

#[tokio::test]
async fn entries_that_were_lost_are_not_applied_twice() {
    let one = entry("a", "a1");
    let (_primary, replica, proxy, store) = pair(Brand::Redis, async |store: &Store| {
        append(store, &one).await;
        append(store, &entry("b", "b1")).await;
        append(store, &entry("c", "c1")).await;
    })
    .await;
    let claimed = claim(&store, 2).await;
    assert_eq!(values(&claimed), ["a1", "b1"]);
    change(&store, claimed[0].id, to(EntryState::Applied, claimed[0].tag)).await;
    let fence = put("deferred");
    let late = Append { record: Some((key(1), Expect::Absent, fence.clone())), ..entry("d", "d1") };
    append(&store, &late).await;
    proxy.switch(replica.port());
    until("back", || async { store.entry(one.id).await.ok() }).await;
    let state = async |id| store.entry(id).await.unwrap().map(|entry| (entry.state, entry.abandoned));
    assert_eq!(state(claimed[0].id).await, Some((EntryState::Applied, false)));
    assert_eq!(state(claimed[1].id).await, Some((EntryState::Applying, false)));
    assert_eq!(get(&store, 1).await.unwrap().tag, fence.tag);
    assert_eq!(values(&claim(&store, 5).await), ["c1", "d1"]);
    let tally = store.tally().await.unwrap();
    assert_eq!((tally.open(), tally.bytes, tally.of(EntryState::Applied)), (3, 6, 1));
    assert_eq!(store.beat_entries(vec![(claimed[1].id, claimed[1].tag)]).await.unwrap(), [true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_everything_begins_no_key_twice() {
    let mut server = Redis::start().await.unwrap();
    let stores = [opened(&server).await, opened(&server).await];
    let (running, sealed) = (held("running"), put("sealed"));
    begin(&stores[0], 1, &running).await;
    begin(&stores[0], 2, &sealed).await;
    server.kill();
    // The other one asks all the time, and is there first.
    let asking = (1..3_u8).map(|number| {
        let store = stores[1].clone();
        tokio::spawn(async move {
            until("told", || async {
                store.swap(key(number), Expect::Absent, Some(held("twice"))).await.ok()
            })
            .await
        })
    });
    let asking: Vec<_> = asking.collect();
    let _server = server.restart_empty().await.unwrap();
    for (asked, first) in asking.into_iter().zip([running.tag, sealed.tag]) {
        let told = asked.await.unwrap();
        assert!(matches!(&told, Swapped::Conflict(Some(found)) if found.tag == first), "{told:?}");
    }
}

#[tokio::test]
async fn a_gateway_that_does_not_come_back_is_waited_for_one_lease() {
    let mut server = Redis::start().await.unwrap();
    let store = opened(&server).await;
    let (url, theirs) = (server.url(), held("theirs"));
    // It dies as if killed: nothing of it runs on, and it does not say good-bye.
    let their = theirs.clone();
    let dead = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(async {
            let store = open(&url).await;
            begin(&store, 1, &their).await;
            append(&store, &entry("line", "one")).await;
            store
        });
        drop(runtime);
        drop(store);
    });
    dead.join().unwrap();
    server.kill();
    wait_down(&store).await;
    // While nobody can beat, every lease lapses.
    tokio::time::sleep(LEASE).await;
    let _server = server.restart().await.unwrap();
    wait_up(&store).await;
    let since = Instant::now();
    let error = store.swap(key(2), Expect::Absent, Some(held("mine"))).await.unwrap_err().to_string();
    assert!(error.contains("started anew"), "{error}");
    assert!(
        since.elapsed() > Duration::from_millis(900),
        "it did not wait for others: {:?}",
        since.elapsed()
    );
    // That proves nothing yet.
    assert_eq!(get(&store, 1).await.unwrap().holder, Holder::Alive);
    assert_eq!(claim(&store, 1).await, []);
    let answer =
        until("begun", || async { store.swap(key(2), Expect::Absent, Some(held("mine"))).await.ok() }).await;
    assert_eq!(answer, Swapped::Done);
    assert!(since.elapsed() < LEASE + Duration::from_secs(2), "{:?}", since.elapsed());
    assert_eq!(get(&store, 1).await.unwrap().holder, Holder::Gone);
    assert_eq!(values(&claim(&store, 1).await), ["one"]);
}

#[tokio::test]
async fn a_gateway_that_left_is_not_waited_for() {
    let mut server = Redis::start().await.unwrap();
    let store = opened(&server).await;
    let other = opened(&server).await;
    drop(other);
    let members = || async {
        let members =
            server.command(&["EVAL", "return redis.call('ZCARD', 'sluicegate:default:members')", "0"]);
        (members.unwrap() == ":1\r\n").then_some(())
    };
    until("left", members).await;
    server.kill();
    wait_down(&store).await;
    let _server = server.restart().await.unwrap();
    wait_up(&store).await;
    let since = Instant::now();
    begin(&store, 1, &put("at once")).await;
    assert!(since.elapsed() < Duration::from_millis(500), "{:?}", since.elapsed());
}
