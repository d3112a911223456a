//! The server: what runs, how it is changed, how it ends.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::{
    runtime::Handle,
    sync::mpsc::unbounded_channel,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    ConnSettings, Handler, Inherited, ListenInput,
    acceptor::{self, Acceptor, Listener},
    address::{self, Address, AddressError},
    load::{Gate, Loads},
    metrics::Metrics,
    prepare::{Checked, Entry, Prepared, Problems, Socket, checked},
    shared::Shared,
    stage::Stage,
    worker::{self, ToWorker},
};

/// How long a socket that a former commit gave up may take to be closed by its acceptor.
const CLOSING_SOON: Duration = Duration::from_secs(1);

/// What a server is started with.
pub struct ServerOptions<'a, M> {
    /// Worker threads; 0 counts as 1.
    pub workers: usize,
    /// The runtime that accepts; with IO and time enabled.
    pub side: Handle,
    /// Where the metrics are registered, under their full names.
    pub registry: &'a mut Registry,
    /// Sockets passed in by socket activation.
    pub inherited: Inherited,
    /// What connections are held to until the first commit.
    pub settings: ConnSettings,
    /// Builds the handler of a worker, given its index, on the worker's thread.
    pub make: M,
}

/// A listener as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The address as the document has it.
    pub configured: String,
    /// The address of the socket.
    pub address: SocketAddr,
    /// Whether new connections must speak TLS.
    pub tls: bool,
}

/// How the connections fared that were open when the server began to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Ended in time.
    pub finished: usize,
    /// Dropped at the limit, with whatever ran on them.
    pub aborted: usize,
}

