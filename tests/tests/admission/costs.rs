//! What a request takes, and from which buckets.

use sluicegate_tests::{Fenced, Gateway, Raw, Upstream, raw::RawAnswer};

use crate::{Rules, ask, assert_refused, count, remaining};

/// Sends `body` to a route, with its length or in one chunk.
async fn post(gateway: &Gateway, path: &str, body: &str, chunked: bool) -> RawAnswer {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n");
    let length = body.len();
    let rest = if chunked {
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")
    } else {
        format!("Content-Length: {length}\r\n\r\n{body}")
    };
    Raw::connect(gateway.address()).await.ask(head + &rest).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_takes_what_its_route_says_it_costs() {
    let rules = Rules {
        routes: &[
            ("fixed", "limits: { rps: 0.001, burst: 100, cost: 30 }"),
            ("header", "limits: { rps: 0.001, burst: 100, cost: { header: x-cost } }"),
            ("bytes", "limits: { rps: 0.001, burst: 100, max_body: 64KiB, cost: { per_bytes: 4KiB } }"),
        ],
        ..Rules::default()
    };
    let (_upstream, gateway) = rules.start().await;
    let level = async |route: &str| remaining(&gateway, "route", route).await;

    for expected in [70, 40, 10] {
        assert_eq!(ask(&gateway, "/fixed/x", "").await.status, 200);
        assert_eq!(level("fixed").await, expected);
    }
    assert_refused(&ask(&gateway, "/fixed/x", "").await, 429, "rate_limited");
    assert_eq!(level("fixed").await, 10);

    for (lines, expected) in [("X-Cost: 59\r\n", 41), ("", 40), ("X-Cost: 40\r\n", 0)] {
        assert_eq!(ask(&gateway, "/header/x", lines).await.status, 200, "{lines}");
        assert_eq!(level("header").await, expected, "{lines}");
    }
    for wrong in ["0", "-1", "1.5", "", "99999999999"] {
        let answer = ask(&gateway, "/header/x", &format!("X-Cost: {wrong}\r\n")).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{wrong}");
    }

    // A piece that is begun counts whole, a body of unknown length as the largest there may be.
    let sizes = [(0, false, 99), (1, false, 98), (4096, false, 97), (4097, false, 95), (10, true, 79)];
    for (size, chunked, expected) in sizes {
        let answer = post(&gateway, "/bytes/x", &"x".repeat(size), chunked).await;
        assert_eq!((answer.status, level("bytes").await), (200, expected), "{size} bytes: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_bucket_ever_holds_is_too_large_and_takes_nothing() {
    let rules = Rules {
        routes: &[("r", "limits: { rps: 0.001, burst: 10, cost: { header: x-cost } }")],
        extra: "limits: { global: { rps: 0.001, burst: 8 } }",
        ..Rules::default()
    };
    let (upstream, gateway) = rules.start().await;
    for (cost, bucket) in [(11, "global"), (9, "global")] {
        let answer = ask(&gateway, "/r/x", &format!("X-Cost: {cost}\r\n")).await;
        let problem = assert_refused(&answer, 413, "body_too_large");
        assert_eq!(problem["bucket"], bucket, "{problem}");
    }
    assert_eq!(upstream.seen().len(), 0);
    assert_eq!(
        (remaining(&gateway, "route", "r").await, remaining(&gateway, "global", "global").await),
        (10, 8)
    );
    assert_eq!(ask(&gateway, "/r/x", "X-Cost: 8\r\n").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_bucket_refuses_the_others_get_back() {
    let rules = Rules {
        routes: &[
            ("tenant", "limits: { rps: 0.001, burst: 5, per: tenant }"),
            ("route", "limits: { rps: 0.001, burst: 5 }"),
        ],
        extra: "limits: { global: { rps: 0.001, burst: 2 } }\ntenants: { from: { header: x-tenant-id } }",
        ..Rules::default()
    };
    let (_upstream, gateway) = rules.start().await;
    let lines = "X-Tenant-Id: acme\r\n";
    assert_eq!(ask(&gateway, "/tenant/x", lines).await.status, 200);
    assert_eq!(ask(&gateway, "/route/x", "").await.status, 200);
    for _ in 0..20 {
        for (path, named) in [("/tenant/x", "\"tenant\";r=4;"), ("/route/x", "\"route\";r=4;")] {
            let answer = ask(&gateway, path, lines).await;
            assert_eq!(assert_refused(&answer, 429, "rate_limited")["bucket"], "global");
            assert!(answer.fields.get("ratelimit").unwrap().starts_with(named), "{answer:?}");
        }
    }
    assert_eq!(remaining(&gateway, "route", "route").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_multiply_the_burst_and_each_tenant_has_its_own() {
    let rules = Rules {
        routes: &[("r", "limits: { rps: 0.001, burst: 4, per: tenant }")],
        extra: "tenants: { from: { header: x-tenant-id }, classes: { premium: { multiplier: 2.0, members: [acme] }, \
                free: { multiplier: 0.5, members: [guest] } } }",
        ..Rules::default()
    };
    let (_upstream, gateway) = rules.start().await;
    for (lines, burst) in [("acme", 8), ("plain", 4), ("other", 4), ("guest", 2), ("", 4)] {
        let lines = if lines.is_empty() { String::new() } else { format!("X-Tenant-Id: {lines}\r\n") };
        for taken in 0..burst {
            assert_eq!(ask(&gateway, "/r/x", &lines).await.status, 200, "{lines}: {taken} of {burst}");
        }
        assert_refused(&ask(&gateway, "/r/x", &lines).await, 429, "rate_limited");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_enforced_lets_everybody_in_and_counts() {
    let rules = Rules {
        routes: &[
            ("loose", "limits: { rps: 0.001, burst: 3, enforce: false, cost: { header: x-cost } }"),
            ("strict", "limits: { rps: 0.001, burst: 3 }"),
        ],
        ..Rules::default()
    };
    let (upstream, gateway) = rules.start().await;
    for _ in 0..10 {
        assert_eq!(ask(&gateway, "/loose/x", "").await.status, 200);
    }
    assert_eq!(ask(&gateway, "/loose/x", "X-Cost: 4\r\n").await.status, 200);
    assert_eq!(upstream.count("/loose/x"), 11);
    for status in [200, 200, 200, 429] {
        assert_eq!(ask(&gateway, "/strict/x", "").await.status, status);
    }
    let refused = async |bucket: &str, reason: &str, enforced: &str| {
        let labels = [
            &*format!("bucket=\"{bucket}\""),
            &*format!("reason=\"{reason}\""),
            &*format!("enforced=\"{enforced}\""),
        ];
        count(&gateway, "sluicegate_bucket_refused_total", &labels).await
    };
    assert_eq!(
        (refused("loose", "empty", "false").await, refused("loose", "too_large", "false").await),
        (7, 1)
    );
    assert_eq!((refused("strict", "empty", "true").await, refused("loose", "empty", "true").await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_from_the_record_pays_nothing_and_a_refusal_is_not_recorded() {
    let fenced = Fenced { extra: "limits: { rps: 0.001, burst: 2 }".to_owned(), ..Fenced::default() };
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&fenced.document(&upstream.url()));
    let write = async |key: &str| {
        let head = "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n";
        let request = format!("{head}Idempotency-Key: {key}\r\n\r\n{{}}");
        let answer = Raw::connect(gateway.address()).await.ask(request).await;
        (answer.status, answer.fields.get("idempotency-replayed").is_some())
    };
    for (key, level) in [("a", 1), ("b", 0)] {
        assert_eq!(write(key).await, (200, false));
        for _ in 0..5 {
            assert_eq!(write(key).await, (200, true));
        }
        assert_eq!(remaining(&gateway, "route", "ingest").await, level);
    }
    assert_eq!(write("c").await, (429, false));
    assert_eq!((write("a").await, write("b").await), ((200, true), (200, true)));
    // With room again, the key that was refused is a new one.
    let wider = Fenced { extra: "limits: { rps: 0.001, burst: 3 }".to_owned(), ..Fenced::default() };
    assert_eq!(gateway.put_config("", &wider.document(&upstream.url())).await.status, 200);
    assert_eq!(write("c").await, (200, false));
    assert_eq!(upstream.count("/x"), 3);
}
