use governor::nanos::Nanos;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::{BYTES_PER_TENANT, Cells, Place, SHARD_ROOM, Shard};
use crate::buckets::{Rate, level::Level};

type Tested = Cells<Mutex<Shard>, Mutex<Level>>;

const SECOND: u64 = 1_000_000_000;

/// One token a second, three at once.
fn rate() -> Rate {
    Rate::new(1.0, 3).unwrap()
}

fn take(cells: &Tested, key: u64, cost: u32, at: u64) -> (bool, Place) {
    let (taken, place) = cells.with(key, Nanos::new(at), |seat, now| seat.take(rate(), cost, now));
    (taken.is_ok(), place)
}

#[test]
fn tenants_have_levels_of_their_own() {
    let cells = Tested::new(10);
    assert_eq!(take(&cells, 1, 3, 0), (true, Place::Own));
    assert_eq!(take(&cells, 1, 1, 0), (false, Place::Own));
    assert_eq!(take(&cells, 2, 3, 0), (true, Place::Own));
}

#[test]
fn where_there_is_no_room_new_tenants_share_one_level_and_reset_nobody() {
    let cells = Tested::new(2);
    assert!(take(&cells, 1, 3, 0).0 && take(&cells, 2, 3, 0).0);
    assert_eq!(take(&cells, 3, 2, 0), (true, Place::Overflow));
    assert_eq!(take(&cells, 4, 2, 0), (false, Place::Overflow), "the third took two of the three");
    assert_eq!(take(&cells, 4, 1, 0), (true, Place::Overflow));
    for flood in 10..10_000 {
        assert!(!take(&cells, flood, 1, SECOND / 2).0);
    }
    assert!(!take(&cells, 1, 1, SECOND / 2).0, "still known, and still empty");
    assert_eq!(cells.size().0, 2);
}

#[test]
fn a_full_cell_makes_room_and_the_next_begins_where_the_overflow_stands() {
    let cells = Tested::new(1);
    assert!(take(&cells, 1, 1, 0).0);
    assert_eq!(take(&cells, 2, 3, 0), (true, Place::Overflow));
    // The first is full again; the second gets its cell, but not another burst.
    assert_eq!(take(&cells, 2, 2, SECOND), (false, Place::Own));
    assert_eq!(take(&cells, 2, 1, SECOND), (true, Place::Own));
    assert_eq!(take(&cells, 2, 1, SECOND), (false, Place::Own));
}

#[test]
fn a_new_cell_owes_nothing_where_its_shard_took_nothing_from_the_overflow() {
    // Two shards: the keys are told apart by the upper end of their lower half.
    let cells = Tested::new(2 * SHARD_ROOM);
    let other = 1 << 31;
    for key in 0..u64::try_from(SHARD_ROOM).unwrap() {
        assert_eq!(take(&cells, key, 3, 0), (true, Place::Own));
    }
    assert_eq!(take(&cells, 1000, 3, 0), (true, Place::Overflow));
    assert_eq!(take(&cells, 1001, 1, 0), (false, Place::Overflow));
    assert_eq!(take(&cells, other, 3, 0), (true, Place::Own));
}

#[test]
fn what_was_taken_from_the_overflow_goes_back_there() {
    let cells = Tested::new(1);
    let later = Nanos::new(1);
    assert!(take(&cells, 1, 3, 0).0);
    assert_eq!(take(&cells, 2, 3, 1), (true, Place::Overflow));
    cells.again(2, Place::Overflow, later, |seat, _| seat.give_back(rate(), 3, 0));
    assert_eq!(take(&cells, 3, 3, 1), (true, Place::Overflow));
    assert!(!take(&cells, 1, 1, 1).0, "the cell of another is as it was");
}

#[test]
fn a_moment_that_comes_late_is_not_taken_for_an_earlier_one() {
    let cells = Tested::new(1);
    assert!(take(&cells, 1, 3, 10 * SECOND).0);
    assert!(!take(&cells, 1, 1, 0).0);
    cells.again(1, Place::Own, Nanos::new(0), |seat, now| {
        seat.give_back(rate(), 3, now.as_u64() - 9 * SECOND);
    });
    assert!(take(&cells, 1, 2, 0).0);
    assert!(!take(&cells, 1, 1, 0).0, "one of the three had run in since the ninth second");
}

#[test]
fn memory_stays_under_the_stated_bound_whatever_the_number_of_tenants() {
    for max in [1, 100, 448, 449, 1000, 5000, 100_000] {
        let cells = Tested::new(max);
        let names = u64::try_from(max * 4).unwrap();
        for round in 0..3u64 {
            for name in 0..names {
                let key = (name + 1 + round * names).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                take(&cells, key ^ (key >> 31), 1, round * 2 * SECOND);
            }
        }
        let (held, bytes) = cells.size();
        assert!(held < max + max.div_ceil(SHARD_ROOM), "{held} of {max}: a shard's room is rounded up");
        assert!(bytes <= max * BYTES_PER_TENANT + 18 * 1024, "{bytes} bytes for {max}");
        assert!(held >= max * 9 / 10, "{held} of {max}: the shards fill evenly");
    }
}

proptest! {
    /// However few cells there are, no tenant gets more than a bucket of its own would give.
    #[test]
    fn giving_up_cells_forgets_nothing(
        max in 1..6usize,
        asks in prop::collection::vec((0..3 * SECOND, 0..12u64, 1..4u32), 1..200),
    ) {
        let cells = Tested::new(max);
        let (mut now, mut admitted) = (0, Vec::new());
        for (step, key, cost) in asks {
            now += step;
            let held = cells.size().0;
            prop_assert!(held <= max);
            if take(&cells, key, cost, now).0 {
                admitted.push((now, key, u64::from(cost)));
            }
        }
        for (i, &(from, key, _)) in admitted.iter().enumerate() {
            let mut sum = 0;
            for &(to, _, cost) in admitted[i..].iter().filter(|(_, other, _)| *other == key) {
                sum += cost;
                prop_assert!(sum * SECOND <= 3 * SECOND + (to - from), "tenant {key} took {sum} from {from} to {to}");
            }
        }
    }
}
