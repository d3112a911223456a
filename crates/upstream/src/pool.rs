//! Connections to upstreams, owned by one worker.
//!
//! Each worker has a table of its own: no lock, no hand-over between threads, and a request
//! finds the connection on the thread that serves its client. HTTP/1.1 connections are kept
//! idle on a stack, the last used first, so that surplus ones grow old and are closed.
//! HTTP/2 connections are shared; one is opened at a time.
//!
//! A [`Lease`] is the right to use a connection for one exchange. When the answer has ended
//! it goes back; dropped before, the connection is closed with it, because what is still on
//! the wire belongs to an exchange that nobody reads any more.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    rc::Rc,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use sluicegate_body::{LazyTimer, Outbound};
use sluicegate_core::Chance;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    RequestBody,
    connect::{Negotiated, open},
    endpoint::Endpoint,
    local::LocalExec,
};

/// From one look for old connections to the next.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// An idle connection is closed at the sweep after this many.
const SWEEPS_IDLE: u64 = 12;
/// Streams put on one HTTP/2 connection: the least that RFC 9113 section 6.5.2 asks servers to
/// allow.
const STREAMS_PER_CONNECTION: usize = 100;
/// Timers, and buffers, kept for reuse.
const MAX_KEPT: usize = 1024;
/// A buffer that has grown past this is not kept.
const MAX_BUFFER: usize = 16 * 1024;

/// One worker's connections.
#[derive(Debug)]
pub(crate) struct Pools<B> {
    by_endpoint: RefCell<HashMap<u64, Rc<Pool<B>>>>,
    timers: RefCell<Vec<LazyTimer>>,
    buffers: RefCell<Vec<Vec<u8>>>,
    sweep: Cell<u64>,
    pub(crate) chance: Chance,
}

/// One worker's connections to one endpoint.
#[derive(Debug)]
pub(crate) struct Pool<B> {
    endpoint: Weak<Endpoint>,
    idle: RefCell<Vec<Idle<B>>>,
    shared: RefCell<Vec<http2::SendRequest<Outbound<B>>>>,
    /// Held while an HTTP/2 connection is opened, so that a burst opens one and not hundreds.
    opening: Mutex<()>,
    /// What TLS agreed on last time; plain endpoints are known from the start.
    negotiated: Cell<Option<Negotiated>>,
    /// How often the endpoint had moved when its connections here were made.
    moved: Cell<u64>,
    in_flight: Cell<usize>,
}

#[derive(Debug)]
struct Idle<B> {
    sender: http1::SendRequest<Outbound<B>>,
    received: Arc<AtomicU64>,
    since: u64,
}

/// The right to use a connection for one exchange.
#[derive(Debug)]
pub(crate) struct Lease<B> {
    pub(crate) sender: Sender<B>,
    pool: Rc<Pool<B>>,
    now: u64,
    max_idle: usize,
    /// Whether the connection has served others before.
    pub(crate) reused: bool,
    received: Option<(Arc<AtomicU64>, u64)>,
    moved: u64,
}

#[derive(Debug)]
pub(crate) enum Sender<B> {
    Http1(http1::SendRequest<Outbound<B>>),
    Http2(http2::SendRequest<Outbound<B>>),
    /// Given back, or gone into a tunnel.
    Spent,
}

impl<B> Lease<B> {
    /// Whether any byte has come in since the lease was taken. HTTP/2 cannot tell.
    pub(crate) fn was_answered(&self) -> bool {
        self.received.as_ref().is_none_or(|(count, before)| count.load(Ordering::Relaxed) != *before)
    }

    /// Whether bytes of an answer have come in that ended before its head was whole. HTTP/2 gives a
    /// head whole or not at all.
    pub(crate) fn was_answered_in_part(&self) -> bool {
        self.received.is_some() && self.was_answered()
    }

