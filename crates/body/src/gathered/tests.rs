use std::{convert::Infallible, task::Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody, channel::Channel};
use proptest::prelude::*;

use super::{Gather, GatherError, Gathered, Whole, gather};
use crate::Budget;

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("x"))])
}

/// A body of these frames, and perhaps trailers.
fn body(
    frames: &[Vec<u8>],
    with_trailers: bool,
) -> impl Body<Data = Bytes, Error = Infallible> + Unpin + use<> {
    let data = frames.iter().map(|frame| Frame::data(Bytes::from(frame.clone())));
    let end = with_trailers.then(|| Frame::trailers(trailers()));
    let frames: Vec<_> = data.chain(end).map(Ok).collect();
    StreamBody::new(futures_util::stream::iter(frames))
}

async fn read<B>(body: Gathered<B>) -> (Vec<u8>, Option<HeaderMap>)
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin,
{
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    (collected.to_bytes().to_vec(), trailers)
}

proptest! {
    /// However a body comes and whatever the cap, what goes on is what came: gathered once or
    /// twice, whole or past the cap; and all room is given back.
    #[test]
    fn what_goes_on_is_what_came(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8),
        with_trailers: bool,
        cap in 0usize..120,
        second_cap in 0usize..120,
    ) {
        let all = frames.concat();
        let sent = (all.clone(), with_trailers.then(trailers));
        let budget = Budget::new(1 << 20);
        tokio_test::block_on(async {
            let first = gather(body(&frames, with_trailers), cap, &budget).await.unwrap();
            assert_eq!(matches!(first, Gather::Whole(_)), all.len() <= cap);
            let gathered = match first {
                Gather::Whole(whole) => {
                    assert_eq!((&whole.bytes[..], &whole.trailers), (&all[..], &sent.1));
                    assert_eq!(budget.taken(), all.len());
                    Gathered::whole(whole)
                }
                Gather::Past(gathered) => gathered,
            };
            assert!(gathered.size_hint().upper().is_none_or(|upper| upper == all.len() as u64));
            let gathered = match gathered.gather(second_cap, &budget).await.unwrap() {
                Gather::Whole(whole) => {
                    assert!(all.len() <= second_cap);
                    Gathered::whole(whole)
                }
                Gather::Past(gathered) => {
                    assert!(all.len() > second_cap);
                    gathered
                }
            };
            assert_eq!(read(gathered).await, sent);
        });
        prop_assert_eq!(budget.taken(), 0);
    }
}

#[tokio::test]
async fn a_length_that_is_past_the_cap_is_seen_before_a_byte_is_read() {
    let budget = Budget::new(0);
    let Ok(Gather::Past(body)) = gather(Full::new(Bytes::from_static(b"hello")), 4, &budget).await else {
        panic!("it must be past the cap");
    };
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(!body.is_end_stream());
    assert_eq!(read(body).await.0, b"hello");
}

#[tokio::test]
async fn all_bodies_together_are_bounded_and_room_comes_back() {
    let budget = Budget::new(10);
    let first = gather(Full::new(Bytes::from_static(b"sixsix")), 100, &budget).await.unwrap();
    let refused = gather(Full::new(Bytes::from_static(b"fives")), 100, &budget).await;
    assert!(matches!(refused, Err(GatherError::NoRoom)));
    assert_eq!(budget.taken(), 6, "a refused body leaves nothing behind");
    let Gather::Whole(whole) = first else { panic!("it is whole") };
    let clone = whole.clone();
    drop(Gathered::<Full<Bytes>>::whole(whole));
    assert_eq!(budget.taken(), 6, "a clone still has it");
    drop(clone);
    assert_eq!(budget.taken(), 0);
    budget.set_max(2);
    assert!(gather(Full::new(Bytes::from_static(b"one")), 100, &budget).await.is_err());
}

#[tokio::test]
async fn what_is_kept_past_the_cap_counts_until_it_has_gone_on() {
    let budget = Budget::new(100);
    let frames = [vec![1; 6], vec![2; 6]];
    let Ok(Gather::Past(body)) = gather(body(&frames, false), 8, &budget).await else {
        panic!("past the cap")
    };
    assert_eq!(budget.taken(), 12);
    drop(body);
    assert_eq!(budget.taken(), 0);
}

#[tokio::test]
async fn a_body_that_fails_is_told_with_its_own_error() {
    let (sender, channel) = Channel::<Bytes, std::io::Error>::new(1);
    sender.abort(std::io::Error::other("bad chunk"));
    let failed = gather(channel, 100, &Budget::new(100)).await;
    assert!(matches!(&failed, Err(GatherError::Body(error)) if error.to_string().contains("bad chunk")));
}

#[tokio::test]
async fn nothing_is_read_before_it_is_polled_and_it_waits_for_more() {
    let (mut sender, channel) = Channel::<Bytes, Infallible>::new(1);
    let budget = Budget::new(100);
    let mut gathering = tokio_test::task::spawn(gather(channel, 100, &budget));
    assert!(gathering.poll().is_pending());
    sender.send_data(Bytes::from_static(b"a")).await.unwrap();
    assert!(gathering.poll().is_pending());
    drop(sender);
    let Poll::Ready(Ok(Gather::Whole(whole))) = gathering.poll() else { panic!("it has come to its end") };
    assert_eq!(whole.bytes, "a");
}

#[test]
fn a_whole_body_says_its_length_and_that_it_is_over() {
    let empty = Gathered::<Full<Bytes>>::whole(Whole::default());
    assert!(empty.is_end_stream());
    assert_eq!(empty.size_hint().exact(), Some(0));
    let some = Gathered::<Full<Bytes>>::whole(Whole::new(Bytes::from_static(b"abc"), Some(trailers())));
    assert_eq!(some.size_hint().exact(), Some(3));
    assert_eq!(some.into_whole().unwrap().bytes, "abc");
    let untouched = Gathered::untouched(Full::new(Bytes::from_static(b"abc")));
    assert!(untouched.into_whole().is_err(), "nobody has read it");
}
