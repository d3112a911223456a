//! Streams that are cut where their tenant's budget is used up.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::Body;
use proptest::prelude::*;
use sluicegate_admission::budget::{Cut, Dialect, Estimate, Raise};
use sluicegate_core::Facts;
use tokio::time::Instant;

use crate::rig::{Answer, End, Pieces, Rig};

/// An event that brings one token.
const WORD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"word\"}}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn told(prompt: u64, output: u64) -> String {
    format!(
        "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":{output},\"total_tokens\":{}}}}}\n\n",
        prompt + output
    )
}

fn pieces(text: &str, size: usize, end: End) -> Pieces {
    let text = Bytes::copy_from_slice(text.as_bytes());
    let ends = (0..text.len()).step_by(size);
    Pieces::new(ends.map(|at| text.slice(at..text.len().min(at + size))), end)
}

/// Polls once; what came, and whether it goes on.
fn poll(answer: &mut Answer) -> (Bytes, Option<Result<(), bool>>) {
    match answer.body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => panic!("it goes on past the budget"),
        Poll::Ready(Some(Ok(frame))) => (frame.into_data().unwrap_or_default(), None),
        Poll::Ready(Some(Err(error))) => (Bytes::new(), Some(Err(error.is::<Cut>()))),
        Poll::Ready(None) => (Bytes::new(), Some(Ok(()))),
    }
}

/// Reads to the end: what came, and whether that was a cut.
fn read(answer: &mut Answer) -> (String, bool) {
    let mut all = Vec::new();
    loop {
        let (some, end) = poll(answer);
        all.extend_from_slice(&some);
        match end {
            Some(Ok(())) => return (String::from_utf8(all).unwrap(), false),
            Some(Err(cut)) => {
                assert!(cut);
                assert!(answer.body.is_end_stream());
                assert_eq!(poll(answer).1, Some(Ok(())), "it has ended");
                return (String::from_utf8(all).unwrap(), true);
            }
            None => {}
        }
    }
}

#[test]
fn it_ends_with_the_event_that_passes_the_budget_and_one_that_says_so() {
    let text = WORD.repeat(100);
    for size in [1, 7, WORD.len(), 1000, 100_000] {
        for strip in [false, true] {
            let rig = Rig::new(50);
            let estimate = Estimate { prompt: 10, output: 20, limited: true };
            let facts = Facts::new(HeaderValue::from_static("r"), None, Instant::now(), false);
            let body = pieces(&text, size, End::Hangs);
            let mut answer = rig.cutting(estimate, body, Dialect::Chat, strip, Some(facts.clone())).unwrap();
            assert!(!answer.head.contains_key(header::CONTENT_LENGTH) && !facts.is_cut());
            assert_eq!(rig.charged(), 30);
            let (read, cut) = read(&mut answer);
            let rest = read.strip_prefix(&WORD.repeat(41)).expect("40 fit, and the one in hand goes on");
            let error = rest.strip_prefix("data: {\"error\":").expect(rest);
            assert!(error.contains("rate_limit_exceeded") && error.ends_with("}\n\n"), "{error}");
            assert_eq!(error.matches("data:").count(), 0, "it is the last");
            assert!(cut && facts.is_cut());
            assert_eq!((rig.charged(), rig.metric("cut_total", "")), (51, 1));
            assert_eq!(rig.metric("settlements_total", "by=\"estimate\""), 1);
            drop(answer);
            rig.books_balance();
        }
    }
}

#[test]
fn where_the_budget_holds_more_it_goes_on() {
    let rig = Rig::new(1000);
    let estimate = Estimate { prompt: 10, output: 20, limited: true };
    let text = format!("{}{}{DONE}", WORD.repeat(500), told(10, 500));
    let mut answer =
        rig.cutting(estimate, pieces(&text, 100, End::Whole), Dialect::Chat, false, None).unwrap();
    assert_eq!(read(&mut answer), (text, false));
    assert_eq!((rig.charged(), rig.metric("cut_total", "")), (510, 0));
    rig.books_balance();
}

