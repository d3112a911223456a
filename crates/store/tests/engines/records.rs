//! Records: compare-and-set, expiry, holders.

use std::collections::BTreeSet;

use sluicegate_store::{Expect, Holder, Put, RecordKey, Swapped};

use super::{LONG, Stand, begin, get, held, key, put, swap, tag};

pub async fn a_record_changes_only_when_it_is_as_expected<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    assert_eq!(get(store, 1).await, None);
    let (first, second) = (put("first"), put("second"));
    assert_eq!(swap(store, 1, Expect::Tag(tag()), Some(&first)).await, Swapped::Conflict(None));
    begin(store, 1, &first).await;
    let found = get(store, 1).await.unwrap();
    assert_eq!((found.tag, &*found.value, found.holder), (first.tag, &b"first"[..], Holder::Nobody));
    assert!(found.expires_in <= LONG && found.expires_in + S::MOMENT > LONG, "{:?}", found.expires_in);
    for expect in [Expect::Absent, Expect::Tag(tag()), Expect::Abandoned(first.tag)] {
        let Swapped::Conflict(Some(found)) = swap(store, 1, expect, Some(&second)).await else {
            panic!("written though {expect:?} was wrong")
        };
        assert_eq!(found.tag, first.tag);
    }
    assert_eq!(swap(store, 1, Expect::Tag(first.tag), Some(&second)).await, Swapped::Done);
    assert_eq!(get(store, 1).await.unwrap().value, "second");
    assert_eq!(get(store, 2).await, None);
}

pub async fn a_write_that_is_asked_for_twice_is_made_once<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let (first, second) = (put("first"), put("second"));
    begin(store, 1, &first).await;
    begin(store, 1, &first).await;
    for _ in 0..2 {
        assert_eq!(swap(store, 1, Expect::Tag(first.tag), Some(&second)).await, Swapped::Done);
    }
    assert_eq!(store.usage().await.unwrap(), (1, 6));
}

pub async fn a_record_that_is_removed_is_gone<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let first = put("first");
    begin(store, 1, &first).await;
    assert!(matches!(swap(store, 1, Expect::Tag(tag()), None).await, Swapped::Conflict(Some(_))));
    for _ in 0..2 {
        assert_eq!(swap(store, 1, Expect::Tag(first.tag), None).await, Swapped::Done);
        assert_eq!(get(store, 1).await, None);
    }
    assert_eq!(store.usage().await.unwrap(), (0, 0));
    begin(store, 1, &put("again")).await;
}

pub async fn records_expire_and_make_room_for_their_key<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let short = Put { ttl: S::MOMENT, ..put("short") };
    begin(store, 1, &short).await;
    begin(store, 2, &put("long")).await;
    // One whose life is prolonged by a later write, and one whose life is cut.
    begin(store, 3, &short).await;
    assert_eq!(swap(store, 3, Expect::Tag(short.tag), Some(&put("prolonged"))).await, Swapped::Done);
    let long = put("long");
    begin(store, 4, &long).await;
    let cut = Put { ttl: S::MOMENT, ..put("cut") };
    assert_eq!(swap(store, 4, Expect::Tag(long.tag), Some(&cut)).await, Swapped::Done);
    stand.pass(S::MOMENT).await;
    assert_eq!(get(store, 1).await, None);
    assert_eq!(get(store, 4).await, None);
    assert_eq!(get(store, 2).await.unwrap().value, "long");
    assert_eq!(get(store, 3).await.unwrap().value, "prolonged");
    assert_eq!(swap(store, 1, Expect::Tag(short.tag), Some(&put("late"))).await, Swapped::Conflict(None));
    begin(store, 1, &put("anew")).await;
    assert_eq!(get(store, 1).await.unwrap().value, "anew");
}

pub async fn a_held_record_outlives_its_time_with_its_holder<S: Stand>() {
    let mut stand = S::open().await;
    let first = Put { ttl: S::MOMENT, ..held("running") };
    begin(stand.store(), 1, &first).await;
    if let Some(lease) = stand.store().lease() {
        for _ in 0..6 {
            stand.pass(lease / 3).await;
            assert_eq!(stand.store().beat(vec![(key(1), first.tag)]).await.unwrap(), [true]);
        }
    } else {
        stand.pass(S::MOMENT * 100).await;
    }
    let found = get(stand.store(), 1).await.unwrap();
    assert_eq!((found.tag, found.holder), (first.tag, Holder::Alive));
    stand.lose_holders().await;
    stand.pass(S::MOMENT).await;
    assert_eq!(get(stand.store(), 1).await, None);
}

