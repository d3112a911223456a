//! Listeners and certificates come and go while clients run.

use std::{
    net::TcpListener,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
};

use sluicegate_server::{ConnSettings, Inherited};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::rig::{
    Rig, calm, encrypted, eventually, get, http1, http2, in_time, plain, post, read, tls, to_end,
};

#[tokio::test(flavor = "multi_thread")]
async fn commits_come_and_go_and_no_client_notices() {
    let rig = Rig::start(2, calm());
    let kept = rig.address();
    let mut long_lived = http2(rig.raw().await).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut served = 0;
                while !stop.load(Ordering::Relaxed) {
                    let mut client = http1(TcpStream::connect(kept).await.unwrap()).await;
                    for _ in 0..3 {
                        client.ready().await.unwrap();
                        assert_eq!(read(client.send_request(post("/", "x")).await.unwrap()).await, "x");
                        served += 1;
                    }
                }
                served
            })
        })
        .collect();
    for _ in 0..50 {
        rig.listen(&[plain("127.0.0.1:0"), plain("127.0.0.2:0")]);
        let added = rig.server.addresses();
        assert_eq!(added[0].address, kept, "a kept listener keeps the port it was given");
        let mut socket = TcpStream::connect(added[1].address).await.unwrap();
        socket.write_all(b"GET /worker HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(to_end(&mut socket).await.starts_with("HTTP/1.1 200 "));
        rig.listen(&[plain("127.0.0.1:0")]);
        assert_eq!(read(long_lived.send_request(post("/", "y")).await.unwrap()).await, "y");
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_listener_serves_everyone_it_let_in_and_frees_its_address() {
    let rig = Rig::start(1, ConnSettings { max_connections: 1, ..calm() });
    let removed = rig.address();
    let mut first = http1(rig.raw().await).await;
    read(first.send_request(get("/worker")).await.unwrap()).await;
    // At the cap these wait in the kernel, connected but not accepted.
    let mut queued = Vec::new();
    for _ in 0..20 {
        let mut socket = TcpStream::connect(removed).await.unwrap();
        socket.write_all(b"GET /worker HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        queued.push(socket);
    }
    assert_eq!(rig.server.open_connections(), 1);
    rig.listen(&[]);
    for mut socket in queued {
        assert!(to_end(&mut socket).await.starts_with("HTTP/1.1 200 "));
    }
    first.ready().await.unwrap();
    assert_eq!(read(first.send_request(post("/", "still here")).await.unwrap()).await, "still here");
    // It can be bound again at once, here or elsewhere.
    rig.listen(&[plain(removed)]);
    assert_eq!(rig.address(), removed);
    rig.listen(&[]);
    assert!(rig.server.addresses().is_empty());
    let mut free = TcpListener::bind(removed);
    let began = std::time::Instant::now();
    while free.is_err() && began.elapsed().as_secs() < 10 {
        tokio::task::yield_now().await;
        free = TcpListener::bind(removed);
    }
    assert!(free.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_serves_new_connections_and_old_ones_go_on() {
    let rig = Rig::bare(1, calm(), Inherited::none());
    let (old, new) = (rig.certificate("old", &["http/1.1"]), rig.certificate("new", &["http/1.1"]));
    rig.listen(&[tls("127.0.0.1:0", "old")]);
    let address = rig.address();
    let mut before = http1(encrypted(&old, address).await.unwrap()).await;
    read(before.send_request(get("/worker")).await.unwrap()).await;
    assert!(encrypted(&new, address).await.is_err(), "the new one is not served yet");

    rig.listen(&[tls("127.0.0.1:0", "new")]);
    assert_eq!(rig.address(), address);
    assert!(rig.server.addresses()[0].tls);
    let mut after = http1(encrypted(&new, address).await.unwrap()).await;
    read(after.send_request(get("/worker")).await.unwrap()).await;
    before.ready().await.unwrap();
    assert_eq!(read(before.send_request(post("/", "old")).await.unwrap()).await, "old");

    rig.listen(&[plain("127.0.0.1:0")]);
    let mut in_the_clear = http1(rig.raw().await).await;
    assert_eq!(read(in_the_clear.send_request(post("/", "plain")).await.unwrap()).await, "plain");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_prepared_changes_nothing() {
    let rig = Rig::start(1, calm());
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap();
    let own = rig.address();
    let listen = [plain("127.0.0.3:0"), plain(taken), plain(format!("0.0.0.0:{}", own.port()))];
    let problems = rig.server.prepare(&listen, rig.dir.path()).unwrap_err();
    assert_eq!(problems[0].0, "listen[1].address");
    assert!(problems[0].1.starts_with(&format!("{taken} is in use by another process")), "{}", problems[0].1);
    assert_eq!(problems[1].0, "listen[2].address");
    assert!(problems[1].1.contains("another listener of this gateway"), "{}", problems[1].1);
    let problems = rig.server.prepare(&[tls("127.0.0.1:0", "none")], rig.dir.path()).unwrap_err();
    assert_eq!(problems[0].0, "listen[0].tls.cert");
    assert_eq!(rig.server.addresses().len(), 1);
    let mut client = http1(rig.raw().await).await;
    assert_eq!(read(client.send_request(post("/", "x")).await.unwrap()).await, "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passed_in_socket_is_used_given_up_and_used_again() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // A client that came before the server was there.
    let mut early = TcpStream::connect(address).await.unwrap();
    early.write_all(b"GET /worker HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let rig = Rig::bare(1, calm(), Inherited::from_iter([(Some("web".to_owned()), socket)]));
    rig.listen(&[plain(address)]);
    assert!(to_end(&mut early).await.starts_with("HTTP/1.1 200 "));
    rig.listen(&[]);
    let mut between = TcpStream::connect(address).await.unwrap();
    between.write_all(b"GET /worker HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    rig.listen(&[plain("systemd:web")]);
    assert_eq!(rig.address(), address);
    assert!(to_end(&mut between).await.starts_with("HTTP/1.1 200 "));
    let problems = rig.server.prepare(&[plain("systemd:other")], rig.dir.path()).unwrap_err();
    assert!(problems[0].1.contains("FileDescriptorName=other"), "{}", problems[0].1);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_settings_are_for_new_connections() {
    let rig = Rig::start(1, calm());
    let mut before = http1(rig.raw().await).await;
    read(before.send_request(get("/worker")).await.unwrap()).await;
    let prepared = rig.server.prepare(&[plain("127.0.0.1:0")], rig.dir.path()).unwrap();
    let idle = std::time::Duration::from_millis(100);
    rig.server.commit(prepared, ConnSettings { idle, ..calm() });
    let mut after = http1(rig.raw().await).await;
    read(after.send_request(get("/worker")).await.unwrap()).await;
    eventually("the new one to be closed", || after.is_closed()).await;
    assert!(!before.is_closed());
    before.ready().await.unwrap();
    in_time("the old one", before.send_request(get("/worker"))).await.unwrap();
}
