//! The timers, with real time set short. Nothing asserts how fast something is.

use std::time::{Duration, Instant};

use sluicegate_server::ConnSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{Rig, calm, eventually, get, http1, http2, in_time, plain, read, tls, to_end};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_dripping_head_is_answered_408_however_busy_it_drips() {
    let rig = Rig::start(1, ConnSettings { header_read: SHORT, ..calm() });
    for first in [&b""[..], b"GET /worker HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let (mut reading, mut writing) = rig.raw().await.into_split();
        writing.write_all(first).await.unwrap();
        writing.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let drip = tokio::spawn(async move {
            while writing.write_all(b"a: b\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let answer = to_end(&mut reading).await;
        let answers = usize::from(!first.is_empty());
        assert_eq!(answer.matches("HTTP/1.1 200 ").count(), answers, "{answer}");
        assert!(
            answer
                .ends_with("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        );
        drop(reading);
        drip.abort();
    }
    eventually("both to be counted", || rig.errors("header_timeout") == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_is_closed_without_an_answer() {
    let rig =
        Rig::bare(1, ConnSettings { header_read: SHORT, ..calm() }, sluicegate_server::Inherited::none());
    rig.certificate("a", &[]);
    rig.listen(&[tls("127.0.0.1:0", "a")]);
    assert_eq!(to_end(&mut rig.raw().await).await, "", "no handshake");
    rig.listen(&[plain("127.0.0.1:0")]);
    assert_eq!(to_end(&mut rig.raw().await).await, "", "no byte");
    let mut part = rig.raw().await;
    part.write_all(b"PRI * HT").await.unwrap();
    assert_eq!(to_end(&mut part).await, "", "no whole preface");
    eventually("all to be counted", || rig.errors("header_timeout") == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_at_rest_is_closed_and_a_busy_one_is_not() {
    let rig = Rig::start(1, ConnSettings { idle: SHORT, header_read: SHORT, ..calm() });
    let (mut resting, mut resting2) = (http1(rig.raw().await).await, http2(rig.raw().await).await);
    let (mut busy, mut busy2) = (http1(rig.raw().await).await, http2(rig.raw().await).await);
    assert_eq!(read(resting.send_request(get("/worker")).await.unwrap()).await, "0");
    assert_eq!(read(resting2.send_request(get("/worker")).await.unwrap()).await, "0");
    let busy = tokio::spawn(async move { read(busy.send_request(get("/hold")).await.unwrap()).await });
    let busy2 = tokio::spawn(async move { read(busy2.send_request(get("/hold")).await.unwrap()).await });
    rig.begun(2).await;
    let began = Instant::now();
    eventually("the resting ones to be closed", || resting.is_closed() && resting2.is_closed()).await;
    eventually("the resting ones to be counted off", || rig.server.open_connections() == 2).await;
    // The busy ones outlive several rests.
    tokio::time::sleep((4 * SHORT).saturating_sub(began.elapsed())).await;
    rig.let_go();
    assert_eq!((busy.await.unwrap().as_str(), busy2.await.unwrap().as_str()), ("held", "held"));
    eventually("all to be closed", || rig.server.open_connections() == 0).await;
    for reason in ["header_timeout", "io", "parse", "write_stall"] {
        assert_eq!(rig.errors(reason), 0, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_of_its_answer_is_dropped() {
    let rig = Rig::start(1, ConnSettings { write_stall: SHORT, ..calm() });
    let mut stalled = rig.raw().await;
    stalled.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut taking = rig.raw().await;
    taking.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut some = vec![0; 256 * 1024];
    while rig.errors("write_stall") == 0 {
        in_time("more of the answer", taking.read_exact(&mut some)).await.unwrap();
    }
    in_time("more of the answer", taking.read_exact(&mut some)).await.unwrap();
    eventually("only the other to be left", || rig.server.open_connections() == 1).await;
}
