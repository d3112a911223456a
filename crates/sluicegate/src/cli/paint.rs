//! Colours, where a person reads.
//!
//! What the commands print has a convention of its own: heads of tables are in capitals, and so are
//! the words that need an operator (`DEGRADED`, `NOT drained`). The painter knows no more than that:
//! it makes the one bold and the others red, so no command formats anything twice, and what goes
//! into a pipe or a file is what stands on the screen. Whether to paint is decided as elsewhere:
//! only on a terminal, never with `NO_COLOR`, always with `CLICOLOR_FORCE`; but never what a program
//! is to read: JSON, and scripts for shells.

use std::io::{self, Write};

/// The words that need somebody.
const LOUD: [&str; 25] = [
    "ABORTED",
    "ANSWER",
    "CHANGED",
    "DEAD",
    "DEGRADED",
    "DIFFERENT",
    "DOUBT",
    "DOWN",
    "FAILED",
    "FAILING",
    "FAILS",
    "FULL",
    "HELD",
    "KILLED",
    "MISMATCH",
    "NEARLY",
    "NO",
    "NOT",
    "OBJECTION",
    "PAUSED",
    "REFUSED",
    "SHEDDING",
    "STALE",
    "TROUBLE",
    "UNREADABLE",
];

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// Paints whole lines on their way to a terminal.
pub(crate) struct Painter<W> {
    out: W,
    line: Vec<u8>,
}

impl<W: Write> Painter<W> {
    pub(crate) const fn new(out: W) -> Self {
        Self { out, line: Vec::new() }
    }
}

impl<W: Write> Write for Painter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.out.write_all(painted(&String::from_utf8_lossy(&line)).as_bytes())?;
            }
        }
        Ok(bytes.len())
    }

    /// What is half a line is shown as it is: somebody waits for it.
    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&std::mem::take(&mut self.line))?;
        self.out.flush()
    }
}

fn painted(line: &str) -> String {
    if is_head(line) {
        return format!("{BOLD}{}{PLAIN}\n", line.trim_end_matches('\n'));
    }
    let mut painted = String::with_capacity(line.len());
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(word);
        if LOUD.contains(&word) {
            painted.extend([RED, word, PLAIN]);
        } else {
            painted.push_str(word);
        }
        let gap = after.find(|c: char| c.is_ascii_alphanumeric() || c == '_').unwrap_or(after.len());
        let (gap, after) = after.split_at(gap);
        painted.push_str(gap);
        rest = after;
    }
    painted
}

/// The head of a table: indented by two, at least two columns, nothing but capitals.
fn is_head(line: &str) -> bool {
    let Some(head) = line.strip_prefix("  ").filter(|head| !head.starts_with(' ')) else { return false };
    let mut words = head.split_whitespace();
    let capitals = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "/'-".contains(c))
    };
    head.trim().contains("  ") && words.all(capitals)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Painter, painted};

    #[test]
    fn heads_are_bold_and_what_needs_somebody_is_red() {
        let table = [
            ("  ID      COVERS  IN FLIGHT\n", "\x1b[1m  ID      COVERS  IN FLIGHT\x1b[0m\n"),
            (
                "  TIME TO THE ANSWER'S HEAD  P50  A/B\n",
                "\x1b[1m  TIME TO THE ANSWER'S HEAD  P50  A/B\x1b[0m\n",
            ),
            ("  ACME  12  40\n", "  ACME  12  40\n"),
            ("  DEGRADED  store: no answer\n", "  \x1b[1;31mDEGRADED\x1b[0m  store: no answer\n"),
            ("NOT drained after 5m\n", "\x1b[1;31mNOT\x1b[0m drained after 5m\n"),
            ("  ingest  NOTED  DOWNTIME\n", "  ingest  NOTED  DOWNTIME\n"),
            ("MODEL_VER=NOT_THIS\n", "MODEL_VER=NOT_THIS\n"),
            ("  caf\u{e9} DOWN\n", "  caf\u{e9} \x1b[1;31mDOWN\x1b[0m\n"),
        ];
        for (line, expected) in table {
            assert_eq!(painted(line), expected);
        }
    }

    #[test]
    fn lines_are_painted_whole_however_they_are_written() {
        let mut out = Vec::new();
        let mut painter = Painter::new(&mut out);
        for piece in ["DEG", "RADED\nhalf ", "a line"] {
            painter.write_all(piece.as_bytes()).unwrap();
        }
        painter.flush().unwrap();
        drop(painter);
        assert_eq!(String::from_utf8(out).unwrap(), "\x1b[1;31mDEGRADED\x1b[0m\nhalf a line");
    }
}
