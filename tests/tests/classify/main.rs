//! What reads and what writes, as it comes to be known over real sockets.
//!
//! | file | holds |
//! |---|---|
//! | `tricks` | spellings of paths and methods: none reaches a write through what a preset reads |
//! | `lies` | bodies that lie about themselves: refused while frozen, passed on as they came else |
//! | `mcp` | what a client of the Model Context Protocol meets |
//! | `answers` | a preset tells the comparison of a shadow where ids stand |

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod lies;
mod mcp;
mod tricks;

use sluicegate_tests::{Gateway, Raw, Upstream, config_where, raw::RawAnswer};

/// A gateway with one route for everything, of which `route` says more.
fn gateway(upstream: &Upstream, route: &str, extra: &str) -> Gateway {
    Gateway::start(&config_where(&upstream.url(), route, extra))
}

/// Everything is frozen from the start.
const FROZEN: &str = "freeze: { read_only: true, reason: rebuilding }";

/// Posts a body with more field lines.
async fn post(raw: &mut Raw, path: &str, lines: &str, body: impl AsRef<[u8]>) -> RawAnswer {
    let body = body.as_ref();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
    raw.ask([head.as_bytes(), body].concat()).await
}
