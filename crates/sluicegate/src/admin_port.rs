//! The admin API's listener, which a reload may move.
//!
//! The new address is bound before the old one is given up, and only when the whole document
//! has been taken; a reload asked for over the old address is still answered on it.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use crate::say::say;
use axum::Router;
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle};

/// The running listener, and what is served on it.
#[derive(Debug)]
pub(crate) struct AdminPort {
    router: Router,
    side: Handle,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    configured: SocketAddr,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A listener that is bound and not served yet.
#[derive(Debug)]
pub(crate) struct Bound {
    configured: SocketAddr,
    listener: TcpListener,
}

impl AdminPort {
    pub(crate) fn new(router: Router, side: Handle) -> Self {
        Self { router, side, running: Mutex::new(None) }
    }

    /// Binds `address`, unless it is the one that is served already.
    pub(crate) fn prepare(&self, address: SocketAddr) -> io::Result<Option<Bound>> {
        if self.running.lock().as_ref().is_some_and(|running| running.configured == address) {
            return Ok(None);
        }
        Ok(Some(Bound { configured: address, listener: TcpListener::bind(address)? }))
    }

    /// Serves what was prepared and lets the listener before it finish.
    pub(crate) fn commit(&self, bound: Option<Bound>) {
        let Some(Bound { configured, listener }) = bound else { return };
        let Ok(address) = listener.local_addr() else { return };
        let (stop, stopped) = oneshot::channel();
        let router = self.router.clone();
        let task = self.side.spawn(async move {
            let shutdown = async {
                // Dropped or sent: both mean that it is over.
                drop(stopped.await);
            };
            if let Err(error) = sluicegate_admin::serve(listener, router, shutdown).await {
                tracing::error!(%error, %address, "the admin API cannot be served");
            }
        });
        say(format_args!("admin listening on {address}"));
        let running = Running { configured, address, stop, task };
        if let Some(before) = self.running.lock().replace(running) {
            // Its task may have ended by itself.
            let _ = before.stop.send(());
        }
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.running.lock().as_ref().map(|running| running.address)
    }

    pub(crate) async fn close(&self) {
        let running = self.running.lock().take();
        if let Some(running) = running {
            let _ = running.stop.send(());
            drop(running.task.await);
        }
    }
}
