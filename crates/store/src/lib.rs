//! State that outlives the process, behind narrow traits.
//!
//! [`StateFile`] keeps one small value (the freezes that an operator set) in a file that is
//! replaced whole.

mod state_file;

pub use state_file::{StateError, StateFile};
