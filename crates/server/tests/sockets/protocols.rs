//! HTTP/1.1, HTTP/2 with prior knowledge, both over TLS, upgrades, and what is not HTTP.

use http::{StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{
    Rig, calm, encrypted, eventually, exchange, get, http1, http2, in_time, plain, post, read, tls,
};

#[tokio::test(flavor = "multi_thread")]
async fn http1_with_keep_alive_and_in_one_write() {
    let rig = Rig::start(1, calm());
    let mut client = http1(rig.raw().await).await;
    for body in ["one", "two", ""] {
        client.ready().await.unwrap();
        let response = client.send_request(post("/", body)).await.unwrap();
        assert_eq!((response.version(), response.status()), (Version::HTTP_11, StatusCode::OK));
        assert_eq!(read(response).await, body);
    }
    let two = "GET /worker HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()
        + "GET /worker HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answers = exchange(&mut rig.raw().await, two.as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_with_prior_knowledge_even_if_its_preface_drips() {
    let rig = Rig::start(1, calm());
    let client = http2(rig.raw().await).await;
    let streams: Vec<_> = (0..50)
        .map(|n| {
            let mut client = client.clone();
            async move { read(client.send_request(post("/", n.to_string())).await.unwrap()).await }
        })
        .collect();
    for (n, stream) in streams.into_iter().enumerate() {
        assert_eq!(stream.await, n.to_string());
    }
    let response = client.clone().send_request(get("/conn")).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert!(read(response).await.starts_with("http2=true tls=false name=None"));

    let (mut near, far) = tokio::io::duplex(4096);
    let mut socket = rig.raw().await;
    socket.set_nodelay(true).unwrap();
    tokio::spawn(async move {
        let mut byte = [0];
        // The preface byte by byte, each by itself.
        for _ in 0..24 {
            near.read_exact(&mut byte).await.unwrap();
            socket.write_all(&byte).await.unwrap();
            tokio::task::yield_now().await;
        }
        let _ = tokio::io::copy_bidirectional(&mut near, &mut socket).await;
    });
    assert_eq!(read(http2(far).await.send_request(post("/", "slow")).await.unwrap()).await, "slow");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_speaks_what_alpn_chose_and_knows_the_name() {
    let rig = Rig::bare(1, calm(), sluicegate_server::Inherited::none());
    let h2 = rig.certificate("a", &["h2", "http/1.1"]);
    rig.listen(&[tls("127.0.0.1:0", "a")]);
    let stream = encrypted(&h2, rig.address()).await.unwrap();
    let response = http2(stream).await.send_request(get("/conn")).await.unwrap();
    let local = rig.address();
    let told = read(response).await;
    assert!(told.starts_with("http2=true tls=true name=Some(\"localhost\")"), "{told}");
    assert!(told.ends_with(&format!("local={local}")), "{told}");

    let h1 = rig.certificate("a", &["http/1.1"]);
    rig.listen(&[tls("127.0.0.1:0", "a")]);
    let stream = encrypted(&h1, rig.address()).await.unwrap();
    let response = http1(stream).await.send_request(get("/conn")).await.unwrap();
    assert!(read(response).await.starts_with("http2=false tls=true"));

    // Plain bytes where TLS is spoken.
    let mut socket = rig.raw().await;
    socket.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let _ = socket.read_to_end(&mut Vec::new()).await;
    eventually("the failed handshake to be counted", || rig.errors("tls") == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_is_the_handlers_and_stays_counted() {
    let rig = Rig::start(1, calm());
    let mut request = get("/upgrade");
    request.headers_mut().insert(header::CONNECTION, "upgrade".parse().unwrap());
    request.headers_mut().insert(header::UPGRADE, "echo".parse().unwrap());
    let response = http1(rig.raw().await).await.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    for word in [&b"hello"[..], b"world"] {
        io.write_all(word).await.unwrap();
        let mut echoed = vec![0; word.len()];
        in_time("the echo", io.read_exact(&mut echoed)).await.unwrap();
        assert_eq!(echoed, word);
    }
    assert_eq!(rig.server.open_connections(), 1);
    drop(io);
    eventually("the connection to end", || rig.server.open_connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_large_or_not_http_are_answered_and_counted() {
    let rig = Rig::start(1, sluicegate_server::ConnSettings { max_header_bytes: 8192, ..calm() });
    // Just above the limit, and so much that a reset would come in between.
    for size in [9000, 8_000_000] {
        let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(size));
        let answer = exchange(&mut rig.raw().await, large.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    eventually("both to be counted", || rig.errors("too_large") == 2).await;

    let answer = exchange(&mut rig.raw().await, b"what is this\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    eventually("it to be counted", || rig.errors("parse") == 1).await;

    // A head just below the limit passes.
    let fits =
        format!("GET /worker HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {}\r\n\r\n", "x".repeat(8000));
    let answer = exchange(&mut rig.raw().await, fits.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let rig = Rig::start(1, calm());
    let mut socket = rig.raw().await;
    socket.write_all(b"POST /refuse HTTP/1.1\r\nhost: a\r\ncontent-length: 50000000\r\n\r\n").await.unwrap();
    // More than the socket's buffers hold: without a server that reads on, this is reset.
    let block = vec![0; 64 * 1024];
    for _ in 0..200 {
        in_time("the server to read on", socket.write_all(&block)).await.unwrap();
    }
    let mut answer = [0; 32];
    in_time("the answer", socket.read_exact(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_costs_its_connection_or_its_stream_and_nothing_else() {
    let rig = Rig::start(1, calm());
    let mut bystander = http1(rig.raw().await).await;
    assert_eq!(read(bystander.send_request(get("/worker")).await.unwrap()).await, "0");

    assert!(http1(rig.raw().await).await.send_request(get("/panic")).await.is_err());
    let mut client = http2(rig.raw().await).await;
    assert!(client.send_request(get("/panic")).await.is_err());
    assert_eq!(read(client.send_request(get("/worker")).await.unwrap()).await, "0");

    bystander.ready().await.unwrap();
    assert_eq!(read(bystander.send_request(get("/worker")).await.unwrap()).await, "0");
    eventually("both panics to be counted", || rig.errors("panic") == 2).await;
    eventually("the counts to be given back", || rig.metric("sluicegate_worker_requests{worker=\"0\"}") == 0)
        .await;
    assert_eq!(rig.server.open_connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_listener_knows_the_address_that_was_connected_to() {
    let rig = Rig::bare(1, calm(), sluicegate_server::Inherited::none());
    rig.listen(&[plain("0.0.0.0:0")]);
    let address = format!("127.0.0.1:{}", rig.address().port());
    let socket = tokio::net::TcpStream::connect(&address).await.unwrap();
    let told = read(http1(socket).await.send_request(get("/conn")).await.unwrap()).await;
    assert!(told.ends_with(&format!("local={address}")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_cannot_look_complete() {
    let rig = Rig::start(1, calm());
    let answer = exchange(&mut rig.raw().await, b"GET /broken HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\nstart\r\n"), "{answer}");
    let mut client = http2(rig.raw().await).await;
    let broken = client.send_request(get("/broken")).await.unwrap();
    assert!(in_time("the end", broken.into_body().collect()).await.is_err());
    assert_eq!(read(client.send_request(get("/worker")).await.unwrap()).await, "0");
    eventually("it to be counted", || rig.errors("aborted") == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_when_its_client_leaves() {
    let rig = Rig::start(1, calm());
    let in_flight = |rig: &Rig| rig.metric("sluicegate_worker_requests{worker=\"0\"}");
    let mut socket = rig.raw().await;
    socket.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut client = http2(rig.raw().await).await;
    let stream = tokio::spawn(async move { client.send_request(get("/hold")).await });
    rig.begun(2).await;
    assert_eq!(in_flight(&rig), 2);
    drop(socket);
    stream.abort();
    eventually("both requests to be dropped", || in_flight(&rig) == 0).await;
    eventually("both connections to end", || rig.server.open_connections() == 0).await;
}
