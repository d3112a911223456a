//! The store under its lock, raced by `shuttle`, which runs its threads in thousands of orders.

use std::time::Duration;

use bytes::Bytes;
use shuttle::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use super::{Guarded, Local, Lock, Maps};
use crate::{
    queue::{Append, Appended, Caps, Change, Changed, EntryId, EntryState},
    record::{Expect, Put, RecordKey, Swapped, Tag},
};

struct Exclusive<T>(Mutex<T>);

impl<T> Lock<T> for Exclusive<T> {
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.lock().unwrap())
    }
}

type Tested = Guarded<Exclusive<Local<Maps>>>;

const KEY: RecordKey = RecordKey([1; 32]);
const CAPS: Caps = Caps { max_count: 100, max_bytes: 1000, share: 1.0 };

fn store() -> Arc<Tested> {
    Arc::new(Guarded(Exclusive(Mutex::new(Local::empty(Maps::default(), 1)))))
}

fn put(tag: u128, held: bool) -> Put {
    let ttl = Duration::from_secs(10);
    Put { tag: Tag(tag), value: Bytes::new(), owner: "".into(), ttl, held }
}

type Swap = fn(&Tested, Expect, Put) -> bool;

fn swap(store: &Tested, expect: Expect, put: Put) -> bool {
    store.write(0, |local| local.swap(KEY, expect, Some(put))).unwrap() == Swapped::Done
}

/// The mistake that the lock exists to avoid: first the look, then the write.
fn swap_with_a_gap(store: &Tested, expect: Expect, put: Put) -> bool {
    let found = store.read(0, |local| local.get(KEY)).unwrap().map(|record| record.tag);
    let now = found.map_or(Expect::Absent, Expect::Tag);
    now == expect && swap_whatever(store, put)
}

fn swap_whatever(store: &Tested, put: Put) -> bool {
    store
        .write(0, |local| {
            let expect = local.get(KEY)?.map_or(Expect::Absent, |record| Expect::Tag(record.tag));
            local.swap(KEY, expect, Some(put))
        })
        .is_ok()
}

/// Many begin one key, and whoever has begun it seals it: one attempt runs at a time, and
/// what was sealed is never begun again.
fn one_key(swap: Swap) {
    let (store, running, begun) = (store(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (store, running, begun) = (store.clone(), running.clone(), begun.clone());
            thread::spawn(move || {
                let mine = put(writer * 10 + 1, true);
                if !swap(&store, Expect::Absent, mine.clone()) {
                    return;
                }
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two attempts at once");
                begun.fetch_add(1, Ordering::SeqCst);
                running.fetch_sub(1, Ordering::SeqCst);
                assert!(swap(&store, Expect::Tag(mine.tag), put(writer * 10 + 2, false)));
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(begun.load(Ordering::SeqCst), 1, "begun more than once");
}

/// The former holder seals late while others take the key over: one of them is last, and
/// nobody writes over a newer attempt.
fn taken_over() {
    let store = store();
    assert!(swap(&store, Expect::Absent, put(1, true)));
    store.0.with(Local::begin_next_epoch);
    let late = {
        let store = store.clone();
        thread::spawn(move || swap(&store, Expect::Tag(Tag(1)), put(2, false)))
    };
    let takers: Vec<_> = [3, 4]
        .into_iter()
        .map(|tag| {
            let store = store.clone();
            thread::spawn(move || swap(&store, Expect::Abandoned(Tag(1)), put(tag, true)))
        })
        .collect();
    let mut done = u32::from(late.join().unwrap());
    for taker in takers {
        done += u32::from(taker.join().unwrap());
    }
    assert_eq!(done, 1, "one write may follow the first");
}

/// Workers claim and end the entries of one line while others append to it: no entry is
/// claimed twice, and never two at once.
fn one_line() {
    let (store, applying, applied) = (store(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let entry = |id: u128| Append {
        id: EntryId(id),
        tag: Tag(id),
        line: "line".into(),
        owner: "".into(),
        value: Bytes::new(),
        note: Bytes::new(),
        only_behind: false,
        record: None,
    };
    assert_eq!(store.write(0, |local| local.append(entry(1), CAPS)).unwrap(), Appended::Done);
    let appends = {
        let store = store.clone();
        thread::spawn(move || {
            assert_eq!(store.write(0, |local| local.append(entry(2), CAPS)).unwrap(), Appended::Done);
        })
    };
    let workers: Vec<_> = (1..3_u128)
        .map(|worker| {
            let (store, applying, applied) = (store.clone(), applying.clone(), applied.clone());
            thread::spawn(move || {
                for turn in 0..2 {
                    let tag = Tag(worker * 100 + turn * 10);
                    for entry in store.write(0, |local| local.claim(&[tag])).unwrap() {
                        assert_eq!(applying.fetch_add(1, Ordering::SeqCst), 0, "two of one line at once");
                        applied.fetch_add(1, Ordering::SeqCst);
                        applying.fetch_sub(1, Ordering::SeqCst);
                        let change = Change {
                            expect: entry.tag,
                            tag: Tag(tag.0 + 1),
                            state: EntryState::Applied,
                            note: Bytes::new(),
                            delay: Duration::ZERO,
                            ttl: Duration::from_secs(10),
                            record: None,
                        };
                        let changed = store.write(0, |local| local.change(entry.id, change)).unwrap();
                        assert_eq!(changed, Changed::Done);
                    }
                }
            })
        })
        .collect();
    appends.join().unwrap();
    for worker in workers {
        worker.join().unwrap();
    }
    assert!(applied.load(Ordering::SeqCst) <= 2, "an entry was claimed twice");
}

#[test]
fn one_key_is_begun_once_in_any_order_of_threads() {
    shuttle::check_random(|| one_key(swap), 2000);
    shuttle::check_pct(|| one_key(swap), 2000, 3);
}

#[test]
fn a_compare_apart_from_its_write_is_found_out() {
    let found = std::panic::catch_unwind(|| shuttle::check_random(|| one_key(swap_with_a_gap), 2000));
    assert!(found.is_err());
}

#[test]
fn a_key_is_taken_over_once_in_any_order_of_threads() {
    shuttle::check_random(taken_over, 2000);
}

#[test]
fn a_line_goes_on_one_by_one_in_any_order_of_threads() {
    shuttle::check_random(one_line, 2000);
    shuttle::check_pct(one_line, 2000, 3);
}
