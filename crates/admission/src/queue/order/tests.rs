use std::time::Duration;

use tokio::time::Instant;

use super::{Key, Order, Pick, Place, Room, STANDING, Try, Waiter};

const ROOM: Room = Room { places: 1000, bytes: 1000 };

fn key(tenant: u64) -> Key {
    Key { tenant, capped: true, upstream: 0, batch: false }
}

fn push(order: &mut Order<u64, u64>, key: Key, value: u64, now: Instant) -> Place {
    order.push(key, Waiter { value, since: now, deadline: None, bytes: 1 }, key.tenant, now)
}

/// Serves all that can run; those of the tenants named cannot.
fn serve(order: &mut Order<u64, u64>, full: &[u64], now: Instant) -> Vec<u64> {
    let mut served = Vec::new();
    while let Some(left) = order
        .next(now, Pick::Next, |tenant, _| if full.contains(tenant) { Try::TenantFull } else { Try::Taken })
    {
        served.push(left.waiter.value);
    }
    served
}

#[test]
fn a_tenant_with_one_request_goes_before_those_with_many_but_one_turn_in_32_is_due() {
    let now = Instant::now();
    let mut order = Order::default();
    for value in 0..3 {
        push(&mut order, key(1), value, now);
    }
    for tenant in 10..50 {
        push(&mut order, key(tenant), tenant, now);
    }
    let expected: Vec<_> = (10..41).chain([0]).chain(41..50).chain([1, 2]).collect();
    assert_eq!(serve(&mut order, &[], now), expected);
    assert_eq!((order.waiting(), order.bytes()), (0, 0));
}

#[test]
fn in_a_standing_row_the_newest_tenant_goes_first() {
    let start = Instant::now();
    let mut order = Order::default();
    for tenant in 1..4 {
        push(&mut order, key(tenant), tenant, start);
    }
    assert_eq!(serve(&mut order, &[], start + STANDING), [3, 2, 1]);
}

#[test]
fn a_parked_group_is_not_looked_at_until_its_tenant_has_room() {
    let now = Instant::now();
    let mut order = Order::default();
    push(&mut order, key(1), 1, now);
    push(&mut order, key(2), 2, now);
    assert_eq!(serve(&mut order, &[1], now), [2]);
    assert_eq!(serve(&mut order, &[], now), [0; 0]);
    order.unpark(1, now);
    let left = order.next(now, Pick::Next, |_, _| Try::Taken).unwrap();
    assert!(left.held_by_tenant && left.waiter.value == 1);
}

#[test]
fn an_upstream_without_room_does_not_hold_up_another() {
    let now = Instant::now();
    let mut order: Order<u64, u64> = Order::default();
    for upstream in 1..3 {
        let key = Key { upstream, ..key(7) };
        let waiter = Waiter { value: upstream, since: now, deadline: None, bytes: 0 };
        order.push(key, waiter, upstream, now);
    }
    let only_two = |claim: &u64, _: bool| if *claim == 1 { Try::UpstreamFull } else { Try::Taken };
    assert_eq!(order.next(now, Pick::Next, only_two).unwrap().waiter.value, 2);
    assert!(order.next(now, Pick::Next, only_two).is_none());
}

#[test]
fn who_is_taken_out_leaves_nothing_behind() {
    let now = Instant::now();
    let mut order = Order::default();
    let places: Vec<_> = (0..4).map(|value| push(&mut order, key(value / 2), value, now)).collect();
    for place in &places {
        assert!(order.remove(place).is_some());
        assert!(order.remove(place).is_none());
    }
    assert_eq!((order.waiting(), order.bytes(), order.groups.len()), (0, 0, 0));
    assert!(order.has_room(&key(0), 1000, ROOM) && !order.has_room(&key(0), 1001, ROOM));
    assert!(!order.rows[0].lanes[0].is_occupied());
}

#[test]
fn upstreams_that_nobody_waits_for_are_forgotten() {
    let now = Instant::now();
    let mut order: Order<u64, u64> = Order::default();
    for upstream in 0..1000 {
        let key = Key { upstream, ..key(7) };
        let place = order.push(key, Waiter { value: 0, since: now, deadline: None, bytes: 0 }, 0, now);
        order.remove(&place);
    }
    assert_eq!(order.rows.len(), 1);
}

#[test]
fn patience_follows_the_pace() {
    let start = Instant::now();
    let mut order = Order::default();
    for value in 0..40 {
        push(&mut order, key(1), value, start);
    }
    assert_eq!(order.patience(&key(1), start + STANDING / 2), None);
    assert_eq!(order.patience(&key(1), start + STANDING), None, "nothing was handed over yet");
    let mut now = start;
    for _ in 0..16 {
        now += Duration::from_millis(100);
        order.next(now, Pick::Next, |_, _| Try::Taken);
    }
    assert_eq!(order.patience(&key(1), now), Some(Duration::from_millis(1600)));
    assert_eq!(order.patience(&key(2), now), Some(Duration::from_millis(1600)));
}

#[test]
fn interactive_goes_before_batch_and_batch_gets_one_in_eight() {
    let now = Instant::now();
    let mut order = Order::default();
    for _ in 0..20 {
        push(&mut order, Key { batch: true, ..key(1) }, 1, now);
        push(&mut order, key(1), 0, now);
    }
    let lanes: String =
        serve(&mut order, &[], now).iter().map(|lane| if *lane == 1 { 'b' } else { 'i' }).collect();
    assert!(lanes.starts_with("iiiiiiibiiiiiiibiiiiiibbbb"), "{lanes}");
}
