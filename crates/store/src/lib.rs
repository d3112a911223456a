//! State that outlives the process, behind narrow traits.
//!
//! - [`Records`]: values that change by compare-and-set with a fencing token; fences live in
//!   it.
//! - [`Queue`]: entries in lines, claimed in order; intents live in it.
//! - [`Engine`]: both, changing in one transaction. There are three: [`memory`], on disk
//!   ([`embedded`]) and [`redis`]. One suite of tests holds for all of them.
//! - [`fence`], [`fingerprint`], [`keyed`]: what the guards over a store have in common.
//! - [`StateFile`]: one small value (the freezes that an operator set) in a file that is
//!   replaced whole.

use std::{future::Future, pin::Pin};

mod accepted;
pub mod embedded;
mod engine;
mod error;
pub mod fence;
pub mod fingerprint;
pub mod keyed;
mod local;
pub mod memory;
mod queue;
mod record;
pub mod redis;
mod state_file;

pub use accepted::{Backfill, INTENTS_PATH, accepted};
pub use engine::{Engine, Health, Store};
pub use error::{Full, OpenError, StoreError};
pub use queue::{Append, Appended, Caps, Change, Changed, Entry, EntryId, EntryState, Queue, Tally};
pub use record::{Bounds, Expect, Holder, Page, Put, Record, RecordKey, Records, Swapped, Tag};
pub use state_file::{StateError, StateFile};

/// The answer of a store, once it comes.
pub type Answered<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;
