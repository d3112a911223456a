//! After any end at any byte the books balance.

use std::time::Duration;

use proptest::prelude::*;
use sluicegate_admission::budget::Estimate;
use tokio::time::Instant;

use crate::{
    rig::{End, Pieces, Rig},
    shapes::SHAPES,
};

const ESTIMATE: Estimate = Estimate { prompt: 30, output: 200, limited: true };

/// Reads what comes until nothing does, then leaves.
async fn read_and_leave(mut answer: crate::rig::Answer) -> Vec<u8> {
    let mut all = Vec::new();
    tokio::select! {
        biased;
        read = answer.read() => all = read,
        () = std::future::ready(()) => {}
    }
    all
}

#[tokio::test]
async fn an_answer_that_breaks_off_at_any_byte_is_settled_once() {
    for shape in &SHAPES {
        for strip in [false, true] {
            for end in [End::Fails, End::Hangs] {
                for upto in 0..=shape.body.len() {
                    // Of its own, since what one shows is reserved for the next.
                    let rig = Rig::new(1000);
                    let body = Pieces::cut(shape.body, upto, &[upto / 2], end);
                    let answer = rig.answer(shape, ESTIMATE, body, strip);
                    read_and_leave(answer).await;
                    let cost = rig.charged();
                    let most = shape.usage.unwrap_or(0).max(ESTIMATE.total());
                    assert!(cost <= most, "{} cut at {upto}: {cost}", shape.name);
                    rig.books_balance();
                }
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_has_all_but_the_end_is_charged_by_usage() {
    for shape in SHAPES.iter().filter(|shape| shape.usage.is_some()) {
        let rig = Rig::new(1000);
        let mut answer =
            rig.answer(shape, ESTIMATE, Pieces::cut(shape.body, shape.body.len(), &[], End::Hangs), true);
        let reading = tokio::time::timeout(Duration::from_millis(1), answer.read());
        assert!(reading.await.is_err());
        drop(answer);
        assert_eq!(Some(rig.charged()), shape.usage, "{}", shape.name);
    }
}

#[derive(Clone, Debug)]
struct Call {
    shape: usize,
    estimate: (u64, u64),
    upto: prop::sample::Index,
    cuts: Vec<prop::sample::Index>,
    end: End,
    strip: bool,
    /// How many frames are read before the next call begins.
    frames: usize,
    way: Way,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Answered,
    Released,
    DroppedUnsent,
    DroppedSent,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let index = any::<prop::sample::Index>;
    let end = prop_oneof![Just(End::Whole), Just(End::Trailers), Just(End::Fails), Just(End::Hangs)];
    let way = prop_oneof![
        6 => Just(Way::Answered),
        1 => Just(Way::Released),
        1 => Just(Way::DroppedUnsent),
        1 => Just(Way::DroppedSent),
    ];
    let call = (
        0..SHAPES.len(),
        (0u64..100, 0u64..300),
        index(),
        prop::collection::vec(index(), 0..6),
        end,
        any::<bool>(),
        0usize..6,
        way,
    );
    let call = call.prop_map(|(shape, estimate, upto, cuts, end, strip, frames, way)| Call {
        shape,
        estimate,
        upto,
        cuts,
        end,
        strip,
        frames,
        way,
    });
    prop::collection::vec(call, 1..12)
}

proptest! {
    #[test]
    fn any_mix_of_calls_that_end_in_any_way_balances(calls in calls(), reversed in any::<bool>()) {
        let rig = Rig::new(100_000);
        let mut open = Vec::new();
        for call in calls {
            let shape = &SHAPES[call.shape];
            let estimate = Estimate { prompt: call.estimate.0, output: call.estimate.1, limited: true };
            let now = Instant::now();
            let mut reservation = match call.way {
                Way::Answered => {
                    let upto = call.upto.index(shape.body.len() + 1);
                    let cuts: Vec<_> = call.cuts.iter().map(|cut| cut.index(upto + 1)).collect();
                    let body = Pieces::cut(shape.body, upto, &cuts, call.end);
                    let mut answer = rig.answer(shape, estimate, body, call.strip);
                    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                    for _ in 0..call.frames {
                        let _ = http_body::Body::poll_frame(answer.body.as_mut(), &mut cx);
                    }
                    open.push(answer);
                    continue;
                }
                _ => rig.ledger.reserve(Some("acme"), estimate, now).unwrap(),
            };
            match call.way {
                Way::Released => {
                    reservation.sent();
                    reservation.release(now);
                }
                Way::DroppedSent => {
                    reservation.sent();
                    drop(reservation);
                }
                Way::DroppedUnsent | Way::Answered => drop(reservation),
            }
        }
        let under_way: u64 = rig.metric("reservations", "");
        prop_assert!(under_way <= open.len() as u64);
        if reversed {
            open.reverse();
        }
        drop(open);
        rig.books_balance();
    }
}
