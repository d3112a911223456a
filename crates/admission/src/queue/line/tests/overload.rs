//! More comes than can be served: who waits, who is told at once, and what they are told.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, advance, sleep};

use super::{MS, batch, enter, idle, let_in, limits, line, refusal, run, wait};
use crate::queue::{Ended, Entry, Limits, Line, ShedLimits, Ticket, Verdict, Why};

#[tokio::test(start_paused = true)]
async fn a_queue_that_has_stood_for_100_ms_serves_the_newest_first() {
    let line = line(limits(1, 8));
    let running = run(&line, &Ticket::default());
    let mut old = wait(&line, &Ticket::default());
    advance(MS * 100).await;
    let mut new = wait(&line, &Ticket::default());
    drop(running);
    assert!(let_in(&mut old).is_none());
    drop(let_in(&mut new).unwrap());
    drop(let_in(&mut old).unwrap());
    assert!(idle(&line));
}

/// Takes a permit, holds it for `span`, and tells why not otherwise.
async fn serve(line: Arc<Line>, deadline: Option<Instant>, span: Duration) -> Option<Why> {
    match line.acquire(&Ticket { deadline, ..Ticket::default() }).await {
        Verdict::Admitted(_permit, _) => {
            sleep(span).await;
            None
        }
        Verdict::Refused(refused) => Some(refused.why),
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_follows_the_pace_of_the_queue() {
    let line = line(limits(1, 64));
    let served: Vec<_> = (0..40).map(|_| tokio::spawn(serve(line.clone(), None, MS * 500))).collect();
    sleep(MS * 10_100).await;
    line.set(limits(1, 1));
    let refused = refusal(&line, &Ticket::default());
    // 19 wait, half a second each.
    assert!((MS * 9500..=MS * 15_500).contains(&refused.retry_after), "{refused:?}");
    join_all(served).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_standing_queue_who_waits_in_vain_is_told_after_200_ms_or_16_hand_overs() {
    let line = line(limits(1, 500));
    // One hand-over each 5 ms, and twice as many requests.
    let fast: Vec<_> = (0..400u32)
        .map(|n| {
            let line = line.clone();
            tokio::spawn(async move {
                sleep(MS * 5 * n / 2).await;
                let came = Instant::now();
                let why = serve(line, Some(came + Duration::from_secs(60)), MS * 5).await?;
                Some((why, came.elapsed()))
            })
        })
        .collect();
    let refused: Vec<_> = join_all(fast).await.into_iter().filter_map(Result::unwrap).collect();
    assert!(refused.len() > 100, "{}", refused.len());
    assert!(
        refused.iter().all(|(why, after)| *why == Why::Overtaken && (MS * 200..MS * 202).contains(after))
    );
    assert!(idle(&line));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_nearer_than_any_hand_over_is_refused_at_once() {
    let line = line(limits(1, 64));
    let slow: Vec<_> =
        (0..20).map(|_| tokio::spawn(serve(line.clone(), None, Duration::from_secs(10)))).collect();
    sleep(Duration::from_secs(165)).await;
    let soon = |left| Ticket { deadline: Some(Instant::now() + left), ..Ticket::default() };
    assert_eq!(refusal(&line, &soon(MS * 400)).why, Why::Doomed);
    drop(wait(&line, &soon(MS * 1000)));
    join_all(slow).await;
    // Nobody runs: nothing to wait for.
    drop(run(&line, &soon(MS)));
}

#[tokio::test(start_paused = true)]
async fn errors_shed_batch_first() {
    let line = line(Limits { shed: Some(ShedLimits::default()), ..limits(8, 8) });
    for _ in 0..100 {
        run(&line, &batch()).note(Ended::Failed);
        advance(MS * 5).await;
    }
    let outcomes = |ticket: &dyn Fn() -> Ticket<'static>| {
        (0..200).filter(|_| matches!(enter(&line, &ticket()), Entry::Settled(Verdict::Refused(_)))).count()
    };
    let refused = outcomes(&batch);
    assert!((60..140).contains(&refused), "half of batch, not {refused} of 200");
    assert_eq!(outcomes(&Ticket::default), 0);
    assert!(idle(&line));
}

#[tokio::test(start_paused = true)]
async fn pressure_is_told() {
    let line = line(limits(1, 4));
    assert!(line.pressure(None) < 0.01);
    let _running = run(&line, &Ticket::default());
    assert!((line.pressure(None) - 0.5).abs() < 0.01);
    let _waiting = wait(&line, &Ticket::default());
    assert!((line.pressure(None) - 0.625).abs() < 0.01);
}
