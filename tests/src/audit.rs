//! An upstream whose writes have an effect, and that knows exactly which it had.
//!
//! It lives in the test's process, so it outlives every gateway that is killed, and shares
//! the order of events ([`tick()`](crate::tick())) with the clients. What it does with a
//! write is an [`Act`], chosen for each arrival by a function of the write and of how often
//! it has come, so that a seed repeats it. What came and what was done stands in the
//! [`Ledger`].
//!
//! A write is a POST with an `Idempotency-Key` and a JSON body made by [`Write::body`]. That
//! key and body belong together is checked: a mix-up is a violation, as is anything that is
//! not strictly valid HTTP/1.1.

mod act;
mod ledger;
mod serve;
mod write;

use std::{net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, task::JoinSet};

pub use act::{Act, Shape, chaos, prompt};
pub use ledger::{Arrival, Effect, Given, Ledger, When};
pub use write::Write;

/// Chooses what is done with an arrival.
pub type Choice = Arc<dyn Fn(&Write, usize) -> Act + Send + Sync>;

/// A running audited upstream; its connections end when it is dropped.
pub struct Audited {
    addresses: Vec<SocketAddr>,
    ledger: Arc<Ledger>,
    _tasks: JoinSet<()>,
}

impl Audited {
    /// One with so many doors: addresses of its own, so that each gateway can be told by the
    /// one it comes in by.
    pub async fn start(doors: usize, choice: Choice) -> Self {
        Self::with(doors, choice, false).await
    }

    /// One that honours keys: a second arrival under a key has no effect and gets the answer
    /// of the first.
    pub async fn honouring(doors: usize, choice: Choice) -> Self {
        Self::with(doors, choice, true).await
    }

    async fn with(doors: usize, choice: Choice, honours: bool) -> Self {
        let ledger = Arc::new(Ledger::new(choice, honours));
        let (mut addresses, mut tasks) = (Vec::new(), JoinSet::new());
        for door in 0..doors {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tasks.spawn(serve::door(listener, door, ledger.clone()));
        }
        Self { addresses, ledger, _tasks: tasks }
    }

    /// The URL of a door.
    pub fn url(&self, door: usize) -> String {
        format!("http://{}", self.addresses[door])
    }

    /// What came and what was done.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}
