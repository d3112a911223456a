//! A way to Redis that can be cut: for one gateway alone.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Passes connections on to a port, until it is cut.
pub(crate) struct Line {
    address: SocketAddr,
    is_whole: Arc<watch::Sender<bool>>,
    _task: JoinSet<()>,
}

impl Line {
    /// A line to this port of 127.0.0.1.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_whole, mut task) = (Arc::new(watch::Sender::new(true)), JoinSet::new());
        let whole = is_whole.clone();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                while connections.try_join_next().is_some() {}
                let Ok((mut near, _)) = listener.accept().await else { continue };
                let mut cut = whole.subscribe();
                connections.spawn(async move {
                    if !*cut.borrow() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.wait_for(|whole| !whole) => {}
                    }
                });
            }
        });
        Self { address, is_whole, _task: task }
    }

    /// As a gateway is told it.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Ends what goes over it and lets nothing more through.
    pub(crate) fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.is_whole.send_replace(true);
    }
}
