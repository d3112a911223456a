//! The queue: lines, claims, delays, doubt, and what is over.

use std::time::Duration;

use bytes::Bytes;
use sluicegate_store::{
    Append, Appended, Caps, Change, Changed,
    EntryState::{self, Applied, Applying, Dead, InDoubt, Queued},
    Full,
};

use super::{CAPS, Stand, append, change, claim, entry, tag, to, values};

pub async fn entries_of_a_line_are_claimed_one_after_the_other<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    for value in ["one", "two", "three"] {
        append(store, &entry("line", value)).await;
    }
    let first = claim(store, 5).await;
    assert_eq!(values(&first), ["one"]);
    assert_eq!((first[0].state, first[0].abandoned, &*first[0].note), (Applying, false, &b"new"[..]));
    assert_eq!(claim(store, 5).await, []);
    // Put back, it keeps its place.
    change(store, first[0].id, to(Queued, first[0].tag)).await;
    let again = claim(store, 5).await;
    assert_eq!((values(&again), &*again[0].note), (vec!["one"], &b"changed"[..]));
    change(store, again[0].id, to(Applied, again[0].tag)).await;
    let second = claim(store, 5).await;
    assert_eq!(values(&second), ["two"]);
    change(store, second[0].id, to(Dead, second[0].tag)).await;
    assert_eq!(values(&claim(store, 5).await), ["three"]);
}

pub async fn lines_do_not_wait_for_each_other<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    for (line, value) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("c", "c1")] {
        append(store, &entry(line, value)).await;
    }
    assert_eq!(values(&claim(store, 2).await), ["a1", "b1"]);
    assert_eq!(values(&claim(store, 2).await), ["c1"]);
}

pub async fn the_longest_waiting_line_is_claimed_first<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    for (line, value) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("c", "c1")] {
        append(store, &entry(line, value)).await;
    }
    let first = claim(store, 1).await;
    assert_eq!(values(&first), ["a1"]);
    change(store, first[0].id, to(Applied, first[0].tag)).await;
    assert_eq!(values(&claim(store, 3).await), ["b1", "a2", "c1"]);
}

pub async fn a_delayed_head_holds_its_line_and_no_other<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    for (line, value) in [("a", "a1"), ("a", "a2"), ("b", "b1")] {
        append(store, &entry(line, value)).await;
    }
    let first = claim(store, 1).await;
    let later = Change { delay: S::MOMENT, ..to(Queued, first[0].tag) };
    change(store, first[0].id, later).await;
    assert_eq!(values(&claim(store, 5).await), ["b1"]);
    stand.pass(S::MOMENT).await;
    assert_eq!(values(&claim(store, 5).await), ["a1"]);
}

pub async fn an_entry_in_doubt_holds_its_line<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    for value in ["one", "two"] {
        append(store, &entry("line", value)).await;
    }
    let first = claim(store, 1).await;
    let doubt = to(InDoubt, first[0].tag);
    change(store, first[0].id, doubt.clone()).await;
    assert_eq!(claim(store, 5).await, []);
    // An operator settles it.
    change(store, first[0].id, to(Applied, doubt.tag)).await;
    assert_eq!(values(&claim(store, 5).await), ["two"]);
}

pub async fn a_change_needs_the_tag<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let one = entry("line", "one");
    append(store, &one).await;
    assert_eq!(
        store.change(entry("line", "other").id, to(Dead, tag())).await.unwrap(),
        Changed::Conflict(None)
    );
    let Changed::Conflict(Some(found)) = store.change(one.id, to(Dead, tag())).await.unwrap() else {
        panic!("changed without the tag")
    };
    assert_eq!((found.tag, found.state), (one.tag, Queued));
    let first = claim(store, 1).await;
    let late = store.change(one.id, to(Dead, one.tag)).await.unwrap();
    assert!(matches!(late, Changed::Conflict(Some(_))), "{late:?}");
    // Asked for twice, it is made once.
    let applied = to(Applied, first[0].tag);
    for _ in 0..2 {
        change(store, one.id, applied.clone()).await;
    }
    let found = store.entry(one.id).await.unwrap().unwrap();
    assert_eq!((found.tag, found.state, &*found.note), (applied.tag, Applied, &b"changed"[..]));
    assert_eq!((&*found.line, &*found.owner, &*found.value), ("line", "", &b"one"[..]));
}

