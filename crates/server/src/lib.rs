//! Listeners, workers, the IO wrapper with its timers, drain.
//!
//! A [`Server`] owns the listening sockets, one thread per worker, and every connection. It
//! knows nothing of routes: each worker builds its own [`Handler`] on its own thread, and
//! every request of the worker's connections is given to it. A handler, its futures and its
//! bodies need not be `Send`.
//!
//! # Why this way
//!
//! - A worker is one thread with one current-thread runtime. A connection stays on the worker
//!   it was given to, so neither a task nor a pooled upstream connection is ever moved.
//! - Acceptors run apart from the workers and give each connection to the worker with the
//!   fewest: a sidecar sees few, long-lived connections, and four HTTP/2 clients must not end
//!   up on one of two workers, as they may where every worker accepts for itself.
//! - hyper frames HTTP; the timers are ours, because hyper's one header timer also runs while
//!   a kept-alive connection rests. They live in the IO wrapper: `header_read` from the first
//!   byte of a head, `idle` while nothing is in flight, `write_stall` while the client takes
//!   no byte of what waits for it.
//!
//! # Promises
//!
//! - [`Server::prepare`] changes nothing and finds everything that can be wrong;
//!   [`Server::commit`] cannot fail. A kept listener keeps its socket, a removed one first
//!   accepts whatever the kernel has queued, and no open connection is closed by either.
//! - `max_connections` is a total. At the cap, accepting pauses and clients wait in the
//!   backlog. Only the last queued connections of a removed listener may exceed it.
//! - A panic costs the connection (HTTP/1.1) or the stream (HTTP/2) it happened on.
//! - [`Server::announce_drain`] lets clients go without an error: answers say
//!   `Connection: close` or are followed by GOAWAY while new connections are still served.
//!   [`Server::close`] then ends what rests, waits for what runs, and drops the rest.
//!
//! # When something fails
//!
//! Accepting never ends on an error: out of file descriptors it backs off for 100 ms and says
//! so once per second. A failed handshake, a head that cannot be read, a timeout cost that
//! connection and are counted.
//!
//! # Metrics
//!
//! | name | type | |
//! |---|---|---|
//! | `sluicegate_connections{listener}` | gauge | open now |
//! | `sluicegate_connections_accepted_total{listener}` | counter | accepted so far |
//! | `sluicegate_connection_errors_total{reason}` | counter | ended by: `tls`, `parse`, `too_large`, `header_timeout`, `write_stall`, `proxy_protocol` (no such header, or from a peer that is not trusted), `io`, `aborted` (the handler's body failed), `panic` |
//! | `sluicegate_connections_capped_total` | counter | times that accepting paused at `max_connections` |
//! | `sluicegate_accept_errors_total` | counter | failed accepts, such as for want of file descriptors |
//! | `sluicegate_worker_connections{worker}` | gauge | open connections of a worker |
//! | `sluicegate_worker_requests{worker}` | gauge | requests in flight on a worker |

mod acceptor;
mod address;
mod conn;
mod farewell;
mod inherited;
pub mod input;
mod io;
mod load;
mod metrics;
mod open;
mod prepare;
mod proxied;
mod serve;
mod server;
mod service;
mod settings;
mod shared;
mod sniff;
mod stage;
mod timers;
mod tls;
mod worker;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use sluicegate_core::BoxError;

pub use conn::Conn;
pub use inherited::Inherited;
pub use input::{ListenInput, TlsInput};
pub use prepare::{Prepared, check};
pub use server::{Bound, Closed, Server, ServerOptions};
pub use settings::ConnSettings;

/// What answers the requests of a worker's connections.
///
/// One is built per worker, on the worker's thread, inside its local runtime: it may hold `Rc`s
/// and start local tasks.
pub trait Handler: 'static {
    /// The body of an answer. An error breaks the answer off so that it cannot look complete.
    type Body: http_body::Body<Data = Bytes, Error = BoxError> + 'static;
    /// Resolves to the answer. It is dropped when the client goes away.
    type Future: Future<Output = Response<Self::Body>> + 'static;

    /// Answers a request of the connection.
    fn call(&self, conn: &Arc<Conn>, request: Request<Incoming>) -> Self::Future;
}