pub async fn what_a_lost_holder_held_can_be_taken_over_once<S: Stand>() {
    let mut stand = S::open().await;
    let first = held("first");
    begin(stand.store(), 1, &first).await;
    assert_eq!(get(stand.store(), 1).await.unwrap().holder, Holder::Alive);
    let second = held("second");
    let early = swap(stand.store(), 1, Expect::Abandoned(first.tag), Some(&second)).await;
    assert!(matches!(early, Swapped::Conflict(Some(_))), "{early:?}");
    stand.lose_holders().await;
    let store = stand.store();
    assert_eq!(get(store, 1).await.unwrap().holder, Holder::Gone);
    assert!(matches!(swap(store, 1, Expect::Absent, Some(&second)).await, Swapped::Conflict(Some(_))));
    assert_eq!(swap(store, 1, Expect::Abandoned(first.tag), Some(&second)).await, Swapped::Done);
    let third = swap(store, 1, Expect::Abandoned(first.tag), Some(&held("third"))).await;
    assert!(matches!(third, Swapped::Conflict(Some(_))), "{third:?}");
    assert_eq!(get(store, 1).await.unwrap().holder, Holder::Alive);
}

pub async fn a_late_holder_writes_until_it_is_overtaken<S: Stand>() {
    let mut stand = S::open().await;
    let (slow, overtaken) = (held("slow"), held("overtaken"));
    begin(stand.store(), 1, &slow).await;
    begin(stand.store(), 2, &overtaken).await;
    stand.lose_holders().await;
    let store = stand.store();
    let sealed = put("sealed");
    assert_eq!(swap(store, 1, Expect::Tag(slow.tag), Some(&sealed)).await, Swapped::Done);
    assert_eq!(get(store, 1).await.unwrap().holder, Holder::Nobody);
    assert_eq!(swap(store, 2, Expect::Abandoned(overtaken.tag), Some(&held("newer"))).await, Swapped::Done);
    let refused = swap(store, 2, Expect::Tag(overtaken.tag), Some(&sealed)).await;
    assert!(matches!(refused, Swapped::Conflict(Some(_))), "{refused:?}");
}

pub async fn beats_tell_who_still_holds<S: Stand>() {
    let mut stand = S::open().await;
    let (mine, free) = (held("mine"), put("free"));
    begin(stand.store(), 1, &mine).await;
    begin(stand.store(), 2, &free).await;
    let beats = vec![(key(1), mine.tag), (key(1), tag()), (key(2), free.tag), (key(3), tag())];
    assert_eq!(stand.store().beat(beats).await.unwrap(), [true, false, false, false]);
    stand.lose_holders().await;
    assert_eq!(swap(stand.store(), 1, Expect::Abandoned(mine.tag), Some(&put("over"))).await, Swapped::Done);
    assert_eq!(stand.store().beat(vec![(key(1), mine.tag)]).await.unwrap(), [false]);
    assert!(stand.store().beat(vec![]).await.unwrap().is_empty());
}

pub async fn pages_show_every_record_once<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    for number in 0..100 {
        let ttl = if number % 10 == 0 { S::MOMENT } else { LONG };
        begin(store, number, &Put { ttl, ..put(&number.to_string()) }).await;
    }
    stand.pass(S::MOMENT).await;
    for limit in [1, 7, 1000] {
        let (mut seen, mut after): (Vec<RecordKey>, _) = (Vec::new(), None);
        loop {
            let page = store.page(after, limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (key, record) in page {
                assert_eq!(record.value, key.0[0].to_string());
                seen.push(key);
            }
        }
        let sorted: BTreeSet<RecordKey> = (0..100).filter(|it| it % 10 != 0).map(key).collect();
        assert_eq!(seen, sorted.into_iter().collect::<Vec<_>>());
    }
}

pub async fn many_writers_of_one_key_have_one_winner<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    for round in 0..20 {
        let answers: Vec<_> =
            (0..20).map(|_| store.swap(key(round), Expect::Absent, Some(held("mine")))).collect();
        let mut winners = 0;
        for answer in answers {
            winners += u32::from(answer.await.unwrap() == Swapped::Done);
        }
        assert_eq!(winners, 1);
    }
}
