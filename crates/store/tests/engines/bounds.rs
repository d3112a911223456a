//! Bounds: what does not fit is refused, and nothing is thrown away to make room.

use sluicegate_store::{Expect, Full, Put, Swapped};

use super::{LONG, Stand, begin, bounds, get, put, swap, tag};

fn of(owner: &str, bytes: usize) -> Put {
    Put { owner: owner.into(), ..put(&"x".repeat(bytes)) }
}

pub async fn a_full_store_refuses_and_throws_nothing_away<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    store.bound(bounds(3, 100, 1.0));
    for number in 0..3 {
        begin(store, number, &of("", 10)).await;
    }
    assert_eq!(swap(store, 3, Expect::Absent, Some(&of("", 1))).await, Swapped::Full(Full::Count));
    let kept = get(store, 0).await.unwrap().tag;
    assert_eq!(swap(store, 0, Expect::Tag(kept), Some(&of("", 81))).await, Swapped::Full(Full::Bytes));
    // A wrong expectation is told before a want of room.
    assert!(matches!(
        swap(store, 0, Expect::Tag(tag()), Some(&of("", 81))).await,
        Swapped::Conflict(Some(_))
    ));
    store.bound(bounds(10, 35, 1.0));
    assert_eq!(swap(store, 3, Expect::Absent, Some(&of("", 6))).await, Swapped::Full(Full::Bytes));
    begin(store, 3, &of("", 5)).await;
    for number in 0..4 {
        assert!(get(store, number).await.is_some());
    }
    assert_eq!(store.usage().await.unwrap(), (4, 35));
}

pub async fn one_owner_takes_its_share_and_no_more<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    store.bound(bounds(8, 100, 0.25));
    begin(store, 0, &of("a", 10)).await;
    assert_eq!(swap(store, 1, Expect::Absent, Some(&of("a", 16))).await, Swapped::Full(Full::OwnersBytes));
    begin(store, 1, &of("a", 10)).await;
    assert_eq!(swap(store, 2, Expect::Absent, Some(&of("a", 1))).await, Swapped::Full(Full::OwnersCount));
    begin(store, 2, &of("b", 25)).await;
    begin(store, 3, &of("", 10)).await;
    begin(store, 4, &of("", 10)).await;
    assert_eq!(swap(store, 5, Expect::Absent, Some(&of("", 1))).await, Swapped::Full(Full::OwnersCount));
}

pub async fn a_record_may_grow_only_where_there_is_room<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    store.bound(bounds(10, 30, 1.0));
    let first = of("a", 10);
    begin(store, 0, &first).await;
    begin(store, 1, &of("b", 10)).await;
    let grown = of("a", 20);
    assert_eq!(swap(store, 0, Expect::Tag(first.tag), Some(&grown)).await, Swapped::Done);
    assert_eq!(swap(store, 0, Expect::Tag(grown.tag), Some(&of("a", 21))).await, Swapped::Full(Full::Bytes));
    // What is kept may stay as large as it is, and shrink, though the bounds are lower now.
    store.bound(bounds(1, 1, 1.0));
    let same = of("a", 20);
    assert_eq!(swap(store, 0, Expect::Tag(grown.tag), Some(&same)).await, Swapped::Done);
    assert_eq!(swap(store, 0, Expect::Tag(same.tag), Some(&of("a", 5))).await, Swapped::Done);
    assert_eq!(store.usage().await.unwrap(), (2, 15));
}

pub async fn what_expires_or_is_removed_gives_its_room_back<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    store.bound(bounds(2, 100, 1.0));
    let kept = of("a", 50);
    begin(store, 0, &kept).await;
    begin(store, 1, &Put { ttl: S::MOMENT, ..of("a", 50) }).await;
    assert_eq!(swap(store, 2, Expect::Absent, Some(&of("a", 1))).await, Swapped::Full(Full::Count));
    stand.pass(S::MOMENT).await;
    begin(store, 2, &Put { ttl: LONG, ..of("a", 50) }).await;
    assert_eq!(swap(store, 3, Expect::Absent, Some(&of("a", 1))).await, Swapped::Full(Full::Count));
    assert_eq!(swap(store, 0, Expect::Tag(kept.tag), None).await, Swapped::Done);
    begin(store, 3, &of("a", 50)).await;
}

pub async fn a_changed_owner_takes_the_room_along<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    store.bound(bounds(4, 40, 0.5));
    let mine = of("a", 10);
    begin(store, 0, &mine).await;
    begin(store, 1, &of("b", 10)).await;
    let theirs = of("b", 10);
    assert_eq!(swap(store, 0, Expect::Tag(mine.tag), Some(&theirs)).await, Swapped::Done);
    assert_eq!(swap(store, 2, Expect::Absent, Some(&of("b", 1))).await, Swapped::Full(Full::OwnersCount));
    begin(store, 2, &of("a", 10)).await;
    begin(store, 3, &of("a", 10)).await;
}
