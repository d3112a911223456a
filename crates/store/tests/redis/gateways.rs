//! Several gateways on one server.

use std::{collections::BTreeMap, time::Duration};

use sluicegate_store::{EntryState, Expect, Holder, Swapped};
use sluicegate_test_servers::{Brand, Settings};

use crate::{
    engines::{append, begin, change, claim, entry, get, held, key, put, swap, to},
    support::{LEASE, opened, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_race_for_a_key_one_wins() {
    for brand in Brand::ALL {
        let server = Settings::durable(brand).start().await.unwrap();
        let stores = [opened(&server).await, opened(&server).await, opened(&server).await];
        let mut races = Vec::new();
        for number in 0..60 {
            for store in &stores {
                let mine = held("mine");
                let answer = store.swap(key(number), Expect::Absent, Some(mine.clone()));
                races.push(tokio::spawn(async move { (number, mine.tag, answer.await.unwrap()) }));
            }
        }
        let mut winners = BTreeMap::new();
        for race in races {
            match race.await.unwrap() {
                (number, tag, Swapped::Done) => assert_eq!(winners.insert(number, tag), None),
                (_, tag, Swapped::Conflict(Some(found))) => assert_ne!(found.tag, tag),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(winners.len(), 60);
        for (number, tag) in winners {
            assert_eq!(get(&stores[0], number).await.unwrap().tag, tag);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_claimed_once_and_in_order_by_whoever_comes() {
    const LINES: usize = 8;
    const EACH: usize = 10;
    let server = Settings::durable(Brand::Redis).start().await.unwrap();
    let stores = [opened(&server).await, opened(&server).await];
    for number in 0..EACH {
        for line in 0..LINES {
            append(&stores[line % 2], &entry(&line.to_string(), &number.to_string())).await;
        }
    }
    let mut workers = Vec::new();
    for worker in 0..6 {
        let store = stores[worker % 2].clone();
        workers.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            while store.tally().await.unwrap().open() > 0 {
                for one in claim(&store, 3).await {
                    seen.push((one.line.to_string(), one.value.clone()));
                    change(&store, one.id, to(EntryState::Applied, one.tag)).await;
                }
            }
            seen
        }));
    }
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for worker in workers {
        let mut last = BTreeMap::<String, usize>::new();
        for (line, value) in worker.await.unwrap() {
            let number: usize = std::str::from_utf8(&value).unwrap().parse().unwrap();
            assert!(last.insert(line.clone(), number).is_none_or(|before| before < number), "out of order");
            all.entry(line).or_default().push(number);
        }
    }
    for numbers in all.values_mut() {
        numbers.sort_unstable();
        assert_eq!(*numbers, (0..EACH).collect::<Vec<_>>());
    }
    assert_eq!(all.len(), LINES);
}

#[tokio::test]
async fn a_holder_that_was_silent_for_a_lease_may_speak_again_until_it_is_overtaken() {
    let server = Settings::durable(Brand::Redis).start().await.unwrap();
    let (slow, other) = (opened(&server).await, opened(&server).await);
    let (first, second) = (held("first"), held("second"));
    begin(&slow, 1, &first).await;
    begin(&slow, 2, &second).await;
    let holder = |number| {
        let other = other.clone();
        async move { get(&other, number).await.unwrap().holder }
    };
    assert_eq!(holder(1).await, Holder::Alive);
    until("gone", || async { (holder(2).await == Holder::Gone).then_some(()) }).await;
    let taken = held("taken over");
    assert_eq!(swap(&other, 2, Expect::Abandoned(second.tag), Some(&taken)).await, Swapped::Done);
    let beats = vec![(key(1), first.tag), (key(2), second.tag)];
    assert_eq!(slow.beat(beats).await.unwrap(), [true, false]);
    assert_eq!((holder(1).await, holder(2).await), (Holder::Alive, Holder::Alive));
    let early = swap(&other, 1, Expect::Abandoned(first.tag), Some(&held("too early"))).await;
    assert!(matches!(early, Swapped::Conflict(Some(_))), "{early:?}");
    assert_eq!(swap(&slow, 1, Expect::Tag(first.tag), Some(&put("sealed"))).await, Swapped::Done);
    let late = swap(&slow, 2, Expect::Tag(second.tag), Some(&put("too late"))).await;
    assert!(matches!(late, Swapped::Conflict(Some(found)) if found.tag == taken.tag));
}

#[tokio::test]
async fn a_group_has_keys_and_counters_of_its_own_and_leaves_nothing_behind() {
    let server = Settings::durable(Brand::Redis).start().await.unwrap();
    let store = opened(&server).await;
    for number in 0..50 {
        let one = sluicegate_store::Put { ttl: Duration::from_millis(200), ..held("short") };
        begin(&store, number, &one).await;
        let one = entry(&number.to_string(), "entry");
        append(&store, &one).await;
        let over =
            sluicegate_store::Change { ttl: Duration::from_millis(200), ..to(EntryState::Applied, one.tag) };
        change(&store, one.id, over).await;
    }
    tokio::time::sleep(LEASE).await;
    // Nobody asks for anything: it is swept all the same.
    let left = || async {
        let keys = server.command(&["EVAL", "return #redis.call('KEYS', '*')", "0"]).unwrap();
        let foreign =
            server.command(&["EVAL", "return #redis.call('KEYS', 'sluicegate:default:*')", "0"]).unwrap();
        assert_eq!(keys, foreign);
        // The form, the run, the members, and the number of the newest entry.
        (keys == ":4\r\n").then_some(())
    };
    until("swept", left).await;
    assert_eq!(store.usage().await.unwrap(), (0, 0));
}
