//! What waits behind what.

use std::{sync::Arc, time::Duration};

use sluicegate_tests::{
    Audited, Fenced, Gateway,
    audit::{Act, Choice, Shape, prompt},
    eventually,
};

use crate::{freeze, queue, queueing, send, until, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_write_goes_behind_older_ones_of_its_line_and_no_others() {
    let upstream = Audited::start(1, prompt()).await;
    let gateway = Gateway::start(&queueing(4).document(&upstream.url(0)));
    freeze(&gateway).await;
    let first = queue(&gateway, &write(1, "d1")).await;
    assert_eq!(gateway.backfill("pause").await.status, 200);
    gateway.thaw("window").await;
    // No freeze is on, but an older one of d1 waits.
    let second = queue(&gateway, &write(2, "d1")).await;
    assert_eq!(send(&gateway, &write(3, "d2")).await.status, 201);
    assert_eq!(gateway.backfill("resume").await.status, 200);
    until(&gateway, &first, "applied").await;
    until(&gateway, &second, "applied").await;
    let order: Vec<_> = upstream.ledger().effects().iter().map(|effect| effect.write.number).collect();
    assert_eq!(order, [3, 1, 2]);
    // Once the line is empty its writes go through again.
    assert_eq!(send(&gateway, &write(4, "d1")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_line_holds_up_no_other() {
    let choice: Choice = Arc::new(|write, _| {
        let before = if write.line == "slow" { Duration::from_secs(3) } else { Duration::ZERO };
        Act::Do { before, after: Duration::ZERO, shape: Shape::Short }
    });
    let upstream = Audited::start(1, choice).await;
    let gateway = Gateway::start(&queueing(2).document(&upstream.url(0)));
    freeze(&gateway).await;
    queue(&gateway, &write(0, "slow")).await;
    for number in 1..50 {
        queue(&gateway, &write(number, &format!("d{}", number % 5))).await;
    }
    gateway.thaw("window").await;
    eventually("the others are applied", || upstream.ledger().count() >= 49).await;
    let numbers: Vec<_> = upstream.ledger().effects().iter().map(|effect| effect.write.number).collect();
    assert!(!numbers[..49].contains(&0), "{numbers:?}");
    eventually("the slow one too", || upstream.ledger().count() == 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn never_more_at_one_time_than_is_said() {
    let choice: Choice = Arc::new(|_, _| Act::Do {
        before: Duration::from_millis(30),
        after: Duration::ZERO,
        shape: Shape::Short,
    });
    let upstream = Audited::start(1, choice).await;
    let gateway = Gateway::start(&queueing(3).document(&upstream.url(0)));
    freeze(&gateway).await;
    for number in 0..30 {
        queue(&gateway, &write(number, &format!("d{number}"))).await;
    }
    gateway.thaw("window").await;
    eventually("all are applied", || upstream.ledger().count() == 30).await;
    let arrivals = upstream.ledger().arrivals();
    let most = arrivals.iter().map(|one| {
        let at = one.began.tick;
        arrivals.iter().filter(|it| it.began.tick <= at && it.ended.is_none_or(|end| end.tick > at)).count()
    });
    let most = most.max().unwrap();
    assert!((2..=3).contains(&most), "{most} at one time");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_faster_than_is_said() {
    let upstream = Audited::start(1, prompt()).await;
    let fenced = queueing(4);
    let intents = fenced.intents.replace("rps: 2000", "rps: 20");
    let gateway = Gateway::start(&Fenced { intents, ..fenced }.document(&upstream.url(0)));
    freeze(&gateway).await;
    for number in 0..30 {
        queue(&gateway, &write(number, &format!("d{number}"))).await;
    }
    gateway.thaw("window").await;
    eventually("all are applied", || upstream.ledger().count() == 30).await;
    let arrivals = upstream.ledger().arrivals();
    let took = Duration::from_micros(arrivals[29].began.micros - arrivals[0].began.micros);
    assert!(took >= Duration::from_millis(1200), "30 at 20 a second took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_in_the_middle_of_the_backfill_stops_it() {
    let choice: Choice = Arc::new(|_, _| Act::Do {
        before: Duration::from_millis(5),
        after: Duration::ZERO,
        shape: Shape::Short,
    });
    let upstream = Audited::start(1, choice).await;
    let gateway = Gateway::start(&queueing(2).document(&upstream.url(0)));
    freeze(&gateway).await;
    for number in 0..100 {
        queue(&gateway, &write(number, &format!("d{}", number % 10))).await;
    }
    gateway.thaw("window").await;
    eventually("the backfill is under way", || upstream.ledger().count() >= 20).await;
    freeze(&gateway).await;
    // Drained: from here on none runs and none begins.
    let so_far = upstream.ledger().arrivals().len();
    assert!(upstream.ledger().arrivals().iter().all(|arrival| arrival.ended.is_some()));
    let more = || upstream.ledger().arrivals().len() > so_far;
    assert!(!sluicegate_tests::tick::within(Duration::from_secs(1), more).await);
    gateway.thaw("window").await;
    eventually("the rest is applied", || upstream.ledger().count() == 100).await;
    for (line, places) in upstream.ledger().lines() {
        assert!(places.is_sorted(), "{line}: {places:?}");
    }
}
