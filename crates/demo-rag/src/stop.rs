//! The word that an instance is to stop, for everything it has started.

use tokio::sync::watch;

/// Waits until the instance is told to stop, or its owner is gone, which means the same.
pub(crate) async fn told(stopping: &mut watch::Receiver<bool>) {
    // An error says that the sender was dropped, and with it the owner.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
