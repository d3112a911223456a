//! What the process says on standard output.

use std::{
    fmt,
    io::{self, Write},
};

/// Prints a line. Whoever read standard output may be gone; that ends nothing here.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}
