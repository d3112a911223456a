//! Fifty streams of one tenant at once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use sluicegate_admission::budget::Estimate;

use crate::{
    rig::{End, Pieces, Rig},
    shapes::{SHAPES, Shape},
};

const BUDGET: u64 = 20_000;
const STREAMS: u64 = 50;

/// An answer of so many words that then tells its usage, of which the prompt took `prompt`.
fn pieces(words: u64, prompt: u64) -> Vec<Bytes> {
    let usage = format!(
        "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":{words},\"total_tokens\":{}}}}}\n\n",
        prompt + words
    );
    (0..words)
        .map(|_| Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"word\"}}]}\n\n"))
        .chain([Bytes::from(usage)])
        .collect()
}

/// Runs streams until the budget lets no more in. Each estimates `estimate` and takes
/// `prompt` and up to the estimate's output. Gives what was used in all.
async fn run(rig: &Arc<Rig>, estimate: Estimate, prompt: u64) -> u64 {
    let used = Arc::new(AtomicU64::new(0));
    let mut streams = tokio::task::JoinSet::new();
    for stream in 0..STREAMS {
        let (rig, used) = (Arc::clone(rig), Arc::clone(&used));
        streams.spawn(async move {
            let shape: Shape = SHAPES[1];
            for round in 0..100 {
                let words = (stream * 7 + round * 13) % (estimate.output + 1);
                let body = Pieces::new(pieces(words, prompt), End::Whole);
                let Some(mut answer) = rig.try_answer(&shape, estimate, body) else { return };
                answer.read().await;
                used.fetch_add(words + prompt, Ordering::Relaxed);
            }
        });
    }
    while let Some(ended) = streams.join_next().await {
        ended.unwrap();
    }
    used.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_streams_within_their_estimates_never_pass_the_budget() {
    let rig = Arc::new(Rig::new(BUDGET));
    let estimate = Estimate { prompt: 100, output: 200, limited: true };
    let used = run(&rig, estimate, 100).await;
    assert_eq!(used, rig.charged());
    assert!(used <= BUDGET, "{used} of {BUDGET}");
    assert!(used > BUDGET - STREAMS * estimate.total(), "the budget is really used: {used}");
    rig.books_balance();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_past_their_estimates_pass_the_budget_by_what_was_out_at_once() {
    let rig = Arc::new(Rig::new(BUDGET));
    let estimate = Estimate { prompt: 100, output: 200, limited: true };
    let error = 30;
    let used = run(&rig, estimate, 100 + error).await;
    assert_eq!(used, rig.charged());
    // Each stream that was out when the budget ran dry may be wrong by its own error.
    let at_once = (BUDGET / estimate.total()).min(STREAMS);
    assert!(used <= BUDGET + at_once * error, "{used} of {BUDGET}");
    rig.books_balance();
}

#[tokio::test]
async fn streams_one_after_another_pass_the_budget_by_one_error_at_most() {
    let rig = Rig::new(BUDGET);
    let (estimate, error) = (Estimate { prompt: 100, output: 200, limited: true }, 30);
    while let Some(mut answer) =
        rig.try_answer(&SHAPES[1], estimate, Pieces::new(pieces(200, 100 + error), End::Whole))
    {
        answer.read().await;
    }
    assert!(rig.charged() <= BUDGET + error);
}
