//! What a client gets of each shape, and what it is charged, however the answer is cut.

use bytes::Bytes;
use http::header;
use http_body::Body;
use sluicegate_admission::budget::Estimate;

use crate::{
    rig::{End, Pieces, Rig},
    shapes::{SHAPES, Shape},
};

const ESTIMATE: Estimate = Estimate { prompt: 30, output: 200, limited: true };

/// What the client is to get.
fn expected(shape: &Shape, strip: bool) -> String {
    match shape.extra {
        Some(extra) if strip => shape.body.replace(extra, ""),
        _ => shape.body.to_owned(),
    }
}

fn cost(shape: &Shape) -> u64 {
    match shape.usage {
        Some(usage) => usage,
        None if shape.status != 200 => 0,
        // The prompt by estimate; 17 bytes of text in two events.
        None => ESTIMATE.prompt + 5,
    }
}

#[tokio::test]
async fn each_shape_cut_at_every_byte_is_passed_on_and_settled() {
    for shape in &SHAPES {
        for strip in [false, true] {
            let rig = Rig::new(1_000_000);
            let mut count = 0;
            for cut in 0..=shape.body.len() {
                for end in [End::Whole, End::Trailers] {
                    let body = Pieces::cut(shape.body, shape.body.len(), &[cut], end);
                    let mut answer = rig.answer(shape, ESTIMATE, body, strip);
                    let read = answer.read().await;
                    assert_eq!(String::from_utf8(read).unwrap(), expected(shape, strip), "{}", shape.name);
                    assert!(answer.body.is_end_stream());
                    count += 1;
                    assert_eq!(rig.charged(), count * cost(shape), "{} cut at {cut}", shape.name);
                }
            }
            let by = match (shape.usage, shape.status) {
                (Some(_), _) => "usage",
                (None, 200) => "estimate",
                (None, _) => "unused",
            };
            assert_eq!(rig.metric("settlements_total", by), count, "{}", shape.name);
            rig.books_balance();
        }
    }
}

#[tokio::test]
async fn each_shape_byte_by_byte() {
    for shape in &SHAPES {
        for strip in [false, true] {
            let rig = Rig::new(1000);
            let cuts: Vec<_> = (0..shape.body.len()).collect();
            let body = Pieces::cut(shape.body, shape.body.len(), &cuts, End::Whole);
            let read = rig.answer(shape, ESTIMATE, body, strip).read().await;
            assert_eq!(String::from_utf8(read).unwrap(), expected(shape, strip));
            assert_eq!(rig.charged(), cost(shape));
        }
    }
}

#[tokio::test]
async fn only_a_stream_that_may_lose_a_chunk_loses_its_length() {
    for shape in &SHAPES {
        for strip in [false, true] {
            let rig = Rig::new(1000);
            let answer = rig.answer(shape, ESTIMATE, Pieces::new([], End::Whole), strip);
            let may_lose = strip && shape.content_type.starts_with("text/event-stream");
            assert_eq!(answer.head.contains_key(header::CONTENT_LENGTH), !may_lose, "{}", shape.name);
        }
    }
}

#[tokio::test]
async fn a_large_answer_is_read_to_its_usage() {
    let shape = SHAPES[5];
    let rig = Rig::new(1000);
    let numbers = Bytes::from("-0.009327292,".repeat(100_000));
    let pieces = [
        Bytes::from_static(br#"{"object":"list","data":[{"embedding":["#),
        numbers,
        Bytes::from_static(br#"0]}],"model":"m","usage":{"prompt_tokens":77,"total_tokens":77}}"#),
    ];
    rig.answer(&shape, ESTIMATE, Pieces::new(pieces, End::Whole), true).read().await;
    assert_eq!(rig.charged(), 77);
}

#[tokio::test]
async fn what_cannot_be_read_is_settled_by_the_whole_estimate() {
    let rig = Rig::new(1000);
    let shape = Shape { content_type: "application/octet-stream", ..SHAPES[0] };
    rig.answer(&shape, ESTIMATE, Pieces::cut(shape.body, 10, &[], End::Whole), true).read().await;
    assert_eq!(rig.charged(), ESTIMATE.total());
    rig.books_balance();
}

#[tokio::test]
async fn a_prompt_that_was_longer_than_estimated_is_taken_before_the_answer_ends() {
    let (rig, shape) = (Rig::new(1000), SHAPES[7]);
    let estimate = Estimate { prompt: 5, output: 200, limited: true };
    let body = Pieces::cut(shape.body, shape.body.find("event: content").unwrap(), &[], End::Hangs);
    let mut answer = rig.answer(&shape, estimate, body, false);
    assert_eq!(rig.charged(), 205);
    let head = answer.body.frame_now();
    assert!(head.is_some());
    assert_eq!(rig.charged(), 225, "25 of the prompt, and what the answer may take");
    drop(answer);
    assert_eq!(rig.charged(), 26, "what was told up to then");
}

#[tokio::test]
async fn a_last_event_without_its_empty_line_is_read_also_where_the_end_is_not_polled() {
    for shape in [SHAPES[1], SHAPES[4]] {
        let body = shape.body.trim_end_matches("data: [DONE]\n\n").trim_end();
        for strip in [false, true] {
            let rig = Rig::new(1000);
            let mut answer =
                rig.answer(&shape, ESTIMATE, Pieces::cut(body, body.len(), &[], End::Whole), strip);
            while !answer.body.is_end_stream() && answer.body.frame_now().is_some() {}
            drop(answer);
            assert_eq!(Some(rig.charged()), shape.usage, "{}", shape.name);
        }
    }
}

trait Now {
    fn frame_now(&mut self) -> Option<Bytes>;
}

impl<B: Body<Data = Bytes>> Now for std::pin::Pin<Box<B>> {
    fn frame_now(&mut self) -> Option<Bytes> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match self.as_mut().poll_frame(&mut cx) {
            std::task::Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
            _ => None,
        }
    }
}
