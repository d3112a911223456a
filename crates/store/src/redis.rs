//! Records and the queue in Redis or Valkey, shared by the gateways of a group.
//!
//! Every operation is one Lua script: it runs alone on the server, so what it compares cannot
//! change before it writes. All times are the server's. Keys begin with `<prefix>:<group>:`;
//! `scripts/common.lua` and `scripts/lines.lua` say what is where.
//!
//! # Holders
//!
//! A held record or a claimed entry has a lease by the server's clock, which
//! [`Records::beat`](crate::Records::beat) prolongs. When it lapses the holder counts as gone
//! ([`Holder::Gone`](crate::Holder::Gone)): nothing else happens. Its tag stays good until
//! somebody takes over, so a late holder may beat again, or settle.
//!
//! # What is kept
//!
//! Records expire by the engine's own index, not by Redis's: that way what is counted for the
//! bounds is what is there. Every operation that writes takes a few expired ones away, and
//! every gateway more of them every third of a lease. The counters are the sum over that index,
//! even if Redis, wrongly set up, has thrown records away.
//!
//! # What is asked of the server
//!
//! Redis 6.0 or later, or Valkey; no cluster, since a fence and an intent change together; no
//! replica; `maxmemory-policy noeviction`; an append-only file. It is checked at every
//! connection, every 30 s, and when it refuses something. Intents are accepted where an
//! acknowledged write is on disk: by `appendfsync always`, by `WAITAOF` from 7.2 on, or where
//! the operator wrote `durability: accept_loss`.
//!
//! # When the server goes away
//!
//! It is noticed when the connection ends, and an operation fails at once from then on, with
//! the reason; [`Health`] tells it. The connection is made again for ever, in pauses of up to
//! 2 s. A server that stalls is given up when it lets two answers in a row wait for longer
//! than `response_timeout`. A write whose answer did not come may or may not have been made:
//! to ask again with the same tag is safe.
//!
//! # When another server takes its place
//!
//! A replica that was promoted, or a server that lost its newest writes in a crash, may have
//! forgotten what had been acknowledged. That a server has started anew is seen by its run id.
//! The first gateway that meets it puts up a *barrier* with the names of all that were alive,
//! as far as the server remembers; while it stands no new key is begun, no abandoned one is taken over, and nothing is claimed.
//! Each gateway that comes back first writes again what the server has lost of its own: what it
//! holds, and all that it wrote within the last lease (up to 16 MiB). The barrier falls when
//! all have, or after a lease.
//!
//! What is promised then: a write that one of these gateways has at work, or has settled within
//! the last lease, is not begun again as long as that gateway lives and comes back within a
//! lease.
//!
//! What is not: a fence that was lost together with the gateway that had begun it is forgotten,
//! and a retry runs. A former primary that is still written to by gateways which cannot see the
//! new one has its fences discarded; `min-replicas-to-write 1` closes that gap. Entries that
//! are written again come at the end of their line. A restart with `appendfsync always` loses
//! nothing in the first place.
//!
//! There are no metrics here: [`Engine::health`], [`Records::usage`](crate::Records::usage) and
//! [`Queue::tally`](crate::Queue::tally) are for their owner to show.

use std::{fmt, sync::Arc};

use tokio::sync::{oneshot, watch};

use crate::{Engine, Health};

mod checks;
mod disk;
mod error;
mod journal;
mod kept;
mod link;
mod options;
mod queue;
mod records;
mod scripts;
mod supervise;
mod wire;

pub use options::{Durability, RedisInput, RedisOptions};

/// The store in Redis.
pub struct Redis {
    core: Arc<link::Core>,
    /// Dropped with the store: it ends the task that looks after the connections.
    _dropped: oneshot::Sender<()>,
}

impl Redis {
    /// A store at this server. Returns after the first attempt to connect, whatever came of it;
    /// [`Engine::health`] tells. Connections live on the runtime on which this is called.
    pub async fn open(options: RedisOptions) -> Self {
        // The process may have chosen one already; TLS needs that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let core = Arc::new(link::Core::new(options));
        let (dropped, is_dropped) = oneshot::channel();
        let (tried, has_tried) = oneshot::channel();
        tokio::spawn(supervise::run(Arc::clone(&core), is_dropped, tried));
        // An error would say that the runtime is being shut down.
        let _ = has_tried.await;
        Self { core, _dropped: dropped }
    }
}

impl Engine for Redis {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.core.health.subscribe()
    }

    fn not_durable(&self) -> Option<String> {
        self.core.not_on_disk().map(|why| format!("Redis at {}: {why}", self.core.address))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("options", &self.core.options).finish_non_exhaustive()
    }
}
