//! A worker: one thread, one current-thread runtime, one handler, its share of connections.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    net::{SocketAddr, TcpStream},
    pin::Pin,
    rc::Rc,
    sync::{Arc, mpsc},
    task::{Context, Poll, Waker},
    thread::{self, JoinHandle},
};

use pin_project_lite::pin_project;
use tokio::{
    runtime::{self, LocalOptions},
    sync::mpsc::{UnboundedReceiver, UnboundedSender},
    task::spawn_local,
};

use crate::{
    Handler,
    acceptor::Listener,
    load::Open,
    metrics::{Metrics, Reason},
    serve::serve,
    shared::Shared,
};

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) listener: Arc<Listener>,
    pub(crate) open: Open,
}

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum ToWorker {
    /// Serve this connection.
    Arrived(Arrival),
    /// The server is a step further on its way out: every connection must look.
    Stage,
    /// Drop what is left and end.
    Stop,
}

pub(crate) type Inbox = UnboundedReceiver<ToWorker>;
pub(crate) type Outbox = UnboundedSender<ToWorker>;

/// Starts a worker's thread and waits until its handler is built.
pub(crate) fn start<H: Handler>(
    index: usize,
    make: Arc<dyn Fn(usize) -> H + Send + Sync>,
    shared: Arc<Shared>,
    inbox: Inbox,
) -> io::Result<JoinHandle<()>> {
    let (told, ready) = mpsc::sync_channel(1);
    let thread = thread::Builder::new()
        .name(format!("sluicegate-w{index}"))
        .spawn(move || run(index, &*make, shared, inbox, &told))?;
    match ready.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other(format!("worker {index} panicked while its handler was built"))),
    }
}

fn run<H: Handler>(
    index: usize,
    make: &dyn Fn(usize) -> H,
    shared: Arc<Shared>,
    inbox: Inbox,
    told: &mpsc::SyncSender<io::Result<()>>,
) {
    // A runtime whose own queue holds local tasks: a local set on top of another would queue
    // and wake each task twice.
    let runtime =
        match runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = told.send(Err(error));
                return;
            }
        };
    runtime.block_on(async {
        let handler = Rc::new(make(index));
        let _ = told.send(Ok(()));
        receive(handler, shared, inbox).await;
    });
}

async fn receive<H: Handler>(handler: Rc<H>, shared: Arc<Shared>, mut inbox: Inbox) {
    let wakers = Rc::<Wakers>::default();
    while let Some(message) = inbox.recv().await {
        match message {
            ToWorker::Arrived(arrival) => {
                let serving = serve(arrival, handler.clone(), shared.clone(), wakers.clone());
                spawn_local(Watched::new(serving, shared.metrics.clone()));
            }
            ToWorker::Stage => wakers.wake_all(),
            ToWorker::Stop => return,
        }
    }
}

/// How to wake each connection's task. A step of the server is rare, so connections do not
/// wait for it; each looks at the stage whenever it is polled, and is woken after a step.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    each: RefCell<HashMap<u64, Waker>>,
    next: Cell<u64>,
}

impl Wakers {
    /// Wakes this task after each step, until the guard is dropped.
    pub(crate) fn register(self: &Rc<Self>, waker: Waker) -> Registered {
        let id = self.next.get();
        self.next.set(id + 1);
        self.each.borrow_mut().insert(id, waker);
        Registered { wakers: self.clone(), id }
    }

    fn wake_all(&self) {
        self.each.borrow().values().for_each(Waker::wake_by_ref);
    }
}

#[derive(Debug)]
pub(crate) struct Registered {
    wakers: Rc<Wakers>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.wakers.each.borrow_mut().remove(&self.id);
    }
}

/// Runs the streams of HTTP/2 connections on their worker.
#[derive(Clone, Debug)]
pub(crate) struct LocalExecutor(pub(crate) Arc<Metrics>);

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        spawn_local(Watched::new(future, self.0.clone()));
    }
}

pin_project! {
    /// A task that counts its own panic. The runtime contains it; the worker goes on.
    struct Watched<F> {
        #[pin]
        future: F,
        panics: Panics,
    }
}

impl<F> Watched<F> {
    fn new(future: F, metrics: Arc<Metrics>) -> Self {
        Self { future, panics: Panics { metrics, polling: false } }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.panics.polling = true;
        let poll = this.future.poll(cx);
        this.panics.polling = false;
        poll
    }
}

/// Dropped while it was being polled, the task has panicked.
struct Panics {
    metrics: Arc<Metrics>,
    polling: bool,
}

impl Drop for Panics {
    fn drop(&mut self) {
        if self.polling {
            self.metrics.error(Reason::panic);
        }
    }
}
