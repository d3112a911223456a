//! Servers that die, stall and come back.

use std::time::{Duration, Instant};

use sluicegate_store::{Expect, Health, StoreError, Swapped};
use sluicegate_test_servers::{Brand, Settings};

use crate::{
    engines::{append, begin, claim, entry, get, held, key, put, swap, values},
    support::{health, opened, wait_down, wait_for, wait_up},
};

/// Far less than any timeout.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Asks a store that is down five times and returns the last error. One of them must come at once:
/// a store that waits does so every time, a machine that stalls does not.
async fn refused_at_once<T>(ask: impl AsyncFn() -> Result<T, StoreError>) -> String {
    let (mut quickest, mut error) = (Duration::MAX, String::new());
    for _ in 0..5 {
        let since = Instant::now();
        error = ask().await.err().expect("a store that is down").to_string();
        quickest = quickest.min(since.elapsed());
    }
    assert!(quickest < AT_ONCE, "it waited for {quickest:?} though it is down: {error}");
    error
}

#[tokio::test]
async fn a_server_that_is_killed_and_restarted_has_lost_nothing() {
    for brand in Brand::ALL {
        let mut server = Settings::durable(brand).start().await.unwrap();
        let store = opened(&server).await;
        let running = held("running");
        begin(&store, 1, &running).await;
        append(&store, &entry("line", "one")).await;
        for _ in 0..2 {
            server.kill();
            // Nobody asks for anything: it is noticed all the same.
            wait_down(&store).await;
            let error = refused_at_once(|| store.swap(key(2), Expect::Absent, Some(put("two")))).await;
            assert!(error.contains(&format!("Redis at 127.0.0.1:{}: ", server.port())), "{error}");
            server = server.restart().await.unwrap();
            wait_up(&store).await;
            assert_eq!(get(&store, 1).await.unwrap().tag, running.tag);
        }
        assert_eq!(values(&claim(&store, 2).await), ["one"]);
        assert_eq!(swap(&store, 1, Expect::Tag(running.tag), Some(&put("sealed"))).await, Swapped::Done);
    }
}

#[tokio::test]
async fn writes_under_way_when_the_server_dies_are_made_once_or_not_at_all() {
    let mut server = Settings::durable(Brand::Redis).start().await.unwrap();
    let store = opened(&server).await;
    let puts: Vec<_> = (0..200).map(|number| held(&format!("{number}"))).collect();
    let mut writes = Vec::new();
    for (number, put) in (0_u8..).zip(&puts) {
        writes.push(tokio::spawn(store.swap(key(number), Expect::Absent, Some(put.clone()))));
    }
    tokio::task::yield_now().await;
    server.kill();
    let mut done = Vec::new();
    for write in writes {
        done.push(write.await.unwrap());
    }
    wait_down(&store).await;
    let server = server.restart().await.unwrap();
    wait_up(&store).await;
    for (number, (put, done)) in (0_u8..).zip(puts.iter().zip(&done)) {
        let found = get(&store, number).await.map(|record| record.tag);
        match done {
            Ok(done) => assert_eq!((done, found), (&Swapped::Done, Some(put.tag))),
            Err(_) => assert!(found.is_none_or(|found| found == put.tag)),
        }
        // To ask again is safe, whatever became of it.
        assert_eq!(swap(&store, number, Expect::Absent, Some(put)).await, Swapped::Done);
    }
    assert_eq!(store.usage().await.unwrap().0, 200);
    assert!(server.id().is_some());
}

#[tokio::test]
async fn a_server_that_stalls_is_given_up_and_taken_back() {
    let server = Settings::durable(Brand::Redis).start().await.unwrap();
    let store = opened(&server).await;
    begin(&store, 1, &put("one")).await;
    server.command(&["CLIENT", "PAUSE", "5000"]).unwrap();
    let since = Instant::now();
    let error = store.get(key(1)).await.unwrap_err().to_string();
    let waited = since.elapsed();
    assert!(error.contains("did not answer in time"), "{error}");
    assert!(waited > Duration::from_millis(900) && waited < Duration::from_secs(2), "{waited:?}");
    wait_for(&store, "down", |health| matches!(health, Health::Down(why) if why.contains("in time"))).await;
    refused_at_once(|| store.get(key(1))).await;
    wait_up(&store).await;
    assert_eq!(get(&store, 1).await.unwrap().value, "one");
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let server = Settings::durable(Brand::Redis).start().await.unwrap();
    let store = opened(&server).await;
    let one = put("one");
    begin(&store, 1, &one).await;
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    assert_eq!(swap(&store, 1, Expect::Tag(one.tag), Some(&put("two"))).await, Swapped::Done);
    assert_eq!(get(&store, 1).await.unwrap().value, "two");
    assert_eq!(health(&store), Health::Up);
}
