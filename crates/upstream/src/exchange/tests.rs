use std::{net::Ipv4Addr, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use prometheus_client::registry::Registry;
use sluicegate_core::{Access, Chance, Classified, Facts, Lane, RoutePlan};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Handle,
    sync::Notify,
    task::LocalSet,
    time::Instant,
};

use super::{Exchange, Pools};
use crate::{
    Retries, RouteTimeouts, Upstream, UpstreamMetrics, UpstreamPlan, UpstreamSettings, Upstreams,
    input::UpstreamInput,
};

fn upstream(url: &str) -> Arc<Upstream> {
    upstream_over("auto", url)
}

fn upstream_over(protocol: &str, url: &str) -> Arc<Upstream> {
    let input = serde_json::json!({ "endpoints": [url], "protocol": protocol });
    let input: UpstreamInput = serde_json::from_value(input).unwrap();
    let settings = UpstreamSettings::check("main", &input, &std::path::Path::to_owned).unwrap();
    let metrics = UpstreamMetrics::register(&mut Registry::default());
    Upstreams::new(metrics, Handle::current()).prepare(vec![settings]).get("main").unwrap().clone()
}

/// A read of `path` on a route that leads there.
fn request(upstream: &Arc<Upstream>, path: &str) -> Request<Full<Bytes>> {
    let second = Duration::from_secs(1);
    let plan = UpstreamPlan {
        upstream: upstream.clone(),
        timeouts: RouteTimeouts {
            connect: second,
            per_try: None,
            deadline: second,
            stream_idle: 20 * second,
        },
        retries: Retries { tries: 3, base: second, cap: second, budget: 0.2 },
        preserve_host: false,
        rewrite: None,
        whole: false,
        second: None,
    };
    let client = Some(Ipv4Addr::LOCALHOST.into());
    let facts = Facts::new(HeaderValue::from_static("id"), client, Instant::now(), false);
    facts.classify(Classified {
        route: Arc::new(RoutePlan::new("all", "main").with(plan)),
        access: Access::Read,
        tenant: None,
        lane: Lane::Interactive,
        cost: 1,
        deadline: None,
        rpc: None,
    });
    let mut request = Request::builder().method(Method::GET).uri(path).body(Full::default()).unwrap();
    request.extensions_mut().insert(facts);
    request
}

/// The future of a request sits in its connection's slot: with all the layers around it, it must
/// stay under 2 KiB.
#[tokio::test]
async fn the_future_of_an_exchange_is_small() {
    let upstream = upstream("http://127.0.0.1:1");
    LocalSet::new()
        .run_until(async {
            let exchange = Exchange::begin(Pools::new(Chance::seeded(1)), request(&upstream, "/")).unwrap();
            let size = size_of_val(&exchange.run());
            // What is left is for the layers around it and for a larger body type.
            assert!(size <= 1792, "{size} bytes");
        })
        .await;
}

/// Answers what comes with `name`; `/slow` is not whole before `end` says so.
async fn serve(listener: TcpListener, name: &'static str, end: Rc<Notify>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let end = end.clone();
        tokio::task::spawn_local(async move {
            let mut head = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut head).await {
                let (begin, last) = name.split_at(1);
                let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{begin}", name.len());
                stream.write_all(text.as_bytes()).await.unwrap();
                if head[..read].starts_with(b"GET /slow") {
                    end.notified().await;
                }
                stream.write_all(last.as_bytes()).await.unwrap();
            }
        });
    }
}

#[tokio::test]
async fn a_connection_to_an_address_that_is_gone_gets_no_further_request() {
    let ask = async |pools: &Rc<Pools<_>>, upstream: &Arc<Upstream>, path: &str| {
        let exchange = Exchange::begin(pools.clone(), request(upstream, path)).unwrap();
        exchange.run().await.unwrap().into_body()
    };
    let whole = async |body: crate::ResponseBody<_>| body.collect().await.unwrap().to_bytes();
    LocalSet::new()
        .run_until(async {
            // Two hosts of one name have the same port.
            let (one, two) = loop {
                let one = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let port = one.local_addr().unwrap().port();
                if let Ok(two) = TcpListener::bind(("127.0.0.2", port)).await {
                    break (one, two);
                }
            };
            let (first, second) = (one.local_addr().unwrap(), two.local_addr().unwrap());
            let end = Rc::new(Notify::new());
            tokio::task::spawn_local(serve(one, "one", end.clone()));
            tokio::task::spawn_local(serve(two, "two", end.clone()));
            let upstream = upstream(&format!("http://{first}"));
            let pools = Pools::new(Chance::seeded(1));
            assert_eq!(whole(ask(&pools, &upstream, "/").await).await, "one");
            let under_way = ask(&pools, &upstream, "/slow").await;
            assert_eq!(whole(ask(&pools, &upstream, "/").await).await, "one", "and one connection is idle");
            upstream.endpoints[0].set_addresses(vec![second]);
            assert_eq!(whole(ask(&pools, &upstream, "/").await).await, "two");
            end.notify_waiters();
            assert_eq!(whole(under_way).await, "one", "what is under way goes on");
            for _ in 0..3 {
                assert_eq!(whole(ask(&pools, &upstream, "/").await).await, "two");
            }
        })
        .await;
}

#[tokio::test]
async fn a_connection_that_is_opened_while_its_address_goes_is_shared_with_nobody() {
    LocalSet::new()
        .run_until(async {
            let one = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (first, gone) = (one.local_addr().unwrap(), (Ipv4Addr::new(127, 0, 0, 2), 1).into());
            let upstream = upstream_over("http2", &format!("http://{first}"));
            let (endpoint, pools) = (&upstream.endpoints[0], Pools::<Full<Bytes>>::new(Chance::seeded(1)));
            let lease = async || pools.lease(endpoint, (1, 16 << 10), false).await.unwrap();
            let _kept = lease().await;
            assert!(pools.ready(endpoint, 1).is_some(), "others share what stands");
            let mut opening = std::pin::pin!(pools.lease(endpoint, (1, 16 << 10), true));
            assert!(futures_util::poll!(&mut opening).is_pending());
            endpoint.set_addresses(vec![gone]);
            assert!(pools.ready(endpoint, 1).is_none(), "what stood is not used on");
            let own = opening.await.unwrap();
            assert!(matches!(own.sender, crate::pool::Sender::Http2(_)), "whoever opened it has it");
            assert!(pools.ready(endpoint, 1).is_none());
        })
        .await;
}
