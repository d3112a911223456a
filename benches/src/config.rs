//! The documents that the measured gateways run.

use std::{fmt::Write, net::SocketAddr};

/// The name of the route that the load reads from.
pub const READS: &str = "read";

/// One worker, no access log, in-memory state, the routes that the load takes.
#[must_use]
pub fn gateway(upstream: SocketAddr) -> String {
    format!(
        "
listen: [{{ address: 127.0.0.1:0 }}]
admin: {{ address: 127.0.0.1:0 }}
store: {{ memory: {{}} }}
workers: 1
upstreams:
  stable: {{ endpoints: [\"http://{upstream}\"] }}
routes:
  - {{ name: {READS}, match: {{ path: \"/v1/documents/{{id}}\", methods: [GET] }}, upstream: stable }}
  - {{ name: write, match: {{ path: /v1/documents, methods: [POST] }}, upstream: stable }}
log: {{ level: error }}
"
    )
}

/// The same with a freeze on that covers the reads' route: they pass and carry its header,
/// writes on the other route take the barrier and find a freeze that does not cover them.
#[must_use]
pub fn frozen(upstream: SocketAddr) -> String {
    let window = format!(
        "
freeze:
  windows:
    - id: reindex
      start: 2020-01-01T00:00:00Z
      end: 2200-01-01T00:00:00Z
      scope: {{ routes: [{READS}] }}
"
    );
    gateway(upstream) + &window
}

/// One route of writes over this store, fenced by their keys or not.
#[must_use]
pub fn writes(upstream: SocketAddr, store: &str, keyed: bool) -> String {
    let fenced = ", idempotency: { required: true, ttl: 10s, wait: 2s }";
    let fenced = if keyed { fenced } else { "" };
    format!(
        "
listen: [{{ address: 127.0.0.1:0 }}]
admin: {{ address: 127.0.0.1:0 }}
store: {{ {store} }}
workers: 1
upstreams:
  stable: {{ endpoints: [\"http://{upstream}\"] }}
routes:
  - {{ name: write, match: {{ path: /v1/documents, methods: [POST] }}, upstream: stable{fenced} }}
log: {{ level: error }}
"
    )
}

/// A document with this many routes, of which the last takes the load's reads.
#[must_use]
pub fn many_routes(upstream: SocketAddr, routes: usize) -> String {
    let document = gateway(upstream);
    let mut others = String::from("routes:\n");
    for number in 2..routes {
        // Writing to a string cannot fail.
        let _ = writeln!(
            others,
            "  - {{ name: other-{number}, match: {{ path: \"/v1/c{number}/items/{{id}}\" }}, upstream: stable }}"
        );
    }
    document.replacen("routes:\n", &others, 1)
}
