//! Waiting for the server's disk, many at a time.
//!
//! `WAITAOF` waits until what its own connection has written is on disk, and keeps everything
//! else on that connection waiting. So a connection of its own makes a small write and waits
//! for it: all that was acknowledged to others before is then on disk too. Whoever comes
//! while a round runs shares the next one.

use std::sync::atomic::{AtomicU64, Ordering};

use ::redis::{RedisError, aio::MultiplexedConnection, pipe};
use tokio::sync::Mutex;

/// How long the disk may take: `everysec` waits for up to two of them. Milliseconds.
pub(super) const PATIENCE: u64 = 4000;

/// One round after the other.
#[derive(Debug)]
pub(super) struct Rounds {
    connection: MultiplexedConnection,
    /// The key of the small write.
    key: String,
    asked: AtomicU64,
    reached: Mutex<Reached>,
}

#[derive(Debug, Default)]
struct Reached {
    on_disk: u64,
    failed: u64,
}

/// Why it is not known whether a write is on disk.
#[derive(Debug)]
pub(super) enum NotOnDisk {
    /// The server could not be asked.
    Lost(RedisError),
    /// It took too long, for this round or the one before.
    Late,
}

impl Rounds {
    pub(super) fn new(connection: MultiplexedConnection, key: String) -> Self {
        Self { connection, key, asked: AtomicU64::new(0), reached: Mutex::default() }
    }

    /// Returns once everything that the server had acknowledged before is on disk.
    pub(super) async fn wait(&self) -> Result<(), NotOnDisk> {
        let mine = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut reached = self.reached.lock().await;
        if reached.on_disk >= mine {
            return Ok(());
        }
        if reached.failed >= mine {
            return Err(NotOnDisk::Late);
        }
        let all = self.asked.load(Ordering::Acquire);
        match self.round().await {
            Ok(true) => {
                reached.on_disk = all;
                Ok(())
            }
            Ok(false) => {
                reached.failed = all;
                Err(NotOnDisk::Late)
            }
            Err(error) => {
                reached.failed = all;
                Err(NotOnDisk::Lost(error))
            }
        }
    }

    async fn round(&self) -> Result<bool, RedisError> {
        let mut connection = self.connection.clone();
        let mut round = pipe();
        round.cmd("SET").arg(&self.key).arg(1).ignore();
        round.cmd("WAITAOF").arg(1).arg(0).arg(PATIENCE);
        let ((local, _),): ((u64, u64),) = round.query_async(&mut connection).await?;
        Ok(local >= 1)
    }
}
