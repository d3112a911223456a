//! Listeners and certificates come and go without refusing a connection.

use std::net::{SocketAddr, TcpListener};

use sluicegate_tests::{
    Client, Folder, Gateway, Raw, Upstream, client::get, config, eventually, load::Load, tls::Authority,
};

/// A port that was free a moment ago.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn listening(upstream: &Upstream, addresses: &[SocketAddr]) -> String {
    let list: Vec<String> = addresses.iter().map(|address| format!("{{ address: \"{address}\" }}")).collect();
    let kept = r#"listen: [{ address: "127.0.0.1:0" }]"#;
    config(&upstream.url(), "").replace(kept, &format!("listen: [{}]", list.join(", ")))
}

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn listeners_come_and_go_and_the_one_that_stays_notices_nothing() {
    let upstream = Upstream::start().await;
    upstream.brief();
    let (stays, moves) = (free(), free());
    let gateway = Gateway::start(&listening(&upstream, &[stays]));
    let load = Load::start(stays, 8, "/load");
    eventually("the load runs", || load.reads() > 100).await;
    for round in 0..20 {
        let answer = gateway.put_config("", &listening(&upstream, &[stays, moves])).await;
        assert_eq!(answer.status, 200, "{round}: {answer:?}");
        // In effect means: it accepts.
        let mut kept = Raw::connect(moves).await;
        assert_eq!(kept.ask(GET).await.status, 200);
        let answer = gateway.put_config("", &listening(&upstream, &[stays])).await;
        assert_eq!(answer.status, 200, "{round}: {answer:?}");
        eventually("it no longer accepts", || std::net::TcpStream::connect(moves).is_err()).await;
        assert_eq!(kept.ask(GET).await.status, 200, "a connection that stands is not closed by it");
    }
    let account = load.stop().await;
    assert_eq!(account.failed().len(), 0, "{:?}", account.failed().first());
    assert_eq!((account.closed, account.announced), (0, 0));
    assert!(gateway.listening().contains(&moves), "the log says that it listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_moves_refuses_no_connection() {
    let upstream = Upstream::start().await;
    let (stays, taken) = (free(), TcpListener::bind("127.0.0.1:0").unwrap());
    let gateway = Gateway::start(&listening(&upstream, &[stays]));
    let answer = gateway.put_config("", &listening(&upstream, &[stays, taken.local_addr().unwrap()])).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    for _ in 0..200 {
        assert_eq!(Raw::connect(stays).await.ask(GET).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_serves_new_connections_and_leaves_the_old_ones() {
    let (authority, upstream) = (Authority::default(), Upstream::start().await);
    let (old, new) = (authority.identity(), authority.identity());
    let folder = Folder::default();
    folder.write("server.pem", &old.cert).write("server.key", &old.key);
    let tls = r#"listen: [{ address: "127.0.0.1:0", tls: { cert: server.pem, key: server.key } }]"#;
    let plain = r#"listen: [{ address: "127.0.0.1:0" }]"#;
    let document = |extra: &str| config(&upstream.url(), extra).replace(plain, tls);
    let gateway = folder.start(&document(""));
    let shown = async || {
        let stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
        let stream =
            authority.client(&["h2"]).connect("localhost".try_into().unwrap(), stream).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(shown().await, old.der());
    let mut before = Client::tls(gateway.address(), &authority, &["h2"]).await;
    assert_eq!(before.ask(get("/")).await.status, 200);

    // Half of a pair is no pair: nothing changes.
    gateway.folder().replace("server.pem", &new.cert);
    assert!(gateway.cli(&["reload"]).await.code != 0);
    assert_eq!(shown().await, old.der());
    gateway.folder().replace("server.key", &new.key);
    assert_eq!(gateway.cli(&["reload"]).await.code, 0);
    assert_eq!(shown().await, new.der());
    assert_eq!(before.ask(get("/")).await.status, 200, "the old connection goes on");
}
