//! The live line: rewritten in place on a terminal, one line after another elsewhere.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

/// Clears the line and does not wrap what is longer than the terminal is wide. The cursor is
/// left at the start, so that a warning in the log overwrites the line instead of following it.
const BEFORE: &str = "\r\x1b[2K\x1b[?7l";
const AFTER: &str = "\x1b[?7h\r";

/// Where the live line goes.
pub(super) struct Screen<W> {
    out: W,
    rewrites: bool,
}

impl Screen<io::Stdout> {
    /// Standard output, whatever it is.
    pub(super) fn of_this_process() -> Self {
        let out = io::stdout();
        let rewrites = out.is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { out, rewrites }
    }
}

impl<W: Write> Screen<W> {
    /// Shows the line. Whoever read standard output may be gone; that ends nothing here.
    pub(super) fn show(&mut self, line: &str) {
        let written = if self.rewrites {
            write!(self.out, "{BEFORE}{line}{AFTER}")
        } else {
            writeln!(self.out, "{line}")
        };
        drop(written.and_then(|()| self.out.flush()));
    }

    /// Leaves the last line where it is.
    pub(super) fn done(&mut self) {
        if self.rewrites {
            drop(writeln!(self.out).and_then(|()| self.out.flush()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::Screen;

    #[test]
    fn lines_follow_one_another_where_there_is_no_terminal() {
        let mut screen = Screen { out: Vec::new(), rewrites: false };
        screen.show("one");
        screen.show("two");
        screen.done();
        assert_eq!(screen.out, b"one\ntwo\n");
    }

    #[test]
    fn a_terminal_has_one_line() {
        let mut screen = Screen { out: Vec::new(), rewrites: true };
        screen.show("one");
        screen.show("two");
        screen.done();
        let text = String::from_utf8(screen.out).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        assert_eq!(text.matches("\r\x1b[2K").count(), 2);
    }

    #[test]
    fn an_output_that_is_gone_is_no_end() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        for rewrites in [false, true] {
            let mut screen = Screen { out: Gone, rewrites };
            screen.show("one");
            screen.done();
        }
    }
}
