//! The connections to the server, while there are any, and what is said when there are none.
//!
//! An operation never waits for a connection: where there is none it fails at once with the
//! reason. Making a new one is the business of the [supervisor](super::supervise), which an
//! operation that fails only pokes.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use ::redis::{
    AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, ScriptInvocation, Value,
    aio::MultiplexedConnection,
};
use parking_lot::{Mutex, RwLock};
use sluicegate_core::Chance;
use tokio::sync::{Notify, watch};

use super::{
    RedisOptions,
    checks::OnDisk,
    disk::Rounds,
    error::{REFUSALS, code, words},
    journal::Journal,
    kept::{EntryWrite, RecordWrite},
};
use crate::{
    StoreError,
    engine::Health,
    queue::EntryId,
    record::{Bounds, RecordKey},
};

/// A server that can be used.
#[derive(Debug)]
pub(super) struct Link {
    /// The run of the server that it leads to.
    pub(super) run: String,
    pub(super) connection: MultiplexedConnection,
    /// How an acknowledged write is known to be on disk.
    pub(super) disk: Disk,
}

/// How an acknowledged write is known to be on disk.
#[derive(Debug)]
pub(super) enum Disk {
    /// It is, or nobody minds.
    Acknowledged,
    /// By asking, on a connection of its own: who asks waits, and all behind him.
    Ask(Rounds),
    /// It is not.
    Unknown,
}

/// What all handles of the store share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) options: RedisOptions,
    pub(super) address: String,
    pub(super) prefix: String,
    /// The name of this gateway among those of its group.
    pub(super) member: String,
    pub(super) link: RwLock<Option<Arc<Link>>>,
    pub(super) health: watch::Sender<Health>,
    pub(super) on_disk: RwLock<OnDisk>,
    /// Rung by whoever finds the connection wanting.
    pub(super) poke: Arc<Notify>,
    /// When it last refused a write because its memory was full.
    pub(super) full: Mutex<Option<Instant>>,
    pub(super) bounds: RwLock<Bounds>,
    pub(super) records: Mutex<Journal<RecordKey, RecordWrite>>,
    pub(super) entries: Mutex<Journal<EntryId, EntryWrite>>,
}

impl Core {
    pub(super) fn new(options: RedisOptions) -> Self {
        let chance = Chance::from_system();
        let address = options.address();
        let unreached = "it has not been reached yet";
        Self {
            prefix: options.key_prefix(),
            member: format!("{:016x}{:016x}", chance.bits(), chance.bits()),
            link: RwLock::new(None),
            health: watch::Sender::new(Health::Down(format!("Redis at {address}: {unreached}"))),
            on_disk: RwLock::new(OnDisk::No(unreached.into())),
            poke: Arc::new(Notify::new()),
            full: Mutex::new(None),
            bounds: RwLock::new(Bounds::default()),
            records: Mutex::new(Journal::new(options.lease)),
            entries: Mutex::new(Journal::new(options.lease)),
            address,
            options,
        }
    }

    pub(super) fn lease(&self) -> Duration {
        self.options.lease
    }

    /// The server, or why there is none.
    pub(super) fn link(&self) -> Result<Arc<Link>, StoreError> {
        match &*self.link.read() {
            Some(link) => Ok(Arc::clone(link)),
            None => Err(match &*self.health.borrow() {
                Health::Down(reason) => StoreError::new(reason),
                Health::Up | Health::Degraded(_) => self.error("the connection is being made anew"),
            }),
        }
    }

    /// Calls a script.
    pub(super) async fn call(&self, call: &ScriptInvocation<'_>) -> Result<Value, StoreError> {
        let link = self.link()?;
        self.call_on(&link, call).await
    }

    /// Calls a script on this server.
    pub(super) async fn call_on(
        &self,
        link: &Arc<Link>,
        call: &ScriptInvocation<'_>,
    ) -> Result<Value, StoreError> {
        let mut connection = link.connection.clone();
        call.invoke_async(&mut connection).await.map_err(|error| self.failed(&error))
    }

    /// Notes what an error says about the server, and puts it into words.
    pub(super) fn failed(&self, error: &RedisError) -> StoreError {
        let code = code(error);
        if code == Some("OOM") {
            *self.full.lock() = Some(Instant::now());
        }
        if error.is_io_error() || code.is_some_and(|code| REFUSALS.contains(&code)) {
            self.poke.notify_one();
        }
        self.error(words(error))
    }

    /// Gives the connection up.
    pub(super) fn lose(&self, why: &StoreError) {
        *self.link.write() = None;
        self.say(Health::Down(why.to_string()));
    }

    /// Tells those who watch, if it is news.
    pub(super) fn say(&self, health: Health) {
        self.health.send_if_modified(|known| {
            let news = *known != health;
            *known = health;
            news
        });
    }

    pub(super) fn error(&self, what: impl std::fmt::Display) -> StoreError {
        StoreError::new(format!("Redis at {}: {what}", self.address))
    }

    /// Opens a connection that can be shared; answers may take `patience`.
    pub(super) async fn open(&self, patience: Duration) -> Result<MultiplexedConnection, StoreError> {
        let client = Client::open(self.options.server.clone()).map_err(|error| self.error(words(&error)))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.options.connect_timeout))
            .set_response_timeout(Some(patience))
            .set_push_sender(rings_when_it_ends(Arc::clone(&self.poke)));
        let opened = client.get_multiplexed_async_connection_with_config(&config);
        // The first words after connecting are under no timeout of the client's own.
        match tokio::time::timeout(self.options.connect_timeout + self.options.response_timeout, opened).await
        {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.error(words(&error))),
            Err(_) => Err(self.error("it did not answer in time after the connection was made")),
        }
    }
}

fn rings_when_it_ends(bell: Arc<Notify>) -> impl Fn(PushInfo) -> Result<(), Infallible> {
    move |pushed| {
        if pushed.kind == PushKind::Disconnection {
            bell.notify_one();
        }
        Ok(())
    }
}