    /// The exchange has ended: the connection may serve others.
    pub(crate) fn give_back(&mut self) {
        let Sender::Http1(sender) = std::mem::replace(&mut self.sender, Sender::Spent) else { return };
        let Some((received, _)) = self.received.take() else { return };
        let mut idle = self.pool.idle.borrow_mut();
        let stays = self.moved == self.pool.moved.get();
        if stays && !sender.is_closed() && idle.len() < self.max_idle {
            idle.push(Idle { sender, received, since: self.now });
        }
    }
}

impl<B> Drop for Lease<B> {
    fn drop(&mut self) {
        self.pool.in_flight.set(self.pool.in_flight.get() - 1);
    }
}

impl<B> Pools<B>
where
    B: RequestBody,
{
    pub(crate) fn new(chance: Chance) -> Rc<Self> {
        let pools = Rc::new(Self {
            by_endpoint: RefCell::default(),
            timers: RefCell::default(),
            buffers: RefCell::default(),
            sweep: Cell::new(0),
            chance,
        });
        let weak = Rc::downgrade(&pools);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                let Some(pools) = weak.upgrade() else { return };
                pools.sweep();
            }
        });
        pools
    }

    fn sweep(&self) {
        let now = self.sweep.get() + 1;
        self.sweep.set(now);
        self.by_endpoint.borrow_mut().retain(|_, pool| {
            pool.idle
                .borrow_mut()
                .retain(|idle| !idle.sender.is_closed() && now.saturating_sub(idle.since) <= SWEEPS_IDLE);
            pool.shared.borrow_mut().retain(|sender| !sender.is_closed());
            pool.endpoint.strong_count() > 0 || pool.in_flight.get() > 0
        });
    }

    /// A timer for `deadline`, from an earlier request where one is left.
    pub(crate) fn timer(&self, deadline: Instant) -> LazyTimer {
        match self.timers.borrow_mut().pop() {
            Some(mut timer) => {
                timer.arm(deadline);
                timer
            }
            None => LazyTimer::new(deadline),
        }
    }

    pub(crate) fn keep_timer(&self, timer: LazyTimer) {
        let mut timers = self.timers.borrow_mut();
        if timers.len() < MAX_KEPT {
            timers.push(timer);
        }
    }

    /// An empty buffer, from an earlier request where one is left.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn keep_buffer(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < MAX_KEPT && buffer.capacity() <= MAX_BUFFER {
            buffer.clear();
            buffers.push(buffer);
        }
    }

    fn pool(&self, endpoint: &Arc<Endpoint>) -> Rc<Pool<B>> {
        let mut pools = self.by_endpoint.borrow_mut();
        pools
            .entry(endpoint.id)
            .or_insert_with(|| {
                Rc::new(Pool {
                    endpoint: Arc::downgrade(endpoint),
                    idle: RefCell::default(),
                    shared: RefCell::default(),
                    opening: Mutex::new(()),
                    negotiated: Cell::new(None),
                    moved: Cell::new(endpoint.moved()),
                    in_flight: Cell::new(0),
                })
            })
            .clone()
    }

    /// Exchanges with an endpoint that run on this worker.
    pub(crate) fn in_flight(&self, endpoint: &Arc<Endpoint>) -> usize {
        self.pool(endpoint).in_flight.get()
    }

    /// A pooled connection that can be used on the spot, if there is one.
    pub(crate) fn ready(&self, endpoint: &Arc<Endpoint>, max_idle: usize) -> Option<Lease<B>> {
        let mut lease = self.begin(endpoint, max_idle);
        let pool = lease.pool.clone();
        (pool.reuse_idle(&mut lease) || pool.reuse_shared(&mut lease)).then_some(lease)
    }

    fn begin(&self, endpoint: &Arc<Endpoint>, max_idle: usize) -> Lease<B> {
        let pool = self.pool(endpoint);
        pool.in_flight.set(pool.in_flight.get() + 1);
        let moved = endpoint.moved();
        if pool.moved.replace(moved) != moved {
            pool.idle.borrow_mut().clear();
            pool.shared.borrow_mut().clear();
        }
        let sender = Sender::Spent;
        Lease { sender, pool, now: self.sweep.get(), max_idle, reused: true, received: None, moved }
    }

    /// A connection to `endpoint`: a pooled one that is ready soon, else a new one.
    ///
    /// With `fresh`, always a new one: a pooled connection has just been found dead, and its
    /// neighbours may be as old.
    pub(crate) async fn lease(
        &self,
        endpoint: &Arc<Endpoint>,
        (max_idle, buffer): (usize, usize),
        fresh: bool,
    ) -> io::Result<Lease<B>> {
        let mut lease = self.begin(endpoint, max_idle);
        let pool = lease.pool.clone();
        if !fresh && pool.reuse(&mut lease).await {
            return Ok(lease);
        }
        let may_be_shared = match pool.negotiated.get() {
            Some(known) => known == Negotiated::Http2,
            None => endpoint.tls.is_some() || endpoint.protocol == crate::input::Protocol::Http2,
        };
        let _one_at_a_time = if may_be_shared { Some(pool.opening.lock().await) } else { None };
        if may_be_shared && !fresh && pool.reuse_shared(&mut lease) {
            return Ok(lease);
        }
        let opened = open(endpoint).await?;
        endpoint.metrics.connections.inc();
        pool.negotiated.set(Some(opened.negotiated));
        lease.reused = false;
        match opened.negotiated {
            Negotiated::Http1 => {
                let received = opened.io.received();
                let (sender, conn) = http1::Builder::new()
                    .max_buf_size(buffer)
                    .handshake(TokioIo::new(opened.io))
                    .await
                    .map_err(io::Error::other)?;
                tokio::task::spawn_local(async move {
                    // How it ended is told to the exchange that was on it.
                    drop(conn.with_upgrades().await);
                });
                lease.received = Some((received, 0));
                lease.sender = Sender::Http1(sender);
            }
            Negotiated::Http2 => {
                let (sender, conn) = http2::Builder::new(LocalExec)
                    .timer(TokioTimer::new())
                    .initial_stream_window_size(1 << 20)
                    .initial_connection_window_size(2 << 20)
                    .handshake(TokioIo::new(opened.io))
                    .await
                    .map_err(io::Error::other)?;
                tokio::task::spawn_local(async move { drop(conn.await) });
                // It may have been opened to an address that is gone by now.
                if lease.moved == endpoint.moved() {
                    pool.shared.borrow_mut().push(sender.clone());
                }
                lease.sender = Sender::Http2(sender);
            }
        }
        Ok(lease)
    }
}

