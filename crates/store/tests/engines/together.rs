//! Entries and records that change in one transaction.

use sluicegate_store::{
    Append, Appended, Caps, Change, Changed,
    EntryState::{Applied, Queued},
    Expect, Full, Swapped,
};

use super::{CAPS, Stand, append, begin, bounds, change, claim, entry, get, key, put, swap, tag, to, values};

pub async fn an_entry_and_its_record_are_kept_together_or_not_at_all<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let fence = put("deferred");
    let one = Append { record: Some((key(1), Expect::Absent, fence.clone())), ..entry("line", "one") };
    append(store, &one).await;
    assert_eq!(get(store, 1).await.unwrap().tag, fence.tag);
    // Another one under the same key.
    let two = Append { record: Some((key(1), Expect::Absent, put("other"))), ..entry("line", "two") };
    let Appended::Conflict(Some(found)) = store.append(two.clone(), CAPS).await.unwrap() else {
        panic!("kept though the record was there")
    };
    assert_eq!(found.tag, fence.tag);
    assert_eq!(store.entry(two.id).await.unwrap(), None);
    // No room for the entry, and none for the record.
    let three = Append { record: Some((key(2), Expect::Absent, put("three"))), ..entry("line", "three") };
    let none = Caps { max_count: 1, ..CAPS };
    assert_eq!(store.append(three.clone(), none).await.unwrap(), Appended::Full(Full::Count));
    assert_eq!(get(store, 2).await, None);
    store.bound(bounds(1, 1000, 1.0));
    assert_eq!(store.append(three.clone(), CAPS).await.unwrap(), Appended::Full(Full::Count));
    assert_eq!(store.entry(three.id).await.unwrap(), None);
    assert_eq!((store.usage().await.unwrap().0, store.tally().await.unwrap().open()), (1, 1));
}

pub async fn a_change_and_its_record_are_made_together_or_not_at_all<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let fence = put("deferred");
    let one = Append { record: Some((key(1), Expect::Absent, fence.clone())), ..entry("line", "one") };
    append(store, &one).await;
    let claimed = claim(store, 1).await;
    let sealed = put("sealed");
    let wrong = (key(1), Expect::Tag(tag()), Some(sealed.clone()));
    let settle = Change { record: Some(wrong), ..to(Applied, claimed[0].tag) };
    let refused = store.change(one.id, settle.clone()).await.unwrap();
    assert!(matches!(refused, Changed::RecordConflict(Some(_))), "{refused:?}");
    assert_eq!(store.entry(one.id).await.unwrap().unwrap().tag, claimed[0].tag);
    let right = (key(1), Expect::Tag(fence.tag), Some(sealed.clone()));
    let settle = Change { record: Some(right), ..settle };
    change(store, one.id, settle.clone()).await;
    assert_eq!(get(store, 1).await.unwrap().tag, sealed.tag);
    // Asked for again after the record has moved on, it is made already.
    let newer = put("newer");
    assert_eq!(swap(store, 1, Expect::Tag(sealed.tag), Some(&newer)).await, Swapped::Done);
    change(store, one.id, settle.clone()).await;
    assert_eq!(get(store, 1).await.unwrap().tag, newer.tag);
    // A record that the change removes; one that is gone already stays gone.
    for _ in 0..2 {
        let found = store.entry(one.id).await.unwrap().unwrap();
        let removes = Some((key(1), Expect::Tag(newer.tag), None));
        change(store, one.id, Change { record: removes, ..to(Queued, found.tag) }).await;
        assert_eq!(get(store, 1).await, None);
    }
}

pub async fn a_change_that_settles_is_not_refused_for_want_of_room<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let fence = put("deferred");
    let one = Append { record: Some((key(1), Expect::Absent, fence.clone())), ..entry("line", "one") };
    append(store, &one).await;
    store.bound(bounds(1, 1, 1.0));
    let sealed = put("a long answer");
    let settle = Some((key(1), Expect::Tag(fence.tag), Some(sealed.clone())));
    change(store, one.id, Change { record: settle, ..to(Applied, one.tag) }).await;
    assert_eq!(get(store, 1).await.unwrap().tag, sealed.tag);
    assert_eq!(store.usage().await.unwrap(), (1, 13));
}

pub async fn an_append_behind_others_needs_others<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let behind = |line: &str, value: &str| Append { only_behind: true, ..entry(line, value) };
    let alone = Append { record: Some((key(1), Expect::Absent, put("x"))), ..behind("a", "alone") };
    assert_eq!(store.append(alone.clone(), CAPS).await.unwrap(), Appended::NothingAhead);
    assert_eq!((store.entry(alone.id).await.unwrap(), get(store, 1).await), (None, None));
    let first = entry("a", "first");
    append(store, &first).await;
    assert_eq!(store.append(behind("b", "other line"), CAPS).await.unwrap(), Appended::NothingAhead);
    append(store, &behind("a", "second")).await;
    // With no room at all it is a question that changes nothing.
    let none = Caps { max_count: 0, ..CAPS };
    assert_eq!(store.append(behind("a", "?"), none).await.unwrap(), Appended::Full(Full::Count));
    assert_eq!(store.append(behind("b", "?"), none).await.unwrap(), Appended::NothingAhead);
    // An entry ahead that is claimed still stands ahead; one that is over does not.
    let claimed = claim(store, 1).await;
    append(store, &behind("a", "third")).await;
    change(store, first.id, to(Applied, claimed[0].tag)).await;
    for value in ["second", "third"] {
        let next = claim(store, 5).await;
        assert_eq!(values(&next), [value]);
        change(store, next[0].id, to(Applied, next[0].tag)).await;
    }
    assert_eq!(store.append(behind("a", "late"), CAPS).await.unwrap(), Appended::NothingAhead);
}

pub async fn an_append_that_is_asked_for_twice_is_made_once<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let one = Append { record: Some((key(1), Expect::Absent, put("deferred"))), ..entry("line", "one") };
    append(store, &one).await;
    begin(store, 2, &put("other")).await;
    append(store, &one).await;
    let claimed = claim(store, 1).await;
    // Also when it has been claimed or is over by now.
    append(store, &one).await;
    change(store, one.id, to(Applied, claimed[0].tag)).await;
    append(store, &one).await;
    assert_eq!(store.tally().await.unwrap().count.iter().sum::<u64>(), 1);
    assert_eq!(claim(store, 5).await, []);
    assert_eq!(store.usage().await.unwrap().0, 2);
}
