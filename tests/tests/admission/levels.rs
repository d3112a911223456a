//! What a reload changes: the numbers that are new in it, and nothing else.

use std::net::TcpListener;

use serde_json::Value;
use sluicegate_tests::{Gate, Gateway, Upstream, eventually};

use crate::{Rules, admission, ask, found, held, reload, remaining, send, until};

/// One bucket of each kind, in which nothing runs in while a test lasts.
const ROUTES: &[(&str, &str)] = &[
    ("route", "limits: { rps: 0.001, burst: 10, concurrent: 1, queue: 3 }"),
    ("tenant", "limits: { rps: 0.001, burst: 20, per: tenant }"),
];

const RULES: Rules = Rules {
    upstream: "concurrent: 9",
    routes: ROUTES,
    extra: "limits: { global: { rps: 0.001, burst: 30 } }\nlanes: { interactive: { rps: 0.001, burst: 40 } }\n\
            tenants: { from: { header: x-tenant-id } }",
};

/// What is left in the buckets of route, lane and gateway.
async fn shared(gateway: &Gateway) -> [u64; 3] {
    let mut levels = [0; 3];
    for (level, (kind, name)) in
        levels.iter_mut().zip([("route", "route"), ("lane", "interactive"), ("global", "global")])
    {
        *level = remaining(gateway, kind, name).await;
    }
    levels
}

/// What is left to a tenant, once it has asked again.
async fn of_tenant(gateway: &Gateway, tenant: &str) -> u64 {
    let answer = ask(gateway, "/tenant/x", &format!("X-Tenant-Id: {tenant}\r\n")).await;
    assert_eq!(answer.status, 200, "{answer:?} {}", answer.text());
    let told = answer.fields.get("ratelimit").unwrap();
    told.strip_prefix("\"tenant\";r=").and_then(|rest| rest.split(';').next()?.parse().ok()).unwrap()
}

/// Takes three of the route and one of a tenant, and so four of lane and gateway.
async fn begin() -> (Upstream, Gateway) {
    let (upstream, gateway) = RULES.start().await;
    for _ in 0..3 {
        assert_eq!(ask(&gateway, "/route/x", "").await.status, 200);
    }
    assert_eq!(of_tenant(&gateway, "acme").await, 19);
    assert_eq!(shared(&gateway).await, [7, 36, 26]);
    (upstream, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_outlive_it_unless_their_own_numbers_change() {
    let (upstream, gateway) = begin().await;
    // Much else, among it the order of the routes and what the buckets are not made of.
    let rules = Rules {
        upstream: "concurrent: 8",
        routes: &[
            ("new", "limits: { rps: 1 }"),
            ("tenant", "limits: { rps: 0.001, burst: 20, per: tenant, deadline: 5s }"),
            ("route", "limits: { rps: 0.001, burst: 10, concurrent: 5, cost: 2 }"),
        ],
        extra: "limits: { global: { rps: 0.001, burst: 30 }, deadline: 30s }\n\
                lanes: { from: { header: x-lane }, interactive: { rps: 0.001, burst: 40 }, batch: { rps: 1 } }\n\
                tenants: { from: { header: x-tenant-id }, classes: { free: { multiplier: 0.5, members: [guest] } } }",
    };
    reload(&gateway, &upstream, &rules).await;
    assert_eq!(shared(&gateway).await, [7, 36, 26]);
    assert_eq!(of_tenant(&gateway, "acme").await, 18);

    // One's own numbers: a new bucket, which is full. The others stay.
    let table: [(&str, [u64; 3], u64); 3] = [
        ("global: { rps: 0.001, burst: 31 }", [7, 35, 31], 17),
        ("global: { rps: 0.002, burst: 31 }", [7, 34, 31], 16),
        ("global: { rps: 0.002, burst: 31 }, deadline: 7s", [7, 33, 30], 15),
    ];
    for (limits, levels, tenant) in table {
        let extra = format!(
            "limits: {{ {limits} }}\nlanes: {{ interactive: {{ rps: 0.001, burst: 40 }} }}\n\
             tenants: {{ from: {{ header: x-tenant-id }} }}"
        );
        let rules = Rules { extra: extra.leak(), ..RULES };
        reload(&gateway, &upstream, &rules).await;
        assert_eq!(shared(&gateway).await, levels, "{limits}");
        assert_eq!(of_tenant(&gateway, "acme").await, tenant, "{limits}");
    }
    let routes = &[
        ("route", "limits: { rps: 0.001, burst: 11 }"),
        ("tenant", "limits: { rps: 0.001, burst: 21, per: tenant }"),
    ];
    reload(&gateway, &upstream, &Rules { routes, ..RULES }).await;
    assert_eq!((remaining(&gateway, "route", "route").await, of_tenant(&gateway, "acme").await), (11, 20));
    // Back to what it was: the old levels are gone with the old numbers.
    reload(&gateway, &upstream, &RULES).await;
    assert_eq!((remaining(&gateway, "route", "route").await, of_tenant(&gateway, "acme").await), (10, 19));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_refused_changes_nothing() {
    let (upstream, gateway) = begin().await;
    let gate = Gate::default();
    upstream.on("/route/held", held(&gate));
    let first = send(&gateway, "/route/held", "");
    eventually("it runs", || upstream.count("/route/held") == 1).await;
    let second = send(&gateway, "/route/held", "");
    until(&gateway, "route", 1, 1).await;
    let before = known(&gateway).await;

    // Valid by itself, and every limit is another; but it cannot be run, or not be read.
    let rules = Rules {
        upstream: "concurrent: 7",
        routes: &[
            ("route", "limits: { rps: 7, burst: 70, concurrent: 7, queue: 70 }"),
            ("tenant", "limits: { rps: 7, burst: 70, per: tenant, concurrent: 7 }"),
        ],
        extra: "limits: { global: { rps: 7, burst: 70 } }\nlanes: { interactive: { rps: 7, burst: 70 } }\n\
                tenants: { from: { header: x-tenant-id } }",
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = format!("listen: [{{ address: \"{}\" }}]", taken.local_addr().unwrap());
    let document = rules.document(&upstream.url());
    let broken = [
        document.replace("listen: [{ address: \"127.0.0.1:0\" }]", &other),
        format!("{document}access_log: {{ path: none/access.log }}\n"),
        document.replace("burst: 70", "burst: -70"),
        format!("{document}nonsense: {{"),
    ];
    for document in broken {
        let answer = gateway.put_config("", &document).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "config_invalid"), "{answer:?}");
        assert_eq!(known(&gateway).await, before, "{document}");
        assert_eq!(
            upstream.count("/route/held"),
            1,
            "one that waits was let in by a document that never ran"
        );
    }
    gate.open();
    assert_eq!((first.await.unwrap().status, second.await.unwrap().status), (200, 200));
    assert_eq!(shared(&gateway).await, [5, 34, 24]);
    assert_eq!(of_tenant(&gateway, "acme").await, 18);
}

/// All that the status shows of what was there from the beginning.
async fn known(gateway: &Gateway) -> Vec<Value> {
    let shown = admission(gateway).await;
    let queues = ["route", "tenant"].map(|route| found(&shown["queues"], &[("route", route)]));
    queues.into_iter().chain([shown["buckets"].clone(), shown["upstreams"].clone()]).collect()
}