pub async fn an_entry_that_is_over_is_kept_for_its_time<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let one = entry("line", "one");
    append(store, &one).await;
    stand.pass(S::MOMENT * 2).await;
    assert_eq!(store.entry(one.id).await.unwrap().unwrap().state, Queued);
    let over = Change { ttl: S::MOMENT, ..to(Applied, one.tag) };
    change(store, one.id, over.clone()).await;
    assert_eq!(store.entry(one.id).await.unwrap().unwrap().state, Applied);
    stand.pass(S::MOMENT).await;
    assert_eq!(store.entry(one.id).await.unwrap(), None);
    assert_eq!(store.entries(None, None, 10).await.unwrap(), []);
    assert_eq!(store.change(one.id, to(Queued, over.tag)).await.unwrap(), Changed::Conflict(None));
    assert_eq!(store.tally().await.unwrap().of(Applied), 0);
}

pub async fn a_dead_entry_that_is_tried_again_goes_to_the_end<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let one = entry("line", "one");
    append(store, &one).await;
    append(store, &entry("line", "two")).await;
    let dead = to(Dead, one.tag);
    change(store, one.id, dead.clone()).await;
    let second = claim(store, 1).await;
    assert_eq!(values(&second), ["two"]);
    change(store, one.id, to(Queued, dead.tag)).await;
    assert_eq!(claim(store, 1).await, []);
    change(store, second[0].id, to(Applied, second[0].tag)).await;
    assert_eq!(values(&claim(store, 1).await), ["one"]);
}

pub async fn claims_are_abandoned_by_a_lost_holder<S: Stand>() {
    let mut stand = S::open().await;
    for value in ["one", "two"] {
        append(stand.store(), &entry("line", value)).await;
    }
    let first = claim(stand.store(), 1).await;
    let (id, held) = (first[0].id, first[0].tag);
    assert_eq!(stand.store().beat_entries(vec![(id, held), (id, tag())]).await.unwrap(), [true, false]);
    stand.lose_holders().await;
    let store = stand.store();
    let found = store.entry(id).await.unwrap().unwrap();
    assert_eq!((found.state, found.abandoned, found.tag), (Applying, true, held));
    // Nothing happens by itself: the line waits for somebody to decide.
    assert_eq!(claim(store, 5).await, []);
    // Taken over, to be sent again.
    let again = to(Applying, held);
    change(store, id, again.clone()).await;
    assert!(!store.entry(id).await.unwrap().unwrap().abandoned);
    assert_eq!(store.beat_entries(vec![(id, again.tag), (id, held)]).await.unwrap(), [true, false]);
    change(store, id, to(Applied, again.tag)).await;
    assert_eq!(values(&claim(store, 5).await), ["two"]);
}

pub async fn a_claim_that_is_asked_for_twice_is_made_once<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    for (line, value) in [("a", "a1"), ("b", "b1"), ("c", "c1")] {
        append(store, &entry(line, value)).await;
    }
    let tags = vec![tag(), tag()];
    let first = store.claim(tags.clone()).await.unwrap();
    assert_eq!(values(&first), ["a1", "b1"]);
    assert_eq!(first.iter().map(|entry| entry.tag).collect::<Vec<_>>(), tags);
    assert_eq!(store.claim(tags).await.unwrap(), first);
    assert_eq!(values(&claim(store, 5).await), ["c1"]);
}

