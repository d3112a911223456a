//! What tenants, lanes and routes leave to one another.

use std::{sync::Arc, time::Duration};

use tokio::time::advance;

use super::{batch, enter, idle, let_in, limits, line, run, tenant, wait};
use crate::queue::{Cap, Entry, Limits, Native, Ticket, Waiting};

#[tokio::test(start_paused = true)]
async fn a_tenant_at_its_cap_does_not_hold_up_those_behind_it() {
    let line = line(Limits { per_tenant: Some(1), ..limits(2, 8) });
    let noisy = run(&line, &tenant("noisy"));
    let mut more = wait(&line, &tenant("noisy"));
    // Somebody waits, and yet another tenant is let in without a wait.
    let quiet = run(&line, &tenant("quiet"));
    let mut behind = wait(&line, &tenant("third"));
    drop(quiet);
    let third = let_in(&mut behind).unwrap();
    assert!(let_in(&mut more).is_none());
    drop(noisy);
    drop((let_in(&mut more).unwrap(), third));
    assert!(idle(&line));
}

#[tokio::test(start_paused = true)]
async fn tenants_take_turns_however_many_requests_one_has() {
    let line = line(limits(1, 100));
    let mut running = Some(run(&line, &tenant("noisy")));
    let mut many: Vec<_> = (0..30).map(|_| wait(&line, &tenant("noisy"))).collect();
    let names = ["a", "b", "c"];
    let mut few: Vec<_> =
        names.iter().flat_map(|name| [wait(&line, &tenant(name)), wait(&line, &tenant(name))]).collect();
    // Eight hand-overs serve all six of the quiet tenants.
    for _ in 0..8 {
        drop(running.take());
        for one in many.iter_mut().chain(&mut few) {
            if !one.is_over() {
                running = running.take().or_else(|| let_in(one));
            }
        }
    }
    assert!(few.iter().all(Waiting::is_over));
    assert_eq!(many.iter().filter(|one| one.is_over()).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_tenant_cannot_take_all_places_nor_batch_more_than_half() {
    let line = line(limits(1, 90));
    let _running = run(&line, &Ticket::default());
    let mut waiting = Vec::new();
    let mut fill = |ticket: Ticket<'_>| {
        let before = waiting.len();
        while let Entry::Waits(one) = enter(&line, &ticket) {
            waiting.push(one);
        }
        waiting.len() - before
    };
    assert_eq!(fill(batch()), 45);
    assert_eq!(fill(tenant("a")), 40);
    assert_eq!(fill(tenant("b")), 5);
    assert_eq!(fill(tenant("c")), 0);
}

#[tokio::test(start_paused = true)]
async fn batch_leaves_a_sixteenth_free_while_interactive_requests_come() {
    let line = line(limits(32, 64));
    drop(run(&line, &Ticket::default()));
    let jobs: Vec<_> = (0..30).map(|_| run(&line, &batch())).collect();
    let mut job = wait(&line, &batch());
    let people = [run(&line, &Ticket::default()), run(&line, &Ticket::default())];
    drop(people);
    assert!(let_in(&mut job).is_none());
    advance(Duration::from_secs(1)).await;
    let more = [run(&line, &batch()), let_in(&mut job).unwrap()];
    drop((jobs, more));
    assert!(idle(&line));
}

#[tokio::test(start_paused = true)]
async fn a_permit_of_an_upstream_goes_to_another_route_that_waits_for_it() {
    let upstream = Arc::new(Cap::<Native>::new("u", Some(1)));
    let (one, two) = (line(limits(8, 8)), line(limits(8, 8)));
    let ticket = Ticket { upstream: Some(&upstream), ..Ticket::default() };
    let running = run(&one, &ticket);
    let (mut here, mut there) = (wait(&one, &ticket), wait(&two, &ticket));
    // What needs not that upstream runs.
    drop(run(&two, &Ticket::default()));
    drop(running);
    let served: Vec<_> = [&mut here, &mut there].into_iter().filter_map(let_in).collect();
    assert_eq!((served.len(), upstream.in_use()), (1, 1));
    drop(served);
    assert_eq!(upstream.in_use(), 1);
    drop((here, there));
    assert!(upstream.in_use() == 0 && idle(&one) && idle(&two));
}

#[tokio::test(start_paused = true)]
async fn interactive_goes_before_batch_also_from_one_route_to_another() {
    let upstream = Arc::new(Cap::<Native>::new("u", Some(1)));
    let (ask, bulk) = (line(limits(100, 100)), line(limits(100, 100)));
    let person = Ticket { upstream: Some(&upstream), ..Ticket::default() };
    let job = Ticket { upstream: Some(&upstream), ..batch() };
    let mut running = Some(run(&bulk, &job));
    let mut jobs: Vec<_> = (0..10).map(|_| wait(&bulk, &job)).collect();
    let mut people: Vec<_> = (0..10).map(|_| wait(&ask, &person)).collect();
    let mut order = String::new();
    while running.take().is_some() {
        for (name, all) in [('p', &mut people), ('j', &mut jobs)] {
            for one in all.iter_mut().filter(|one| !one.is_over()) {
                if let Some(permit) = let_in(one) {
                    order.push(name);
                    running = Some(permit);
                }
            }
        }
    }
    assert_eq!(order, "pppppppjpppjjjjjjjjj");
    assert!(upstream.in_use() == 0 && idle(&ask) && idle(&bulk));
}

#[tokio::test(start_paused = true)]
async fn batch_leaves_places_of_an_upstream_for_those_who_come_by_another_route() {
    let upstream = Arc::new(Cap::<Native>::new("u", Some(32)));
    let (ask, bulk) = (line(limits(100, 100)), line(limits(100, 100)));
    let person = Ticket { upstream: Some(&upstream), ..Ticket::default() };
    let job = Ticket { upstream: Some(&upstream), ..batch() };
    drop(run(&ask, &person));
    let jobs: Vec<_> = (0..30).map(|_| run(&bulk, &job)).collect();
    let mut more = wait(&bulk, &job);
    let people = [run(&ask, &person), run(&ask, &person)];
    drop(people);
    assert!(let_in(&mut more).is_none());
    drop((jobs, more));
    assert!(upstream.in_use() == 0 && idle(&ask) && idle(&bulk));
}

#[tokio::test(start_paused = true)]
async fn batch_gets_what_interactive_cannot_use() {
    let upstream = Arc::new(Cap::<Native>::new("u", Some(2)));
    let (ask, bulk) = (line(limits(1, 100)), line(limits(100, 100)));
    let person = Ticket { upstream: Some(&upstream), ..Ticket::default() };
    let job = Ticket { upstream: Some(&upstream), ..batch() };
    let (first, running) = (run(&ask, &person), run(&bulk, &job));
    let (mut second, mut more) = (wait(&ask, &person), wait(&bulk, &job));
    // The route of people is at its own cap.
    drop(running);
    let more = let_in(&mut more).unwrap();
    assert!(let_in(&mut second).is_none());
    drop(first);
    drop((let_in(&mut second).unwrap(), more));
    assert!(upstream.in_use() == 0 && idle(&ask) && idle(&bulk));
}
