//! Accepting connections and handing them to workers.
//!
//! One task per listener, apart from the workers. While `max_connections` are open it does not
//! accept: the kernel holds the clients. (Where two listeners race for the last place, one of
//! them holds the connection it has accepted until there is a place again.) It ends only when
//! its listener is removed, after it has accepted what the kernel had queued, so that no
//! client that got through is reset.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    load::{Open, Place},
    prepare::Socket,
    shared::Shared,
    tls::Certificate,
    worker::{Arrival, ToWorker},
};

/// What to wait after a failed accept, such as for want of file descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How often failed accepts are told of.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What the connections of a listener share. The socket is the acceptor's alone, so that it
/// closes when the listener goes although its connections stay.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) configured: String,
    pub(crate) address: SocketAddr,
    pub(crate) certificate: ArcSwapOption<Certificate>,
    /// Whether connections begin with a PROXY header.
    pub(crate) proxied: AtomicBool,
    pub(crate) connections: Gauge,
    pub(crate) accepted: Counter,
}

impl Listener {
    /// New connections get this certificate, or none; an equal one is kept with its tickets.
    pub(crate) fn replace_certificate(&self, certificate: Option<Certificate>) {
        match (&*self.certificate.load(), &certificate) {
            (Some(running), Some(loaded)) if running.same_as(loaded) => {}
            _ => self.certificate.store(certificate.map(Arc::new)),
        }
    }
}

/// The task of a listener.
pub(crate) struct Acceptor {
    pub(crate) listener: Arc<Listener>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stop: CancellationToken,
}

impl Acceptor {
    /// Accepts until it is stopped.
    pub(crate) async fn run(self, socket: TcpListener) {
        let mut told = None;
        while let Some(accepted) = self.stop.run_until_cancelled(self.accept(&socket)).await {
            match accepted {
                Ok((stream, peer)) => self.hand_over(stream, peer, self.place().await),
                Err(error) => self.back_off(&error, &mut told).await,
            }
        }
        match socket.into_std() {
            Ok(socket) => self.accept_queued(&socket),
            Err(error) => warn!(address = %self.listener.address, %error, "queued connections are lost"),
        }
        debug!(address = %self.listener.address, "listener closed");
    }

    /// The next connection, once there is a place for one.
    async fn accept(&self, socket: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        if !self.shared.gate.has_place() {
            self.shared.metrics.capped.inc();
            self.shared.gate.place().await;
        }
        let (stream, peer) = socket.accept().await?;
        self.listener.accepted.inc();
        Ok((stream.into_std()?, peer))
    }

    /// Takes the place that was just seen, or waits for one if another listener took it. What
    /// was accepted is served even if the listener is stopped meanwhile.
    async fn place(&self) -> Place {
        let gate = &self.shared.gate;
        match gate.try_enter() {
            Some(place) => place,
            None => self.stop.run_until_cancelled(gate.enter()).await.unwrap_or_else(|| gate.enter_over()),
        }
    }

    fn accept_queued(&self, socket: &std::net::TcpListener) {
        while let Ok((stream, peer)) = socket.accept() {
            self.listener.accepted.inc();
            match stream.set_nonblocking(true) {
                Ok(()) => self.hand_over(stream, peer, self.shared.gate.enter_over()),
                Err(error) => debug!(%peer, %error, "an accepted connection was already gone"),
            }
        }
    }

    async fn back_off(&self, error: &io::Error, told: &mut Option<Instant>) {
        // The client left before it was accepted.
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return;
        }
        self.shared.metrics.accept_errors.inc();
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            warn!(
                address = %self.listener.address, %error,
                "connections cannot be accepted, trying again; \
                 if file descriptors ran out, raise the limit (LimitNOFILE)"
            );
        }
        tokio::time::sleep(BACK_OFF).await;
    }

    fn hand_over(&self, stream: TcpStream, peer: SocketAddr, place: Place) {
        // An answer in parts must not wait for the client's acknowledgements.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%peer, %error, "an accepted connection was already gone");
            return;
        }
        let open = Open::new(&self.shared.loads, &self.listener.connections, place);
        let worker = &self.shared.workers[open.worker()];
        let arrival = Arrival { stream, peer, listener: self.listener.clone(), open };
        // Fails only once the workers have ended; then the connection is dropped.
        let _ = worker.send(ToWorker::Arrived(arrival));
    }
}

/// Makes a bound socket ready to be accepted from. Needs the runtime that will accept.
pub(crate) fn ready(socket: std::net::TcpListener) -> io::Result<Socket> {
    // A passed-in socket shares this flag with the service manager's duplicate.
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    Ok(Socket { listener: TcpListener::from_std(socket)?, address })
}
