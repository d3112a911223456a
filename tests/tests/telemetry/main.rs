//! What the gateway tells of its traffic, held against what its documentation says.
//!
//! | file | holds |
//! |---|---|
//! | `lines` | each line of the access log is as `docs/access-log.md` and its schema say |
//! | `exported` | `/metrics` is as `docs/metrics.md` says, and `promtool` finds nothing wrong with it |
//! | `traces` | the W3C trace context of a client is kept, or one is begun |
//! | `traffic` | requests of all kinds through a gateway that has everything |

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod exported;
mod lines;
mod traces;
mod traffic;