/// Listeners, workers, connections. Dropped without [`close`](Self::close), it stops at once.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    side: Handle,
    inherited: Inherited,
    running: Mutex<Running>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Running {
    listeners: Vec<Active>,
    /// Acceptors on their way out; their sockets may still be bound.
    closing: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Active {
    address: Address,
    listener: Arc<Listener>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn stop(&mut self, active: Active) {
        active.stop.cancel();
        self.closing.push(active.task);
    }
}

impl Server {
    /// Starts the workers; there are no listeners until a [`commit`](Self::commit). Fails when
    /// a thread or its runtime cannot be made, or a handler panics while it is built.
    pub fn start<H, M>(options: ServerOptions<'_, M>) -> io::Result<Self>
    where
        H: Handler,
        M: Fn(usize) -> H + Send + Sync + 'static,
    {
        let ServerOptions { workers, side, registry, inherited, settings, make } = options;
        let loads = Loads::new(workers);
        let (outboxes, inboxes): (Vec<_>, Vec<_>) = loads.each().iter().map(|_| unbounded_channel()).unzip();
        let shared = Arc::new(Shared {
            stage: Arc::default(),
            gate: Gate::new(settings.max_connections),
            settings: ArcSwap::from_pointee(settings),
            metrics: Metrics::register(registry, &loads),
            loads,
            workers: outboxes.into(),
        });
        let make: Arc<dyn Fn(usize) -> H + Send + Sync> = Arc::new(make);
        let server = Self {
            shared: shared.clone(),
            side,
            inherited,
            running: Mutex::default(),
            threads: Mutex::default(),
        };
        for (index, inbox) in inboxes.into_iter().enumerate() {
            // On an error the server is dropped, which stops the workers started so far.
            let thread = worker::start(index, make.clone(), shared.clone(), inbox)?;
            server.threads.lock().push(thread);
        }
        Ok(server)
    }

    /// Checks `listen`, binds the addresses that are new, loads certificates; relative paths
    /// start at `base`. Changes nothing that runs. An error names each place that is wrong
    /// (`listen[0].address`) and says what to do.
    ///
    /// Blocks on files. Between a `prepare` and its `commit` there must be no other `commit`.
    pub fn prepare(&self, listen: &[ListenInput], base: &Path) -> Result<Prepared, Vec<(String, String)>> {
        let mut problems = Problems::new();
        let mut entries = Vec::with_capacity(listen.len());
        for (index, checked) in checked(listen, base)?.into_iter().enumerate() {
            match self.socket(&checked, &entries) {
                Ok(socket) => entries.push(Entry { checked, socket }),
                Err(error) => problems.push((format!("listen[{index}].address"), error.to_string())),
            }
        }
        if problems.is_empty() { Ok(Prepared { entries }) } else { Err(problems) }
    }

    /// The socket for an entry, unless it runs already. `bound` are the entries before it.
    fn socket(&self, entry: &Checked, bound: &[Entry]) -> Result<Option<Socket>, AddressError> {
        if self.running.lock().listeners.iter().any(|active| active.address == entry.address) {
            return Ok(None);
        }
        let socket = match (self.inherited.lend(&entry.address)?, &entry.address) {
            (Some(socket), _) => socket,
            (None, Address::Socket(address)) => self.bind(*address, bound)?,
            (None, Address::Inherited(name)) => return Err(AddressError::NotInherited(name.clone())),
        };
        let _runtime = self.side.enter();
        acceptor::ready(socket)
            .map(Some)
            .map_err(|source| AddressError::Unusable { address: entry.configured.clone(), source })
    }

    fn bind(&self, address: SocketAddr, bound: &[Entry]) -> Result<std::net::TcpListener, AddressError> {
        let began = Instant::now();
        loop {
            let ours = |port| {
                let running = self.running.lock();
                let mut running = running.listeners.iter().map(|active| active.listener.address.port());
                let mut bound = bound.iter().filter_map(|entry| Some(entry.socket.as_ref()?.address.port()));
                running.any(|taken| taken == port) || bound.any(|taken| taken == port)
            };
            match address::bind(address, ours) {
                // A listener removed a moment ago may not have closed its socket yet.
                Err(AddressError::InUse { ours: false, .. })
                    if self.still_closing() && began.elapsed() < CLOSING_SOON =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                bound => return bound,
            }
        }
    }

    fn still_closing(&self) -> bool {
        let mut running = self.running.lock();
        running.closing.retain(|task| !task.is_finished());
        !running.closing.is_empty()
    }

    /// Puts what was prepared into effect: new listeners accept, removed ones accept what the
    /// kernel has queued for them and close, kept ones go on with their certificate replaced.
    /// New connections take the new settings. Open connections are not touched.
    ///
    /// Once the server closes this does nothing.
    pub fn commit(&self, prepared: Prepared, settings: ConnSettings) {
        let mut running = self.running.lock();
        if self.shared.stage.get() == Stage::Closing {
            return;
        }
        self.shared.gate.set_cap(settings.max_connections);
        self.shared.settings.store(Arc::new(settings));
        let mut former = std::mem::take(&mut running.listeners);
        for Entry { checked, socket } in prepared.entries {
            let kept = former.iter().position(|active| active.address == checked.address);
            match (kept.map(|index| former.swap_remove(index)), socket) {
                (Some(active), _) => {
                    active.listener.replace_certificate(checked.certificate);
                    active.listener.proxied.store(checked.proxied, Ordering::Relaxed);
                    running.listeners.push(active);
                }
                (None, Some(socket)) => running.listeners.push(self.listen(checked, socket)),
                (None, None) => error!(
                    address = checked.configured,
                    "a listener was removed by another change meanwhile; apply the configuration again"
                ),
            }
        }
        for removed in former {
            running.stop(removed);
        }
        running.closing.retain(|task| !task.is_finished());
        let configured: Vec<_> = running.listeners.iter().map(|active| &active.address).collect();
        self.inherited.warn_unused(&configured);
    }

    fn listen(&self, checked: Checked, socket: Socket) -> Active {
        let (connections, accepted) = self.shared.metrics.listener(&checked.configured);
        let listener = Arc::new(Listener {
            configured: checked.configured,
            address: socket.address,
            certificate: ArcSwapOption::from_pointee(checked.certificate),
            proxied: AtomicBool::new(checked.proxied),
            connections,
            accepted,
        });
        info!(address = %listener.address, "listening");
        let stop = CancellationToken::new();
        let acceptor =
            Acceptor { listener: listener.clone(), shared: self.shared.clone(), stop: stop.clone() };
        Active {
            address: checked.address,
            listener,
            stop,
            task: self.side.spawn(acceptor.run(socket.listener)),
        }
    }

    /// The listeners, in the order of the document.
    #[must_use]
    pub fn addresses(&self) -> Vec<Bound> {
        let bound = |active: &Active| Bound {
            configured: active.listener.configured.clone(),
            address: active.listener.address,
            tls: active.listener.certificate.load().is_some(),
        };
        self.running.lock().listeners.iter().map(bound).collect()
    }

    /// Open connections, upgraded ones included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.gate.open()
    }

    /// Tells clients to go: from now on each HTTP/1.1 answer says `Connection: close` and
    /// HTTP/2 connections get GOAWAY. New connections are still accepted and served.
    pub fn announce_drain(&self) {
        self.shared.stage.advance(Stage::Announced);
        self.shared.tell(|| ToWorker::Stage);
    }

    /// Ends the server: accepts what the kernel has queued, closes the listeners and what
    /// rests, waits for what runs until `limit`, drops the rest, and ends the workers.
    ///
    /// `beyond` is what runs on the workers without a connection: it is waited for too, once
    /// the connections have ended.
    pub async fn close(&self, limit: Duration, beyond: impl Future<Output = ()>) -> Closed {
        let began = Instant::now();
        let acceptors = {
            let mut running = self.running.lock();
            self.shared.stage.advance(Stage::Closing);
            let listeners = std::mem::take(&mut running.listeners);
            for listener in listeners {
                running.stop(listener);
            }
            std::mem::take(&mut running.closing)
        };
        for acceptor in acceptors {
            // An acceptor that panicked has nothing left to accept.
            let _ = acceptor.await;
        }
        let open = self.shared.gate.open();
        self.shared.tell(|| ToWorker::Stage);
        let ended = async {
            self.shared.gate.empty().await;
            beyond.await;
        };
        let _ = timeout(limit.saturating_sub(began.elapsed()), ended).await;
        let aborted = self.shared.gate.open().min(open);
        if aborted > 0 {
            warn!(connections = aborted, "dropping connections that did not end in time");
        }
        self.shared.tell(|| ToWorker::Stop);
        let threads = std::mem::take(&mut *self.threads.lock());
        let joined = self
            .side
            .spawn_blocking(move || threads.into_iter().filter_map(|thread| thread.join().err()).count());
        if let Ok(panicked @ 1..) = joined.await {
            error!(panicked, "workers ended by a panic");
        }
        Closed { finished: open - aborted, aborted }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stage.advance(Stage::Closing);
        let running = self.running.get_mut();
        running.listeners.iter().for_each(|active| active.stop.cancel());
        self.shared.tell(|| ToWorker::Stop);
    }
}