#[test]
fn an_answer_that_keeps_to_its_maximum_is_not_cut_for_its_long_words() {
    let rig = Rig::new(50);
    let estimate = Estimate { prompt: 10, output: 40, limited: true };
    // Four tokens in each of ten events, six bytes long each: by four bytes they would be sixty.
    let event = WORD.replace("word", &"longer".repeat(4));
    let text = format!("{}{}{DONE}", event.repeat(10), told(10, 40));
    let mut answer =
        rig.cutting(estimate, pieces(&text, 100, End::Whole), Dialect::Chat, false, None).unwrap();
    assert_eq!(read(&mut answer), (text, false));
    assert_eq!(rig.charged(), 50);
    assert_eq!(rig.ledger.raise(Instant::now()), Raise::default(), "nor does it raise anything");
}

#[test]
fn what_only_tells_the_usage_is_no_reason_to_cut() {
    let rig = Rig::new(100);
    let estimate = Estimate { prompt: 10, output: 20, limited: true };
    let text = format!("{}{}{DONE}", WORD.repeat(20), told(500, 20));
    let mut answer =
        rig.cutting(estimate, pieces(&text, 10, End::Whole), Dialect::Chat, false, None).unwrap();
    assert_eq!(read(&mut answer), (text, false), "it was complete");
    assert_eq!(rig.charged(), 520);
    let prompt = rig.ledger.raise(Instant::now()).prompt();
    assert!(prompt > 3.9, "the next ones are expected to take more: {prompt}");
}

#[test]
fn a_prompt_that_is_told_first_is_taken_and_what_it_leaves_is_for_the_answer() {
    let begin =
        "event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":60,\"output_tokens\":1}}}\n\n";
    let word = "event: content_block_delta\ndata: {\"delta\":{\"text\":\"word\"}}\n\n";
    // What is reserved, how many words go on, and what the tenant has used in the end.
    for (burst, prompt, words, charged) in [(100, 10, 41, 102), (70, 10, 11, 72), (50, 10, 2, 63)] {
        let rig = Rig::new(burst);
        let estimate = Estimate { prompt, output: 20, limited: true };
        let text = format!("{begin}{}", word.repeat(100));
        let mut answer =
            rig.cutting(estimate, pieces(&text, 33, End::Hangs), Dialect::Messages, true, None).unwrap();
        let (read, cut) = read(&mut answer);
        assert_eq!((read.matches("\"word\"").count(), cut), (words, true), "{burst}");
        assert!(read.contains("event: error\ndata: {") && read.contains("rate_limit_error"), "{read}");
        assert_eq!(rig.charged(), charged, "{burst}");
        rig.books_balance();
    }
}

proptest! {
    #[test]
    fn streams_at_once_pass_the_budget_by_one_event_each_at_most(
        burst in 50u64..400,
        streams in prop::collection::vec((0u64..20, 0u64..60, 0u64..150, any::<bool>()), 1..12),
        turns in prop::collection::vec(any::<prop::sample::Index>(), 0..600),
        size in 1usize..300,
    ) {
        let rig = Rig::new(burst);
        let mut open = Vec::new();
        for (prompt, output, words, tells) in streams {
            let usage = if tells { told(prompt, words) } else { String::new() };
            let body = pieces(&format!("{}{usage}{DONE}", WORD.repeat(usize::try_from(words).unwrap())), size, End::Whole);
            let estimate = Estimate { prompt, output, limited: true };
            open.extend(rig.cutting(estimate, body, Dialect::Chat, false, None));
        }
        let past = |rig: &Rig| rig.charged().saturating_sub(burst) <= rig.metric("cut_total", "");
        for turn in turns {
            if open.is_empty() {
                break;
            }
            let at = turn.index(open.len());
            if poll(&mut open[at]).1.is_some() {
                drop(open.swap_remove(at));
            }
            prop_assert!(past(&rig), "{} of {burst}", rig.charged());
        }
        for mut answer in open {
            read(&mut answer);
            prop_assert!(past(&rig), "{} of {burst}", rig.charged());
        }
        rig.books_balance();
    }
}
