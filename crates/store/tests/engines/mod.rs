//! What every engine of the store promises, as one set of tests.
//!
//! An engine takes part by a [`Stand`] and one line: `engines::promises!(MyStand);`. Engines
//! on a simulated clock let hours pass at once; one with a clock of its own names a short
//! [`Stand::MOMENT`] and waits.

#![allow(dead_code, unreachable_pub)] // Each test file that includes this uses what it needs.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use sluicegate_core::Chance;
use sluicegate_store::{
    Append, Bounds, Caps, Change, Changed, EntryId, EntryState, Expect, Put, Record, RecordKey, Store,
    Swapped, Tag,
};

pub mod bounds;
pub mod model;
pub mod queue;
pub mod random;
pub mod records;
pub mod together;

/// A store of one kind under test.
pub trait Stand {
    /// A time that can be waited out, in whole seconds where the clock is simulated.
    const MOMENT: Duration;
    /// Whether time passes at once, so that random runs may let it pass.
    const LEAPS: bool;
    /// How many random runs are made, where `PROPTEST_CASES` does not ask for more.
    const RUNS: u32 = 256;

    /// An empty store of its own.
    fn open() -> impl Future<Output = Self>;

    /// The store.
    fn store(&self) -> &Store;

    /// Lets at least this much time pass.
    fn pass(&self, time: Duration) -> impl Future<Output = ()>;

    /// The process that held anything in it dies, and another one uses it from here on.
    fn lose_holders(&mut self) -> impl Future<Output = ()>;
}

/// All promises, as tests of the engine of one [`Stand`].
macro_rules! promises {
    ($stand:ty) => {
        engines::promises!(@tests $stand, records:
            a_record_changes_only_when_it_is_as_expected,
            a_write_that_is_asked_for_twice_is_made_once,
            a_record_that_is_removed_is_gone,
            records_expire_and_make_room_for_their_key,
            a_held_record_outlives_its_time_with_its_holder,
            what_a_lost_holder_held_can_be_taken_over_once,
            a_late_holder_writes_until_it_is_overtaken,
            beats_tell_who_still_holds,
            pages_show_every_record_once,
            many_writers_of_one_key_have_one_winner);
        engines::promises!(@tests $stand, bounds:
            a_full_store_refuses_and_throws_nothing_away,
            one_owner_takes_its_share_and_no_more,
            a_record_may_grow_only_where_there_is_room,
            what_expires_or_is_removed_gives_its_room_back,
            a_changed_owner_takes_the_room_along);
        engines::promises!(@tests $stand, queue:
            entries_of_a_line_are_claimed_one_after_the_other,
            lines_do_not_wait_for_each_other,
            the_longest_waiting_line_is_claimed_first,
            a_delayed_head_holds_its_line_and_no_other,
            an_entry_in_doubt_holds_its_line,
            a_change_needs_the_tag,
            an_entry_that_is_over_is_kept_for_its_time,
            a_dead_entry_that_is_tried_again_goes_to_the_end,
            claims_are_abandoned_by_a_lost_holder,
            a_claim_that_is_asked_for_twice_is_made_once,
            entries_are_listed_by_state_and_in_pages,
            caps_are_held_and_come_back,
            the_tally_tells_where_entries_stand);
        engines::promises!(@tests $stand, together:
            an_entry_and_its_record_are_kept_together_or_not_at_all,
            a_change_and_its_record_are_made_together_or_not_at_all,
            a_change_that_settles_is_not_refused_for_want_of_room,
            an_append_behind_others_needs_others,
            an_append_that_is_asked_for_twice_is_made_once);

        #[test]
        fn random_operations_agree_with_a_plain_model() {
            engines::random::run::<$stand>();
        }
    };
    (@tests $stand:ty, $part:ident: $($name:ident),+) => {
        $(
            #[test]
            fn $name() {
                engines::block_on::<$stand, _>(engines::$part::$name::<$stand>());
            }
        )+
    };
}
pub(crate) use promises;

/// Runs a test on a runtime whose clock stands still where the stand's time leaps.
pub fn block_on<S: Stand, T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(S::LEAPS).build().unwrap().block_on(test)
}

/// Life that does not end within a test.
pub const LONG: Duration = Duration::from_secs(100_000);

pub fn key(number: u8) -> RecordKey {
    RecordKey([number; 32])
}

/// A tag that no other call has drawn.
pub fn tag() -> Tag {
    static CHANCE: std::sync::LazyLock<Chance> = std::sync::LazyLock::new(Chance::from_system);
    Tag::draw(&CHANCE)
}

pub fn put(value: &str) -> Put {
    Put { tag: tag(), value: Bytes::from(value.to_owned()), owner: "".into(), ttl: LONG, held: false }
}

pub fn held(value: &str) -> Put {
    Put { held: true, ..put(value) }
}

/// Writes a record where there is none.
pub async fn begin(store: &Store, number: u8, put: &Put) {
    assert_eq!(swap(store, number, Expect::Absent, Some(put)).await, Swapped::Done);
}

pub async fn swap(store: &Store, number: u8, expect: Expect, put: Option<&Put>) -> Swapped {
    store.swap(key(number), expect, put.cloned()).await.unwrap()
}

pub async fn get(store: &Store, number: u8) -> Option<Record> {
    store.get(key(number)).await.unwrap()
}

pub fn bounds(max_keys: u64, max_bytes: u64, share: f64) -> Bounds {
    Bounds { max_keys, max_bytes, share }
}

pub const CAPS: Caps = Caps { max_count: 1000, max_bytes: 1 << 20, share: 1.0 };

/// An entry for a line, with an id after all that were made before.
pub fn entry(line: &str, value: &str) -> Append {
    Append {
        id: EntryId(uuid::Uuid::now_v7().as_u128()),
        tag: tag(),
        line: line.into(),
        owner: "".into(),
        value: Bytes::from(value.to_owned()),
        note: Bytes::from_static(b"new"),
        only_behind: false,
        record: None,
    }
}

/// A change to `state` of the entry that has the tag `expect`.
pub fn to(state: EntryState, expect: Tag) -> Change {
    Change {
        expect,
        tag: tag(),
        state,
        note: Bytes::from_static(b"changed"),
        delay: Duration::ZERO,
        ttl: LONG,
        record: None,
    }
}

pub async fn append(store: &Store, entry: &Append) {
    let done = store.append(entry.clone(), CAPS).await.unwrap();
    assert_eq!(done, sluicegate_store::Appended::Done);
}

pub async fn change(store: &Store, id: EntryId, change: Change) {
    assert_eq!(store.change(id, change).await.unwrap(), Changed::Done);
}

/// Claims up to so many entries; the values of those that were claimed, and their tags.
pub async fn claim(store: &Store, limit: usize) -> Vec<sluicegate_store::Entry> {
    store.claim((0..limit).map(|_| tag()).collect()).await.unwrap()
}

pub fn values(entries: &[sluicegate_store::Entry]) -> Vec<&str> {
    entries.iter().map(|entry| std::str::from_utf8(&entry.value).unwrap()).collect()
}
