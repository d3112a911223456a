//! What an HTTP/2 upstream says of a stream that it resets decides whether it is sent again.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{cell::Cell, net::SocketAddr, rc::Rc};

use bytes::Bytes;
use h2::Reason;
use http::{Response, StatusCode};
use sluicegate_core::{Outcome, Repeat, units::Span};
use sluicegate_upstream::input::RetriesInput;
use tokio::{net::TcpListener, task::spawn_local};

use crate::support::{Gateway, read_of, worker, write};

/// An upstream that resets every stream for this reason, or answers all where there is none, and
/// the number of streams that came.
async fn upstream(reason: Option<Reason>) -> (SocketAddr, Rc<Cell<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let streams: Rc<Cell<usize>> = Rc::default();
    let count = streams.clone();
    spawn_local(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let count = count.clone();
            spawn_local(async move {
                let mut connection = h2::server::handshake(socket).await.unwrap();
                while let Some(Ok((_request, mut respond))) = connection.accept().await {
                    count.set(count.get() + 1);
                    if let Some(reason) = reason {
                        respond.send_reset(reason);
                    } else {
                        let answer = Response::builder().status(StatusCode::OK).body(()).unwrap();
                        let mut body = respond.send_response(answer, false).unwrap();
                        body.send_data(Bytes::from_static(b"ok"), true).unwrap();
                    }
                }
            });
        }
    });
    (address, streams)
}

#[test]
fn a_stream_that_was_not_looked_at_goes_again_and_one_that_was_reset_only_where_that_is_safe() {
    worker(async {
        let kinds = [read_of(), write(None), write(Some(Repeat::NotApplied)), write(Some(Repeat::Always))];
        for (reason, expected) in [
            (Some(Reason::REFUSED_STREAM), [3, 1, 3, 3]),
            (Some(Reason::INTERNAL_ERROR), [3, 1, 1, 3]),
            (None, [1, 1, 1, 1]),
        ] {
            for (ask, times) in kinds.clone().into_iter().zip(expected) {
                let (address, streams) = upstream(reason).await;
                let settings = r#", "protocol": "http2", "breaker": { "consecutive": 0 }"#;
                let soon =
                    RetriesInput { tries: 3, base: Span::millis(2), cap: Span::millis(5), budget: 0.2 };
                let gateway = Gateway::new(&[address], settings, soon);
                let answer = gateway.ask(ask.clone()).await;
                assert_eq!(streams.get(), times, "{reason:?} {ask:?}");
                let outcome = match reason {
                    None => Outcome::Final,
                    Some(Reason::REFUSED_STREAM) => Outcome::NotApplied,
                    Some(_) => Outcome::Unknown,
                };
                assert_eq!(answer.outcome, outcome, "{reason:?} {ask:?}");
            }
        }
    });
}

#[test]
fn an_upstream_that_looks_at_nothing_is_not_asked_twice_as_often() {
    worker(async {
        let (address, streams) = upstream(Some(Reason::REFUSED_STREAM)).await;
        let settings = r#", "protocol": "http2", "breaker": { "consecutive": 0 }"#;
        let soon = RetriesInput { tries: 3, base: Span::millis(1), cap: Span::millis(1), budget: 0.2 };
        let gateway = Gateway::new(&[address], settings, soon);
        for _ in 0..500 {
            assert_eq!(gateway.ask(read_of()).await.code, "upstream_reset");
        }
        assert!((550..=600).contains(&streams.get()), "{} streams", streams.get());
    });
}
