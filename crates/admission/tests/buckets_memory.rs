//! A million tenants, and what they cost. A process of its own, so that what it holds is theirs.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use prometheus_client::registry::Registry;
use sluicegate_admission::buckets::{Ask, BYTES_PER_TENANT, Buckets, Rate, SetOptions};
use tokio::time::Instant;

const MAX_TENANTS: usize = 100_000;

/// The allocator's own needs, and pages that it does not give back.
const SLACK: usize = 2 * 1024 * 1024;

/// Bytes of this process that are in memory (`proc_pid_statm(5)`: in pages, usually of 4 KiB;
/// where pages are larger the test is the stricter for it).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_million_tenants_stay_under_the_stated_bound_and_reset_nobody() {
    let now = Instant::now();
    let buckets = Buckets::new(now, &mut Registry::default());
    let tenant = Some(buckets.per_tenant("search", Rate::new(1.0, 2).unwrap(), MAX_TENANTS));
    let set = buckets.set(SetOptions { tenant, ..SetOptions::default() }).unwrap();
    buckets.keep(&set, now);
    let victim = Ask { cost: 2, tenant: Some("victim"), ..Ask::default() };
    drop(set.charge(&victim, now).unwrap());

    let before = resident();
    let mut name = String::with_capacity(32);
    let mut admitted = 0;
    for number in 0..1_000_000u32 {
        use std::fmt::Write as _;
        name.clear();
        write!(name, "tenant-{number}").unwrap();
        // A million in one second: the first hundred thousand get cells, and none is full again.
        let at = now + Duration::from_micros(u64::from(number));
        admitted +=
            u32::from(set.charge(&Ask { cost: 1, tenant: Some(&name), ..Ask::default() }, at).is_ok());
    }
    let grown = resident().saturating_sub(before);
    let bound = MAX_TENANTS * BYTES_PER_TENANT + 18 * 1024;
    println!("{grown} bytes more for a million tenants, {admitted} admitted; the bound is {bound}");
    assert!(grown <= bound + SLACK, "{grown} bytes more; the bound is {bound}");

    let held = buckets.status(now)[0].tenants.unwrap();
    assert!((MAX_TENANTS * 9 / 10..=MAX_TENANTS + 448).contains(&held), "{held} cells");
    // Each cell let one in; the rest shared one bucket of two, with one more in the second.
    let shared = usize::try_from(admitted).unwrap() - held;
    assert!(shared <= 4, "{shared} admitted by the overflow bucket");
    assert!(set.charge(&victim, now + Duration::from_millis(1999)).is_err(), "the flood reset nobody");
    assert!(set.charge(&victim, now + Duration::from_secs(2)).is_ok());
}
