//! The way out: announced, then closed.

use std::time::Duration;

use http::{StatusCode, header};
use hyper_util::rt::TokioIo;
use sluicegate_server::{Closed, Inherited};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::rig::{
    Rig, calm, encrypted, eventually, get, http1, http2, in_time, plain, post, read, tls, to_end,
};

/// As long as anything is waited for: what takes this long has failed. Shorter than `calm`'s timers.
const LONG: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn once_announced_each_answer_is_the_last_and_new_clients_are_served() {
    let rig = Rig::start(2, calm());
    let (mut kept, mut kept2) = (http1(rig.raw().await).await, http2(rig.raw().await).await);
    let response = kept.send_request(get("/worker")).await.unwrap();
    assert!(!response.headers().contains_key(header::CONNECTION));
    read(response).await;
    read(kept2.send_request(get("/worker")).await.unwrap()).await;
    let (mut running, mut running2) = (http1(rig.raw().await).await, http2(rig.raw().await).await);
    let running = tokio::spawn(async move { running.send_request(get("/hold")).await.unwrap() });
    let running2 =
        tokio::spawn(async move { read(running2.send_request(get("/hold")).await.unwrap()).await });
    rig.begun(2).await;

    rig.server.announce_drain();
    eventually("GOAWAY to reach the HTTP/2 client", || kept2.is_closed()).await;
    assert!(!kept.is_closed(), "an HTTP/1.1 client at rest is not surprised");
    kept.ready().await.unwrap();
    let response = kept.send_request(get("/worker")).await.unwrap();
    assert_eq!(response.headers()[header::CONNECTION], "close");
    read(response).await;

    let response = http1(rig.raw().await).await.send_request(get("/worker")).await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()[header::CONNECTION]),
        (StatusCode::OK, &"close".parse().unwrap())
    );
    let mut new2 = http2(rig.raw().await).await;
    assert_eq!(read(new2.send_request(post("/", "new")).await.unwrap()).await, "new");
    eventually("GOAWAY after the first answer", || new2.is_closed()).await;

    rig.let_go();
    let response = running.await.unwrap();
    assert_eq!(response.headers()[header::CONNECTION], "close");
    assert_eq!((read(response).await.as_str(), running2.await.unwrap().as_str()), ("held", "held"));
    eventually("all to have gone", || rig.server.open_connections() == 0).await;
    assert_eq!(rig.server.close(LONG, async {}).await, Closed { finished: 0, aborted: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn close_ends_what_rests_answers_what_runs_and_refuses_nobody_it_let_in() {
    let rig = Rig::start(2, calm());
    let address = rig.address();
    let (mut resting, mut resting2) = (http1(rig.raw().await).await, http2(rig.raw().await).await);
    read(resting.send_request(get("/worker")).await.unwrap()).await;
    read(resting2.send_request(get("/worker")).await.unwrap()).await;
    let (mut running, mut running2) = (http1(rig.raw().await).await, http2(rig.raw().await).await);
    let running = tokio::spawn(async move { read(running.send_request(get("/hold")).await.unwrap()).await });
    let running2 =
        tokio::spawn(async move { read(running2.send_request(get("/hold")).await.unwrap()).await });
    rig.begun(2).await;
    let mut half = rig.raw().await;
    half.write_all(b"GET /worker HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut first = Vec::new();
    while !first.ends_with(b"\r\n\r\n0") && !first.ends_with(b"\r\n\r\n1") {
        first.push(in_time("the first answer", half.read_u8()).await.unwrap());
    }
    half.write_all(b"GET /worker HTTP/1.1\r\nho").await.unwrap();
    let mut fresh = rig.raw().await;
    eventually("all to be accepted", || rig.server.open_connections() == 6).await;

    let close = rig.server.close(LONG, async {});
    let clients = async {
        eventually("the resting ones to be closed", || resting.is_closed() && resting2.is_closed()).await;
        half.write_all(b"st: a\r\n\r\n").await.unwrap();
        fresh.write_all(b"GET /worker HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        for socket in [&mut half, &mut fresh] {
            let answer = to_end(socket).await;
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close"), "{answer}");
        }
        rig.let_go();
        assert_eq!((running.await.unwrap().as_str(), running2.await.unwrap().as_str()), ("held", "held"));
    };
    let (closed, ()) = tokio::join!(close, clients);
    assert_eq!(closed, Closed { finished: 6, aborted: 0 });
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
    for reason in ["header_timeout", "io", "parse", "panic"] {
        assert_eq!(rig.errors(reason), 0, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_within_the_limit_is_dropped() {
    let rig = Rig::start(2, calm());
    let mut running = http1(rig.raw().await).await;
    let running = tokio::spawn(async move { running.send_request(get("/hold")).await });
    let mut request = get("/upgrade");
    request.headers_mut().insert(header::CONNECTION, "upgrade".parse().unwrap());
    request.headers_mut().insert(header::UPGRADE, "echo".parse().unwrap());
    let response = http1(rig.raw().await).await.send_request(request).await.unwrap();
    let mut upgraded = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    rig.begun(1).await;
    let closed = in_time("close", rig.server.close(Duration::from_millis(200), async {})).await;
    assert_eq!(closed, Closed { finished: 0, aborted: 2 });
    assert!(running.await.unwrap().is_err());
    assert!(matches!(upgraded.read(&mut [0]).await, Ok(0) | Err(_)));
    assert_eq!(rig.server.open_connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_connections_that_stay_silent_do_not_hold_the_close_up() {
    let rig = Rig::bare(1, calm(), Inherited::none());
    let connector = rig.certificate("a", &["http/1.1"]);
    rig.listen(&[plain("127.0.0.1:0"), tls("127.0.0.2:0", "a")]);
    let mut silent = rig.raw().await;
    let encrypted_address = rig.server.addresses()[1].address;
    let mut no_handshake = TcpStream::connect(encrypted_address).await.unwrap();
    let mut no_request = encrypted(&connector, encrypted_address).await.unwrap();
    eventually("all to be accepted", || rig.server.open_connections() == 3).await;
    let closed = in_time("close", rig.server.close(LONG, async {})).await;
    assert_eq!(closed, Closed { finished: 3, aborted: 0 });
    assert_eq!(to_end(&mut silent).await, "");
    assert_eq!(to_end(&mut no_handshake).await, "");
    // No close_notify was owed: nothing was ever said.
    assert!(matches!(no_request.read(&mut [0]).await, Ok(0) | Err(_)));
}
