//! What an engine is, and the handle that guards hold.

use std::{fmt, sync::Arc};

use tokio::sync::watch;

use crate::{Queue, Records};

/// How a store is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It does what it is asked.
    #[default]
    Up,
    /// It works, but something is not as it should be: what, and what to do.
    Degraded(Vec<String>),
    /// It cannot be used: why.
    Down(String),
}

/// A whole store: records and a queue that change in one transaction.
pub trait Engine: Records + Queue {
    /// `memory`, `embedded` or `redis`.
    fn kind(&self) -> &'static str;

    /// How it is doing, at every moment.
    fn health(&self) -> watch::Receiver<Health>;

    /// Why intents cannot be accepted, if they cannot: an acknowledged write would not be on
    /// disk.
    fn not_durable(&self) -> Option<String>;
}

/// The store of a gateway; clones share it.
#[derive(Clone)]
pub struct Store(Arc<dyn Engine>);

impl Store {
    /// A handle to this engine.
    pub fn new(engine: impl Engine + 'static) -> Self {
        Self(Arc::new(engine))
    }
}

impl std::ops::Deref for Store {
    type Target = dyn Engine;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.0.kind())
    }
}