impl<B> Pool<B>
where
    B: RequestBody,
{
    /// One of the idle connections, if it is ready soon.
    async fn reuse(&self, lease: &mut Lease<B>) -> bool {
        if self.idle.borrow().is_empty() {
            return false;
        }
        // A connection whose answer has just ended is ready once its own task has run.
        tokio::task::yield_now().await;
        self.reuse_idle(lease)
    }

    fn reuse_idle(&self, lease: &mut Lease<B>) -> bool {
        let mut idle = self.idle.borrow_mut();
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            if idle[at].sender.is_closed() {
                idle.swap_remove(at);
            } else if idle[at].sender.is_ready() {
                let found = idle.remove(at);
                let before = found.received.load(Ordering::Relaxed);
                lease.received = Some((found.received, before));
                lease.sender = Sender::Http1(found.sender);
                return true;
            }
        }
        false
    }

    fn reuse_shared(&self, lease: &mut Lease<B>) -> bool {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|sender| !sender.is_closed());
        // Requests past what the connections take would queue unseen inside of them: another
        // connection is opened instead. They take turns.
        let in_flight = self.in_flight.get();
        if in_flight > shared.len() * STREAMS_PER_CONNECTION {
            return false;
        }
        let Some(sender) = shared.get(in_flight % shared.len().max(1)) else { return false };
        lease.sender = Sender::Http2(sender.clone());
        true
    }
}
