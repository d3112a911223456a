//! Intents on servers that write their disk after they have acknowledged.

use std::time::Instant;

use sluicegate_store::EntryState;
use sluicegate_test_servers::{Brand, Redis, Settings};

use crate::{
    engines::{append, begin, change, claim, entry, put, to},
    support::opened,
};

fn calls(server: &Redis, command: &str) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn intents_wait_for_the_disk_together_and_fences_do_not() {
    for brand in Brand::ALL {
        let settings = Settings::durable(brand).with("appendfsync", "everysec");
        let server = settings.start().await.unwrap();
        let store = opened(&server).await;
        assert_eq!(store.not_durable(), None);
        begin(&store, 1, &put("a fence")).await;
        assert_eq!(calls(&server, "waitaof"), 0);
        let since = Instant::now();
        let mut appends = Vec::new();
        for number in 0..200 {
            let store = store.clone();
            appends.push(tokio::spawn(async move {
                append(&store, &entry(&number.to_string(), "one")).await;
            }));
        }
        for append in appends {
            append.await.unwrap();
        }
        let rounds = calls(&server, "waitaof");
        assert!((1..=20).contains(&rounds), "{rounds} rounds in {:?}", since.elapsed());
        // Claims and changes too: one that could be lost could be applied twice.
        let claimed = claim(&store, 1).await;
        assert!(calls(&server, "waitaof") > rounds);
        let rounds = calls(&server, "waitaof");
        change(&store, claimed[0].id, to(EntryState::Applied, claimed[0].tag)).await;
        assert!(calls(&server, "waitaof") > rounds);
        let rounds = calls(&server, "waitaof");
        assert_eq!(store.tally().await.unwrap().open(), 199);
        assert_eq!(calls(&server, "waitaof"), rounds);
    }
}

#[tokio::test]
async fn a_server_that_writes_before_it_acknowledges_is_not_asked() {
    let server = Redis::start().await.unwrap();
    let store = opened(&server).await;
    append(&store, &entry("line", "one")).await;
    assert_eq!(calls(&server, "waitaof"), 0);
}
