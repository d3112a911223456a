//! `promtool`, which comes with Prometheus and knows what its metrics must look like.

use std::process::Command;

use crate::{Package, Result};

const PROMTOOL: Package =
    Package { name: "promtool", program: "usr/bin/promtool", debs: &["promtool", "libc6"] };

/// The command, installed where it is not there yet. Blocks.
pub fn promtool() -> Result<Command> {
    PROMTOOL.command()
}
