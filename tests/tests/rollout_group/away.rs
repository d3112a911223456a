//! What each gateway does while Redis cannot be had.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;
use sluicegate_tests::rollouts::Stand;

use crate::{NAME, QUICK, SLOW, follow::Group, judge::one_line, line::Line, redis, until};

/// Whether `/readyz` names the rollout, with its status.
async fn told(group: &Group, seat: usize) -> (u16, bool) {
    let answer = group.fleet.gateway(seat).await.admin(Method::GET, "/readyz", "").await;
    (answer.status, String::from_utf8_lossy(&answer.body).contains(NAME))
}

fn count(decisions: &[Value], act: &str) -> usize {
    decisions.iter().filter(|decision| decision["act"] == act).count()
}

/// When the last read of `next` at a gateway began, after `since`.
fn last_of_next(group: &Group, from: usize, seat: usize, since: Instant) -> Duration {
    let reads = group.traffic.reads(from);
    let of_next = reads.iter().filter(|read| read.seat == seat && read.whose.is("next"));
    of_next.map(|read| read.began.saturating_duration_since(since)).max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_goes_on_by_what_it_knows_and_an_abort_holds_where_it_was_asked_for() {
    let mut redis = redis().await;
    let group = Group::start(3, &redis, SLOW).await;
    let seats = [0, 1, 2];
    let started = group.fleet.gateway(0).await.steer(NAME, "start").await;
    group.watch.all_at(&seats, started.place(), Instant::now()).await;
    group.traffic.of_both(&seats).await;
    redis.kill();
    // All go on as they were, and say what is wrong.
    let begun = Instant::now();
    for seat in seats {
        until("it says so", async || !group.watch.now(seat).await.troubles().is_empty()).await;
        until("/readyz says so", async || told(&group, seat).await == (200, true)).await;
    }
    println!("group of 3: without Redis, all have said so within {:?}", begun.elapsed());
    group.traffic.of_both(&seats).await;
    // What would have to be told to all is refused, and nothing is changed.
    for (command, place) in [("advance", 0), ("hold", 1), ("promote", 2)] {
        let answer = group.fleet.gateway(place).await.try_steer(NAME, command).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "store_unavailable"), "{answer:?}");
    }
    assert_eq!(group.fleet.gateway(0).await.try_weigh(NAME, 100).await.status, 503);
    for seat in seats {
        let stand = group.watch.now(seat).await;
        assert_eq!((stand.place(), stand.weight), (started.place(), 25), "{stand:?}");
    }
    // An abort holds at once, here.
    let from = group.traffic.len();
    let answer = group.fleet.gateway(1).await.try_steer(NAME, "abort").await;
    let aborted = Instant::now();
    assert_eq!((answer.status, answer.code().as_str()), (503, "only_here"), "{answer:?}");
    let stand = group.watch.now(1).await;
    assert_eq!(stand.weight, 0, "{stand:?}");
    assert!(!stand.troubles().is_empty(), "{stand:?}");
    group.traffic.of_both(&[0, 2]).await;
    group.traffic.more(3, 40).await;
    assert_eq!(
        last_of_next(&group, from, 1, aborted),
        Duration::ZERO,
        "the candidate was served where it was aborted"
    );
    // To say it again does no harm.
    let again = group.fleet.gateway(1).await.try_steer(NAME, "abort").await;
    assert!(again.status == 200 || again.code() == "only_here", "{again:?}");

    // Once Redis is back the others hear of it.
    let redis = redis.restart().await.unwrap();
    let back = Instant::now();
    let place = (started.epoch + 1, started.version + 1);
    let followed = group.watch.all_at(&seats, place, back).await;
    let from = group.traffic.len();
    for seat in seats {
        let stand = group.watch.now(seat).await;
        assert_eq!((stand.phase.as_str(), stand.weight), ("aborted", 0), "{stand:?}");
        until("it is well again", async || group.watch.now(seat).await.troubles().is_empty()).await;
        until("/readyz is well again", async || told(&group, seat).await == (200, false)).await;
    }
    group.traffic.more(3, 20).await;
    let last = Instant::now();
    group.traffic.more(3, 40).await;
    for seat in seats {
        assert_eq!(last_of_next(&group, from, seat, last), Duration::ZERO);
    }
    let decisions = group.fleet.gateway(0).await.decisions(NAME).await;
    one_line(&decisions);
    assert_eq!(count(&decisions, "aborted"), 1, "{decisions:#?}");
    let seen = group.end().await;
    seen.never_back();
    seen.none_failed(false);
    println!(
        "group of 3: Redis back: aborted at all within {:?}; {} reads without one failure, {:?}",
        followed.iter().max().unwrap(),
        seen.reads.len(),
        seen.served_as_shown()
    );
    drop(redis);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_is_taken_without_redis_and_the_run_goes_on_with_it() {
    let mut redis = redis().await;
    let group = Group::start(2, &redis, QUICK).await;
    let seats = [0, 1];
    let started = group.fleet.gateway(0).await.steer(NAME, "start").await;
    group.watch.all_at(&seats, started.place(), Instant::now()).await;
    redis.kill();
    let mut at = Vec::new();
    for seat in seats {
        at.push(group.watch.now(seat).await);
    }
    // Long enough for the step to pass twice.
    let passed = |stand: &Stand| stand.shown["progress"]["remaining_ms"] == 0;
    for seat in seats {
        until("its time is over", async || passed(&group.watch.now(seat).await)).await;
    }
    group.traffic.more(2, 150).await;
    for seat in seats {
        let stand = group.watch.now(seat).await;
        assert_eq!((stand.place(), stand.weight), (at[seat].place(), at[seat].weight), "{stand:?}");
    }
    let redis = redis.restart().await.unwrap();
    let back = Instant::now();
    let complete = group.watch.all_at(&seats, (started.epoch, started.version + 3), back).await;
    let decisions = group.fleet.gateway(1).await.decisions(NAME).await;
    one_line(&decisions);
    assert_eq!((count(&decisions, "advanced"), count(&decisions, "completed")), (2, 1), "{decisions:#?}");
    let seen = group.end().await;
    seen.never_back();
    seen.none_failed(false);
    println!(
        "group of 2: no step without Redis; complete {:?} after it was back; {:?}",
        complete.iter().max().unwrap(),
        seen.served_as_shown()
    );
    drop(redis);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_has_lost_comes_back_and_an_abort_with_it() {
    let redis = redis().await;
    let group = Group::start(3, &redis, SLOW).await;
    let seats = [0, 1, 2];
    let started = group.fleet.gateway(0).await.steer(NAME, "start").await;
    group.watch.all_at(&seats, started.place(), Instant::now()).await;
    let aborted = group.fleet.gateway(2).await.steer(NAME, "abort").await;
    group.watch.all_at(&seats, aborted.place(), Instant::now()).await;
    let redis = redis.restart_empty().await.unwrap();
    let seen = group.watch.kept().len();
    let restored = until("it is there again", async || {
        group.watch.kept()[seen..].iter().any(|kept| kept.place() >= Some(aborted.place()))
    })
    .await;
    // One that starts now finds it there, and how it came to that.
    group.fleet.kill(1).await;
    for seat in seats {
        let stand = group.watch.now(seat).await;
        assert_eq!(
            (stand.phase.as_str(), stand.epoch, stand.weight),
            ("aborted", aborted.epoch, 0),
            "{stand:?}"
        );
        assert!(stand.place() >= aborted.place(), "{stand:?}");
    }
    until("it is told how it came to that", async || {
        count(&group.fleet.gateway(1).await.decisions(NAME).await, "aborted") == 1
    })
    .await;
    group.traffic.more(3, 20).await;
    let seen = group.end().await;
    seen.gateways_never_back();
    let served = seen.served_as_shown();
    println!("group of 3: what Redis lost was there again within {restored:?}; {served:?}");
    assert!(served.aborted > 50, "{served:?}");
    drop(redis);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_of_one_that_was_cut_off_holds_over_the_steps_of_the_others() {
    let redis = redis().await;
    let line = Line::to(redis.port()).await;
    let group = Group::at(&[redis.url(), line.url()], redis.port(), SLOW).await;
    let seats = [0, 1];
    let started = group.fleet.gateway(0).await.steer(NAME, "start").await;
    group.watch.all_at(&seats, started.place(), Instant::now()).await;
    line.cut();
    until("it says so", async || !group.watch.now(1).await.troubles().is_empty()).await;
    // The others take a step; the one that is cut off aborts what it knows: the same run.
    let advanced = group.fleet.gateway(0).await.steer(NAME, "advance").await;
    let answer = group.fleet.gateway(1).await.try_steer(NAME, "abort").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "only_here"), "{answer:?}");
    assert_eq!(group.watch.now(0).await.weight, 50);
    let mended = Instant::now();
    line.mend();
    let place = (advanced.epoch + 1, advanced.version + 1);
    let followed = group.watch.all_at(&seats, place, mended).await;
    for seat in seats {
        assert_eq!(group.watch.now(seat).await.phase, "aborted");
    }

    // But an abort of an epoch that is over ends no other run.
    let begun = group.fleet.gateway(0).await.steer(NAME, "start").await;
    group.watch.all_at(&seats, begun.place(), Instant::now()).await;
    line.cut();
    until("it says so", async || !group.watch.now(1).await.troubles().is_empty()).await;
    let answer = group.fleet.gateway(1).await.try_steer(NAME, "abort").await;
    assert_eq!(answer.code(), "only_here", "{answer:?}");
    group.fleet.gateway(0).await.steer(NAME, "abort").await;
    let anew = group.fleet.gateway(0).await.steer(NAME, "start").await;
    line.mend();
    group.watch.all_at(&seats, anew.place(), Instant::now()).await;
    group.traffic.of_both(&seats).await;
    for seat in seats {
        let stand = group.watch.now(seat).await;
        assert_eq!(
            (stand.phase.as_str(), stand.place(), stand.weight),
            ("running", anew.place(), 25),
            "{stand:?}"
        );
    }
    let decisions = group.fleet.gateway(1).await.decisions(NAME).await;
    one_line(&decisions);
    assert_eq!(count(&decisions, "aborted"), 2, "{decisions:#?}");
    let seen = group.end().await;
    seen.never_back();
    seen.none_failed(false);
    println!(
        "group of 2: an abort of one that was cut off holds at both {:?} after it was back; {:?}",
        followed.iter().max().unwrap(),
        seen.served_as_shown()
    );
}
