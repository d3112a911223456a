//! One address behind which servers can be exchanged.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::broadcast,
};

pub(crate) struct Proxy {
    port: u16,
    target: Arc<AtomicU16>,
    cut: broadcast::Sender<()>,
}

impl Proxy {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::new(AtomicU16::new(target));
        let cut = broadcast::Sender::new(1);
        let (goes_to, cuts) = (Arc::clone(&target), cut.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (goes_to, mut cut) = (goes_to.load(Ordering::SeqCst), cuts.subscribe());
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(("127.0.0.1", goes_to)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        Self { port, target, cut }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends every connection; those that come lead to this server.
    pub(crate) fn switch(&self, target: u16) {
        self.target.store(target, Ordering::SeqCst);
        // An error says that there was no connection.
        let _ = self.cut.send(());
    }
}