pub async fn entries_are_listed_by_state_and_in_pages<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let mut made = Vec::new();
    for number in 0..30 {
        let one = entry(&number.to_string(), &number.to_string());
        append(store, &one).await;
        if number % 3 == 0 {
            change(store, one.id, to(Dead, one.tag)).await;
        }
        made.push(one.id);
    }
    made.sort_unstable();
    for (state, expected) in [(None, 30), (Some(Dead), 10), (Some(Queued), 20), (Some(Applied), 0)] {
        for limit in [1, 7, 100] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = store.entries(state, after, limit).await.unwrap();
                assert!(page.len() <= limit);
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                assert!(page.iter().all(|entry| state.is_none_or(|state| entry.state == state)));
                seen.extend(page.iter().map(|entry| entry.id));
            }
            assert_eq!(seen.len(), expected);
            assert!(seen.is_sorted() && seen.iter().all(|id| made.contains(id)));
        }
    }
}

pub async fn caps_are_held_and_come_back<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let caps = Caps { max_count: 4, max_bytes: 20, share: 0.5 };
    let of = |owner: &str, value: &str| Append { owner: owner.into(), ..entry("line", value) };
    let ask = async |entry: &Append| store.append(entry.clone(), caps).await.unwrap();
    let first = of("a", "12345");
    assert_eq!(ask(&first).await, Appended::Done);
    assert_eq!(ask(&of("a", "123456")).await, Appended::Full(Full::OwnersBytes));
    assert_eq!(ask(&of("a", "1")).await, Appended::Done);
    assert_eq!(ask(&of("a", "1")).await, Appended::Full(Full::OwnersCount));
    assert_eq!(ask(&of("b", "123456")).await, Appended::Done);
    assert_eq!(ask(&of("c", "123456789")).await, Appended::Full(Full::Bytes));
    assert_eq!(ask(&of("c", "1")).await, Appended::Done);
    assert_eq!(ask(&of("d", "1")).await, Appended::Full(Full::Count));
    // Asked for again, what is kept needs no room.
    assert_eq!(ask(&first).await, Appended::Done);
    change(store, first.id, to(Applied, first.tag)).await;
    assert_eq!(ask(&of("a", "1")).await, Appended::Done);
    assert_eq!(store.tally().await.unwrap().bytes, 9);
}

pub async fn the_tally_tells_where_entries_stand<S: Stand>() {
    let stand = S::open().await;
    let store = stand.store();
    let empty = store.tally().await.unwrap();
    assert_eq!((empty.open(), empty.bytes, empty.oldest), (0, 0, None));
    let old = entry("a", "12345");
    append(store, &old).await;
    stand.pass(S::MOMENT).await;
    for (line, value) in [("b", "1"), ("c", "12"), ("d", "123")] {
        append(store, &entry(line, value)).await;
    }
    change(store, old.id, to(InDoubt, old.tag)).await;
    let claimed = claim(store, 1).await;
    let tally = store.tally().await.unwrap();
    let count = [Queued, Applying, InDoubt].map(|state| tally.of(state));
    assert_eq!((count, tally.open(), tally.bytes), ([2, 1, 1], 4, 11));
    assert!(tally.oldest.unwrap() >= S::MOMENT, "{tally:?}");
    change(store, claimed[0].id, to(EntryState::Dropped, claimed[0].tag)).await;
    let doubted = store.entry(old.id).await.unwrap().unwrap();
    change(store, old.id, Change { note: Bytes::new(), delay: Duration::ZERO, ..to(Dead, doubted.tag) })
        .await;
    let tally = store.tally().await.unwrap();
    assert_eq!((tally.of(Dead), tally.of(EntryState::Dropped), tally.open(), tally.bytes), (1, 1, 2, 5));
    assert!(tally.oldest.unwrap() < S::MOMENT, "{tally:?}");
    assert_eq!(store.append(entry("a", ""), CAPS).await.unwrap(), Appended::Done);
}
