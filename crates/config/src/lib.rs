//! The configuration document: its shape, its checks, where an error stands, and its sources.
//!
//! A document is YAML (or JSON) of the shape of [`Document`]. [`load`] reads a file, [`parse`]
//! a text that came another way; both take it whole or not at all. What is wrong is told as
//! [`Problem`]s: file, line, column, path, and a message that says what to do; all of them,
//! in the order of the text, not only the first. What can only be known when it is tried (a
//! port in use, a name that does not resolve, a key that does not fit its certificate) the
//! assembly finds out, and gives it a place by [`problem_at`].
//!
//! A key that is not known is refused, and the keys that might have been meant are named: nothing
//! that is written is ignored in silence.
//!
//! [`Watcher`] tells when the file, or one it names, has changed. It never reads a document;
//! an unreadable or broken file is the reader's business, and changes nothing here.
//!
//! This crate keeps no metrics: how often a reload was taken or refused is counted where it
//! is done.

pub mod admitted;
mod check;
pub mod document;
mod load;
mod problem;
mod read;
mod schema;
mod secrets;
mod source;
mod suggest;
mod watch;
mod yaml;

pub use self::{
    document::Document,
    load::{Loaded, load, parse, problem_at},
    problem::{Problem, Rejected},
    schema::schema,
    source::Source,
    watch::{Changed, Watcher},
};
