//! The admin API and the command line over it, held against their own description and against who
//! may use them.
//!
//! | file | holds |
//! |---|---|
//! | `attacked` | `schemathesis` sends what the description allows and what it does not |
//! | `roles` | tokens that may look and tokens that may change, from files, through a reload |
//! | `status` | each part of the gateway has its member in `/status`, as the page says |
//! | `typed` | what commands write into pipes, and when those that watch end |

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod attacked;
mod roles;
mod status;
mod typed;
